// The rule that keeps or replaces a guess: whatever the guesses are drawn from, what comes out has the sampler's own distribution.
import Foundation
import SwiftletLanguage
import SwiftletTensor
import TestSupport
import Testing

@Suite struct SpeculativeSamplingTests {
    private func options(_ topK: Int, _ topP: Float, _ minP: Float, _ temperature: Float, seed: UInt64) -> SamplingOptions {
        var options = SamplingOptions()
        (options.topK, options.topP, options.minP, options.temperature, options.seed) = (topK, topP, minP, temperature, seed)
        return options
    }

    private func row<Result>(_ logits: [Float], _ body: (UnsafeMutableBufferPointer<Float>) throws -> Result) rethrows -> Result {
        var copy = logits
        return try copy.withUnsafeMutableBufferPointer { try body($0) }
    }

    /// Pearson's statistic of 20,000 tokens against the naive distribution; its 99.99 % point at 7 degrees of freedom is 29.9, less for fewer.
    @Test(arguments: [(0, 1, 0, 1), (5, 1, 0, 1), (0, 0.9, 0, 0.7), (6, 0.95, 0.05, 0.8), (0, 1, 0.1, 1.5)] as [(Int, Float, Float, Float)])
    func tokensHaveTheDistributionOfTheTarget(filter: (Int, Float, Float, Float)) throws {
        let target: [Float] = [0, 1, 2, -1, 0.5, 1.5, -2, 0.25]
        // Near the target, far from it, and the target itself.
        for guessing: [Float] in [[0.2, 0.8, 2.2, -1, 0, 1.4, -2, 0.5], [3, -1, 0, 2, -3, 0.5, 1, 0], target] {
            let options = options(filter.0, filter.1, filter.2, filter.3, seed: 5)
            var sampler = try Sampler(options, vocabularyCount: 8)
            var draft = try Sampler(self.options(filter.0, filter.1, filter.2, filter.3, seed: 6), vocabularyCount: 8)
            var (counts, kept) = ([Int](repeating: 0, count: 8), 0)
            let draws = 20_000
            for _ in 0..<draws {
                var distribution = TokenDistribution()
                let guess = try row(guessing) { try draft.sample($0, recording: &distribution) }
                let token = try row(target) { try sampler.verify(guess, from: distribution, $0) }
                counts[Int(token)] += 1
                if token == guess { kept += 1 }
            }
            let (p, q) = (naiveDistribution(target, options), naiveDistribution(guessing, options))
            for token in 0..<8 where p[Int32(token)] == nil { #expect(counts[token] == 0) }
            let statistic = p.reduce(0.0) { sum, pair in
                let expected = pair.value * Double(draws)
                return sum + pow(Double(counts[Int(pair.key)]) - expected, 2) / expected
            }
            #expect(statistic < 29.9)
            // Σ min(p, q) of the guesses are kept, the most any exact rule can keep: within five standard deviations.
            let overlap = p.reduce(0.0) { $0 + min($1.value, q[$1.key] ?? 0) }
            let deviation = (overlap * max(0, 1 - overlap) / Double(draws)).squareRoot()
            #expect(abs(Double(kept) / Double(draws) - overlap) <= 5 * deviation + 1e-9)
        }
    }

    @Test func recordedDistributionsAreThoseDrawnFrom() throws {
        let logits: [Float] = [0, 1, 2, -1, 0.5, 1.5, -2, 0.25]
        let options = options(5, 0.9, 0.02, 0.8, seed: 1)
        var sampler = try Sampler(options, vocabularyCount: 8)
        var distribution = TokenDistribution()
        let token = try row(logits) { try sampler.sample($0, recording: &distribution) }
        let expected = naiveDistribution(logits, options)
        #expect(Set(distribution.entries.map(\.token)) == Set(expected.keys))
        for entry in distribution.entries { #expect(abs(entry.probability - (expected[entry.token] ?? 0)) < 1e-6) }
        // Recording changes no draw.
        var plain = try Sampler(options, vocabularyCount: 8)
        #expect(try row(logits) { try plain.sample($0) } == token)
        // Greedy: all in one token.
        var greedy = try Sampler(.greedy, vocabularyCount: 8)
        #expect(try row(logits) { try greedy.sample($0, recording: &distribution) } == 2)
        #expect(distribution.entries.map(\.token) == [2] && distribution.entries.map(\.probability) == [1])
    }

    @Test func greedyKeepsOnlyTheBestToken() throws {
        var sampler = try Sampler(.greedy, vocabularyCount: 4)
        var distribution = TokenDistribution()
        var draft = try Sampler(.greedy, vocabularyCount: 4)
        let guess = try row([5, 0, 0, 0]) { try draft.sample($0, recording: &distribution) }
        #expect(try row([0, 0, 1, 0]) { try sampler.verify(guess, from: distribution, $0) } == 2)
        #expect(try row([2, 0, 1, 0]) { try sampler.verify(guess, from: distribution, $0) } == 0)
    }

    /// A guess the target's filters exclude is never kept; a guess outside the vocabulary does no harm.
    @Test func excludedGuessesAreReplaced() throws {
        var sampler = try Sampler(options(2, 1, 0, 1, seed: 3), vocabularyCount: 4)
        var draft = try Sampler(options(1, 1, 0, 1, seed: 4), vocabularyCount: 5)
        var distribution = TokenDistribution()
        for best in [3, 4] {
            var guessing = [Float](repeating: 0, count: 5)
            guessing[best] = 9
            let guess = try row(guessing) { try draft.sample($0, recording: &distribution) }
            #expect(guess == Int32(best))
            for _ in 0..<100 { #expect([0, 1].contains(try row([2, 1, 0, 0]) { try sampler.verify(guess, from: distribution, $0) })) }
        }
        #expect(throws: SwiftletError.self) { try row([.nan, 0, 0, 0]) { try sampler.verify(0, from: distribution, $0) } }
    }
}
