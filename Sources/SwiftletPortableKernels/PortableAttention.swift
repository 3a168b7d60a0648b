// Attention in Swift's vector types (ckernels/attention.h): the queries of a call meet the cache in blocks of 64 keys. Keys and values of a block are
// turned into floats once, in scratch memory, for all queries; a block's scores are kept and folded into each query's result by an online softmax.
import CKernels

/// Keys of one step of the online softmax.
private let keyBlock = 64
/// Elements and bytes of a block of the Q8_0 cache: an f16 scale and 32 numbers.
private let q8Elements = 32, q8Bytes = 34

/// The scratch memory, f32: keys [64][padded head_dim], values [64][padded value_dim], scores [64, and 4 so that the last vector may begin anywhere],
/// then maximum and sum of each query.
private struct Scratch {
    let keys: UnsafeMutablePointer<Float>
    let values: UnsafeMutablePointer<Float>
    let scores: UnsafeMutablePointer<Float>
    let maximum: UnsafeMutablePointer<Float>
    let sum: UnsafeMutablePointer<Float>
    let keyStride: Int
    let valueStride: Int

    init(_ args: ck_attention_args, _ base: UnsafeMutableRawPointer) {
        func padded(_ dimensions: Int64) -> Int { (Int(dimensions) + 15) / 16 * 16 }
        keyStride = padded(args.head_dim)
        valueStride = padded(args.value_dim)
        keys = base.assumingMemoryBound(to: Float.self)
        values = keys + keyBlock * keyStride
        scores = values + keyBlock * valueStride
        maximum = scores + keyBlock + 4
        sum = maximum + Int(args.rows * args.heads)
    }
}

/// A cache row of `n` numbers, a multiple of 8, as floats.
@inline(__always)
private func decode(_ row: UnsafeRawPointer, _ format: ck_kv_format, _ n: Int, _ out: UnsafeMutablePointer<Float>) {
    var index = 0
    switch format {
    case CK_KV_F32:
        while index < n {
            store(out, index, load(row.assumingMemoryBound(to: Float.self), index))
            index &+= 4
        }
    case CK_KV_F16:
        while index < n {
            UnsafeMutableRawPointer(out + index).storeBytes(of: eightFloats(row + 2 * index), as: SIMD8<Float>.self)
            index &+= 8
        }
    default:
        var block = row
        while index < n {
            let scale = float(block.loadUnaligned(as: UInt16.self))
            for offset in stride(from: 0, to: q8Elements, by: 4) {
                let numbers = SIMD4<Int32>(truncatingIfNeeded: (block + 2 + offset).loadUnaligned(as: SIMD4<Int8>.self))
                store(out, index + offset, Floats(numbers) * scale)
            }
            block += q8Bytes
            index &+= q8Elements
        }
    }
}

/// scores[j] = query · key[j] for j in `range`, four keys at a time; a last group may reach back over keys already done.
@inline(__always)
private func score(_ query: UnsafePointer<Float>, _ scratch: Scratch, _ dimension: Int, _ range: Range<Int>) {
    var first = range.lowerBound
    while first < range.upperBound {
        let count = min(4, range.upperBound - first)
        let a = UnsafePointer(scratch.keys) + first * scratch.keyStride
        // Keys beyond the range are the last one again.
        let b = a + min(1, count - 1) * scratch.keyStride, c = a + min(2, count - 1) * scratch.keyStride, d = a + (count - 1) * scratch.keyStride
        var sums = (Floats(), Floats(), Floats(), Floats())
        var index = 0
        while index < dimension {
            let x = load(query, index)
            sums.0 = multiplyAdd(sums.0, x, load(a, index))
            sums.1 = multiplyAdd(sums.1, x, load(b, index))
            sums.2 = multiplyAdd(sums.2, x, load(c, index))
            sums.3 = multiplyAdd(sums.3, x, load(d, index))
            index &+= 4
        }
        let results = Floats(laneSum(sums.0), laneSum(sums.1), laneSum(sums.2), laneSum(sums.3))
        for lane in 0..<count { scratch.scores[first + lane] = results[lane] }
        first += 4
    }
}

/// Raw scores of `range` to weights; returns what the sums so far are to be multiplied by.
@inline(__always)
private func weigh(_ args: ck_attention_args, _ scores: UnsafeMutablePointer<Float>, _ range: Range<Int>, _ maximum: inout Float, _ sum: inout Float) -> Float {
    let count = range.count, row = scores + range.lowerBound
    // Whole vectors: what lies behind the range is −∞ and gets the weight 0.
    let padded = (count + 3) / 4 * 4
    for index in count..<padded { row[index] = -.infinity }
    var top = Floats(repeating: maximum)
    for index in stride(from: 0, to: padded, by: 4) {
        let raw = load(row, index)
        var value = raw * args.scale
        if args.softcap > 0 {
            value = args.softcap * Tangent.value(value / args.softcap)
            // The cap turns −∞ into −softcap, so hidden keys are hidden again.
            value.replace(with: -.infinity, where: raw .== Floats(repeating: -.infinity))
        }
        store(row, index, value)
        top.replace(with: value, where: value .> top)
    }
    let largest = laneMax(top)
    guard largest > -.infinity else {
        // ∞ − ∞ must not happen.
        row.update(repeating: 0, count: padded)
        return 1
    }
    var total = Floats()
    for index in stride(from: 0, to: padded, by: 4) {
        let weight = exponential(load(row, index) - largest)
        store(row, index, weight)
        total += weight
    }
    let correction = exponential(Floats(repeating: maximum - largest))[0]
    sum = sum * correction + laneSum(total)
    maximum = largest
    return correction
}

/// output = output · correction + Σ weight[j] · value[j] over `range`.
@inline(__always)
private func accumulate(_ scratch: Scratch, _ range: Range<Int>, _ dimension: Int, _ correction: Float, _ output: UnsafeMutablePointer<Float>) {
    var index = 0
    while index < dimension {
        if index &+ 16 <= dimension {
            var a = load(output, index) * correction, b = load(output, index &+ 4) * correction
            var c = load(output, index &+ 8) * correction, d = load(output, index &+ 12) * correction
            var value = UnsafePointer(scratch.values) + range.lowerBound * scratch.valueStride + index
            for key in range {
                let weight = Floats(repeating: scratch.scores[key])
                a = multiplyAdd(a, weight, load(value, 0))
                b = multiplyAdd(b, weight, load(value, 4))
                c = multiplyAdd(c, weight, load(value, 8))
                d = multiplyAdd(d, weight, load(value, 12))
                value += scratch.valueStride
            }
            store(output, index, a)
            store(output, index &+ 4, b)
            store(output, index &+ 8, c)
            store(output, index &+ 12, d)
            index &+= 16
        } else {
            var a = load(output, index) * correction
            var value = UnsafePointer(scratch.values) + range.lowerBound * scratch.valueStride + index
            for key in range {
                a = multiplyAdd(a, Floats(repeating: scratch.scores[key]), load(value, 0))
                value += scratch.valueStride
            }
            store(output, index, a)
            index &+= 4
        }
    }
}

/// output = output · factor.
@inline(__always)
private func multiply(_ output: UnsafeMutablePointer<Float>, _ dimension: Int, by factor: Float) {
    for index in stride(from: 0, to: dimension, by: 4) { store(output, index, load(output, index) * factor) }
}

private func attend(_ pointer: UnsafePointer<ck_attention_args>?) {
    guard let args = pointer?.pointee, let queries = args.queries, let keys = args.keys, let values = args.values, let begins = args.kv_begin,
        let ends = args.kv_end, let out = args.output, let base = args.scratch
    else { return }
    let scratch = Scratch(args, base)
    let rows = Int(args.rows), heads = Int(args.heads), dimension = Int(args.head_dim), valueDimension = Int(args.value_dim)
    func output(_ row: Int, _ head: Int) -> UnsafeMutablePointer<Float> { out + row * Int(args.output_row_stride) + head * Int(args.output_head_stride) }
    var first = Int.max, last = 0
    for row in 0..<rows {
        if begins[row] < ends[row] {
            first = min(first, Int(begins[row]))
            last = max(last, Int(ends[row]))
        }
        for head in 0..<heads {
            output(row, head).update(repeating: 0, count: valueDimension)
            scratch.maximum[row * heads + head] = -.infinity
            scratch.sum[row * heads + head] = 0
        }
    }
    while first < last {
        let end = min(last, first + keyBlock)
        for position in first..<end {
            decode(keys + position * args.key_stride_bytes, args.kv_format, dimension, scratch.keys + (position - first) * scratch.keyStride)
            decode(values + position * args.value_stride_bytes, args.kv_format, valueDimension, scratch.values + (position - first) * scratch.valueStride)
        }
        for row in 0..<rows {
            let from = max(Int(begins[row]), first), to = min(Int(ends[row]), end)
            guard from < to else { continue }
            let range = from - first..<to - first
            for head in 0..<heads {
                let query = queries + row * Int(args.query_row_stride) + head * Int(args.query_head_stride)
                score(query, scratch, dimension, range)
                let index = row * heads + head
                let correction = weigh(args, scratch.scores, range, &scratch.maximum[index], &scratch.sum[index])
                accumulate(scratch, range, valueDimension, correction, output(row, head))
            }
        }
        first = end
    }
    for row in 0..<rows {
        for head in 0..<heads {
            let index = row * heads + head
            if let maximum = args.partial_maximum, let sum = args.partial_sum {
                maximum[index] = scratch.maximum[index]
                sum[index] = scratch.sum[index]
            } else {
                multiply(output(row, head), valueDimension, by: scratch.sum[index] > 0 ? 1 / scratch.sum[index] : 0)
            }
        }
    }
}

private func merge(_ pointer: UnsafePointer<ck_attention_merge_args>?) {
    guard let args = pointer?.pointee, let accumulators = args.accumulators, let maxima = args.maximum, let sums = args.sum, let output = args.output else {
        return
    }
    let count = Int(args.rows * args.heads), heads = Int(args.heads), dimension = Int(args.value_dim)
    for index in 0..<count {
        let out = output + index / heads * Int(args.output_row_stride) + index % heads * Int(args.output_head_stride)
        var top = -Float.infinity, sum: Float = 0
        for part in 0..<Int(args.parts) where maxima[part * count + index] > top { top = maxima[part * count + index] }
        out.update(repeating: 0, count: dimension)
        for part in 0..<Int(args.parts) {
            let at = part * count + index
            guard maxima[at] > -.infinity else { continue }
            let weight = exponential(Floats(repeating: maxima[at] - top))[0], accumulator = accumulators + at * dimension
            sum += weight * sums[at]
            for d in stride(from: 0, to: dimension, by: 4) {
                store(out, d, multiplyAdd(load(out, d), Floats(repeating: weight), load(accumulator, d)))
            }
        }
        multiply(out, dimension, by: sum > 0 ? 1 / sum : 0)
    }
}

private func storeHalves(_ source: UnsafePointer<Float>, _ n: Int, _ destination: UnsafeMutableRawPointer) {
    var index = 0
    while index &+ 4 <= n {
        (destination + 2 * index).storeBytes(of: halves(load(source, index)), as: SIMD4<UInt16>.self)
        index &+= 4
    }
    while index < n {
        (destination + 2 * index).storeBytes(of: halves(Floats(repeating: source[index]))[0], as: UInt16.self)
        index &+= 1
    }
}

/// Q8_0 blocks: scale = max |x| / 127, rounded to f16 for the cache but not for the division. The bits of the scalar row.
private func storeQ8(_ source: UnsafePointer<Float>, _ n: Int, _ destination: UnsafeMutableRawPointer) {
    for index in 0..<n / q8Elements {
        let block = source + index * q8Elements, bytes = destination + index * q8Bytes
        let (scale, inverse) = quantizationFactors(largest: largestMagnitude(block), top: 127)
        bytes.storeBytes(of: scale.isNaN ? 0x7e00 : halves(Floats(repeating: scale))[0], as: UInt16.self)
        for offset in stride(from: 0, to: q8Elements, by: 4) {
            let numbers = inverse == 0 ? Quad() : rounded(load(block, offset) * inverse)
            (bytes + 2 + offset).storeBytes(of: SIMD4<Int8>(truncatingIfNeeded: numbers), as: SIMD4<Int8>.self)
        }
    }
}

extension PortableKernels {
    /// The attention kernels.
    ///
    /// `nonisolated(unsafe)`: a constant; the pointer in it leads to a static string.
    package nonisolated(unsafe) static let attention = ck_attention_row(
        name: name("attention_portable"), isa: isa, rounded_queries: 0, rounding_error: 0, attend: { attend($0) }, merge: { merge($0) },
        store_f32: { source, n, destination in
            if let source, let destination { destination.copyMemory(from: source, byteCount: 4 * Int(n)) }
        },
        store_f16: { source, n, destination in
            if let source, let destination { storeHalves(source, Int(n), destination) }
        },
        store_q8_0: { source, n, destination in
            if let source, let destination { storeQ8(source, Int(n), destination) }
        })
}
