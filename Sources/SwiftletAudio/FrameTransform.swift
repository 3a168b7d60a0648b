// From one frame of samples to one row of features: the plan and its memory, made once.
import SwiftletTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Everything that is computed before the first frame.
struct FrameTransform: Sendable {
    let kind: AudioFeatures.Kind
    let fftSize: Int
    let bins: Int
    /// `fftSize` weights; a shorter window lies in the middle.
    let window: [Float]
    let transform: RealTransform
    let mel: MelFilterBank?
    /// The orthonormal DCT-II: `[coefficients, mels]`.
    let cosines: [Float]
    let coefficients: Int

    init(_ features: AudioFeatures) throws {
        let framing = features.framing
        transform = try RealTransform(length: framing.fftSize)
        let windowLength = framing.windowLength ?? framing.fftSize
        try AudioChecks.range("windowLength", windowLength, 1...framing.fftSize, "samples")
        try AudioChecks.range("hop", framing.hop, 1...RealTransform.maximumLength, "samples")
        try AudioChecks.range("sampleRate", features.sampleRate, 1...AudioChecks.maximumRate, "hertz")
        kind = features.kind
        fftSize = framing.fftSize
        bins = transform.bins
        var window = [Float](repeating: 0, count: framing.fftSize)
        let left = (framing.fftSize - windowLength) / 2
        window.replaceSubrange(left..<left + windowLength, with: framing.window.values(windowLength))
        self.window = window
        var (mel, cosines, coefficients): (MelFilterBank?, [Float], Int) = (nil, [], 0)
        switch features.kind {
        case .spectrum, .magnitude, .power: break
        case .mel(let settings), .logMel(let settings, _):
            mel = try MelFilterBank(settings, fftSize: framing.fftSize, sampleRate: features.sampleRate)
        case .mfcc(let settings, _, let count):
            mel = try MelFilterBank(settings, fftSize: framing.fftSize, sampleRate: features.sampleRate)
            try AudioChecks.range("count", count, 1...settings.count, "coefficients")
            coefficients = count
            cosines = (0..<count).flatMap { k in
                let scale = (Double(k == 0 ? 1 : 2) / Double(settings.count)).squareRoot()
                return (0..<settings.count).map { Float(scale * Turn(k * (2 * $0 + 1), of: 4 * settings.count).cosine) }
            }
        }
        (self.mel, self.cosines, self.coefficients) = (mel, cosines, coefficients)
        if case .logMel(_, let scale) = kind { try Self.check(scale) }
        if case .mfcc(_, let scale, _) = kind { try Self.check(scale) }
    }

    private static func check(_ scale: LogScale) throws {
        switch scale {
        case .natural(let floor), .decimal(let floor), .decibels(let floor):
            try AudioChecks.range("floor", floor, Float.leastNormalMagnitude...Float.greatestFiniteMagnitude, "(a floor of the logarithm)")
        }
    }
}

/// A plan at work: turns frames into rows, one after another, without allocation.
struct FeatureStep: Sendable {
    private let plan: FrameTransform
    private let hasCoefficients: Bool
    private var transform: RealTransform
    private var frame: [Float]
    private var spectrum: SplitArray
    private var mels: [Float]

    /// - Parameter coefficients: whether the cosine transform of `mfcc` is part of the step; else `coefficients(of:)` does it later.
    init(_ plan: FrameTransform, coefficients: Bool) {
        self.plan = plan
        hasCoefficients = coefficients && plan.coefficients > 0
        transform = plan.transform
        frame = [Float](repeating: 0, count: plan.fftSize)
        spectrum = SplitArray(count: plan.bins)
        mels = [Float](repeating: 0, count: plan.mel?.count ?? 0)
    }

    var hasLogarithm: Bool {
        switch plan.kind {
        case .logMel, .mfcc: true
        default: false
        }
    }

    /// Values this step makes of a frame.
    var width: Int { hasCoefficients ? plan.coefficients : plan.mel?.count ?? (plan.kind == .spectrum ? 2 * plan.bins : plan.bins) }

    /// Values of a finished row.
    var outputWidth: Int { plan.coefficients > 0 ? plan.coefficients : width }

    /// Appends the row of a frame of `fftSize` samples.
    mutating func append(_ samples: UnsafePointer<Float>, to rows: inout [Float]) {
        let (plan, bins) = (plan, plan.bins)
        frame.withUnsafeMutableBufferPointer { frame in
            plan.window.withUnsafeBufferPointer { window in
                for index in 0..<plan.fftSize { frame[index] = samples[index] * window[index] }
            }
            guard let frame = frame.baseAddress else { return }
            spectrum.withPointer { spectrum in
                transform.transform(frame, spectrum)
                if plan.kind == .spectrum {
                    for bin in 0..<bins {
                        rows.append(spectrum.real[bin])
                        rows.append(spectrum.imaginary[bin])
                    }
                    return
                }
                // |X|² takes the place of the real parts.
                let power = spectrum.real
                for bin in 0..<bins { power[bin] = power[bin] * power[bin] + spectrum.imaginary[bin] * spectrum.imaginary[bin] }
                if plan.kind == .magnitude { for bin in 0..<bins { power[bin] = power[bin].squareRoot() } }
                guard let filters = plan.mel else {
                    rows.append(contentsOf: UnsafeBufferPointer(start: power, count: bins))
                    return
                }
                mels.withUnsafeMutableBufferPointer { mels in
                    guard let base = mels.baseAddress else { return }
                    filters.apply(power, base)
                    switch plan.kind {
                    case .logMel(_, let scale), .mfcc(_, let scale, _): scale.apply(mels)
                    default: break
                    }
                    if hasCoefficients {
                        Self.append(UnsafePointer(base), plan, to: &rows)
                    } else {
                        rows.append(contentsOf: mels)
                    }
                }
            }
        }
    }

    /// The cosine transform of rows of logarithms, where the features have one.
    func coefficients(of rows: [Float]) -> [Float] {
        guard plan.coefficients > 0, let mels = plan.mel?.count else { return rows }
        var result: [Float] = []
        rows.withUnsafeBufferPointer { rows in
            guard let base = rows.baseAddress else { return }
            for row in 0..<rows.count / mels { Self.append(base + row * mels, plan, to: &result) }
        }
        return result
    }

    private static func append(_ logarithms: UnsafePointer<Float>, _ plan: FrameTransform, to rows: inout [Float]) {
        let mels = plan.mel?.count ?? 0
        plan.cosines.withUnsafeBufferPointer { cosines in
            for k in 0..<plan.coefficients {
                var sum: Float = 0
                for index in 0..<mels { sum += cosines[k * mels + index] * logarithms[index] }
                rows.append(sum)
            }
        }
    }
}

extension LogScale {
    fileprivate func apply(_ values: UnsafeMutableBufferPointer<Float>) {
        switch self {
        case .natural(let floor): for index in values.indices { values[index] = logf(max(values[index], floor)) }
        case .decimal(let floor): for index in values.indices { values[index] = log10f(max(values[index], floor)) }
        case .decibels(let floor): for index in values.indices { values[index] = 10 * log10f(max(values[index], floor)) }
        }
    }
}
