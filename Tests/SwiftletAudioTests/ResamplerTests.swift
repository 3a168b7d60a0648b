// Resampling against the same formula in Double, against tones whose samples are known, and streams against whole signals.
import Foundation
import SwiftletAudio
import SwiftletTensor
import TestSupport
import Testing

@Suite struct ResamplerTests {
    @Test(arguments: [(44100, 16000), (16000, 44100), (48000, 16000), (16000, 8000)])
    func rationalRatiosFollowTheFormula(from: Int, to: Int) throws {
        let result = try Resampler.resample(Vectors.signal(), from: from, to: to)
        #expect(try relativeError(result, Vectors.tensor("resample-\(from)-\(to)").floats()) < 1e-6)
    }

    /// The weights of this ratio are interpolated.
    @Test func interpolatedRatiosComeClose() throws {
        let expected = try Vectors.tensor("resample-44101-16000").floats()
        #expect(try relativeError(Resampler.resample(Vectors.signal(), from: 44101, to: 16000), expected) < 2e-5)
        var resampler = try Resampler(ratio: 16000.0 / 44101)
        let result = try resampler.process(Vectors.signal()) + resampler.finish()
        #expect(relativeError(result, expected) < 2e-5)
    }

    private static func tone(_ hertz: Double, rate: Int, count: Int) -> [Float] {
        (0..<count).map { Float(sin(2 * .pi * hertz * Double($0) / Double(rate))) }
    }

    /// The middle of a result, where the zeros around the signal are out of reach.
    private static func error(_ result: [Float], _ expected: [Float]) -> Float {
        #expect(result.count == expected.count)
        let middle = result.count / 3..<result.count * 2 / 3
        return zip(result[middle], expected[middle]).map { abs($0 - $1) }.max() ?? 0
    }

    @Test(arguments: [(16000, 48000), (48000, 16000), (44100, 16000), (22050, 16000), (8000, 44101)], ResamplerQuality.allCases)
    func tonesInTheBandPassAndOthersDoNot(rates: (Int, Int), quality: ResamplerQuality) throws {
        let (from, to) = rates
        let band = Double(min(from, to)) / 2
        let (flat, passed, stopped): (Double, Float, Float) = quality == .high ? (0.9, 3e-5, 3e-5) : (0.8, 3e-4, 3e-4)
        for part in [0.01, 0.3, flat] {
            let result = try Resampler.resample(Self.tone(band * part, rate: from, count: from / 4), from: from, to: to, quality: quality)
            let error = Self.error(result, Self.tone(band * part, rate: to, count: result.count))
            #expect(error < passed, "\(part) of the band: \(error)")
        }
        guard from > to else { return }
        for part in [1.001, 1.2, Double(from) / Double(to) * 0.95] where part > 1 {
            let result = try Resampler.resample(Self.tone(band * part, rate: from, count: from / 4), from: from, to: to, quality: quality)
            let error = Self.error(result, [Float](repeating: 0, count: result.count))
            #expect(error < stopped, "\(part) of the band: \(error)")
        }
    }

    @Test func constantsAndEqualRatesStay() throws {
        let ones = [Float](repeating: 1, count: 4000)
        for (from, to) in [(3, 1), (1, 3), (147, 160), (44101, 16000)] {
            let result = try Resampler.resample(ones, from: from, to: to)
            #expect(result.count == (4000 * to + from - 1) / from)
            let middle = result[result.count / 3..<result.count * 2 / 3]
            #expect(middle.allSatisfy { abs($0 - 1) < 1e-6 })
        }
        // A reach of 64,000 samples, and fractions that are interpolated.
        let long = try Resampler.resample([Float](repeating: 1, count: 400_000), from: 9_999_991, to: 10_007)
        #expect(long[long.count / 3..<long.count * 2 / 3].allSatisfy { abs($0 - 1) < 1e-5 })
        let signal = try Vectors.signal()
        #expect(try relativeError(Resampler.resample(signal, from: 7, to: 7), signal) < 1e-6)
    }

    @Test(arguments: [(44100, 16000), (16000, 48000), (44101, 16000), (1, 1)])
    func streamsGiveTheSamplesOfWholeSignals(from: Int, to: Int) throws {
        var random = SeededGenerator(seed: 2)
        var resampler = try Resampler(from: from, to: to)
        for count in [0, 1, 2, 100, 1600] {
            let signal = try Array(Vectors.signal()[..<count])
            let whole = try Resampler.resample(signal, from: from, to: to)
            #expect(whole.count == (count * to + from - 1) / from)
            for largest in [1, 50, 1600] {
                var result: [Float] = []
                var rest = signal[...]
                var fed = 0
                while !rest.isEmpty {
                    let piece = min(rest.count, Int.random(in: 0...largest, using: &random))
                    resampler.process(Array(rest.prefix(piece)), into: &result)
                    rest = rest.dropFirst(piece)
                    fed += piece
                    // Nothing is held back longer than the low-pass reaches.
                    #expect(result.count >= (fed - resampler.delay) * to / from)
                }
                result += resampler.finish()
                #expect(result == whole, "\(count) samples in pieces of up to \(largest)")
            }
        }
    }

    @Test func senselessRatiosAreErrors() {
        for (from, to) in [(0, 1), (1, 0), (-1, 1), (1, 1001), (1001, 1), (.max, .max)] {
            #expect(throws: SwiftletError.self) { try Resampler(from: from, to: to) }
        }
        for ratio in [0, -1, .nan, .infinity, 1001] { #expect(throws: SwiftletError.self) { try Resampler(ratio: ratio) } }
    }
}
