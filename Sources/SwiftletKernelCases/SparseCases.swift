// The sparse table on linear layers, each row beside the dense row that the same instruction sets would use: one token, at a few parts of zeros.
import CKernels
import SwiftletTensor

enum SparseCases {
    /// Percent of the weights that are zero, spread at random, one by one or, for blocks, run by run: what pruning without a further pattern leaves.
    static let zeroPercents = [50, 70, 90]

    static func make(row: ck_sparse_row, layer: Layer, options: KernelCatalog.Options) -> [KernelCase] {
        guard case .linear(let format, let outputs, let inputs) = layer.shape, let multiply = row.multiply else { return [] }
        let panels = (outputs + Int(CK_PANEL_ROWS) - 1) / Int(CK_PANEL_ROWS)
        let operandBytes = ck_activation_row_bytes(row.activation, Int64(inputs)) + 4 * outputs
        // Where zeros are left out of the arithmetic as well, a batch gains too.
        let rowCounts = row.format == CK_SPARSE_BLOCKS ? [1, 64] : [1]
        return rowCounts.flatMap { rows in zeroPercents.map { (rows, $0) } }.flatMap { rows, zeros -> [KernelCase] in
            let runWeights = row.format == CK_SPARSE_BLOCKS ? 16 : 1
            let whole = ck_sparse_dense(row.format)
            guard let dense = ck_linear_find(whole, row.activation, row.isa, Int64(rows))?.pointee, let denseMultiply = dense.function else { return [] }
            return [(row.name, row.format, multiply), (dense.name, CK_SPARSE_NONE, denseMultiply)].map { name, sparse, function in
                let kernel = name.map { String(cString: $0) } ?? ""
                let kept = Int64(inputs * Int(CK_PANEL_ROWS) * (100 - zeros) / 100)
                let panelBytes = sparse == CK_SPARSE_NONE ? ck_panel_bytes(whole, Int64(inputs)) : ck_sparse_panel_bytes(sparse, Int64(inputs), kept)
                return KernelCase(
                    family: .sparse, kernel: kernel, isa: row.isa, model: layer.model, shape: "\(layer.name)/rows=\(rows)/zeros=\(zeros)\(runWeights == 1 ? "" : "-in-runs")",
                    operations: 2 * Double(rows) * Double(outputs) * Double(inputs), bytes: Double(panels * panelBytes + rows * operandBytes), streamsMemory: rows == 1,
                    peakUnit: "int8", isOwnFormat: format == .block(whole == CK_PANEL_Q4 ? .q4_0 : .q8_0)
                ) {
                    try SparseKernel(
                        kernel: kernel, function: function, sparse: sparse, whole: whole, activation: row.activation, outputs: outputs, inputs: inputs,
                        rows: rows, zeroPercent: zeros, runWeights: runWeights, footprint: rows == 1 ? options.streamedBytes : 0)
                }
            }
        }
    }
}

/// One product with weights part of which are zero, in sparse panels or in dense ones.
final class SparseKernel: PreparedKernel {
    private let kernel: String
    private let function: ck_linear_function
    private let activation: ck_activation_format
    /// The dense panels that the sparse ones stand for, and the type of the file's rows.
    private let whole: ck_panel_format
    private let type: ck_weight_type
    private let outputs, inputs, rows, panelCount, copies: Int
    /// Where each panel begins, in lines of 64 bytes, and where the last ends.
    private let offsets: Operand<UInt32>
    /// Bytes of one copy of the weights.
    private let weightBytes: Int
    /// Q8_0 or Q4_0 rows as a file holds them, for the check.
    private let source: Operand<UInt8>
    private let rowBytes: Int
    private let weights: Operand<UInt8>
    private let activations: Operand<UInt8>
    private let output: Operand<Float>
    private var nextCopy = 0

    init(
        kernel: String, function: @escaping ck_linear_function, sparse: ck_sparse_format, whole: ck_panel_format, activation: ck_activation_format, outputs: Int, inputs: Int,
        rows: Int, zeroPercent: Int, runWeights: Int, footprint: Int
    ) throws {
        (self.kernel, self.function, self.activation, self.outputs, self.inputs, self.rows) = (kernel, function, activation, outputs, inputs, rows)
        let panelRows = Int(CK_PANEL_ROWS), panelCount = (outputs + panelRows - 1) / panelRows
        let type = whole == CK_PANEL_Q4 ? CK_WEIGHT_Q4_0 : CK_WEIGHT_Q8_0
        (self.whole, self.type) = (whole, type)
        let blockBytes = type == CK_WEIGHT_Q4_0 ? 18 : 34
        rowBytes = inputs / 32 * blockBytes
        source = try Operand(count: outputs * rowBytes, purpose: "the weights of a kernel benchmark")
        var random = FillGenerator(seed: 2)
        for block in 0..<outputs * inputs / 32 {
            let start = source.base + blockBytes * block
            (start[0], start[1]) = (UInt8(truncatingIfNeeded: random.next()), 0x20)  // f16 scales about 2^-7
            var isZero = false
            for index in 0..<32 {
                let bits = random.next()
                if index % runWeights == 0 { isZero = Int((bits >> 40) % 100) < zeroPercent }
                if type == CK_WEIGHT_Q8_0 {
                    start[2 + index] = isZero ? 0 : UInt8(truncatingIfNeeded: bits)
                } else {  // weight i in the low half of byte i, weight 16 + i in its high half; 8 is zero
                    let level = isZero ? 8 : UInt8(truncatingIfNeeded: bits) & 15
                    start[2 + index % 16] = index < 16 ? level : start[2 + index % 16] | level << 4
                }
            }
        }
        let (source, rowBytes) = (UnsafeRawPointer(source.base), rowBytes)
        func rowCount(_ panel: Int) -> Int64 { Int64(min(panelRows, outputs - panel * panelRows)) }
        offsets = try Operand(count: panelCount + 1, purpose: "the weights of a kernel benchmark")
        offsets.base[0] = 0
        for panel in 0..<panelCount {
            let kept = ck_sparse_count(sparse, type, source + panel * panelRows * rowBytes, rowBytes, rowCount(panel), Int64(inputs))
            let bytes = sparse == CK_SPARSE_NONE ? ck_panel_bytes(whole, Int64(inputs)) : ck_sparse_panel_bytes(sparse, Int64(inputs), kept)
            offsets.base[panel + 1] = offsets.base[panel] + UInt32(bytes / 64)
        }
        (self.panelCount, weightBytes) = (panelCount, 64 * Int(offsets.base[panelCount]))
        let tail = sparse == CK_SPARSE_NONE ? 0 : ck_sparse_reach(sparse, Int64(inputs))
        copies = max(1, (footprint + weightBytes - 1) / weightBytes)
        weights = try Operand(count: weightBytes * copies + tail, purpose: "the weights of a kernel benchmark")
        activations = try Operand(count: rows * ck_activation_row_bytes(activation, Int64(inputs)), purpose: "the activations of a kernel benchmark")
        output = try Operand(count: rows * outputs, purpose: "the output of a kernel benchmark")
        for panel in 0..<panelCount {
            let (from, to) = (source + panel * panelRows * rowBytes, weights.base + 64 * Int(offsets.base[panel]))
            let status =
                sparse == CK_SPARSE_NONE
                ? ck_pack_panel(type, from, rowBytes, rowCount(panel), Int64(inputs), to)
                : ck_sparse_pack(sparse, type, from, rowBytes, rowCount(panel), Int64(inputs), to, 64 * Int(offsets.base[panel + 1] - offsets.base[panel]))
            guard status == 0 else {
                throw SwiftletError.numerical(routine: "ck_sparse_pack", reason: "refuses panel \(panel)", remedy: "Repair it, with CKernelsTests as the guide.")
            }
        }
        for copy in 0..<copies where copy > 0 { (weights.base + copy * weightBytes).update(from: weights.base, count: weightBytes) }
        let values = try Operand<Float>(count: rows * inputs, purpose: "the activations of a kernel benchmark")
        random.fill(values.elements, magnitude: 2)
        ck_quantize_find(activation, 0)?.pointee.function(
            values.base, Int64(inputs), Int64(rows), Int64(inputs), 0, Int64(inputs), activations.base, ck_activation_row_bytes(activation, Int64(inputs)))
    }

    func run(calls: Int) {
        for _ in 0..<calls {
            multiply(function, weights.base + nextCopy * weightBytes, panels: panelCount, columns: outputs, output.base, outputs)
            nextCopy = nextCopy + 1 == copies ? 0 : nextCopy + 1
        }
    }

    /// Against the dense scalar row: as many panels as about 2²⁵ products allow, from the first to the last.
    func verify() throws {
        guard let scalar = ck_linear_find(whole, activation, 0, 1)?.pointee.function else { return }
        output.elements.update(repeating: .nan)
        multiply(function, weights.base, panels: panelCount, columns: outputs, output.base, outputs)
        let panelRows = Int(CK_PANEL_ROWS), stride = ck_panel_bytes(whole, Int64(inputs))
        let dense = try Operand<UInt8>(count: stride, purpose: "the check of a kernel benchmark")
        let expected = try Operand<Float>(count: rows * panelRows, purpose: "the check of a kernel benchmark")
        let checked = min(panelCount, max(2, (1 << 25) / (rows * panelRows * inputs)))
        for index in 0..<checked {
            let panel = checked == 1 ? 0 : index * (panelCount - 1) / (checked - 1)
            let columns = min(panelRows, outputs - panel * panelRows)
            _ = ck_pack_panel(type, source.base + panel * panelRows * rowBytes, rowBytes, Int64(columns), Int64(inputs), dense.base)
            multiply(scalar, dense.base, panels: 1, columns: columns, expected.base, panelRows)
            for row in 0..<rows {
                for column in 0..<columns {
                    let (actual, wanted) = (output.base[row * outputs + panel * panelRows + column], expected.base[row * panelRows + column])
                    guard actual.bitPattern == wanted.bitPattern else {
                        throw difference(kernel, at: "row \(row), output \(panel * panelRows + column)", actual: actual, expected: wanted)
                    }
                }
            }
        }
    }

    private func multiply(
        _ function: ck_linear_function, _ panels: UnsafeMutablePointer<UInt8>, panels count: Int, columns: Int,
        _ output: UnsafeMutablePointer<Float>, _ outputStride: Int
    ) {
        var args = ck_linear_args(
            panels: UnsafeRawPointer(panels), panel_stride_bytes: ck_panel_bytes(whole, Int64(inputs)), panel_count: Int64(count), k: Int64(inputs),
            activations: UnsafeRawPointer(activations.base), activation_stride_bytes: activations.elements.count / rows, rows: Int64(rows), output: output,
            output_stride: Int64(outputStride), columns: Int64(columns), panel_offsets: offsets.base, panel_offset_stride: 1)
        function(&args)
    }
}
