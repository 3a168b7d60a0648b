// The attention table on attention layers: the query heads that share one key/value head, over a cache of a thousand tokens.
import CKernels
import SwiftletTensor

enum AttentionCases {
    /// Tokens in the cache, the new ones included.
    static let positions = 1024

    private static let formats: [(name: String, format: ck_kv_format)] = [("f32", CK_KV_F32), ("f16", CK_KV_F16), ("q8_0", CK_KV_Q8_0)]

    /// Cases of one row of the table on one layer: each cache format, for one token and for a batch of prompt tokens in causal order.
    static func make(row: ck_attention_row, layer: Layer) -> [KernelCase] {
        guard case .attention(let allHeads, let shared, let dimension) = layer.shape else { return [] }
        let kernel = String(cString: row.name), heads = allHeads / shared
        return formats.flatMap { format in
            LinearCases.rowCounts.map { rows in
                // Each token sees all before it and itself.
                let seen = (0..<rows).reduce(0) { $0 + positions - rows + $1 + 1 }
                let cacheBytes = 2 * positions * ck_kv_row_bytes(format.format, Int64(dimension))
                return KernelCase(
                    family: .attention, kernel: kernel, isa: row.isa, model: layer.model,
                    shape: "\(layer.name)/\(format.name)/tokens=\(positions)/rows=\(rows)",
                    operations: 4 * Double(seen * heads * dimension),
                    bytes: Double(cacheBytes + 8 * rows * heads * dimension), streamsMemory: false, peakUnit: "f32", isOwnFormat: true
                ) {
                    try AttentionKernel(
                        row: row, format: format.format, heads: heads, dimension: dimension, rows: rows, positions: positions)
                }
            }
        }
    }
}

final class AttentionKernel: PreparedKernel {
    private let row: ck_attention_row
    private let queries: Operand<Float>
    private let keys: Operand<UInt8>
    private let values: Operand<UInt8>
    private let begin: Operand<Int32>
    private let end: Operand<Int32>
    private let scratch: Operand<UInt8>
    private let output: Operand<Float>
    private var args = ck_attention_args()

    init(row: ck_attention_row, format: ck_kv_format, heads: Int, dimension: Int, rows: Int, positions: Int) throws {
        self.row = row
        let rowBytes = ck_kv_row_bytes(format, Int64(dimension))
        queries = try Operand(count: rows * heads * dimension, purpose: "the queries of a kernel benchmark")
        keys = try Operand(count: positions * rowBytes, purpose: "the cache of a kernel benchmark")
        values = try Operand(count: positions * rowBytes, purpose: "the cache of a kernel benchmark")
        begin = try Operand(count: rows, purpose: "the ranges of a kernel benchmark")
        end = try Operand(count: rows, purpose: "the ranges of a kernel benchmark")
        let scratchBytes = ck_attention_scratch_bytes(Int64(rows), Int64(heads), Int64(dimension), Int64(dimension))
        scratch = try Operand(count: scratchBytes, purpose: "the scratch of a kernel benchmark")
        output = try Operand(count: rows * heads * dimension, purpose: "the output of a kernel benchmark")
        var random = FillGenerator(seed: 3)
        random.fill(queries.elements, magnitude: 2)
        let source = try Operand<Float>(count: dimension, purpose: "the cache of a kernel benchmark")
        let stores = [CK_KV_F32: row.store_f32, CK_KV_F16: row.store_f16, CK_KV_Q8_0: row.store_q8_0]
        for cache in [keys, values] {
            for position in 0..<positions {
                random.fill(source.elements, magnitude: 1)
                stores[format]??(source.base, Int64(dimension), cache.base + position * rowBytes)
            }
        }
        for token in 0..<rows { end.elements[token] = Int32(positions - rows + token + 1) }
        args.queries = UnsafePointer(queries.base)
        args.query_row_stride = Int64(heads * dimension)
        args.query_head_stride = Int64(dimension)
        args.rows = Int64(rows)
        args.heads = Int64(heads)
        args.head_dim = Int64(dimension)
        args.value_dim = Int64(dimension)
        args.keys = UnsafeRawPointer(keys.base)
        args.key_stride_bytes = rowBytes
        args.values = UnsafeRawPointer(values.base)
        args.value_stride_bytes = rowBytes
        args.kv_format = format
        args.kv_begin = UnsafePointer(begin.base)
        args.kv_end = UnsafePointer(end.base)
        args.scale = 1 / Float(dimension).squareRoot()
        args.output = output.base
        args.output_row_stride = Int64(heads * dimension)
        args.output_head_stride = Int64(dimension)
        args.scratch = UnsafeMutableRawPointer(scratch.base)
    }

    func run(calls: Int) {
        guard let attend = row.attend else { return }
        for _ in 0..<calls { attend(&args) }
    }

    func verify() throws {
        let expected = try Operand<Float>(count: output.elements.count, purpose: "the check of a kernel benchmark")
        var scalar = args
        scalar.output = expected.base
        ck_attention_find(0, true)?.pointee.attend(&scalar)
        output.elements.update(repeating: .nan)
        run(calls: 1)
        // Averages of values within ±1, with weights from scores within a few units: 2e-6 each way, as the tests allow both kernels, or what rounding
        // loses.
        let isRounded = row.rounded_queries > 0 && args.rows * args.heads >= row.rounded_queries
        let tolerance: Float = isRounded ? row.rounding_error : 8e-6
        for (index, (actual, wanted)) in zip(output.elements, expected.elements).enumerated() where !(abs(actual - wanted) <= tolerance) {
            throw difference(String(cString: row.name), at: "output \(index)", actual: actual, expected: wanted)
        }
    }
}
