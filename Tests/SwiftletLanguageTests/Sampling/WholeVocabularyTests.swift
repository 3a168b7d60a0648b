// Sampling from a whole vocabulary against the naive sampler in Double: what is left in, which token each random number gives, and how often.
import Foundation
import SwiftletLanguage
import SwiftletTensor
import TestSupport
import Testing

@Suite struct WholeVocabularyTests {
    static let settings: [(topP: Float, minP: Float, temperature: Float)] = [
        (1, 0, 1), (1, 0, 0.6), (1, 0, 2.5), (0.95, 0, 1), (0.53, 0, 0.8), (0.999, 0, 1.4), (0.01, 0, 1), (1, 0.05, 1), (1, 0.001, 0.7), (0.9, 0.02, 1.2),
        (0.97, 0.2, 1),
    ]

    private func options(_ setting: (topP: Float, minP: Float, temperature: Float), seed: UInt64) -> SamplingOptions {
        var options = SamplingOptions()
        (options.topK, options.topP, options.minP, options.temperature, options.seed) = (0, setting.topP, setting.minP, setting.temperature, seed)
        return options
    }

    /// Flat, bell-shaped, a few that stand out of a bell, and few distinct values (ties everywhere).
    private func rows(_ count: Int, _ random: inout SeededGenerator) -> [(name: String, logits: [Float])] {
        let bell = (0..<count).map { _ in random.floats(12, in: -0.5...0.5).reduce(0, +) * 2.5 }
        var peaked = bell
        for rank in 0..<min(20, count) { peaked[rank * 997 % count] = 14 - Float(rank) * 0.6 }
        return [
            ("flat", random.floats(count, in: 0...0.01)), ("bell", bell), ("peaked", peaked), ("ties", bell.map { ($0 / 2).rounded() }),
            ("equal", [Float](repeating: 3, count: count)),
        ]
    }

    private func draw(_ sampler: inout Sampler, _ row: inout [Float]) throws -> Int32 { try row.withUnsafeMutableBufferPointer { try sampler.sample($0) } }

    /// With the same random number the token's share of the naive cumulative distribution holds that number, within the rounding of 32-bit weights.
    @Test(arguments: settings) func eachDrawIsTheNaiveSamplers(setting: (topP: Float, minP: Float, temperature: Float)) throws {
        var random = SeededGenerator(seed: 21)
        for count in [1, 127, 128, 129, 5_000, 49_152] {
            for (name, logits) in rows(count, &random) {
                let options = options(setting, seed: 77)
                let expected = naiveDistribution(logits, options)
                var sampler = try Sampler(options, vocabularyCount: count)
                // The sampler's generator, which is documented: SplitMix64, the upper 53 bits of a number.
                var numbers = SeededGenerator(seed: 77)
                var (cumulative, mass) = ([Double](repeating: 0, count: count + 1), 0.0)
                for token in 0..<count {
                    mass += expected[Int32(token)] ?? 0
                    cumulative[token + 1] = mass
                }
                var row = logits
                for _ in 0..<50 {
                    let token = Int(try draw(&sampler, &row))
                    let unit = Double(numbers.next() >> 11) * 0x1p-53
                    #expect(expected[Int32(token)] != nil, "\(name) \(count)")
                    #expect(cumulative[token] - 2e-6 <= unit && unit < cumulative[token + 1] + 2e-6, "\(name) \(count)")
                }
                // Where masses in 32 and 64 bits fall on different sides of top-p, a token at the edge may differ.
                let actual = Dictionary(uniqueKeysWithValues: sampler.lastDistribution.map { ($0.token, $0.probability) })
                let differing = Set(actual.keys).symmetricDifference(expected.keys)
                #expect(differing.count <= 1 + count / 10_000, "\(name) \(count)")
                for token in differing {
                    let edge = min(expected.values.min() ?? 0, actual.values.min() ?? 0)
                    #expect((expected[token] ?? actual[token] ?? 1) <= edge * 1.001, "\(name) \(count)")
                }
                for (token, probability) in actual where expected[token] != nil {
                    #expect(abs(probability - (expected[token] ?? 0)) < 2e-6 * max(probability * 10, 1e-3) + 1e-6 * probability)
                }
            }
        }
    }

    /// Pearson's statistic of 40,000 draws in 16 cells of about equal mass; its 99.99 % point at 15 degrees of freedom is 44.3.
    @Test(arguments: settings.prefix(4)) func drawsOfALargeVocabularyFollowTheDistribution(setting: (topP: Float, minP: Float, temperature: Float)) throws {
        var random = SeededGenerator(seed: 4)
        let count = 20_000
        for (name, logits) in rows(count, &random).prefix(3) {
            let options = options(setting, seed: 9)
            let expected = naiveDistribution(logits, options)
            var (cells, cell, shares) = ([Int](repeating: 0, count: count), 0, [0.0])
            for token in 0..<count {
                cells[token] = cell
                shares[cell] += expected[Int32(token)] ?? 0
                if shares[cell] >= 1.0 / 16 {
                    cell += 1
                    shares.append(0)
                }
            }
            var sampler = try Sampler(options, vocabularyCount: count)
            let draws = 40_000
            var (row, counts) = (logits, [Int](repeating: 0, count: shares.count))
            for _ in 0..<draws { counts[cells[Int(try draw(&sampler, &row))]] += 1 }
            var statistic = 0.0
            for (share, seen) in zip(shares, counts) where share * Double(draws) >= 5 {
                statistic += pow(Double(seen) - share * Double(draws), 2) / (share * Double(draws))
            }
            #expect(statistic < 44.3, "\(name)")
        }
    }

    @Test func extremeTemperaturesAndForbiddenTokensKeepTheDrawInPlay() throws {
        var random = SeededGenerator(seed: 8)
        var logits = random.floats(1000, in: -8...8)
        logits[640] = 30
        for token in stride(from: 1, to: 1000, by: 2) { logits[token] = -.infinity }
        for temperature: Float in [.leastNonzeroMagnitude, 1e-30, 1e-3] {
            for topP: Float in [1, 0.9] {
                var sampler = try Sampler(options((topP, 0, temperature), seed: 3), vocabularyCount: 1000)
                for _ in 0..<20 { #expect(try draw(&sampler, &logits) == 640) }
            }
        }
        for temperature: Float in [1e3, .greatestFiniteMagnitude] {
            var sampler = try Sampler(options((1, 0, temperature), seed: 3), vocabularyCount: 1000)
            var seen: Set<Int32> = []
            for _ in 0..<500 { seen.insert(try draw(&sampler, &logits)) }
            #expect(seen.allSatisfy { $0 % 2 == 0 } && seen.count > 250)
        }
    }
}
