// The discrete Fourier transform of any length in f32: X[k] = sum over n of x[n] · exp(-2πi·k·n / N).
//
// A length whose prime factors are small goes through stages (FourierStages.swift); one with a large prime factor becomes a convolution with a
// chirp, computed by transforms of a longer, smooth length. A real signal of even length is packed into a complex one of half the length.
// All factors are computed in Double, so the error is that of the f32 additions: it grows with the logarithm of the length.
// Sources: Bluestein (1970) in Van Loan, "Computational Frameworks for the Fast Fourier Transform", 1992, section 4.2.3; the real case: 4.3.
#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// The angle 2π · index / count, its cosine and sine in Double; exact at quarters of a turn.
struct Turn {
    let cosine: Double
    let sine: Double

    init(_ index: Int, of count: Int) {
        // Within an eighth of a turn both functions are at their most accurate.
        let eighths = index % count * 8
        let octant = eighths / count
        let rest = Double(eighths % count) / Double(count) * (.pi / 4)
        let (c, s) = octant % 2 == 0 ? (cos(rest), sin(rest)) : (sin(.pi / 4 - rest), cos(.pi / 4 - rest))
        switch octant {
        case 0: (cosine, sine) = (c, s)
        case 1: (cosine, sine) = (c, s)
        case 2: (cosine, sine) = (-s, c)
        case 3: (cosine, sine) = (-s, c)
        case 4: (cosine, sine) = (-c, -s)
        case 5: (cosine, sine) = (-c, -s)
        case 6: (cosine, sine) = (s, -c)
        default: (cosine, sine) = (s, -c)
        }
    }
}

/// A plan for complex transforms of one length, with the memory they need: transforming allocates nothing. A copy has memory of its own.
struct ComplexTransform: Sendable {
    let length: Int
    private let stages: [FourierStage]
    private var scratch: SplitArray
    private var chirp: ChirpTransform?

    /// Larger primes go through a chirp: summing them up would cost their square.
    private static let largestPrime = 13

    /// `length` is 1 or more.
    init(length: Int) {
        self.length = length
        if let radices = Self.radices(length) {
            var stages: [FourierStage] = []
            var (rest, stride) = (length, 1)
            for radix in radices {
                stages.append(FourierStage(radix: radix, length: rest, stride: stride))
                rest /= radix
                stride *= radix
            }
            self.stages = stages
            scratch = SplitArray(count: length)
            chirp = nil
        } else {
            stages = []
            scratch = SplitArray(count: 0)
            chirp = ChirpTransform(length: length)
        }
    }

    /// Transforms in place.
    mutating func transform(_ values: SplitPointer) {
        if chirp != nil {
            chirp?.transform(values)
            return
        }
        scratch.withPointer { scratch in
            var (source, target) = (values, scratch)
            for stage in stages {
                stage.apply(source, target)
                swap(&source, &target)
            }
            if stages.count % 2 == 1 {
                values.real.update(from: scratch.real, count: length)
                values.imaginary.update(from: scratch.imaginary, count: length)
            }
        }
    }

    /// Factors of 4, 2, 3, 5, 7, 11 and 13 with the product `length`; nil when a larger prime remains.
    private static func radices(_ length: Int) -> [Int]? {
        var (rest, radices) = (length, [Int]())
        for radix in [4, 2, 3, 5, 7, 11, 13] {
            while rest % radix == 0 {
                radices.append(radix)
                rest /= radix
            }
        }
        return rest == 1 ? radices : nil
    }

    static func isSmooth(_ length: Int) -> Bool {
        var rest = length
        for prime in [2, 3, 5] { while rest % prime == 0 { rest /= prime } }
        return rest == 1
    }
}

/// Bluestein's transform: with k·n = (k² + n² - (k - n)²) / 2 the sum is a convolution with exp(πi·n² / N).
private struct ChirpTransform: Sendable {
    private let length: Int
    /// exp(-πi·n² / N).
    private let chirp: SplitArray
    /// The transform of the conjugate chirp, laid around zero, divided by the length of the convolution.
    private let filter: SplitArray
    private var values: SplitArray
    private var transforms: [ComplexTransform]  // one; an array breaks the recursion of the types

    init(length: Int) {
        self.length = length
        // Any length from 2N - 1 on will do; one with a factor of 16 leaves most stages whole vectors of neighbours.
        var sixteenths = (2 * length + 14) / 16
        while !ComplexTransform.isSmooth(sixteenths) { sixteenths += 1 }
        let padded = 16 * sixteenths
        // n² modulo 2N keeps the angle exact.
        let turns = (0..<length).map { Turn($0 * $0 % (2 * length), of: 2 * length) }
        chirp = SplitArray(real: turns.map { Float($0.cosine) }, imaginary: turns.map { Float(-$0.sine) })
        values = SplitArray(count: padded)
        var transform = ComplexTransform(length: padded)
        var around = SplitArray(count: padded)
        around.withPointer { around in
            for (index, turn) in turns.enumerated() {
                for place in index == 0 ? [0] : [index, padded - index] {
                    around.real[place] = Float(turn.cosine / Double(padded))
                    around.imaginary[place] = Float(turn.sine / Double(padded))
                }
            }
            transform.transform(around)
        }
        filter = around
        transforms = [transform]
    }

    mutating func transform(_ target: SplitPointer) {
        let (length, padded) = (length, filter.count)
        values.withPointer { values in
            chirp.multiply(target, into: values, isConjugated: false)
            (values.real + length).update(repeating: 0, count: padded - length)
            (values.imaginary + length).update(repeating: 0, count: padded - length)
            transforms[0].transform(values)
            // The inverse transform is the transform of the conjugate, conjugated.
            filter.multiply(values, into: values, isConjugated: true)
            transforms[0].transform(values)
            for n in 0..<length { values.imaginary[n] = -values.imaginary[n] }
            chirp.multiply(values, into: target, isConjugated: false)
        }
    }
}

/// Owned memory of complex numbers.
struct SplitArray: Sendable {
    private(set) var real: [Float]
    private(set) var imaginary: [Float]

    var count: Int { real.count }

    init(count: Int) {
        real = [Float](repeating: 0, count: count)
        imaginary = real
    }

    init(real: [Float], imaginary: [Float]) {
        self.real = real
        self.imaginary = imaginary
    }

    /// Writes the products of these numbers and `others`, or their conjugates; `target` may be `others`.
    func multiply(_ others: SplitPointer, into target: SplitPointer, isConjugated: Bool) {
        let sign: Float = isConjugated ? -1 : 1
        real.withUnsafeBufferPointer { real in
            imaginary.withUnsafeBufferPointer { imaginary in
                for n in real.indices {
                    let (a, b) = (others.real[n], others.imaginary[n])
                    target.real[n] = a * real[n] - b * imaginary[n]
                    target.imaginary[n] = (a * imaginary[n] + b * real[n]) * sign
                }
            }
        }
    }

    mutating func withPointer(_ body: (SplitPointer) -> Void) {
        real.withUnsafeMutableBufferPointer { real in
            imaginary.withUnsafeMutableBufferPointer { imaginary in
                guard let real = real.baseAddress, let imaginary = imaginary.baseAddress else { return }
                body(SplitPointer(real: real, imaginary: imaginary))
            }
        }
    }
}

/// A plan for transforms of real signals of one length, with the memory they need: transforming allocates nothing. A copy has memory of its own.
///
///     var transform = try RealTransform(length: 400)
///     let spectrum = try transform.spectrum([Float](repeating: 1, count: 400))   // 201 bins
public struct RealTransform: Sendable {
    /// Samples of a signal.
    public let length: Int
    /// Bins of a spectrum: length / 2 + 1; the others mirror them.
    public var bins: Int { length / 2 + 1 }
    private var complex: ComplexTransform
    private var values: SplitArray
    /// exp(-2πi·k / length) for k ≤ length / 4: of use where the length is even.
    private let factors: (cosines: [Float], sines: [Float])

    /// The longest signal a plan is made for.
    public static let maximumLength = 1 << 24

    /// Throws `SwiftletError.invalidArgument` unless the length is from 1 to `maximumLength`.
    public init(length: Int) throws {
        try AudioChecks.range("length", length, 1...Self.maximumLength, "samples")
        self.length = length
        let isPacked = length % 2 == 0
        complex = ComplexTransform(length: isPacked ? length / 2 : length)
        values = SplitArray(count: complex.length)
        let turns = isPacked ? (0...length / 4).map { Turn($0, of: length) } : []
        factors = (turns.map { Float($0.cosine) }, turns.map { Float(-$0.sine) })
    }

    /// The spectrum of `length` samples in `signal`: `bins` complex numbers in `target`.
    mutating func transform(_ signal: UnsafePointer<Float>, _ target: SplitPointer) {
        let (length, bins) = (length, bins)
        values.withPointer { values in
            guard length % 2 == 0 else {
                values.real.update(from: signal, count: length)
                values.imaginary.update(repeating: 0, count: length)
                complex.transform(values)
                target.real.update(from: values.real, count: bins)
                target.imaginary.update(from: values.imaginary, count: bins)
                return
            }
            // Even samples are the real parts, odd ones the imaginary parts.
            let half = length / 2
            for index in 0..<half {
                values.real[index] = signal[2 * index]
                values.imaginary[index] = signal[2 * index + 1]
            }
            complex.transform(values)
            Self.unpack(values, target, half, factors)
        }
    }

    /// The spectra of even and odd samples are the symmetric and antisymmetric parts of the packed one; X[k] = even[k] + w^k · odd[k], and
    /// X[half - k] is the conjugate of even[k] - w^k · odd[k].
    private static func unpack(
        _ values: SplitPointer, _ target: SplitPointer, _ half: Int, _ factors: (cosines: [Float], sines: [Float])
    ) {
        let (first, second) = (values.real[0], values.imaginary[0])
        (target.real[0], target.imaginary[0]) = (first + second, 0)
        (target.real[half], target.imaginary[half]) = (first - second, 0)
        var k = 1
        while k <= half / 2 {
            let mirror = half - k
            let (a, b, c, d) = (values.real[k], values.imaginary[k], values.real[mirror], values.imaginary[mirror])
            let (evenReal, evenImaginary) = ((a + c) * 0.5, (b - d) * 0.5)
            let (oddReal, oddImaginary) = ((b + d) * 0.5, (c - a) * 0.5)
            let (cosine, sine) = (factors.cosines[k], factors.sines[k])
            let (turnedReal, turnedImaginary) = (oddReal * cosine - oddImaginary * sine, oddReal * sine + oddImaginary * cosine)
            target.real[k] = evenReal + turnedReal
            target.imaginary[k] = evenImaginary + turnedImaginary
            target.real[mirror] = evenReal - turnedReal
            target.imaginary[mirror] = turnedImaginary - evenImaginary
            k += 1
        }
    }

    /// The spectrum of a signal of `length` samples: real and imaginary parts of `bins` numbers.
    ///
    /// Throws `SwiftletError.invalidArgument` for another number of samples.
    public mutating func spectrum(_ signal: [Float]) throws -> (real: [Float], imaginary: [Float]) {
        try AudioChecks.range("signal", signal.count, length...length, "samples")
        var result = SplitArray(count: bins)
        signal.withUnsafeBufferPointer { signal in
            guard let signal = signal.baseAddress else { return }
            result.withPointer { transform(signal, $0) }
        }
        return (result.real, result.imaginary)
    }
}
