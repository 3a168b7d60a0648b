// exp, tanh, sigmoid and their relatives, four numbers at once: the arithmetic of vector/math.h, whose fits and bounds (ckernels/vector.h) hold here
// too. Nothing is called: x86 without SSE4.1 has no instruction that rounds, so numbers are rounded by an addition, and integers read from its bits.

/// Four numbers.
typealias Floats = SIMD4<Float>

/// Four numbers from element `index` on.
@_transparent
func load(_ x: UnsafePointer<Float>, _ index: Int) -> Floats { UnsafeRawPointer(x + index).loadUnaligned(as: Floats.self) }

/// Four numbers to element `index` and on.
@_transparent
func store(_ out: UnsafeMutablePointer<Float>, _ index: Int, _ value: Floats) {
    UnsafeMutableRawPointer(out + index).storeBytes(of: value, as: Floats.self)
}

/// 1.5 · 2^23: a float of this size has no fraction, and with it in front the low bits of a number are an integer.
let roundingMagnitude: Float = 0x1.8p23

/// To the nearest integer, halves to even; |x| < 2^22.
@_transparent
func rounded(_ x: Floats) -> Quad {
    unsafeBitCast(x + roundingMagnitude, to: Quad.self) &- Int32(bitPattern: roundingMagnitude.bitPattern)
}

@_transparent
func select(_ mask: SIMDMask<Quad>, _ a: Floats, _ b: Floats) -> Floats { b.replacing(with: a, where: mask) }

@_transparent
func magnitude(_ x: Floats) -> Floats { unsafeBitCast(unsafeBitCast(x, to: Quad.self) & 0x7fff_ffff, to: Floats.self) }

/// |x| with the sign of y.
@_transparent
func withSign(_ x: Floats, of y: Floats) -> Floats {
    let sign = unsafeBitCast(y, to: Quad.self) & Int32.min
    return unsafeBitCast(unsafeBitCast(magnitude(x), to: Quad.self) | sign, to: Floats.self)
}

/// The sum of the lanes.
@_transparent
func laneSum(_ x: Floats) -> Float {
    let pairs = x.lowHalf + x.highHalf
    return pairs[0] + pairs[1]
}

/// The largest lane that is a number.
@_transparent
func laneMax(_ x: Floats) -> Float {
    let pairs = x.lowHalf.replacing(with: x.highHalf, where: x.highHalf .> x.lowHalf)
    return pairs[1] > pairs[0] ? pairs[1] : pairs[0]
}

/// total · x + constant, for polynomials.
@_transparent
private func step(_ total: Floats, _ x: Floats, _ constant: Float) -> Floats { multiplyAdd(Floats(repeating: constant), total, x) }

/// e^x = 2^n · e^r, n = round(x / ln 2), |r| ≤ ln 2 / 2; e^r = 1 + r + r² · P(r). Overflows to infinity, reaches 0 through the subnormals.
@inline(__always)
func exponential(_ argument: Floats) -> Floats {
    // Comparisons that a NaN fails keep it.
    var x = argument.replacing(with: -104, where: argument .< -104)
    x.replace(with: 89, where: x .> 89)
    let whole = rounded(x * 1.44269504)
    let n = Floats(whole)
    // ln 2 in two parts, the first exact in few bits.
    let r = x - n * 0.693145752 - n * 1.42860677e-6
    var p = step(Floats(repeating: 0.00138146), r, 0.00836872)
    p = step(p, r, 0.04166839)
    p = step(p, r, 0.16666521)
    p = step(p, r, 0.49999993)
    p = multiplyAdd(r, p * r, r) + 1
    // 2^n in two factors, because n runs from −150 to 128.
    let half = whole &>> 1
    let first = unsafeBitCast((half &+ 127) &<< 23, to: Floats.self)
    let second = unsafeBitCast((whole &- half &+ 127) &<< 23, to: Floats.self)
    return p * first * second
}

/// A function of one number, taken four at once. Types instead of closures, so that loops over them are specialised.
protocol VectorFunction {
    static func value(_ x: Floats) -> Floats
}

enum Exponential: VectorFunction {
    @inline(__always) static func value(_ x: Floats) -> Floats { exponential(x) }
}

/// |x| < 0.625: x + x³ · P(x²); otherwise 1 − 2 / (e^2|x| + 1) with the sign of x.
enum Tangent: VectorFunction {
    @inline(__always) static func value(_ x: Floats) -> Floats {
        let square = x * x, size = magnitude(x)
        var p = step(Floats(repeating: -0.00570499), square, 0.02063909)
        p = step(p, square, -0.05373971)
        p = step(p, square, 0.13331442)
        p = step(p, square, -0.33333282)
        let small = multiplyAdd(size, p * square, size)
        let large = 1 - 2 / (exponential(size + size) + 1)
        return withSign(select(size .< 0.625, small, large), of: x)
    }
}

enum Sigmoid: VectorFunction {
    @inline(__always) static func value(_ x: Floats) -> Floats { 1 / (1 + exponential(-x)) }
}

enum Rectifier: VectorFunction {
    @inline(__always) static func value(_ x: Floats) -> Floats { select(x .> 0, x, Floats()) }
}

enum SiLU: VectorFunction {
    @inline(__always) static func value(_ x: Floats) -> Floats { x / (1 + exponential(-x)) }
}

/// x · Φ(x): Φ(−|x|) = erfc(|x|/√2)/2 keeps the tail, the other side is its complement. erfc(z) = e^(−z · P(z)), 0 above 4.2.
enum GELU: VectorFunction {
    @inline(__always) static func value(_ x: Floats) -> Floats {
        let z = magnitude(x) * 0.70710678
        let t = z.replacing(with: 4.2, where: z .> 4.2)
        var p = step(Floats(repeating: -8.043824023731366e-06), t, 0.00010602666238969278)
        p = step(p, t, -0.0005879507253448267)
        p = step(p, t, 0.00157676019730655)
        p = step(p, t, -5.878157979006495e-05)
        p = step(p, t, -0.019217142968279616)
        p = step(p, t, 0.10279921050618207)
        p = step(p, t, 0.6366161070003016)
        p = step(p, t, 1.128379332490688)
        let tail = 0.5 * select(z .> 4.2, Floats(), exponential(-(p * t)))
        return x * select(x .> 0, 1 - tail, tail)
    }
}

/// x/2 · (1 + tanh(y)) = x · sigmoid(2y), y = √(2/π) · (x + 0.044715 · x³).
enum GELUTanh: VectorFunction {
    @inline(__always) static func value(_ x: Floats) -> Floats {
        let slope: Float = 2 * 0.79788456
        let inner = x * multiplyAdd(Floats(repeating: slope), x * x, Floats(repeating: slope * 0.044715))
        return x * Sigmoid.value(inner)
    }
}

/// The natural logarithm of a positive number: x = m · 2^e with m within √2 of 1, log m = 2 · artanh((m − 1)/(m + 1)) by its series.
func logarithm(_ x: Float) -> Float {
    guard x > 0, x < .infinity else { return x == 0 ? -.infinity : x > 0 ? x : .nan }
    var significand = Double(x.significand), exponent = Double(x.exponent)
    if significand > 1.4142135623730951 {
        significand /= 2
        exponent += 1
    }
    let s = (significand - 1) / (significand + 1), square = s * s
    let series = 1 + square * (1 / 3 + square * (1 / 5 + square * (1 / 7 + square * (1 / 9 + square * (1 / 11 + square / 13)))))
    return Float(exponent * 0.6931471805599453 + 2 * s * series)
}
