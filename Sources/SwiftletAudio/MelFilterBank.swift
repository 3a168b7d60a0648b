// Triangular filters, equally spaced on a scale of perceived pitch, that gather the bins of a spectrum.
//
// Filter i rises from corner i to corner i + 1 and falls to corner i + 2; corners are equally spaced in mel from the lowest to the highest
// frequency. Only the bins inside a triangle are kept.
// Sources: O'Shaughnessy, "Speech Communication", 1987 (the HTK formula); Slaney, "Auditory Toolbox", 1998; conventions of librosa's
// `filters.mel`.
#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A scale of pitch.
public enum MelScale: String, Sendable, Hashable, CaseIterable, Codable {
    /// 2595 · log10(1 + f / 700): HTK, torchaudio.
    case htk
    /// Linear below 1 kHz, logarithmic above: Slaney, librosa, Whisper.
    case slaney

    private static let (linearHertz, breakHertz, logStep) = (200.0 / 3, 1000.0, 0.06875177742094912)  // ln(6.4) / 27

    public func mels(hertz: Double) -> Double {
        switch self {
        case .htk: return 2595 * log10(1 + hertz / 700)
        case .slaney:
            if hertz < Self.breakHertz { return hertz / Self.linearHertz }
            return Self.breakHertz / Self.linearHertz + log(hertz / Self.breakHertz) / Self.logStep
        }
    }

    public func hertz(mels: Double) -> Double {
        switch self {
        case .htk: return 700 * (pow(10, mels / 2595) - 1)
        case .slaney:
            let breakMels = Self.breakHertz / Self.linearHertz
            return mels < breakMels ? mels * Self.linearHertz : Self.breakHertz * exp(Self.logStep * (mels - breakMels))
        }
    }
}

/// Which mel filters.
public struct MelSettings: Sendable, Hashable {
    /// The number of filters.
    public var count: Int
    /// The frequencies the filters span, in hertz; nil above: half the sample rate.
    public var lowest: Double
    public var highest: Double?
    public var scale: MelScale
    /// Whether each filter has an area of 1 (Slaney's normalisation, librosa's default) instead of a height of 1 (HTK, torchaudio).
    public var hasUnitArea: Bool

    public init(count: Int = 80, lowest: Double = 0, highest: Double? = nil, scale: MelScale = .slaney, hasUnitArea: Bool = true) {
        self.count = count
        self.lowest = lowest
        self.highest = highest
        self.scale = scale
        self.hasUnitArea = hasUnitArea
    }
}

/// The filters for one transform length and sample rate.
public struct MelFilterBank: Sendable {
    /// Bins of the spectra it takes: fftSize / 2 + 1.
    public let bins: Int
    public var count: Int { starts.count }
    /// The first bin of each filter, and where its weights start (and end, in the next element).
    private var starts: [Int] = []
    private var places: [Int] = [0]
    private var weights: [Float] = []

    /// - Parameters:
    ///   - fftSize: samples of a transform.
    ///   - sampleRate: in hertz.
    /// - Throws: `SwiftletError.invalidArgument` for no filters, more than 4096, or frequencies that are not 0 ≤ lowest < highest ≤ half the
    ///   sample rate.
    public init(_ settings: MelSettings, fftSize: Int, sampleRate: Int) throws {
        try AudioChecks.range("fftSize", fftSize, 1...RealTransform.maximumLength, "samples")
        try AudioChecks.range("sampleRate", sampleRate, 1...AudioChecks.maximumRate, "hertz")
        try AudioChecks.range("count", settings.count, 1...4096, "filters")
        let highest = settings.highest ?? Double(sampleRate) / 2
        try AudioChecks.range("highest", highest, 0...Double(sampleRate) / 2, "hertz")
        try AudioChecks.range("lowest", settings.lowest, 0...highest.nextDown, "hertz")
        bins = fftSize / 2 + 1
        let (bottom, top) = (settings.scale.mels(hertz: settings.lowest), settings.scale.mels(hertz: highest))
        let corners = (0..<settings.count + 2).map {
            settings.scale.hertz(mels: bottom + (top - bottom) * Double($0) / Double(settings.count + 1))
        }
        for filter in 0..<settings.count {
            let (left, peak, right) = (corners[filter], corners[filter + 1], corners[filter + 2])
            let height = settings.hasUnitArea ? 2 / (right - left) : 1
            let row = (0..<bins).map { bin in
                let hertz = Double(bin) * Double(sampleRate) / Double(fftSize)
                return max(0, min((hertz - left) / (peak - left), (right - hertz) / (right - peak))) * height
            }
            let first = row.firstIndex { $0 > 0 } ?? 0
            let end = (row.lastIndex { $0 > 0 } ?? -1) + 1
            starts.append(first)
            weights += row[first..<max(first, end)].map { Float($0) }
            places.append(weights.count)
        }
    }

    /// The filters as a matrix `[count, bins]`, row after row.
    public var matrix: [Float] {
        var result = [Float](repeating: 0, count: count * bins)
        for filter in 0..<count {
            for (offset, place) in (places[filter]..<places[filter + 1]).enumerated() {
                result[filter * bins + starts[filter] + offset] = weights[place]
            }
        }
        return result
    }

    /// What each filter gathers of a spectrum of `bins` values; `target` has `count`.
    func apply(_ spectrum: UnsafePointer<Float>, _ target: UnsafeMutablePointer<Float>) {
        weights.withUnsafeBufferPointer { weights in
            for filter in 0..<count {
                var sum: Float = 0
                var bin = starts[filter]
                for place in places[filter]..<places[filter + 1] {
                    sum += weights[place] * spectrum[bin]
                    bin += 1
                }
                target[filter] = sum
            }
        }
    }
}
