// Streaming attention of every row of the table against a naive softmax in Double over the numbers the cache stands for.
import CKernels
import Foundation
import SwiftletTensor
import TestSupport
import Testing

/// One attention problem: a cache of one key/value head, and the query heads that share it.
private struct Problem {
    var rows = 1
    var heads = 3
    var headDim = 64
    var valueDim = 64
    var positions = 100
    var format = CK_KV_F16
    var softcap: Float = 0
    /// Visible range of each query token.
    var ranges: [Range<Int>] = []
    var spread: Float = 1

    var queries: [Float] {
        var random = SeededGenerator(seed: 31)
        return random.floats(rows * heads * headDim, in: -2 * spread...2 * spread)
    }

    /// The cache rows as bytes, in rows 24 bytes longer than they need be, and the numbers they hold.
    func cache(_ dimension: Int, seed: UInt64, row: ck_attention_row) throws -> (bytes: AlignedMemory, stride: Int, values: [Float]) {
        var random = SeededGenerator(seed: seed)
        let stride = ck_kv_row_bytes(format, Int64(dimension)) + 24
        let memory = try AlignedMemory(byteCount: positions * stride, purpose: "test cache")
        let store = try #require([CK_KV_F32: row.store_f32, CK_KV_F16: row.store_f16, CK_KV_Q8_0: row.store_q8_0][format] ?? nil)
        var values = [Float](repeating: 0, count: positions * dimension)
        for position in 0..<positions {
            let source = random.floats(dimension), destination = memory.base + position * stride
            store(source, Int64(dimension), destination)
            values.withUnsafeMutableBufferPointer { out in
                guard let base = out.baseAddress.map({ $0 + position * dimension }) else { return }
                switch format {
                case CK_KV_F32: base.update(from: source, count: dimension)
                case CK_KV_F16:
                    ck_vector_find(0)?.pointee.f16_to_f32(destination.assumingMemoryBound(to: UInt16.self), Int64(dimension), base)
                default: ck_block_format_find(UInt32(CK_TYPE_Q8_0))?.pointee.dequantize(destination, base, Int64(dimension))
                }
            }
        }
        return (memory, stride, values)
    }

    struct Result {
        var output: [Float]
        var maximum: [Float]
        var sum: [Float]
    }

    /// Runs a row of the table over the ranges, or over the part of them within `window`, unnormalised then.
    func run(_ row: ck_attention_row, window: Range<Int>? = nil) throws -> Result {
        let (keys, keyStride, _) = try cache(headDim, seed: 1, row: row), (values, valueStride, _) = try cache(valueDim, seed: 2, row: row)
        let attend = try #require(row.attend), queries = queries
        let scratchBytes = ck_attention_scratch_bytes(Int64(rows), Int64(heads), Int64(headDim), Int64(valueDim))
        let scratch = try AlignedMemory(byteCount: scratchBytes + 64, purpose: "test scratch")
        memset(scratch.base, 0xff, scratchBytes + 64)  // not-a-numbers: nothing may be read before it is written
        let visible = ranges.map { window.map($0.clamped(to:)) ?? $0 }
        let begins = visible.map { Int32($0.lowerBound) }, ends = visible.map { Int32($0.upperBound) }
        // Heads lie inside a wider row, so that strides matter.
        let headStride = valueDim + 3, rowStride = heads * headStride + 5
        var output = [Float](repeating: 77, count: rows * rowStride), maximum = [Float](repeating: 0, count: rows * heads), sum = maximum
        output.withUnsafeMutableBufferPointer { out in
            maximum.withUnsafeMutableBufferPointer { maximum in
                sum.withUnsafeMutableBufferPointer { sum in
                    queries.withUnsafeBufferPointer { queries in
                        begins.withUnsafeBufferPointer { begins in
                            ends.withUnsafeBufferPointer { ends in
                                var args = ck_attention_args()
                                args.queries = queries.baseAddress
                                args.query_row_stride = Int64(heads * headDim)
                                args.query_head_stride = Int64(headDim)
                                args.rows = Int64(rows)
                                args.heads = Int64(heads)
                                args.head_dim = Int64(headDim)
                                args.value_dim = Int64(valueDim)
                                args.keys = UnsafeRawPointer(keys.base)
                                args.key_stride_bytes = keyStride
                                args.values = UnsafeRawPointer(values.base)
                                args.value_stride_bytes = valueStride
                                args.kv_format = format
                                args.kv_begin = begins.baseAddress
                                args.kv_end = ends.baseAddress
                                args.scale = 1 / Float(headDim).squareRoot()
                                args.softcap = softcap
                                args.output = out.baseAddress
                                args.output_row_stride = Int64(rowStride)
                                args.output_head_stride = Int64(headStride)
                                if window != nil {
                                    args.partial_maximum = maximum.baseAddress
                                    args.partial_sum = sum.baseAddress
                                }
                                args.scratch = scratch.base
                                attend(&args)
                            }
                        }
                    }
                }
            }
        }
        try #require((0..<64).allSatisfy { scratch.bytes[scratchBytes + $0] == 0xff }, "wrote past the scratch")
        var dense: [Float] = []
        for (index, value) in output.enumerated() {
            let within = index % rowStride
            if within < heads * headStride, within % headStride < valueDim {
                dense.append(value)
            } else {
                try #require(value == 77, "wrote past a head")
            }
        }
        return Result(output: dense, maximum: maximum, sum: sum)
    }

    /// The definition, in Double.
    func naive(_ row: ck_attention_row) throws -> [Double] {
        let keys = try cache(headDim, seed: 1, row: row).values, values = try cache(valueDim, seed: 2, row: row).values
        var result: [Double] = []
        for token in 0..<rows {
            for head in 0..<heads {
                let query = queries[(token * heads + head) * headDim..<(token * heads + head + 1) * headDim]
                let scores = ranges[token].map { position in
                    var score = zip(query, keys[position * headDim..<(position + 1) * headDim]).reduce(0) {
                        $0 + Double($1.0) * Double($1.1)
                    }
                    score /= Double(headDim).squareRoot()
                    return softcap > 0 ? Double(softcap) * tanh(score / Double(softcap)) : score
                }
                let top = scores.max() ?? 0, weights = scores.map { exp($0 - top) }, total = weights.reduce(0, +)
                for i in 0..<valueDim {
                    let sum = zip(ranges[token], weights).reduce(0) { $0 + $1.1 * Double(values[$1.0 * valueDim + i]) }
                    result.append(total > 0 ? sum / total : 0)
                }
            }
        }
        return result
    }
}

private func worst(_ actual: [Float], _ expected: [Double]) -> Double {
    zip(actual, expected).map { abs(Double($0) - $1) }.reduce(0) { $1.isNaN ? .infinity : max($0, $1) }
}

private let rows = (RowReference.attention + RowReference.attentionTwins).runnable

@Suite struct AttentionTests {
    @Test(arguments: rows, [CK_KV_F32, CK_KV_F16, CK_KV_Q8_0].map(\.rawValue)) func matchesDouble(
        reference: RowReference, rawFormat: UInt32
    ) throws {
        let row = try reference.attentionRow(), format = ck_kv_format(rawValue: rawFormat)
        var problems: [Problem] = []
        // Decoding: one token, every number of heads up to where blocks are converted, ranges around the widest vector and the block of 64 keys.
        for heads in 1...9 {
            for range in [0..<1, 0..<15, 0..<16, 0..<17, 0..<63, 0..<64, 0..<65, 3..<100, 70..<71, 1..<200] {
                problems.append(Problem(heads: heads, positions: 200, format: format, ranges: [range]))
            }
        }
        // A few tokens: each its own range, one of them empty, and windows that begin after others end.
        for ranges in [[0..<70, 0..<71], [0..<5, 90..<100], [0..<0, 3..<90], [66..<130, 67..<131, 68..<132], [0..<1, 0..<2, 0..<3, 0..<4, 0..<5]] {
            for softcap in [Float(0), 4] {
                problems.append(Problem(rows: ranges.count, heads: 1, positions: 140, format: format, softcap: softcap, ranges: ranges, spread: 3))
            }
        }
        // Every kind of head size, with the widths of the register tiles and their ends.
        for (headDim, valueDim) in [(32, 32), (64, 64), (96, 160), (128, 128), (256, 256)]
            + (format == CK_KV_Q8_0 ? [] : [(8, 8), (16, 24), (40, 72), (80, 120), (248, 200)])
        {
            for heads in [1, 3, 4, 6] {
                problems.append(Problem(heads: heads, headDim: headDim, valueDim: valueDim, format: format, ranges: [2..<91]))
            }
        }
        // Prefill: causal from an offset, then a sliding window, with caps, spread-out scores and head sizes off the vector width.
        for (headDim, valueDim) in [(64, 64), (32, 96), (128, 128), (256, 256)]
            + (format == CK_KV_Q8_0 ? [] : [(8, 8), (40, 72), (80, 24)])
        {
            let causal = (0..<13).map { 0..<$0 + 80 }, window = (0..<13).map { $0 + 60..<$0 + 80 }, early = (0..<13).map { 0..<$0 + 1 }
            for (ranges, softcap, spread) in [
                (causal, Float(0), Float(1)), (window, 0, 1), (early, 0, 1), (causal, 4, 3), (window, 30, 20),
            ] {
                problems.append(
                    Problem(
                        rows: 13, heads: 2, headDim: headDim, valueDim: valueDim, format: format, softcap: softcap, ranges: ranges,
                        spread: spread))
            }
        }
        // As many queries as the register tiles of any instruction set leave over with an odd number of keys, and queries of zeros.
        for rows in 8...14 {
            problems.append(Problem(rows: rows, heads: 1, format: format, ranges: (0..<rows).map { 0..<$0 + 51 }))
        }
        problems.append(Problem(rows: 12, heads: 1, format: format, ranges: (0..<12).map { 2..<$0 + 80 }, spread: 0))
        // Numbers of queries and of keys around the tiles of 16, steps of 32 and blocks of 64.
        for rows in [15, 16, 17, 33] {
            for keys in [1, 15, 16, 17, 31, 32, 33, 47, 49, 63, 64, 65] {
                problems.append(Problem(rows: rows, heads: 1, format: format, ranges: Array(repeating: 3..<3 + keys, count: rows)))
            }
        }
        // Several blocks by several tiles of queries; scores so wide that maxima keep rising, and tiles that see nothing of a block others see.
        for (ranges, spread) in [
            ((0..<24).map { 0..<$0 + 200 }, Float(1)), ((0..<24).map { $0 * 8..<$0 * 8 + 40 }, 1), ((0..<24).map { 0..<$0 + 200 }, 12),
        ] {
            problems.append(Problem(rows: 24, heads: 3, positions: 224, format: format, ranges: ranges, spread: spread))
        }
        // Tokens that see nothing, between others.
        problems.append(Problem(rows: 3, heads: 2, format: format, ranges: [0..<10, 5..<5, 90..<100]))
        problems.append(Problem(rows: 9, heads: 1, format: format, ranges: Array(repeating: 0..<0, count: 9)))
        for problem in problems {
            let error = worst(try problem.run(row).output, try problem.naive(row))
            // Scores of size s carry an error of s·eps·√dim through the exponential; 15-bit integers one of s·√dim/32767/2, and round the weights.
            let isRounded = row.rounded_queries > 0 && problem.rows * problem.heads >= row.rounded_queries
            #expect(error <= (isRounded ? Double(row.rounding_error) : 2e-6) * Double(1 + problem.spread), "\(problem)")
        }
    }

    @Test(arguments: rows) func partsMerge(reference: RowReference) throws {
        let row = try reference.attentionRow(), merge = try #require(row.merge)
        for heads in [1, 3, 8] {
            let problem = Problem(rows: 2, heads: heads, valueDim: 40, positions: 200, ranges: [0..<200, 10..<150])
            let windows = [0..<70, 70..<160, 160..<200]  // the second token sees nothing of the last
            let parts = try windows.map { try problem.run(row, window: $0) }
            let accumulators = parts.flatMap(\.output), maxima = parts.flatMap(\.maximum), sums = parts.flatMap(\.sum)
            #expect(parts[2].maximum[heads] == -.infinity && parts[2].sum[heads] == 0)
            let rowStride = heads * 43 + 6
            var output = [Float](repeating: 77, count: 2 * rowStride)
            accumulators.withUnsafeBufferPointer { accumulators in
                maxima.withUnsafeBufferPointer { maxima in
                    sums.withUnsafeBufferPointer { sums in
                        output.withUnsafeMutableBufferPointer { out in
                            var args = ck_attention_merge_args(
                                parts: 3, rows: 2, heads: Int64(heads), value_dim: 40, accumulators: accumulators.baseAddress,
                                maximum: maxima.baseAddress, sum: sums.baseAddress, output: out.baseAddress,
                                output_row_stride: Int64(rowStride), output_head_stride: 43)
                            merge(&args)
                        }
                    }
                }
            }
            let isResult = { (offset: Int) in offset % rowStride < heads * 43 && offset % rowStride % 43 < 40 }
            let dense = output.enumerated().filter { isResult($0.offset) }.map(\.element)
            #expect(output.enumerated().allSatisfy { isResult($0.offset) || $0.element == 77 })
            #expect(worst(dense, try problem.naive(row)) <= (row.rounded_queries > 0 && 2 * heads >= row.rounded_queries ? 2 * Double(row.rounding_error) : 4e-6))
        }
    }

    @Test(arguments: rows) func storesTheScalarBytes(reference: RowReference) throws {
        let row = try reference.attentionRow(), scalar = try #require(ck_attention_find(0, true)).pointee
        var values = trickyActivations(rows: 1, k: 352, seed: 5)
        values[1] = .infinity
        for (format, store, twin) in [
            (CK_KV_F32, row.store_f32, scalar.store_f32), (CK_KV_F16, row.store_f16, scalar.store_f16),
            (CK_KV_Q8_0, row.store_q8_0, scalar.store_q8_0),
        ] {
            let store = try #require(store), twin = try #require(twin)
            for n in [32, 64, 352] + (format == CK_KV_Q8_0 ? [] : [8, 40]) {
                let bytes = ck_kv_row_bytes(format, Int64(n))
                var actual = [UInt8](repeating: 9, count: bytes + 8), expected = actual
                store(values, Int64(n), &actual)
                twin(values, Int64(n), &expected)
                #expect(actual == expected)
                #expect(actual[bytes...].allSatisfy { $0 == 9 })
            }
        }
    }
}
