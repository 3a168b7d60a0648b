// Row operations in Swift's vector types: a set of the same form as the C tables' (ckernels/vector.h). Full vectors of four, then one partial vector.
import CKernels

/// The first `count` of four, zeros after them.
@inline(__always)
private func load(_ x: UnsafePointer<Float>, _ index: Int, count: Int) -> Floats {
    var value = Floats()
    for lane in 0..<count { value[lane] = x[index + lane] }
    return value
}

@inline(__always)
private func store(_ out: UnsafeMutablePointer<Float>, _ index: Int, _ value: Floats, count: Int) {
    for lane in 0..<count { out[index + lane] = value[lane] }
}

/// out[i] = f(x[i]).
@inline(__always)
private func map(_ x: UnsafePointer<Float>?, _ n: Int64, _ out: UnsafeMutablePointer<Float>?, _ f: (Floats) -> Floats) {
    guard let x, let out else { return }
    let count = Int(n)
    var index = 0
    while index &+ 4 <= count {
        store(out, index, f(load(x, index)))
        index &+= 4
    }
    if index < count { store(out, index, f(load(x, index, count: count - index)), count: count - index) }
}

/// out[i] = f(a[i], b[i]).
@inline(__always)
private func zip(
    _ a: UnsafePointer<Float>?, _ b: UnsafePointer<Float>?, _ n: Int64, _ out: UnsafeMutablePointer<Float>?, _ f: (Floats, Floats) -> Floats
) {
    guard let a, let b, let out else { return }
    let count = Int(n)
    var index = 0
    while index &+ 4 <= count {
        store(out, index, f(load(a, index), load(b, index)))
        index &+= 4
    }
    if index < count {
        let rest = count - index
        store(out, index, f(load(a, index, count: rest), load(b, index, count: rest)), count: rest)
    }
}

/// Σ f(total, i) over all vectors: four independent sums hide the latency of the addition. `f` adds the `count` numbers from an index on, 4 or fewer.
@inline(__always)
private func total(_ n: Int, _ f: (_ total: Floats, _ index: Int, _ count: Int) -> Floats) -> Float {
    var a = Floats(), b = Floats(), c = Floats(), d = Floats()
    var index = 0
    while index &+ 16 <= n {
        a = f(a, index, 4)
        b = f(b, index &+ 4, 4)
        c = f(c, index &+ 8, 4)
        d = f(d, index &+ 12, 4)
        index &+= 16
    }
    while index &+ 4 <= n {
        a = f(a, index, 4)
        index &+= 4
    }
    if index < n { b = f(b, index, n &- index) }
    return laneSum((a + b) + (c + d))
}

@_transparent
private func part(_ x: UnsafePointer<Float>, _ index: Int, _ count: Int) -> Floats { count == 4 ? load(x, index) : load(x, index, count: count) }

private func sum(_ x: UnsafePointer<Float>, _ n: Int) -> Float { total(n) { $0 + part(x, $1, $2) } }

private func dot(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ n: Int) -> Float { total(n) { multiplyAdd($0, part(a, $1, $2), part(b, $1, $2)) } }

/// The largest number, NaNs passed over; −∞ when there is none.
private func largest(_ x: UnsafePointer<Float>, _ n: Int) -> Float {
    var top = Floats(repeating: -.infinity), index = 0
    while index &+ 4 <= n {
        let value = load(x, index)
        top.replace(with: value, where: value .> top)
        index &+= 4
    }
    var result = laneMax(top)
    while index < n {
        if x[index] > result { result = x[index] }
        index &+= 1
    }
    return result
}

/// The first element equal to the largest; 0 when every element is NaN.
private func indexOfLargest(_ x: UnsafePointer<Float>, _ n: Int) -> Int {
    let top = largest(x, n)
    var index = 0
    while index &+ 4 <= n, !any(load(x, index) .== Floats(repeating: top)) { index &+= 4 }
    while index < n {
        if x[index] == top { return index }
        index &+= 1
    }
    return 0
}

/// Σ exp(x − top), and where `out` is not nil (it may be x) the exponentials.
@inline(__always)
private func exponentials(_ x: UnsafePointer<Float>, _ n: Int, top: Float, out: UnsafeMutablePointer<Float>?) -> Float {
    var total = Floats(), index = 0
    while index &+ 4 <= n {
        let value = exponential(load(x, index) - top)
        if let out { store(out, index, value) }
        total += value
        index &+= 4
    }
    var result = laneSum(total)
    if index < n {
        let rest = n &- index, value = exponential(load(x, index, count: rest) - top)
        if let out { store(out, index, value, count: rest) }
        for lane in 0..<rest { result += value[lane] }
    }
    return result
}

private func softmax(_ x: UnsafeMutablePointer<Float>, _ mask: UnsafePointer<Float>?, _ n: Int, _ factor: Float, _ cap: Float) {
    if cap > 0 {
        map(x, Int64(n), x) { cap * Tangent.value($0 * factor / cap) }
    } else if factor != 1 {
        map(x, Int64(n), x) { $0 * factor }
    }
    if let mask { zip(x, mask, Int64(n), x) { $0 + $1 } }
    let top = largest(x, n)
    guard top > -.infinity else { return x.update(repeating: 0, count: n) }
    let inverse = 1 / exponentials(x, n, top: top, out: x)
    map(x, Int64(n), x) { $0 * inverse }
}

private func logSumExp(_ x: UnsafePointer<Float>, _ n: Int) -> Float {
    let top = largest(x, n)
    return top.isInfinite ? top : top + logarithm(exponentials(x, n, top: top, out: nil))
}

private func rmsNorm(_ x: UnsafePointer<Float>, _ weight: UnsafePointer<Float>?, _ n: Int64, _ epsilon: Float, _ out: UnsafeMutablePointer<Float>) {
    let factor = 1 / (dot(x, x, Int(n)) / Float(n) + epsilon).squareRoot()
    if let weight {
        zip(x, weight, n, out) { $0 * factor * $1 }
    } else {
        map(x, n, out) { $0 * factor }
    }
}

private func layerNorm(
    _ x: UnsafePointer<Float>, _ weight: UnsafePointer<Float>?, _ bias: UnsafePointer<Float>?, _ n: Int64, _ epsilon: Float, _ out: UnsafeMutablePointer<Float>
) {
    let count = Int(n), mean = sum(x, count) / Float(n)
    let squares = total(count) { total, index, count in
        var difference = part(x, index, count) - mean
        for lane in count..<4 { difference[lane] = 0 }
        return multiplyAdd(total, difference, difference)
    }
    let factor = 1 / (squares / Float(n) + epsilon).squareRoot()
    if let weight {
        zip(x, weight, n, out) { ($0 - mean) * factor * $1 }
    } else {
        map(x, n, out) { ($0 - mean) * factor }
    }
    if let bias { zip(out, bias, n, out) { $0 + $1 } }
}

private func bfloats(_ values: Floats) -> SIMD4<UInt16> {
    let bits = unsafeBitCast(values, to: SIMD4<UInt32>.self)
    let result = ((bits &+ 0x7fff &+ ((bits &>> 16) & 1)) &>> 16).replacing(with: (bits &>> 16) | 0x40, where: (bits & 0x7fff_ffff) .> 0x7f80_0000)
    return SIMD4<UInt16>(truncatingIfNeeded: result)
}

/// Floats to 16 bits.
@inline(__always)
private func narrow(_ x: UnsafePointer<Float>?, _ n: Int64, _ out: UnsafeMutablePointer<UInt16>?, _ f: (Floats) -> SIMD4<UInt16>) {
    guard let x, let out else { return }
    let count = Int(n)
    var index = 0
    while index &+ 4 <= count {
        UnsafeMutableRawPointer(out + index).storeBytes(of: f(load(x, index)), as: SIMD4<UInt16>.self)
        index &+= 4
    }
    let rest = f(load(x, index, count: count - index))
    for lane in 0..<count - index { out[index + lane] = rest[lane] }
}

/// 16 bits to floats, by eights. `f` reads them from an address.
@inline(__always)
private func widen(_ x: UnsafePointer<UInt16>?, _ n: Int64, _ out: UnsafeMutablePointer<Float>?, _ f: (UnsafeRawPointer) -> SIMD8<Float>) {
    guard let x, let out else { return }
    let count = Int(n)
    var index = 0
    while index &+ 8 <= count {
        UnsafeMutableRawPointer(out + index).storeBytes(of: f(x + index), as: SIMD8<Float>.self)
        index &+= 8
    }
    var rest = SIMD8<UInt16>()
    for lane in 0..<count - index { rest[lane] = x[index + lane] }
    withUnsafeBytes(of: rest) { bytes in
        guard let base = bytes.baseAddress else { return }
        let values = f(base)
        for lane in 0..<count - index { out[index + lane] = values[lane] }
    }
}

/// Turns pairs of each head; `turn` turns the first `rotary` dimensions of one head, in place or not.
@inline(__always)
private func rope(
    _ x: UnsafePointer<Float>?, _ cosine: UnsafePointer<Float>?, _ sine: UnsafePointer<Float>?, _ heads: Int64, _ dimension: Int64, _ rotary: Int64,
    _ out: UnsafeMutablePointer<Float>?,
    _ turn: (UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int) -> Void
) {
    guard let x, let cosine, let sine, let out else { return }
    for head in 0..<Int(heads) {
        let from = x + head * Int(dimension), to = out + head * Int(dimension)
        turn(from, cosine, sine, to, Int(rotary) / 2)
        if from != UnsafePointer(to) {
            (to + Int(rotary)).update(from: from + Int(rotary), count: Int(dimension - rotary))
        }
    }
}

/// The pairs (2i, 2i + 1).
@inline(__always)
private func turnAdjacent(
    _ x: UnsafePointer<Float>, _ cosine: UnsafePointer<Float>, _ sine: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, _ pairs: Int
) {
    var index = 0
    while index &+ 4 <= pairs {
        var turned = UnsafeRawPointer(x + 2 * index).loadUnaligned(as: SIMD8<Float>.self)
        let a = turned.evenHalf, b = turned.oddHalf, c = load(cosine, index), s = load(sine, index)
        turned.evenHalf = a * c - b * s
        turned.oddHalf = a * s + b * c
        UnsafeMutableRawPointer(out + 2 * index).storeBytes(of: turned, as: SIMD8<Float>.self)
        index &+= 4
    }
    while index < pairs {
        let a = x[2 * index], b = x[2 * index + 1]
        out[2 * index] = a * cosine[index] - b * sine[index]
        out[2 * index + 1] = a * sine[index] + b * cosine[index]
        index &+= 1
    }
}

/// The pairs (i, i + half of the rotary dimensions).
@inline(__always)
private func turnHalves(
    _ x: UnsafePointer<Float>, _ cosine: UnsafePointer<Float>, _ sine: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, _ pairs: Int
) {
    var index = 0
    while index &+ 4 <= pairs {
        let a = load(x, index), b = load(x, pairs &+ index), c = load(cosine, index), s = load(sine, index)
        store(out, index, a * c - b * s)
        store(out, pairs &+ index, a * s + b * c)
        index &+= 4
    }
    while index < pairs {
        let a = x[index], b = x[pairs + index]
        out[index] = a * cosine[index] - b * sine[index]
        out[pairs + index] = a * sine[index] + b * cosine[index]
        index &+= 1
    }
}

extension PortableKernels {
    /// The set of row operations, complete.
    ///
    /// `nonisolated(unsafe)`: a constant; the pointer in it leads to a static string.
    package nonisolated(unsafe) static let vector: ck_vector_set = {
        var set = ck_vector_set()
        set.name = name("vector_portable")
        set.isa = isa
        set.rms_norm = { x, weight, n, epsilon, out in
            if let x, let out { rmsNorm(x, weight, n, epsilon, out) }
        }
        set.layer_norm = { x, weight, bias, n, epsilon, out in
            if let x, let out { layerNorm(x, weight, bias, n, epsilon, out) }
        }
        set.softmax = { x, mask, n, factor, cap in
            if let x { softmax(x, mask, Int(n), factor, cap) }
        }
        set.log_sum_exp = { x, n in x.map { logSumExp($0, Int(n)) } ?? -.infinity }
        set.exp = { map($0, $1, $2, Exponential.value) }
        set.tanh = { map($0, $1, $2, Tangent.value) }
        set.sigmoid = { map($0, $1, $2, Sigmoid.value) }
        set.relu = { map($0, $1, $2, Rectifier.value) }
        set.silu = { map($0, $1, $2, SiLU.value) }
        set.gelu = { map($0, $1, $2, GELU.value) }
        set.gelu_tanh = { map($0, $1, $2, GELUTanh.value) }
        set.silu_gate = { zip($0, $1, $2, $3) { SiLU.value($0) * $1 } }
        set.gelu_gate = { zip($0, $1, $2, $3) { GELU.value($0) * $1 } }
        set.gelu_tanh_gate = { zip($0, $1, $2, $3) { GELUTanh.value($0) * $1 } }
        set.relu_gate = { zip($0, $1, $2, $3) { Rectifier.value($0) * $1 } }
        set.sigmoid_gate = { zip($0, $1, $2, $3) { Sigmoid.value($0) * $1 } }
        set.add = { zip($0, $1, $2, $3) { $0 + $1 } }
        set.multiply = { zip($0, $1, $2, $3) { $0 * $1 } }
        set.add_scaled = { a, b, factor, n, out in zip(a, b, n, out) { multiplyAdd($0, $1, Floats(repeating: factor)) } }
        set.scale = { x, factor, n, out in map(x, n, out) { $0 * factor } }
        set.softcap = { x, cap, n, out in
            let inverse = 1 / cap
            map(x, n, out) { cap * Tangent.value($0 * inverse) }
        }
        set.max = { x, n in x.map { largest($0, Int(n)) } ?? -.infinity }
        set.argmax = { x, n in x.map { Int64(indexOfLargest($0, Int(n))) } ?? 0 }
        set.sum = { x, n in x.map { sum($0, Int(n)) } ?? 0 }
        set.dot = { a, b, n in
            guard let a, let b else { return 0 }
            return dot(a, b, Int(n))
        }
        set.f32_to_f16 = { narrow($0, $1, $2) { halves($0) } }
        set.f16_to_f32 = { widen($0, $1, $2) { eightFloats($0) } }
        set.f32_to_bf16 = { narrow($0, $1, $2, bfloats) }
        set.bf16_to_f32 = {
            widen($0, $1, $2) { unsafeBitCast(SIMD8<UInt32>(truncatingIfNeeded: $0.loadUnaligned(as: SIMD8<UInt16>.self)) &<< 16, to: SIMD8<Float>.self) }
        }
        set.rope_adjacent = { rope($0, $1, $2, $3, $4, $5, $6, turnAdjacent) }
        set.rope_half = { rope($0, $1, $2, $3, $4, $5, $6, turnHalves) }
        return set
    }()
}
