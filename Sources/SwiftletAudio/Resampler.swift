// Another sample rate: the signal between its samples, low-passed so that nothing folds back.
//
// Output sample m lies at input position m · from / to. Its value is the sum of the input samples around it, weighted with a windowed sinc:
//
//     h(t) = c · sinc(c · t) · kaiser(t / reach),   c = min(1, to / from) · rolloff,   |t| < reach = crossings / min(1, to / from)
//
// With a rational ratio the positions fall on few fractions of a sample, and each has its weights in a table. Where the table would be large the
// weights of 512 fractions (fewer for a lower cut-off) are interpolated. The weights of each fraction sum to one, so a constant stays one.
// Source: Smith, "Digital Audio Resampling Home Page", ccrma.stanford.edu/~jos/resample; Kaiser's window from Window.swift.
import SwiftletFormats
import SwiftletTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// How sharp the low-pass is.
public enum ResamplerQuality: String, Sendable, Hashable, CaseIterable, Codable {
    /// Flat up to 0.8 of the lower rate's band; what would fold into the band is at least 70 dB down.
    case fast
    /// Flat up to 0.9 of it; what would fold is at least 90 dB down.
    case high

    /// Zero crossings of the sinc on each side, the cut-off as a part of the band, and Kaiser's beta.
    var design: (crossings: Double, rolloff: Double, beta: Double) {
        switch self {
        case .fast: (32, 0.9, 7.86)
        case .high: (64, 0.95, 10.06)
        }
    }
}

/// Resamples a signal that comes piece by piece. A value: a copy goes on by itself.
///
///     var resampler = try Resampler(from: 44_100, to: 16_000)
///     var speech = resampler.process(piece)
///     speech += resampler.finish()
///
/// n samples become ceil(n · to / from), the first at the time of the first. An output sample is there as soon as the samples its low-pass
/// reaches are: `delay` input samples later.
public struct Resampler: Sendable {
    private enum Ratio: Sendable {
        /// Output m lies at m · step / phases, in lowest terms.
        case rational(phases: Int, step: Int)
        case real(step: Double)
    }

    private let ratio: Ratio
    private let table: PhaseTable
    /// Input samples from `start` on; before the signal lie zeros.
    private var buffer: [Float]
    private var start: Int
    private var received = 0
    private var produced = 0

    /// Input samples that must follow a place before its output is there.
    public var delay: Int { table.reach }

    /// From one rate to another, in any unit.
    ///
    /// Throws `SwiftletError.invalidArgument` unless both are positive and neither is more than 1000 times the other.
    public init(from: Int, to: Int, quality: ResamplerQuality = .high) throws {
        try AudioChecks.range("from", from, 1...AudioChecks.maximumRate, "hertz")
        try AudioChecks.range("to", to, 1...AudioChecks.maximumRate, "hertz")
        var (a, b) = (from, to)
        while b != 0 { (a, b) = (b, a % b) }
        let phases = to / a
        try self.init(.rational(phases: phases, step: from / a), scale: Double(to) / Double(from), phases: phases, quality)
    }

    /// To `ratio` times the rate.
    ///
    /// Throws `SwiftletError.invalidArgument` unless the ratio is from 1/1000 to 1000.
    public init(ratio: Double, quality: ResamplerQuality = .high) throws {
        try self.init(.real(step: 1 / ratio), scale: ratio, phases: nil, quality)
    }

    private init(_ ratio: Ratio, scale: Double, phases: Int?, _ quality: ResamplerQuality) throws {
        try AudioChecks.range("ratio", scale, 0.001...1000, "output samples an input sample")
        self.ratio = ratio
        table = PhaseTable(scale: scale, phases: phases, quality)
        start = 1 - table.reach
        buffer = [Float](repeating: 0, count: table.reach - 1)
    }

    /// The output samples that the next input samples complete.
    public mutating func process(_ samples: [Float]) -> [Float] {
        var result: [Float] = []
        process(samples, into: &result)
        return result
    }

    /// Appends the output samples that the next input samples complete.
    public mutating func process(_ samples: [Float], into result: inout [Float]) {
        received += samples.count
        buffer.append(contentsOf: samples)
        produce(into: &result, until: .max)
    }

    /// The output samples at the end of the signal, behind which lie zeros. The resampler starts anew.
    public mutating func finish() -> [Float] {
        var result: [Float] = []
        buffer.append(contentsOf: repeatElement(0, count: table.reach))
        produce(into: &result, until: received)
        start = 1 - table.reach
        buffer.removeAll(keepingCapacity: true)
        buffer.append(contentsOf: repeatElement(0, count: table.reach - 1))
        (received, produced) = (0, 0)
        return result
    }

    /// A whole signal at another rate: ceil(samples · to / from) samples. Equal rates give the signal back as it is.
    public static func resample(_ samples: [Float], from: Int, to: Int, quality: ResamplerQuality = .high) throws -> [Float] {
        var resampler = try Resampler(from: from, to: to, quality: quality)
        var result: [Float] = []
        result.reserveCapacity(Int(Double(samples.count) * Double(to) / Double(from)) + 2)
        resampler.process(samples, into: &result)
        return result + resampler.finish()
    }

    /// Computes outputs while their input is there and they lie before input sample `end`.
    private mutating func produce(into result: inout [Float], until end: Int) {
        let available = start + buffer.count
        let first = buffer.withUnsafeBufferPointer { buffer in
            while true {
                let (index, fraction) = position(produced)
                guard index < end, index + table.reach < available, let base = buffer.baseAddress else {
                    return min(max(0, index + 1 - table.reach - start), buffer.count)
                }
                result.append(table.value(base + (index + 1 - table.reach - start), fraction))
                produced += 1
            }
        }
        buffer.removeFirst(first)
        start += first
    }

    /// The input sample before output `m`, and how far behind it the output lies: in phases of the table, or as a part of a sample.
    private func position(_ m: Int) -> (index: Int, fraction: PhaseTable.Fraction) {
        switch ratio {
        case .rational(let phases, let step):
            // m · step may be large, its parts are not.
            let (whole, rest) = m.quotientAndRemainder(dividingBy: phases)
            let (index, phase) = (rest * step).quotientAndRemainder(dividingBy: phases)
            return (whole * step + index, PhaseTable.Fraction(numerator: phase, denominator: phases))
        case .real(let step):
            let position = Double(m) * step
            return (Int(position), PhaseTable.Fraction(part: position - position.rounded(.down)))
        }
    }
}

/// The weights of a windowed sinc at fractions of a sample.
private struct PhaseTable: Sendable {
    /// A place between two samples.
    struct Fraction {
        let phase: Int?
        let part: Double

        init(numerator: Int, denominator: Int) {
            phase = numerator
            part = Double(numerator) / Double(denominator)
        }

        init(part: Double) {
            phase = nil
            self.part = part
        }
    }

    /// Input samples on each side of a place that count: from 1 - reach to reach after the sample before it.
    let reach: Int
    /// Weights of a phase, a multiple of 4: the last may be zeros.
    private let stride: Int
    private let phases: Int
    private let isExact: Bool
    private let weights: [Float]

    /// Floats in a table with a row for every phase; above, phases are interpolated.
    private static let maximumWeights = 1 << 19
    private static let interpolatedPhases = 512

    init(scale: Double, phases: Int?, _ quality: ResamplerQuality) {
        let design = quality.design
        let narrowing = min(1, scale)
        let width = design.crossings / narrowing
        let reach = Int(width.rounded(.up))
        // Equal rates: a cut-off at the edge makes the weights 0, 1, 0, and the signal passes as it is.
        let cutoff = scale == 1 && phases == 1 ? 1 : narrowing * design.rolloff
        let exact = phases.flatMap { $0 <= Self.maximumWeights / (2 * reach) ? $0 : nil }
        // The lower the cut-off, the smoother the weights: fewer fractions do, and the table does not grow with the reach.
        let count = exact ?? Int((Double(Self.interpolatedPhases) * narrowing).rounded(.up))
        let stride = (2 * reach + 3) / 4 * 4
        // One row more where rows are interpolated: the whole sample.
        let rows = exact == nil ? count + 1 : count
        var weights = [Float](repeating: 0, count: rows * stride)
        let window = Window.kaiser(beta: design.beta)
        for row in 0..<rows {
            let values = (0..<2 * reach).map { tap in
                let distance = Double(tap + 1 - reach) - Double(row) / Double(count)
                guard abs(distance) < width else { return 0.0 }
                let angle = .pi * cutoff * distance
                return (angle == 0 ? 1 : sin(angle) / angle) * window.weight(0.5 + 0.5 * distance / width)
            }
            let sum = values.reduce(0, +)
            for (tap, value) in values.enumerated() { weights[row * stride + tap] = Float(value / sum) }
        }
        (self.reach, self.stride, self.phases, isExact, self.weights) = (reach, stride, count, exact != nil, weights)
    }

    /// The signal at a place; `samples` are the 2 · reach around it.
    func value(_ samples: UnsafePointer<Float>, _ fraction: Fraction) -> Float {
        weights.withUnsafeBufferPointer { weights in
            guard let weights = weights.baseAddress else { return 0 }
            if isExact, let phase = fraction.phase { return sum(samples, weights + phase * stride) }
            let place = fraction.part * Double(phases)
            let row = min(phases - 1, Int(place))
            let (lower, upper) = (sum(samples, weights + row * stride), sum(samples, weights + (row + 1) * stride))
            return lower + (upper - lower) * Float(place - Double(row))
        }
    }

    @inline(__always)
    private func sum(_ samples: UnsafePointer<Float>, _ weights: UnsafePointer<Float>) -> Float {
        var (first, second) = (SIMD4<Float>.zero, SIMD4<Float>.zero)
        let count = 2 * reach
        var tap = 0
        while tap + 8 <= count {
            first += SIMD4<Float>.load(samples + tap) * SIMD4<Float>.load(weights + tap)
            second += SIMD4<Float>.load(samples + tap + 4) * SIMD4<Float>.load(weights + tap + 4)
            tap += 8
        }
        var rest: Float = 0
        while tap < count {
            rest += samples[tap] * weights[tap]
            tap += 1
        }
        return (first + second).sum() + rest
    }
}

extension WAVFile {
    /// The mean of all channels at another rate: what a speech model takes, in one call.
    public func mono(at sampleRate: Int, quality: ResamplerQuality = .high) throws -> [Float] {
        try Resampler.resample(mono(), from: self.sampleRate, to: sampleRate, quality: quality)
    }
}
