// Searched quantisation: against the best scale there is (by trying all), against rounding to nearest, and at the edges of what floats and
// halves hold.
import Foundation
import SwiftletTensor
import TestSupport
import Testing

/// Rows of 512 elements, two blocks of the largest formats, each with a character.
private enum Rows: String, CaseIterable, Sendable {
    case gaussian, uniform, heavyTailed, oneOutlier, positive, sparse

    func values(_ count: Int, seed: UInt64) -> [Float] {
        var random = SeededGenerator(seed: seed)
        var gaussian: [Float] {
            let u = random.floats(count, in: 1e-6...1), v = random.floats(count, in: 0...1)
            return zip(u, v).map { sqrt(-2 * log($0)) * cos(2 * .pi * $1) * 0.02 }
        }
        switch self {
        case .gaussian: return gaussian
        case .uniform: return random.floats(count, in: -0.7...0.4)
        case .heavyTailed: return zip(gaussian, random.floats(count, in: 0.05...1)).map { $0 / $1 }
        case .oneOutlier: return gaussian.enumerated().map { $0 % 256 == 77 ? -3 : $1 }
        case .positive: return random.floats(count, in: 0.2...0.9)
        case .sparse: return gaussian.enumerated().map { $0 % 11 == 3 ? $1 : 0 }
        }
    }
}

/// Weights as calibration finds them: spread over orders of magnitude.
private func weights(_ count: Int, seed: UInt64) -> [Float] {
    var random = SeededGenerator(seed: seed)
    return random.floats(count, in: -3...3).map { exp($0) }
}

private func error(_ x: [Float], _ y: [Float], _ weights: [Float]? = nil) -> Double {
    x.indices.reduce(0) { sum, j in
        let difference = Double(x[j]) - Double(y[j])
        return sum + difference * difference * Double(weights?[j % (weights?.count ?? 1)] ?? 1)
    }
}

extension BlockFormat {
    fileprivate func searched(_ values: [Float], _ importance: [Float]? = nil) throws -> [Float] {
        try dequantize(quantize(values, importance: importance, method: .search))
    }

    /// The levels a single half multiplies, for the formats made of nothing else.
    fileprivate var levels: [Double]? {
        switch self {
        case .q4_0: (-8...7).map(Double.init)
        case .q5_0: (-16...15).map(Double.init)
        case .q8_0: (-127...127).map(Double.init)
        case .iq4_nl: [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]
        default: nil
        }
    }

    /// The root of the mean square error of searched blocks over that of the values, for a normal distribution: as measured, and a little
    /// more.
    fileprivate var gaussianError: Double {
        switch self {
        case .q2_K: 0.265
        case .q3_K: 0.147
        case .q4_0: 0.083
        case .q4_1: 0.0705
        case .q4_K: 0.071
        case .q5_0: 0.041
        case .q5_1: 0.034
        case .q5_K: 0.0347
        case .q6_K: 0.0169
        case .q8_0: 0.0048
        case .iq4_nl: 0.075
        case .iq4_xs: 0.0755
        case .mxfp4: 0.115
        case .tq1_0, .tq2_0: 0.45
        }
    }
}

@Suite struct BlockSearchTests {
    @Test(arguments: BlockFormat.allCases, Rows.allCases) private func leavesNoMoreErrorThanRounding(format: BlockFormat, rows: Rows) throws
    {
        #expect(format.hasSearch)
        guard format.hasRounding else { return }
        for seed in UInt64(1)...8 {
            let values = rows.values(512, seed: seed), rounded = try format.dequantize(format.quantize(values))
            #expect(error(values, try format.searched(values)) <= error(values, rounded) * 1.00001)
            let weights = weights(512, seed: seed + 100)
            #expect(error(values, try format.searched(values, weights), weights) <= error(values, rounded, weights) * 1.00001)
        }
    }

    /// With one scale a block all 65,536 of them can be tried, in double precision and by a loop that knows nothing of the search.
    @Test(arguments: BlockFormat.allCases.filter { $0.levels != nil }, [false, true])
    func comesNearTheBestScaleThereIs(format: BlockFormat, weighted: Bool) throws {
        let levels = try #require(format.levels)
        let midpoints = zip(levels, levels.dropFirst()).map { ($0 + $1) / 2 }
        var best = 0.0, found = 0.0
        for seed in UInt64(1)...4 {
            let values = Rows.gaussian.values(32, seed: seed), weights = weighted ? weights(32, seed: seed + 50) : nil
            let result = error(values, try format.searched(values, weights), weights)
            var least = Double.infinity
            for bits in UInt16(0)..<0x2c00 {  // up to 1/16: the values reach 0.08
                for sign in [1.0, -1] {
                    let scale = sign * Double(Float16(bitPattern: bits))
                    var sum = 0.0
                    for j in 0..<32 where sum < least {
                        let target = scale == 0 ? 0 : Double(values[j]) / scale
                        var low = 0, high = midpoints.count
                        while low < high {
                            let middle = (low + high) / 2
                            if target > midpoints[middle] { low = middle + 1 } else { high = middle }
                        }
                        let difference = Double(values[j]) - scale * levels[low]
                        sum += difference * difference * Double(weights?[j] ?? 1)
                    }
                    least = min(least, sum)
                }
            }
            #expect(result >= least * 0.99999)
            best += least
            found += result
        }
        #expect(found <= best * 1.04, "\(found / best) times the least error")
    }

    @Test(arguments: BlockFormat.allCases) func errorOfNormalValuesIsAsMeasured(format: BlockFormat) throws {
        let values = Rows.gaussian.values(512 * 32, seed: 9), back = try format.searched(values)
        let ratio = (error(values, back) / error(values, back.map { _ in 0 })).squareRoot()
        #expect(ratio < format.gaussianError)
        #expect(ratio > format.gaussianError * 0.9, "better than can be: is something else measured?")
    }

    /// No element strays by more than the steps of a grid over the block's range, however the levels are laid.
    @Test(arguments: BlockFormat.allCases, Rows.allCases) private func noElementStraysFar(format: BlockFormat, rows: Rows) throws {
        let steps: [BlockFormat: Float] = [
            .q2_K: 2, .q3_K: 4, .q4_0: 8, .q4_1: 14, .q4_K: 13, .q5_0: 16, .q5_1: 28, .q5_K: 26, .q6_K: 30, .q8_0: 110, .iq4_nl: 6,
            .iq4_xs: 6,
            .mxfp4: 4, .tq1_0: 1, .tq2_0: 1,
        ]
        let values = rows.values(512, seed: 21), back = try format.searched(values)
        let size = format.blockElements
        for block in 0..<512 / size {
            let part = values[block * size..<(block + 1) * size]
            // Formats without a minimum, and K formats, always reach to zero.
            let range = max(part.max() ?? 0, 0) - min(part.min() ?? 0, 0), step = range / (steps[format] ?? 0)
            for j in part.indices { #expect(abs(values[j] - back[j]) <= step, "element \(j)") }
        }
    }

    @Test(arguments: BlockFormat.allCases) func flatBlocks(format: BlockFormat) throws {
        let zeros = [Float](repeating: 0, count: 512)
        #expect(try format.searched(zeros) == zeros)
        #expect(try format.searched(zeros, weights(512, seed: 1)) == zeros)
        for value: Float in [1, -1, 0.3, -0.7, 42.5] {
            let back = try format.searched([Float](repeating: value, count: 512))
            // A power of two times 0, 1, 2, 3, 4, 6, 8 or 12 is up to a fifth away; the others take a level times one scale or two.
            let tolerance: Float = format == .mxfp4 ? 0.2 : 0.001
            #expect(back.allSatisfy { abs($0 - value) <= abs(value) * tolerance }, "\(value) became \(back[0])")
        }
        // One block of zeros beside one that is not.
        var half = zeros
        half.replaceSubrange(256..., with: Rows.gaussian.values(256, seed: 3))
        #expect(try format.searched(half)[..<256].allSatisfy { $0 == 0 })
    }

    @Test(arguments: BlockFormat.allCases, Rows.allCases) private func importanceServesTheImportant(format: BlockFormat, rows: Rows) throws
    {
        let values = rows.values(512 * 8, seed: 5), importance = (0..<512).map { Float($0 % 8 == 2 ? 200 : 1) }
        let plain = try format.searched(values), weighted = try format.searched(values, importance)
        #expect(error(values, weighted, importance) <= error(values, plain, importance) * 1.0001)
        let onlyImportant = importance.map { Float($0 > 1 ? 1 : 0) }
        let before = error(values, plain, onlyImportant), after = error(values, weighted, onlyImportant)
        // MXFP4 has but a power of two to choose, ternary formats one scale for 256; an outlier that costs more than all the rest leaves no
        // choice either, and of sparse values all may be important.
        let hasChoice = ![.mxfp4, .tq1_0, .tq2_0].contains(format) && rows != .sparse && rows != .oneOutlier
        #expect(after <= before * (hasChoice ? 0.9 : 1.0001), "\(after / before)")
    }

    /// The search sees ratios only: a power of two on the values is one on the result, weights may have any unit, and equal weights are
    /// none.
    @Test(arguments: BlockFormat.allCases) func unitsDoNotMatter(format: BlockFormat) throws {
        // Times 16, so that no scale is a subnormal half, which would be rounded more coarsely.
        let values = Rows.heavyTailed.values(512, seed: 2).map { $0 * 16 }, importance = weights(512, seed: 3)
        let bytes = try format.quantize(values, importance: importance, method: .search), back = try format.dequantize(bytes)
        #expect(try format.searched(values.map { $0 * 8 }, importance) == back.map { $0 * 8 })
        for unit: Float in [0x1p-60, 0x1p50] {
            #expect(try format.quantize(values, importance: importance.map { $0 * unit }, method: .search) == bytes)
        }
        let plain = try format.quantize(values, method: .search)
        for weight: Float in [0, 1, 3e-12, 7e20] {
            #expect(try format.quantize(values, importance: [Float](repeating: weight, count: 512), method: .search) == plain)
        }
    }

    @Test(arguments: BlockFormat.allCases) func blocksAndRowsAreIndependent(format: BlockFormat) throws {
        let size = format.blockElements, values = Rows.heavyTailed.values(512 * 3, seed: 31), importance = weights(512, seed: 32)
        let together = try format.quantize(values, importance: importance, method: .search)
        var apart: [UInt8] = []
        for first in stride(from: 0, to: values.count, by: size) {
            let column = first % 512
            apart += try format.quantize(
                Array(values[first..<first + size]), importance: Array(importance[column..<column + size]), method: .search)
        }
        #expect(apart == together)
    }

    /// Magnitudes at both ends of what floats hold: the result is finite, and as near as the scales of the format allow.
    @Test(arguments: BlockFormat.allCases) func extremesOfMagnitude(format: BlockFormat) throws {
        let shape = Rows.gaussian.values(512, seed: 8)
        for exponent in [-149, -140, -126, -60, -30, -24, 10, 20, 40, 100, 130] {
            let values = shape.map { Float(scalbn(Double($0), exponent)) }
            for importance in [nil, weights(512, seed: 4), weights(512, seed: 4).map { $0 * 1e36 }] {
                let back = try format.searched(values, importance)
                #expect(back.allSatisfy { $0.isFinite }, "2^\(exponent)")
                // What cannot be represented is at least not made worse than by zeros.
                #expect(error(values, back, importance) <= error(values, back.map { _ in 0 }, importance) * 1.00001, "2^\(exponent)")
            }
        }
        var mixed = shape
        mixed[5] = .greatestFiniteMagnitude
        mixed[300] = -.greatestFiniteMagnitude
        mixed[301] = .leastNonzeroMagnitude
        #expect(try format.searched(mixed).allSatisfy { $0.isFinite })
        // A scale may not be lost to rounding where one fits: 2^-24 is the least half.
        guard format.blockElements == 32, format != .iq4_nl else { return }  // those with a zero level
        #expect(try format.searched(shape.map { $0 * 0x1p-20 }).contains { $0 != 0 })
    }

    @Test(arguments: BlockFormat.allCases) func whatCannotBeQuantisedIsRefused(format: BlockFormat) throws {
        let values = Rows.gaussian.values(512, seed: 1), importance = weights(256, seed: 2)
        for bad in [Float.nan, .infinity, -.infinity] {
            var row = values
            row[256 + 7] = bad
            for method in BlockFormat.QuantizationMethod.allCases where format.supports(method) {
                #expect(throws: SwiftletError.self) { try format.quantize(row, method: method) }
            }
            #expect {
                try format.quantize(row, importance: importance, method: .search)
            } throws: {
                "\($0)".contains("row 1, element 7")
            }
            var weights = importance
            weights[9] = bad
            #expect {
                try format.quantize(values, importance: weights, method: .search)
            } throws: {
                "\($0)".contains("element 9")
            }
        }
        for wrong in [importance.map { -$0 }, [], Array(importance.dropLast()), weights(768, seed: 1)] {
            #expect(throws: SwiftletError.self) { try format.quantize(values, importance: wrong, method: .search) }
        }
        #expect(throws: SwiftletError.self) { try format.quantize(values, importance: importance, method: .nearest) }
        #expect(throws: SwiftletError.self) { try format.quantize(Array(values.dropLast()), method: .search) }
        #expect(try format.quantize([], method: .search).isEmpty)
    }
}
