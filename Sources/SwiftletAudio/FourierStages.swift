// One stage of a mixed-radix Fourier transform in Stockham's order: no bit reversal, whole runs of neighbours at a time.
//
// A stage of radix r takes sub-transforms of length n that lie interleaved with a distance of `stride`, and leaves them of length n / r with a
// distance of r · stride:
//
//     y[q + s·(r·p + k)] = w^(p·k) · sum over j of x[q + s·(p + (n/r)·j)] · exp(-2πi·j·k / r),    w = exp(-2πi / n),  q < s,  p < n/r
//
// Radices 2, 3, 4 and 5 have their own butterflies; another prime is summed up. Real and imaginary parts lie in arrays of their own, so that
// four neighbours q make a vector.
// Source: Stockham (1966) in Van Loan, "Computational Frameworks for the Fast Fourier Transform", 1992, sections 1.7 and 2.2.

/// What a butterfly computes with: one number, or neighbours in a vector.
protocol FourierLane {
    static var count: Int { get }
    static func load(_ source: UnsafePointer<Float>) -> Self
    func store(_ target: UnsafeMutablePointer<Float>)
    static func + (left: Self, right: Self) -> Self
    static func - (left: Self, right: Self) -> Self
    static func * (left: Self, right: Float) -> Self
}

extension Float: FourierLane {
    static var count: Int { 1 }
    @inline(__always) static func load(_ source: UnsafePointer<Float>) -> Float { source.pointee }
    @inline(__always) func store(_ target: UnsafeMutablePointer<Float>) { target.pointee = self }
}

extension SIMD4<Float>: FourierLane {
    static var count: Int { 4 }
    @inline(__always) static func load(_ source: UnsafePointer<Float>) -> SIMD4<Float> {
        UnsafeRawPointer(source).loadUnaligned(as: SIMD4<Float>.self)
    }
    @inline(__always) func store(_ target: UnsafeMutablePointer<Float>) {
        UnsafeMutableRawPointer(target).storeBytes(of: self, as: SIMD4<Float>.self)
    }
}

/// A complex number of lanes.
private struct Pair<Lane: FourierLane> {
    var real: Lane
    var imaginary: Lane

    @inline(__always) init(_ real: Lane, _ imaginary: Lane) {
        self.real = real
        self.imaginary = imaginary
    }

    @inline(__always) static func + (left: Pair, right: Pair) -> Pair { Pair(left.real + right.real, left.imaginary + right.imaginary) }
    @inline(__always) static func - (left: Pair, right: Pair) -> Pair { Pair(left.real - right.real, left.imaginary - right.imaginary) }
    @inline(__always) static func * (left: Pair, right: Float) -> Pair { Pair(left.real * right, left.imaginary * right) }

    /// Times a complex number.
    @inline(__always) func times(_ real: Float, _ imaginary: Float) -> Pair {
        Pair(self.real * real - self.imaginary * imaginary, self.real * imaginary + self.imaginary * real)
    }

    /// Times -i.
    @inline(__always) var turned: Pair { Pair(imaginary, Lane.zeroMinus(real)) }
}

extension FourierLane {
    @inline(__always) fileprivate static func zeroMinus(_ value: Self) -> Self { value * -1 }
}

/// Real and imaginary parts of equally many complex numbers.
struct SplitPointer {
    let real: UnsafeMutablePointer<Float>
    let imaginary: UnsafeMutablePointer<Float>
}

/// A stage with its factors w^(p·k), p outermost, k = 1 ..< radix.
struct FourierStage: Sendable {
    let radix: Int
    let length: Int
    let stride: Int
    private let cosines: [Float]
    private let sines: [Float]
    /// exp(-2πi·m / radix) for the radices without a butterfly of their own.
    private let roots: (cosines: [Float], sines: [Float])

    init(radix: Int, length: Int, stride: Int) {
        self.radix = radix
        self.length = length
        self.stride = stride
        let angles = (0..<length / radix).flatMap { p in (1..<radix).map { Turn(p * $0, of: length) } }
        cosines = angles.map { Float($0.cosine) }
        sines = angles.map { Float(-$0.sine) }
        let turns = (0..<radix).map { Turn($0, of: radix) }
        roots = (turns.map { Float($0.cosine) }, turns.map { Float(-$0.sine) })
    }

    /// Applies the stage. `source` and `target` hold `length · stride` numbers each and do not overlap.
    func apply(_ source: SplitPointer, _ target: SplitPointer) {
        if stride % SIMD4<Float>.count == 0 { run(SIMD4<Float>.self, source, target) } else { run(Float.self, source, target) }
    }

    @inline(__always)
    private func run<Lane: FourierLane>(_ lane: Lane.Type, _ source: SplitPointer, _ target: SplitPointer) {
        switch radix {
        case 2: run2(lane, source, target)
        case 3: run3(lane, source, target)
        case 4: run4(lane, source, target)
        case 5: run5(lane, source, target)
        default: runPrime(lane, source, target)
        }
    }

    /// Calls `body` for each p and q with the places of the first input and the first output, and where the factors of p start.
    @inline(__always)
    private func forEach<Lane: FourierLane>(_ lane: Lane.Type, _ body: (_ input: Int, _ output: Int, _ factors: Int) -> Void) {
        for p in 0..<length / radix {
            var q = 0
            while q < stride {
                body(q + stride * p, q + stride * radix * p, p * (radix - 1))
                q += Lane.count
            }
        }
    }

    @inline(__always)
    private static func load<Lane: FourierLane>(_ lane: Lane.Type, _ source: SplitPointer, _ place: Int) -> Pair<Lane> {
        Pair(Lane.load(source.real + place), Lane.load(source.imaginary + place))
    }

    @inline(__always)
    private static func store<Lane: FourierLane>(_ value: Pair<Lane>, _ target: SplitPointer, _ place: Int) {
        value.real.store(target.real + place)
        value.imaginary.store(target.imaginary + place)
    }

    @inline(__always)
    private func withFactors(_ body: (UnsafePointer<Float>, UnsafePointer<Float>) -> Void) {
        cosines.withUnsafeBufferPointer { cosines in
            sines.withUnsafeBufferPointer { sines in
                guard let cosines = cosines.baseAddress, let sines = sines.baseAddress else { return }
                body(cosines, sines)
            }
        }
    }

    @inline(__always)
    private func run2<Lane: FourierLane>(_ lane: Lane.Type, _ source: SplitPointer, _ target: SplitPointer) {
        let step = stride * (length / 2)
        withFactors { cosines, sines in
            forEach(lane) { input, output, factors in
                let (a, b) = (Self.load(lane, source, input), Self.load(lane, source, input + step))
                Self.store(a + b, target, output)
                Self.store((a - b).times(cosines[factors], sines[factors]), target, output + stride)
            }
        }
    }

    @inline(__always)
    private func run3<Lane: FourierLane>(_ lane: Lane.Type, _ source: SplitPointer, _ target: SplitPointer) {
        let step = stride * (length / 3)
        let height: Float = 0.866025403784438646764  // sin(2π/3)
        withFactors { cosines, sines in
            forEach(lane) { input, output, factors in
                let a = Self.load(lane, source, input)
                let (b, c) = (Self.load(lane, source, input + step), Self.load(lane, source, input + 2 * step))
                let (sum, difference) = (b + c, ((b - c) * height).turned)
                let middle = a - sum * 0.5
                Self.store(a + sum, target, output)
                Self.store((middle + difference).times(cosines[factors], sines[factors]), target, output + stride)
                Self.store((middle - difference).times(cosines[factors + 1], sines[factors + 1]), target, output + 2 * stride)
            }
        }
    }

    @inline(__always)
    private func run4<Lane: FourierLane>(_ lane: Lane.Type, _ source: SplitPointer, _ target: SplitPointer) {
        let step = stride * (length / 4)
        withFactors { cosines, sines in
            forEach(lane) { input, output, factors in
                let (a, b) = (Self.load(lane, source, input), Self.load(lane, source, input + step))
                let (c, d) = (Self.load(lane, source, input + 2 * step), Self.load(lane, source, input + 3 * step))
                let (evenSum, evenDifference) = (a + c, a - c)
                let (oddSum, oddDifference) = (b + d, (b - d).turned)
                Self.store(evenSum + oddSum, target, output)
                Self.store((evenDifference + oddDifference).times(cosines[factors], sines[factors]), target, output + stride)
                Self.store((evenSum - oddSum).times(cosines[factors + 1], sines[factors + 1]), target, output + 2 * stride)
                Self.store((evenDifference - oddDifference).times(cosines[factors + 2], sines[factors + 2]), target, output + 3 * stride)
            }
        }
    }

    @inline(__always)
    private func run5<Lane: FourierLane>(_ lane: Lane.Type, _ source: SplitPointer, _ target: SplitPointer) {
        let step = stride * (length / 5)
        let (c1, c2): (Float, Float) = (0.309016994374947424102, -0.809016994374947424102)  // cos(2π/5), cos(4π/5)
        let (s1, s2): (Float, Float) = (0.951056516295153572116, 0.587785252292473129169)  // sin(2π/5), sin(4π/5)
        withFactors { cosines, sines in
            forEach(lane) { input, output, factors in
                let a = Self.load(lane, source, input)
                let (b, c) = (Self.load(lane, source, input + step), Self.load(lane, source, input + 2 * step))
                let (d, e) = (Self.load(lane, source, input + 3 * step), Self.load(lane, source, input + 4 * step))
                let (outer, inner) = (b + e, c + d)
                let (outerDifference, innerDifference) = (b - e, c - d)
                let (first, second) = (a + outer * c1 + inner * c2, a + outer * c2 + inner * c1)
                let firstTurn = (outerDifference * s1 + innerDifference * s2).turned
                let secondTurn = (outerDifference * s2 - innerDifference * s1).turned
                Self.store(a + outer + inner, target, output)
                Self.store((first + firstTurn).times(cosines[factors], sines[factors]), target, output + stride)
                Self.store((second + secondTurn).times(cosines[factors + 1], sines[factors + 1]), target, output + 2 * stride)
                Self.store((second - secondTurn).times(cosines[factors + 2], sines[factors + 2]), target, output + 3 * stride)
                Self.store((first - firstTurn).times(cosines[factors + 3], sines[factors + 3]), target, output + 4 * stride)
            }
        }
    }

    /// Sums for a prime radix; plans use it up to `FourierTransform.largestPrime`.
    @inline(__always)
    private func runPrime<Lane: FourierLane>(_ lane: Lane.Type, _ source: SplitPointer, _ target: SplitPointer) {
        let step = stride * (length / radix)
        withFactors { cosines, sines in
            forEach(lane) { input, output, factors in
                let first = Self.load(lane, source, input)
                for k in 0..<radix {
                    var sum = first
                    var turn = 0
                    for j in 1..<radix {
                        turn += k
                        if turn >= radix { turn -= radix }
                        sum = sum + Self.load(lane, source, input + j * step).times(roots.cosines[turn], roots.sines[turn])
                    }
                    if k > 0 { sum = sum.times(cosines[factors + k - 1], sines[factors + k - 1]) }
                    Self.store(sum, target, output + k * stride)
                }
            }
        }
    }
}
