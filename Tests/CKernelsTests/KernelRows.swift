// The kernel tables as test arguments: every row is an argument, rows this machine cannot run are listed as skipped.
import CKernels
import SwiftletPortableKernels
import SwiftletTensor
import TestSupport
import Testing

/// The instruction sets of this machine.
let machineISA = ck_isa_detect()

/// A row of one of the tables, by name, so that a failure names its kernel.
struct RowReference: Sendable, CustomTestStringConvertible {
    enum Table {
        case c
        /// Kernels of instruction sets this machine may lack, in a form that more machines run.
        case twins
        /// Kernels in Swift's vectors, which stand before the scalar rows in look-ups.
        case portable
    }

    let table: Table
    let index: Int
    let name: String
    let isa: UInt32
    /// Whether it is of the sets for images of bf16, which have a look-up of their own.
    let isOfBF16: Bool

    var runsHere: Bool { isa & ~(machineISA | PortableKernels.isa) == 0 }
    var testDescription: String { name }

    private init(_ table: Table, _ index: Int, _ name: UnsafePointer<CChar>, _ isa: UInt32, isOfBF16: Bool = false) {
        self.isOfBF16 = isOfBF16
        self.table = table
        self.index = index
        self.name = String(cString: name)
        self.isa = isa
    }

    /// The C rows with the portable ones before the scalar ones.
    private static func joined(_ rows: [RowReference], _ portable: [RowReference]) -> [RowReference] {
        rows.filter { $0.isa != 0 } + portable + rows.filter { $0.isa == 0 }
    }

    static let linear = joined(
        (0..<ck_linear_row_count()).compactMap { index in ck_linear_row_at(index).map { RowReference(.c, index, $0.pointee.name, $0.pointee.isa) } },
        PortableKernels.linear.enumerated().map { RowReference(.portable, $0, $1.name, $1.isa) })
    static let linearTwins = (0..<ck_linear_twin_count()).compactMap { index in
        ck_linear_twin_at(index).map { RowReference(.twins, index, $0.pointee.name, $0.pointee.isa) }
    }
    static let quantizers = joined(
        (0..<ck_quantize_row_count()).compactMap { index in ck_quantize_row_at(index).map { RowReference(.c, index, $0.pointee.name, $0.pointee.isa) } },
        PortableKernels.quantizers.enumerated().map { RowReference(.portable, $0, $1.name, $1.isa) })
    static let vectorSets = joined(
        (0..<ck_vector_set_count()).compactMap { index in ck_vector_set_at(index).map { RowReference(.c, index, $0.pointee.name, $0.pointee.isa) } },
        [RowReference(.portable, 0, PortableKernels.vector.name, PortableKernels.vector.isa)])
    static let attention = joined(
        (0..<ck_attention_row_count()).compactMap { index in ck_attention_row_at(index).map { RowReference(.c, index, $0.pointee.name, $0.pointee.isa) } },
        [RowReference(.portable, 0, PortableKernels.attention.name, PortableKernels.attention.isa)])
    static let attentionTwins = (0..<ck_attention_twin_count()).compactMap { index in
        ck_attention_twin_at(index).map { RowReference(.twins, index, $0.pointee.name, $0.pointee.isa) }
    }
    static let convolution = (0..<ck_conv_set_count()).compactMap { index in
        ck_conv_set_at(index).map { RowReference(.c, index, $0.pointee.name, $0.pointee.isa) }
    }
    static let convolutionBF16 = (0..<ck_conv_bf16_set_count()).compactMap { index in
        ck_conv_bf16_set_at(index).map { RowReference(.c, index, $0.pointee.name, $0.pointee.isa, isOfBF16: true) }
    }
    static let convolutionTwins = ck_conv_bf16_twin().map { [RowReference(.twins, 0, $0.pointee.name, $0.pointee.isa, isOfBF16: true)] } ?? []
    static let quantizedConvolution = (0..<ck_conv_u8_set_count()).compactMap { index in
        ck_conv_u8_set_at(index).map { RowReference(.c, index, $0.pointee.name, $0.pointee.isa) }
    }
    static let sparseConvolution = (0..<ck_sparse_conv_row_count()).compactMap { index in
        ck_sparse_conv_row_at(index).map { RowReference(.c, index, $0.pointee.name, $0.pointee.isa) }
    }
    static let levels = (0..<ck_levels_set_count()).compactMap { index in
        ck_levels_set_at(index).map { RowReference(.c, index, $0.pointee.name, $0.pointee.isa) }
    }
    static let sparse = (0..<ck_sparse_row_count()).compactMap { index in
        ck_sparse_row_at(index).map { RowReference(.c, index, $0.pointee.name, $0.pointee.isa) }
    }
    static let split = (0..<ck_split_row_count()).compactMap { index in
        ck_split_row_at(index).map { RowReference(.c, index, $0.pointee.name, $0.pointee.isa) }
    }
    static let tables = [linear, quantizers, vectorSets, attention, convolution, convolutionBF16, quantizedConvolution, sparseConvolution, levels, sparse, split]
    static let twins = [linearTwins, attentionTwins, convolutionTwins]

    /// The row, of the table its list is made from.
    func linearRow() throws -> ck_linear_row {
        switch table {
        case .c: try #require(ck_linear_row_at(index)).pointee
        case .twins: try #require(ck_linear_twin_at(index)).pointee
        case .portable: PortableKernels.linear[index]
        }
    }
    func quantizer() throws -> ck_quantize_row {
        table == .portable ? PortableKernels.quantizers[index] : try #require(ck_quantize_row_at(index)).pointee
    }
    func vectorSet() throws -> ck_vector_set { table == .portable ? PortableKernels.vector : try #require(ck_vector_set_at(index)).pointee }
    func convolutionSet() throws -> ck_conv_set {
        try #require(table == .twins ? ck_conv_bf16_twin() : isOfBF16 ? ck_conv_bf16_set_at(index) : ck_conv_set_at(index)).pointee
    }
    func quantizedConvolutionSet() throws -> ck_conv_u8_set { try #require(ck_conv_u8_set_at(index)).pointee }
    func sparseConvolutionRow() throws -> ck_sparse_conv_row { try #require(ck_sparse_conv_row_at(index)).pointee }
    func sparseRow() throws -> ck_sparse_row { try #require(ck_sparse_row_at(index)).pointee }
    func splitRow() throws -> ck_split_row { try #require(ck_split_row_at(index)).pointee }
    func levelsSet() throws -> ck_levels_set { try #require(ck_levels_set_at(index)).pointee }
    func attentionRow() throws -> ck_attention_row {
        switch table {
        case .c: try #require(ck_attention_row_at(index)).pointee
        case .twins: try #require(ck_attention_twin_at(index)).pointee
        case .portable: PortableKernels.attention
        }
    }
}

extension [RowReference] {
    var runnable: [RowReference] { filter(\.runsHere) }
    var missing: [RowReference] { filter { !$0.runsHere } }
}

/// Rows compiled in but beyond this machine: a disabled test each, so that silence never looks like a pass.
@Suite struct KernelTableTests {
    @Test(.disabled("this machine lacks the instruction set"), arguments: (RowReference.tables + RowReference.twins).flatMap(\.missing)) func rowNotRunHere(
        row: RowReference
    ) {}

    @Test func scalarRowsCloseEveryTable() throws {
        for table in RowReference.tables {
            #expect(table.last?.isa == 0)
            #expect(Set(table.map(\.name)).count == table.count)
        }
        #expect(try #require(ck_vector_find(0)).pointee.isa == 0)
        #expect(try #require(ck_attention_find(.max, false)).pointee.rounded_queries == 0)
        #expect(try #require(ck_attention_find(0, true)).pointee.isa == 0)
    }

    @Test func everyFormatHasRows() {
        let all = (CK_PANEL_NONE.rawValue + 1..<CK_PANEL_COUNT.rawValue).map { ck_panel_format(rawValue: $0) }
        #expect(Set(integerPanels + densePanels) == Set(all))
        #expect(Set((blockWeights + denseWeights).map { ck_panel_for($0) }) == Set(all))
    }

    @Test func lookUpHonoursTheMaskAndTheRows() throws {
        for panel in integerPanels + densePanels {
            for activation in activations(of: panel) {
                let scalar = try #require(ck_linear_find(panel, activation, 0, 1)).pointee
                #expect(scalar.isa == 0 && scalar.panel == panel && scalar.activation == activation)
                for mask in [UInt32(CK_ISA_AVX2), machineISA] {
                    for rows in [Int64(1), 2, 100] {
                        let row = try #require(ck_linear_find(panel, activation, mask, rows)).pointee
                        #expect(row.isa & ~mask == 0 && row.panel == panel && row.activation == activation)
                        #expect(row.minimum_rows <= rows && row.maximum_rows >= rows)
                    }
                }
            }
        }
        #expect(ck_linear_find(CK_PANEL_Q8, CK_ACT_F32, machineISA, 1) == nil)
        #expect(ck_linear_find(CK_PANEL_NONE, CK_ACT_F32, machineISA, 1) == nil)
    }

    #if arch(x86_64)
    /// What a machine with AMX runs, asked of the table by its bits: tiles for many rows, vectors for few, never an alternative.
    @Test func tilesAreForManyRows() throws {
        for panel in integerPanels {
            for (activation, name) in [(CK_ACT_Q8, "q8"), (CK_ACT_Q15, "q15")] {
                let many = try #require(ck_linear_find(panel, activation, 0xffff, 64)).pointee
                #expect(String(cString: many.name).hasSuffix("\(name)_amxint8") && many.tolerance == 0)
                let few = try #require(ck_linear_find(panel, activation, 0xffff, 1)).pointee
                #expect(String(cString: few.name).hasSuffix("\(name)_avx512vnni") && few.tolerance == 0)
            }
        }
        #expect(String(cString: try #require(ck_linear_find(CK_PANEL_BF16, CK_ACT_F32, 0xffff, 64)).pointee.name) == "linear_bf16_amxbf16")
        #expect(RowReference.linear.contains { $0.name == "linear_q4_q15_amxbf16" })
        let tiles = UInt32(CK_ISA_AMX_INT8 | CK_ISA_AMX_BF16)
        for (mask, mayRound, name) in [(0xffff, true, "amx"), (0xffff, false, "avx512"), (0xffff & ~tiles, true, "avx512_vnni")] {
            #expect(String(cString: try #require(ck_attention_find(mask, mayRound)).pointee.name) == "attention_\(name)")
        }
    }
    #endif
}

/// The panel formats the scalar rows take with an activation format: all there are.
private func panels(_ activation: ck_activation_format) -> [ck_panel_format] {
    (0..<ck_linear_row_count()).compactMap { index in
        ck_linear_row_at(index).flatMap { $0.pointee.isa == 0 && $0.pointee.activation == activation ? $0.pointee.panel : nil }
    }
}

let integerPanels = panels(CK_ACT_Q8)
let densePanels = panels(CK_ACT_F32)

func activations(of panel: ck_panel_format) -> [ck_activation_format] {
    densePanels.contains(panel) ? [CK_ACT_F32] : [CK_ACT_Q8, CK_ACT_Q15]
}
