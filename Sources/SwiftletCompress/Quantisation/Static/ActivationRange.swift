// The range of an activation that 256 levels are spread over: all that was seen, or less, where rare large values would make the levels coarse.

/// How the range is found from what calibration saw.
public enum RangeMethod: Sendable, Hashable {
    /// From the smallest to the largest value.
    case minmax
    /// So many per cent of the values; the rest is cut, half at each end (all at the top where nothing is negative).
    case percentile(Double)
    /// The cut of magnitudes at which the distribution of the levels is nearest to that of the values by Kullback and Leibler's divergence
    /// (Migacz, "8-bit inference with TensorRT", 2017).
    case entropy
    /// The range with the least mean squared error of rounding and cutting together.
    case mse
}

/// A range of values; 0 is always inside, because padding and rectifiers make exact zeros.
package struct ValueRange: Sendable, Hashable {
    package var low: Float
    package var high: Float

    package init(_ low: Float, _ high: Float) {
        self.low = min(low, 0)
        self.high = max(high, 0)
    }
}

/// How often values fell into each of 2048 bins of equal width between a lowest and a highest.
package struct ValueHistogram: Sendable {
    package static let binCount = 2048

    package let low: Float
    package let width: Float
    package private(set) var counts = [Int](repeating: 0, count: binCount)

    /// Bins for values from `low` to `high`, which must be finite, `low` not above `high`.
    package init(low: Float, high: Float) {
        self.low = low
        // Halves first: the difference of two large numbers may be no number.
        width = max((high / 2 - low / 2) / Float(Self.binCount / 2), .leastNormalMagnitude)
    }

    package var total: Int { counts.reduce(0, +) }

    /// Counts values; those outside go to the bins at the ends.
    package mutating func add(_ values: UnsafeBufferPointer<Float>) {
        let (low, scale, last) = (self.low, 1 / width, Float(Self.binCount - 1))
        counts.withUnsafeMutableBufferPointer { counts in
            for value in values { counts[Int(min(max((value - low) * scale, 0), last))] += 1 }
        }
    }

    /// The value in the middle of a bin.
    func center(_ bin: Int) -> Float { low + (Float(bin) + 0.5) * width }

    /// The high end of a bin.
    private func end(_ bin: Int) -> Float { low + Float(bin + 1) * width }

    // MARK: Ranges

    /// The range that `method` picks of all that was seen, `seen`.
    package func range(by method: RangeMethod, seen: ValueRange, levels: QuantizedType) -> ValueRange {
        switch method {
        case .minmax: seen
        case .percentile(let percent): percentile(percent, seen)
        case .entropy: entropy(seen)
        case .mse: leastSquares(seen, levels)
        }
    }

    private func percentile(_ percent: Double, _ seen: ValueRange) -> ValueRange {
        let total = Double(self.total)
        guard total > 0 else { return seen }
        let isOneSided = seen.low == 0 || seen.high == 0
        let cut = (1 - percent / 100) * total / (isOneSided ? 1 : 2)
        /// How many bins at an end hold no more than `cut` values together.
        func bins(_ order: some Sequence<Int>) -> Int {
            var (sum, bins) = (0.0, 0)
            for bin in order {
                sum += Double(counts[bin])
                if sum > cut { break }
                bins += 1
            }
            return min(bins, Self.binCount - 1)
        }
        let low = seen.low == 0 ? 0 : Swift.max(seen.low, self.low + Float(bins(0..<Self.binCount)) * width)
        let high = seen.high == 0 ? 0 : Swift.min(seen.high, end(Self.binCount - 1 - bins((0..<Self.binCount).reversed())))
        return ValueRange(low, high)
    }

    // MARK: Entropy

    /// Candidates are multiples of 8 bins of magnitudes from 128 on. The values within a candidate, with what lies beyond it added to its last
    /// bin, are the distribution P; the same values merged into 128 levels, each spread evenly over its bins that are not empty, are Q.
    private func entropy(_ seen: ValueRange) -> ValueRange {
        let largest = Swift.max(-seen.low, seen.high)
        guard largest > 0, total > 0 else { return seen }
        let levels = 128
        var magnitudes = [Double](repeating: 0, count: Self.binCount)
        let scale = Float(Self.binCount) / largest
        for bin in counts.indices where counts[bin] > 0 {
            magnitudes[Swift.min(Self.binCount - 1, Int(abs(center(bin)) * scale))] += Double(counts[bin])
        }
        // Exact zeros (rectifiers, padding) cost no level anything, and drown the rest.
        magnitudes[0] = Swift.min(magnitudes[0], magnitudes[1])
        let total = magnitudes.reduce(0, +)
        guard total > 0 else { return seen }
        var (best, least) = (Self.binCount, Double.infinity)
        var beyond = total - magnitudes[..<levels].reduce(0, +)
        for kept in stride(from: levels, through: Self.binCount, by: 8) {
            if kept > levels { for bin in kept - 8..<kept { beyond -= magnitudes[bin] } }
            let divergence = Self.divergence(magnitudes[..<kept], beyond: Swift.max(0, beyond), levels: levels, total: total)
            if divergence <= least { (best, least) = (kept, divergence) }
        }
        let cut = largest * Float(best) / Float(Self.binCount)
        return ValueRange(Swift.max(seen.low, -cut), Swift.min(seen.high, cut))
    }

    /// Σ p·ln(p/q) for bins `kept`.
    private static func divergence(_ kept: ArraySlice<Double>, beyond: Double, levels: Int, total: Double) -> Double {
        let inside = total - beyond
        guard inside > 0 else { return .infinity }
        var sum = 0.0
        for level in 0..<levels {
            let bins = level * kept.count / levels..<(level + 1) * kept.count / levels
            let (mass, filled) = bins.reduce(into: (0.0, 0)) { partial, bin in
                partial.0 += kept[bin]
                if kept[bin] > 0 { partial.1 += 1 }
            }
            for bin in bins {
                let isLast = bin == kept.count - 1
                let p = (kept[bin] + (isLast ? beyond : 0)) / total
                guard p > 0 else { continue }
                // What is cut off falls where Q has nothing when the last bin is empty: as good as impossible.
                let q = kept[bin] > 0 ? mass / Double(filled) / inside : 1e-12
                sum += p * (p / q).logarithm
            }
        }
        return sum
    }

    // MARK: Squared error

    /// First both ends together, then each end alone, twice: the error has one valley along each.
    private func leastSquares(_ seen: ValueRange, _ levels: QuantizedType) -> ValueRange {
        let filled = counts.indices.filter { counts[$0] > 0 }
        guard !filled.isEmpty, seen.low < seen.high else { return seen }
        func error(_ range: ValueRange) -> Double {
            let grid = QuantizedLevels(range, levels)
            // A level is about eight bins wide, so the middle of a bin stands for all its values.
            return filled.reduce(0) { sum, bin in
                let center = center(bin)
                let difference = Double(center - grid.rounded(center))
                return sum + Double(counts[bin]) * difference * difference
            }
        }
        var (best, least) = (seen, error(seen))
        func attempt(_ range: ValueRange) {
            let error = error(range)
            if error < least { (best, least) = (range, error) }
        }
        let steps = (1...100).map { Float($0) / 100 }
        for step in steps { attempt(ValueRange(seen.low * step, seen.high * step)) }
        for _ in 0..<2 {
            if seen.high > 0 { for step in steps { attempt(ValueRange(best.low, seen.high * step)) } }
            if seen.low < 0 { for step in steps { attempt(ValueRange(seen.low * step, best.high)) } }
        }
        return best
    }
}
