// Every row of every kernel table × every layer it can serve: the one list behind the micro-benchmarks and `SwiftletMeasure`'s kernel table.
import CKernels
import SwiftletPortableKernels

/// The cases a machine can run, and the rows it cannot.
public struct KernelCatalog {
    public struct Options: Sendable {
        /// Bytes that copies of one weight fill where a case streams from memory: more than caches hold, and about a small model.
        public var streamedBytes: Int
        /// Layers whose packed weight is larger in some format are left out in that format.
        public var largestWeightBytes: Int

        public init(streamedBytes: Int = 128 << 20, largestWeightBytes: Int = 256 << 20) {
            self.streamedBytes = streamedBytes
            self.largestWeightBytes = largestWeightBytes
        }
    }

    public let cases: [KernelCase]
    /// Rows of the tables that need instruction sets outside `isa`.
    public let missingRows: [String]
    /// Linear rows and layers left out because the packed weight is too large.
    public let oversized: [String]

    /// - isa: CK_ISA_ bits kernels may use: those of the CPU, or fewer.
    public init(layers: [Layer], isa: UInt32 = ck_isa_detect() | UInt32(CK_ISA_PORTABLE), options: Options = Options()) {
        var cases: [KernelCase] = []
        var missing: [String] = []
        var oversized: [String] = []
        func runs(_ name: UnsafePointer<CChar>, _ needed: UInt32) -> Bool {
            if needed & ~isa == 0 { return true }
            missing.append(String(cString: name))
            return false
        }
        /// A table with the portable rows before the scalar ones, where dispatch has them.
        func joined<Row>(_ rows: [Row], _ portable: [Row], _ isa: (Row) -> UInt32) -> [Row] {
            rows.filter { isa($0) != 0 } + portable + rows.filter { isa($0) == 0 }
        }
        let linear = (0..<ck_linear_row_count()).compactMap { ck_linear_row_at($0)?.pointee }
        for row in joined(linear, PortableKernels.linear, \.isa) where runs(row.name, row.isa) {
            for layer in layers {
                if LinearCases.packedBytes(row: row, layer: layer) > options.largestWeightBytes {
                    oversized.append("\(String(cString: row.name))/\(layer.model)/\(layer.name)")
                } else {
                    cases += LinearCases.make(row: row, layer: layer, options: options)
                }
            }
        }
        for row in (0..<ck_sparse_row_count()).compactMap({ ck_sparse_row_at($0)?.pointee }) where runs(row.name, row.isa) {
            for layer in layers where LinearCases.denseBytes(layer) <= options.largestWeightBytes {
                cases += SparseCases.make(row: row, layer: layer, options: options)
            }
        }
        for row in (0..<ck_split_row_count()).compactMap({ ck_split_row_at($0)?.pointee }) where runs(row.name, row.isa) {
            for layer in layers where LinearCases.denseBytes(layer) <= options.largestWeightBytes { cases += SplitCases.make(row: row, layer: layer) }
        }
        let quantizers = (0..<ck_quantize_row_count()).compactMap { ck_quantize_row_at($0)?.pointee }
        for row in joined(quantizers, PortableKernels.quantizers, \.isa) where runs(row.name, row.isa) {
            cases += layers.flatMap { QuantizerCases.make(row: row, layer: $0) }
        }
        let attention = (0..<ck_attention_row_count()).compactMap { ck_attention_row_at($0)?.pointee }
        for row in joined(attention, [PortableKernels.attention], \.isa) where runs(row.name, row.isa) {
            cases += layers.flatMap { AttentionCases.make(row: row, layer: $0) }
        }
        let sets = (0..<ck_vector_set_count()).compactMap { ck_vector_set_at($0)?.pointee }
        for set in joined(sets, [PortableKernels.vector], \.isa) where runs(set.name, set.isa) {
            cases += layers.flatMap { VectorCases.make(set: set, layer: $0) }
        }
        for set in (0..<ck_conv_set_count()).compactMap({ ck_conv_set_at($0)?.pointee }) where runs(set.name, set.isa) {
            cases += layers.flatMap { ConvolutionCases.make(set: set, image: Float.self, layer: $0) }
        }
        for set in (0..<ck_conv_bf16_set_count()).compactMap({ ck_conv_bf16_set_at($0)?.pointee }) where runs(set.name, set.isa) {
            cases += layers.flatMap { ConvolutionCases.make(set: set, image: BrainFloat.self, layer: $0) }
        }
        for row in (0..<ck_sparse_conv_row_count()).compactMap({ ck_sparse_conv_row_at($0)?.pointee }) where runs(row.name, row.isa) {
            cases += layers.flatMap { SparseConvolutionCases.make(row: row, layer: $0) }
        }
        // Layers with equal inputs quantise the same rows.
        var names: Set<String> = []
        self.cases = cases.filter { names.insert($0.name).inserted }
        missingRows = missing
        self.oversized = oversized
    }
}
