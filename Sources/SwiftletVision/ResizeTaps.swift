// Which source pixels make a target pixel along one axis, and with which weights: resizing as convolution.
//
// The centre of target pixel i lies at (i + 0.5) · scale in the source, scale = source / target. With antialiasing and scale > 1 the filter is
// stretched by the scale, so that every source pixel counts; without, it always looks at its nearest neighbours. Weights are integers of
// `ResizeTaps.fractionBits` bits of fraction that sum to one; the arithmetic is exact from there, so results are the same on every machine.
// Sources: Pillow's ImagingResample (filters, bounds, rounding) for antialiasing; OpenCV's and PyTorch's conventions without it (edge pixels
// repeated, cubic with a = -0.75).
#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// How levels between pixels are found when a picture is resized.
public enum ResizeFilter: String, Sendable, Hashable, CaseIterable, Codable {
    /// The pixel the centre falls into.
    case nearest
    /// The mean of the pixels whose centre falls into the target pixel (Pillow's BOX).
    case box
    /// The mean of what the target pixel covers, parts of pixels counted as such (OpenCV's INTER_AREA when shrinking).
    case area
    /// Linear between two pixels a side.
    case bilinear
    /// Cubic over four pixels a side.
    case bicubic
    /// Windowed sinc over six pixels a side.
    case lanczos

    /// How far from the centre source pixels count, in pixels at scale 1.
    var support: Double {
        switch self {
        case .nearest, .box, .area: 0.5
        case .bilinear: 1
        case .bicubic: 2
        case .lanczos: 3
        }
    }

    /// The weight at distance `x` from the centre.
    func weight(_ x: Double, cubic a: Double) -> Double {
        switch self {
        case .nearest, .box, .area: return x > -0.5 && x <= 0.5 ? 1 : 0
        case .bilinear: return max(0, 1 - abs(x))
        case .bicubic:  // Keys, "Cubic convolution interpolation", 1981, eq. 4
            let x = abs(x)
            if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
            return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0
        case .lanczos: return x >= -3 && x < 3 ? Self.sinc(x) * Self.sinc(x / 3) : 0
        }
    }

    private static func sinc(_ x: Double) -> Double { x == 0 ? 1 : sin(x * .pi) / (x * .pi) }
}

/// The taps of all target pixels of one axis.
struct ResizeTaps {
    static let fractionBits: Int32 = 22

    /// The first source pixel of each target pixel, and how many.
    private(set) var first: [Int] = []
    private(set) var count: [Int] = []
    /// `stride` weights for each target pixel, of which `count` are used.
    private(set) var weights: [Int32] = []
    let stride: Int

    init(source: Int, target: Int, filter: ResizeFilter, antialias: Bool) {
        let scale = Double(source) / Double(target)
        let isWidened = antialias || filter == .area
        let filterScale = isWidened ? max(scale, 1) : 1
        let support = filter.support * filterScale
        stride = min(source, Int(support.rounded(.up)) * 2 + 2)
        first.reserveCapacity(target)
        count.reserveCapacity(target)
        weights.reserveCapacity(target * stride)
        for index in 0..<target {
            let center = (Double(index) + 0.5) * scale
            switch filter {
            case .nearest: append(min(source - 1, Int(center)), [1])
            case .area: append(coverageFrom: Double(index) * scale, to: Double(index + 1) * scale, source)
            case _ where isWidened:
                let (low, high) = (max(0, Int(center - support + 0.5)), min(source, Int(center + support + 0.5)))
                append(low, (low..<high).map { filter.weight((Double($0) - center + 0.5) / filterScale, cubic: -0.5) })
            default: append(neighboursOf: center, source, filter)
            }
        }
    }

    /// What lies between two places of the source.
    private mutating func append(coverageFrom start: Double, to end: Double, _ source: Int) {
        let low = min(source - 1, Int(start))
        let high = min(source, max(low + 1, Int(end.rounded(.up))))
        append(low, (low..<high).map { max(0, min(end, Double($0 + 1)) - max(start, Double($0))) })
    }

    /// The filter at scale 1 around `center`; beyond the edge the edge's pixel is repeated.
    private mutating func append(neighboursOf center: Double, _ source: Int, _ filter: ResizeFilter) {
        let low = Int((center - filter.support + 0.5).rounded(.down))
        let high = Int((center + filter.support + 0.5).rounded(.down))
        let (start, end) = (min(max(low, 0), source - 1), min(max(high, 1), source))
        var sums = [Double](repeating: 0, count: max(1, end - start))
        for pixel in low..<high {
            sums[min(max(pixel - start, 0), sums.count - 1)] += filter.weight(Double(pixel) - center + 0.5, cubic: -0.75)
        }
        append(start, sums)
    }

    private mutating func append(_ start: Int, _ values: [Double]) {
        first.append(start)
        count.append(values.count)
        let sum = values.reduce(0, +)
        let one = Double(1 << Self.fractionBits) / (sum == 0 ? 1 : sum)
        for value in values { weights.append(Int32((value * one).rounded(.toNearestOrAwayFromZero))) }
        for _ in values.count..<max(values.count, stride) { weights.append(0) }
    }
}
