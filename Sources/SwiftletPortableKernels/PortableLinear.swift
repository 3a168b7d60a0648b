// Integer matrix products in Swift's vector types: rows for all integer panels (layout and arithmetic: ckernels/linear.h and gemm/linear_scalar.c).
// 16-byte vectors throughout, which every 64-bit machine has.
//
// Sums within a block are exact, as the scalar rows' are; they differ in the floats between blocks, where a sum is rounded once more (MultiplyAdd.swift).
// Every output is computed in the same order whether alone or in a tile.
import CKernels

/// All rows × all panels: a panel is read from memory once.
@_transparent
private func product<Panel: IntegerPanel, Terms: ActivationTerms>(_ type: Panel.Type, _ terms: Terms.Type, _ pointer: UnsafePointer<ck_linear_args>?) {
    guard let args = pointer?.pointee, let panels = args.panels, let activations = args.activations, let output = args.output else { return }
    let rows = Int(args.rows), outputStride = Int(args.output_stride)
    var scratch = TileScratch()
    withUnsafeMutableBytes(of: &scratch) { scratch in
        guard let scratch = scratch.baseAddress else { return }
        if rows == 1, Panel.parts == 1, Panel.highBits == 0, Panel.lowBits >= 4, Panel.codeBook == nil {
            let records = ck_activation_block_offset(Terms.format, args.k)
            for index in 0..<Int(args.panel_count) {
                let column = index * Int(CK_PANEL_ROWS)
                row(
                    type, terms, panel: panels + index * args.panel_stride_bytes, activation: activations, k: args.k, records: records,
                    scratch: scratch, output: output + column, valid: Int(args.columns) - column)
            }
            return
        }
        for index in stride(from: 0, to: Int(args.panel_count), by: linearPanelTile) {
            let column = index * Int(CK_PANEL_ROWS)
            for first in stride(from: 0, to: rows, by: linearRowTile) {
                tile(
                    type, terms, panels: panels + index * args.panel_stride_bytes, panelStride: args.panel_stride_bytes,
                    panelCount: min(linearPanelTile, Int(args.panel_count) - index), activations: activations + first * args.activation_stride_bytes,
                    activationStride: args.activation_stride_bytes, count: min(linearRowTile, rows - first), k: args.k, scratch: scratch,
                    output: output + first * outputStride + column, outputStride: outputStride, valid: Int(args.columns) - column)
            }
        }
    }
}

extension PortableKernels {
    /// The rows, correct for any number of activation rows.
    ///
    /// `nonisolated(unsafe)`: constants; the pointers in them lead to static strings.
    package nonisolated(unsafe) static let linear: [ck_linear_row] = [
        row("linear_q4_q8_portable", CK_PANEL_Q4, CK_ACT_Q8) { product(Q4.self, OneTerm.self, $0) },
        row("linear_q4_q15_portable", CK_PANEL_Q4, CK_ACT_Q15) { product(Q4.self, TwoTerms.self, $0) },
        row("linear_q4m_q8_portable", CK_PANEL_Q4M, CK_ACT_Q8) { product(Q4M.self, OneTerm.self, $0) },
        row("linear_q4m_q15_portable", CK_PANEL_Q4M, CK_ACT_Q15) { product(Q4M.self, TwoTerms.self, $0) },
        row("linear_q5_q8_portable", CK_PANEL_Q5, CK_ACT_Q8) { product(Q5.self, OneTerm.self, $0) },
        row("linear_q5_q15_portable", CK_PANEL_Q5, CK_ACT_Q15) { product(Q5.self, TwoTerms.self, $0) },
        row("linear_q5m_q8_portable", CK_PANEL_Q5M, CK_ACT_Q8) { product(Q5M.self, OneTerm.self, $0) },
        row("linear_q5m_q15_portable", CK_PANEL_Q5M, CK_ACT_Q15) { product(Q5M.self, TwoTerms.self, $0) },
        row("linear_q8_q8_portable", CK_PANEL_Q8, CK_ACT_Q8) { product(Q8.self, OneTerm.self, $0) },
        row("linear_q8_q15_portable", CK_PANEL_Q8, CK_ACT_Q15) { product(Q8.self, TwoTerms.self, $0) },
        row("linear_q6s16_q8_portable", CK_PANEL_Q6S16, CK_ACT_Q8) { product(Q6S16.self, OneTerm.self, $0) },
        row("linear_q6s16_q15_portable", CK_PANEL_Q6S16, CK_ACT_Q15) { product(Q6S16.self, TwoTerms.self, $0) },
        row("linear_q3s16_q8_portable", CK_PANEL_Q3S16, CK_ACT_Q8) { product(Q3S16.self, OneTerm.self, $0) },
        row("linear_q3s16_q15_portable", CK_PANEL_Q3S16, CK_ACT_Q15) { product(Q3S16.self, TwoTerms.self, $0) },
        row("linear_q2s16m_q8_portable", CK_PANEL_Q2S16M, CK_ACT_Q8) { product(Q2S16M.self, OneTerm.self, $0) },
        row("linear_q2s16m_q15_portable", CK_PANEL_Q2S16M, CK_ACT_Q15) { product(Q2S16M.self, TwoTerms.self, $0) },
        row("linear_q2_q8_portable", CK_PANEL_Q2, CK_ACT_Q8) { product(Q2.self, OneTerm.self, $0) },
        row("linear_q2_q15_portable", CK_PANEL_Q2, CK_ACT_Q15) { product(Q2.self, TwoTerms.self, $0) },
        row("linear_iq4_q8_portable", CK_PANEL_IQ4, CK_ACT_Q8) { product(IQ4.self, OneTerm.self, $0) },
        row("linear_iq4_q15_portable", CK_PANEL_IQ4, CK_ACT_Q15) { product(IQ4.self, TwoTerms.self, $0) },
        row("linear_mxfp4_q8_portable", CK_PANEL_MXFP4, CK_ACT_Q8) { product(MXFP4.self, OneTerm.self, $0) },
        row("linear_mxfp4_q15_portable", CK_PANEL_MXFP4, CK_ACT_Q15) { product(MXFP4.self, TwoTerms.self, $0) },
    ]

    /// A block costs two to four roundings, each at most 2^-24 of the sums so far, and rows have up to some hundred blocks: roundings that all go one way
    /// reach this, the usual ones stay a hundred times below.
    private static let tolerance: Float = 0x1p-16

    private static func row(
        _ name: StaticString, _ panel: ck_panel_format, _ activation: ck_activation_format, _ function: @escaping ck_linear_function
    ) -> ck_linear_row {
        ck_linear_row(
            name: Self.name(name), isa: isa, panel: panel, activation: activation,
            row_tile: Int64(linearRowTile), maximum_rows: Int64(Int32.max), function: function, minimum_rows: 1, tolerance: tolerance)
    }
}
