import Foundation
import SwiftletCompress
import SwiftletRuntime
import TestSupport
import Testing

@Suite struct ActivationRangeTests {
    /// Values, mostly small, with a few large ones.
    private static func values(_ kind: String) -> [Float] {
        var generator = SeededGenerator(seed: 3)
        let normal = (0..<20_000).map { _ in (0..<6).reduce(Float(0)) { sum, _ in sum + generator.floats(1, in: -1...1)[0] } }
        switch kind {
        case "two-sided": return normal + [40, -25]
        case "one-sided": return normal.map { max($0, 0) } + [30]
        default: return normal.map { -abs($0) } + [-30]
        }
    }

    private static func histogram(_ values: [Float]) -> (histogram: ValueHistogram, seen: ValueRange) {
        let (low, high) = (values.min() ?? 0, values.max() ?? 0)
        var histogram = ValueHistogram(low: low, high: high)
        values.withUnsafeBufferPointer { histogram.add($0) }
        return (histogram, ValueRange(low, high))
    }

    @Test func everyValueIsCountedInItsBin() {
        let (histogram, _) = Self.histogram([-1, -1, 0, 1, 1, 1])
        #expect(histogram.total == 6)
        #expect(histogram.counts[0] == 2)
        #expect(histogram.counts[1024] == 1)
        #expect(histogram.counts[2047] == 3)
        let (constant, _) = Self.histogram([5, 5, 5])
        #expect(constant.total == 3)
    }

    @Test(arguments: ["two-sided", "one-sided", "negative"])
    func percentilesAreThoseOfTheSortedValues(_ kind: String) {
        let values = Self.values(kind)
        let (histogram, seen) = Self.histogram(values)
        let sorted = values.sorted()
        for percent in [99.0, 99.9, 100] {
            let range = histogram.range(by: .percentile(percent), seen: seen, levels: QuantizedType())
            let cut = Double(values.count) * (1 - percent / 100) / (kind == "two-sided" ? 2 : 1)
            let dropped = Int(cut)
            let bin = histogram.width * 1.01
            if kind != "negative" { #expect(abs(range.high - sorted[values.count - 1 - dropped]) <= bin, "\(percent)") }
            if kind != "one-sided" { #expect(abs(range.low - sorted[dropped]) <= bin, "\(percent)") }
            if kind == "one-sided" { #expect(range.low == 0) }
            if kind == "negative" { #expect(range.high == 0) }
        }
    }

    @Test(arguments: ["two-sided", "one-sided", "negative"], [QuantizedType(), QuantizedType(isSigned: true, isSymmetric: true)])
    func leastSquaresFindsARangeAsGoodAsASearchOverTheValues(_ kind: String, _ type: QuantizedType) {
        let values = Self.values(kind)
        let (histogram, seen) = Self.histogram(values)
        func error(_ range: ValueRange) -> Double {
            let levels = QuantizedLevels(range, type)
            return values.reduce(0) { $0 + Double(($1 - levels.rounded($1)) * ($1 - levels.rounded($1))) }
        }
        let found = error(histogram.range(by: .mse, seen: seen, levels: type))
        var best = Double.infinity
        for low in stride(from: Float(0), through: 1, by: 0.05) {
            for high in stride(from: Float(0), through: 1, by: 0.05) { best = min(best, error(ValueRange(seen.low * low, seen.high * high))) }
        }
        #expect(found <= best * 1.02)
        // Of one large value among many it pays to keep it, unless there are two.
        #expect(kind == "two-sided" ? found < error(seen) : found <= error(seen))
    }

    @Test(arguments: ["two-sided", "one-sided", "negative"])
    func entropyCutsWhereTheDivergenceIsLeast(_ kind: String) {
        let values = Self.values(kind)
        let (histogram, seen) = Self.histogram(values)
        let range = histogram.range(by: .entropy, seen: seen, levels: QuantizedType())
        let largest = max(-seen.low, seen.high)
        // Magnitudes again, and the divergence by its definition with P and Q written out.
        var magnitudes = [Double](repeating: 0, count: 2048)
        for (bin, count) in histogram.counts.enumerated() where count > 0 {
            let center = abs(histogram.low + (Float(bin) + 0.5) * histogram.width)
            magnitudes[min(2047, Int(center * (2048 / largest)))] += Double(count)
        }
        magnitudes[0] = min(magnitudes[0], magnitudes[1])
        func divergence(_ kept: Int) -> Double {
            var p = Array(magnitudes[..<kept])
            let source = p
            p[kept - 1] += magnitudes[kept...].reduce(0, +)
            var q = [Double](repeating: 0, count: kept)
            for level in 0..<128 {
                let bins = level * kept / 128..<(level + 1) * kept / 128
                let filled = bins.filter { source[$0] > 0 }
                for bin in filled { q[bin] = bins.reduce(0) { $0 + source[$1] } / Double(filled.count) }
            }
            let (sumP, sumQ) = (p.reduce(0, +), q.reduce(0, +))
            return zip(p, q).reduce(0) { $1.0 > 0 ? $0 + $1.0 / sumP * log(($1.0 / sumP) / ($1.1 > 0 ? $1.1 / sumQ : 1e-12)) : $0 }
        }
        let candidates = Array(stride(from: 128, through: 2048, by: 8))
        let chosen = Int((max(-range.low, range.high) / largest * 2048).rounded())
        let least = candidates.map(divergence).min() ?? 0
        #expect(candidates.contains(chosen))
        #expect(divergence(chosen) <= least * (1 + 1e-9) + 1e-12)
        #expect(max(-range.low, range.high) < largest)
    }

    @Test func everyMethodTakesNothingAndConstants() {
        for method in [RangeMethod.minmax, .percentile(99), .entropy, .mse] {
            for values: [Float] in [[], [0], [0, 0, 0], [5], [-5, -5]] {
                let (histogram, seen) = Self.histogram(values)
                let range = histogram.range(by: method, seen: seen, levels: QuantizedType())
                #expect(range.low <= 0 && range.high >= 0 && range.low >= seen.low && range.high <= seen.high)
                let levels = QuantizedLevels(range, QuantizedType())
                #expect(levels.scale > 0 && levels.scale.isFinite)
            }
        }
    }
}

@Suite struct QuantizedLevelsTests {
    @Test(arguments: [
        // range, signed, symmetric → scale, zero
        (-1.0, 1.55, false, false, 0.01, 100), (0, 6, false, false, 6 / 255, 0), (-2, 0, false, false, 2 / 255, 255), (1, 2.55, false, false, 0.01, 0),
        (-1, 1.55, true, false, 0.01, -28), (-1.27, 1, false, true, 0.01, 128), (-1.27, 1, true, true, 0.01, 0), (0, 0, false, false, 1, 0),
    ] as [(Double, Double, Bool, Bool, Double, Int)])
    func scaleAndZeroPoint(low: Double, high: Double, isSigned: Bool, isSymmetric: Bool, scale: Double, zero: Int) {
        let levels = QuantizedLevels(ValueRange(Float(low), Float(high)), QuantizedType(isSigned: isSigned, isSymmetric: isSymmetric))
        #expect(abs(Double(levels.scale) - scale) < 1e-6 * scale)
        #expect(levels.zero == zero)
    }

    @Test func zeroIsALevelAndNothingInTheRangeMovesByMoreThanHalfAStep() {
        var generator = SeededGenerator(seed: 5)
        for _ in 0..<50 {
            let (a, b) = (generator.floats(1, in: -9...0)[0], generator.floats(1, in: 0...9)[0])
            let levels = QuantizedLevels(ValueRange(a, b), QuantizedType())
            #expect(levels.rounded(0) == 0)
            for value in generator.floats(100, in: a...b) { #expect(abs(levels.rounded(value) - value) <= levels.scale * 0.501 + 1e-6) }
        }
    }

    @Test func weightsHaveTheScaleOfTheirLargestElement() throws {
        let weight = try QuantizedWeight([1.27, -0.6, 0.004, -25.4, 12.8, 0, 0, 0, 0], name: "w", channels: 3, perChannel: true)
        #expect(weight.scales == [1.27 / 127, 25.4 / 127, 1])
        #expect(weight.values == [127, -60, 0, -127, 64, 0, 0, 0, 0])
        let whole = try QuantizedWeight([1.27, -0.6, 0.004, -25.4, 12.8, 0, 0, 0, 0], name: "w", channels: 3, perChannel: false)
        #expect(whole.scales == [25.4 / 127])
        #expect(whole.values == [6, -3, 0, -127, 64, 0, 0, 0, 0])
        #expect(whole.floats[3] == -25.4 / 127 * 127)
    }

    @Test func scalesAreNotBelowTheLeast() throws {
        let weight = try QuantizedWeight([1.27, 0], name: "w", channels: 2, perChannel: true, leastScales: [0.03, 0.5])
        #expect(weight.scales == [0.03, 0.5])
        #expect(weight.values == [42, 0])
    }

    @Test func halfScalesAreTheNextNumberOfAnF16() throws {
        let weight = try QuantizedWeight([0.3, 1e-6, 1e-4], name: "w", channels: 3, perChannel: true, inHalfScales: true)
        for (scale, largest) in zip(weight.scales, [Float(0.3), 1e-6, 1e-4]) {
            #expect(scale >= largest / 127)
            let unit = Float(sign: .plus, exponent: max(scale.exponent, -14) - 10, significand: 1)
            #expect((scale / unit).rounded() == scale / unit)
            #expect(scale - largest / 127 < unit)
        }
    }

    @Test func weightsThatAreNoNumbersAreErrors() {
        for bad in [Float.nan, .infinity, -.infinity] {
            #expect(throws: SwiftletError.self) { _ = try QuantizedWeight([1, bad], name: "w", channels: 1, perChannel: true) }
            #expect(throws: SwiftletError.self) { _ = try QuantizedWeight([1, 2], name: "w", channels: 2, perChannel: true, leastScales: [0, bad]) }
        }
    }

    @Test func oneElementAndNone() throws {
        #expect(try QuantizedWeight([-3], name: "w", channels: 1, perChannel: true).values == [-127])
        #expect(try QuantizedWeight([], name: "w", channels: 0, perChannel: true).values.isEmpty)
    }
}
