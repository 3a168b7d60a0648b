import Foundation
import SwiftletLanguage
import SwiftletTensor
import TestSupport
import Testing

/// Options without any filter or penalty.
private func plain(temperature: Float = 1, seed: UInt64 = 1) -> SamplingOptions {
    var options = SamplingOptions()
    options.topK = 0
    options.topP = 1
    options.minP = 0
    options.temperature = temperature
    options.seed = seed
    return options
}

private func sample(_ sampler: inout Sampler, _ logits: [Float]) throws -> Int32 {
    var row = logits
    return try row.withUnsafeMutableBufferPointer { try sampler.sample($0) }
}

private func logitsAfterPenalties(_ options: SamplingOptions, history: [Int32], _ logits: [Float]) throws -> [Float] {
    var sampler = try Sampler(options, vocabularyCount: logits.count)
    for token in history { sampler.accept(token) }
    var row = logits
    _ = try row.withUnsafeMutableBufferPointer { try sampler.sample($0) }
    return row
}

@Suite struct SamplerTests {
    @Test func greedyTakesTheLargestAndTheFirstOfEquals() throws {
        var sampler = try Sampler(.greedy, vocabularyCount: 5)
        #expect(try sample(&sampler, [0, 3, -1, 3, 2]) == 1)
        #expect(try sample(&sampler, [-.infinity, -.infinity, -.infinity, -7, -.infinity]) == 3)
        #expect(try sample(&sampler, [-5, -5, -5, -5, -5]) == 0)
    }

    static let filters: [(topK: Int, typicalP: Float, topP: Float, minP: Float, temperature: Float)] = [
        (0, 1, 1, 0, 1), (0, 1, 1, 0, 0.3), (1, 1, 1, 0, 1), (5, 1, 1, 0, 1), (5000, 1, 1, 0, 1), (0, 1, 0.9, 0, 1), (0, 1, 0, 0, 1),
        (0, 1, 0.3, 0, 1.7), (0, 1, 1, 0.1, 1), (0, 1, 1, 1, 1), (0, 0.5, 1, 0, 1), (0, 0, 1, 0, 1), (0, 0.95, 1, 0, 0.8),
        (40, 1, 0.95, 0.05, 0.8), (30, 0.7, 0.9, 0.02, 1.3), (2, 0.9, 0.99, 0.5, 2),
    ]

    @Test(arguments: filters)
    func filtersLeaveTheDistributionOfTheNaiveReference(
        filter: (topK: Int, typicalP: Float, topP: Float, minP: Float, temperature: Float)
    ) throws {
        var random = SeededGenerator(seed: 11)
        for size in [1, 2, 7, 300, 1000] {
            var options = plain(temperature: filter.temperature)
            options.topK = filter.topK
            options.typicalP = filter.typicalP
            options.topP = filter.topP
            options.minP = filter.minP
            let logits = random.floats(size, in: -6...6)
            var sampler = try Sampler(options, vocabularyCount: size)
            let token = try sample(&sampler, logits)
            let expected = naiveDistribution(logits, options)
            let actual = Dictionary(uniqueKeysWithValues: sampler.lastDistribution.map { ($0.token, $0.probability) })
            #expect(Set(actual.keys) == Set(expected.keys), "size \(size)")
            for (token, probability) in expected { #expect(abs((actual[token] ?? 0) - probability) < 1e-6) }
            #expect(expected[token] != nil)
        }
    }

    @Test func equalLogitsAtTheEdgeOfTopKKeepTheLowestTokens() throws {
        var options = plain()
        options.topK = 3
        var sampler = try Sampler(options, vocabularyCount: 8)
        _ = try sample(&sampler, [1, 2, 1, 1, 2, 1, 1, 1])
        #expect(sampler.lastDistribution.map(\.token) == [1, 4, 0])
    }

    @Test func onlyPossibleTokenIsAlwaysDrawn() throws {
        var logits = [Float](repeating: -.infinity, count: 100)
        logits[37] = -400
        for options in [plain(), SamplingOptions(), .greedy] {
            var sampler = try Sampler(options, vocabularyCount: 100)
            for _ in 0..<20 { #expect(try sample(&sampler, logits) == 37) }
        }
    }

    @Test func brokenLogitsAreAnError() throws {
        for options in [plain(), SamplingOptions.greedy] {
            for broken in [[0, .nan, 1], [Float.infinity, 0, 1], [.infinity, -.infinity, 0], [Float](repeating: -.infinity, count: 3)] {
                var sampler = try Sampler(options, vocabularyCount: 3)
                #expect(throws: SwiftletError.self) { try sample(&sampler, broken) }
            }
            var sampler = try Sampler(options, vocabularyCount: 3)
            #expect(throws: SwiftletError.self) { try sample(&sampler, [1, 2]) }
        }
    }

    /// Pearson's statistic over 20,000 draws of 8 tokens: its 99.99 % point at 7 degrees of freedom is 29.9.
    @Test func drawsFollowTheDistribution() throws {
        let logits: [Float] = [0, 1, 2, -1, 0.5, 1.5, -2, 0.25]
        for temperature: Float in [0.7, 1, 1.5] {
            let options = plain(temperature: temperature, seed: 99)
            var sampler = try Sampler(options, vocabularyCount: 8)
            var counts = [Int](repeating: 0, count: 8)
            let draws = 20_000
            for _ in 0..<draws { counts[Int(try sample(&sampler, logits))] += 1 }
            let statistic = naiveDistribution(logits, options).reduce(0.0) { sum, pair in
                let expected = pair.value * Double(draws)
                let difference = Double(counts[Int(pair.key)]) - expected
                return sum + difference * difference / expected
            }
            #expect(statistic < 29.9)
        }
    }

    @Test func sameSeedGivesTheSameTokens() throws {
        var random = SeededGenerator(seed: 5)
        let rows = (0..<50).map { _ in random.floats(200, in: -4...4) }
        func tokens(seed: UInt64?) throws -> [Int32] {
            var options = SamplingOptions()
            options.seed = seed
            var sampler = try Sampler(options, vocabularyCount: 200)
            return try rows.map { try sample(&sampler, $0) }
        }
        #expect(try tokens(seed: 42) == tokens(seed: 42))
        #expect(try tokens(seed: 42) != tokens(seed: 43))
        #expect(try tokens(seed: nil) != tokens(seed: nil))
    }

    @Test func penaltiesMatchNumbersWorkedOutByHand() throws {
        var options = plain()
        options.repetitionPenalty = 2
        options.frequencyPenalty = 0.5
        options.presencePenalty = 0.25
        // Token 1 twice, token 2 once, token 3 once: 4/2 − 2·0.5 − 0.25 = 0.75; −3·2 − 0.5 − 0.25 = −6.75; 0·2 − 0.75 = −0.75.
        let row = try logitsAfterPenalties(options, history: [1, 2, 1, 3], [1, 4, -3, 0, 5])
        #expect(row == [1, 0.75, -6.75, -0.75, 5])
        // Applied again to fresh logits the numbers are the same: a row does not wear the window out.
        #expect(try logitsAfterPenalties(options, history: [1, 2, 1, 3], [1, 4, -3, 0, 5]) == row)
    }

    @Test func tokensThatLeftTheWindowAreNotPenalised() throws {
        var options = plain()
        options.presencePenalty = 1
        options.penaltyWindow = 3
        let row = try logitsAfterPenalties(options, history: [0, 1, 2, 1, 3], [0, 0, 0, 0])
        #expect(row == [0, -1, -1, -1])
        options.penaltyWindow = 0
        #expect(try logitsAfterPenalties(options, history: [0, 1, 2], [0, 0, 0, 0]) == [0, 0, 0, 0])
    }

    @Test func penaltiesForgetOnReset() throws {
        var options = SamplingOptions.greedy
        options.presencePenalty = 5
        var sampler = try Sampler(options, vocabularyCount: 3)
        sampler.accept(2)
        #expect(try sample(&sampler, [0, 1, 2]) == 1)
        sampler.reset()
        #expect(try sample(&sampler, [0, 1, 2]) == 2)
    }

    @Test func biasMovesForbidsAndForces() throws {
        var options = SamplingOptions.greedy
        options.logitBias = [0: 10, 2: -.infinity]
        var sampler = try Sampler(options, vocabularyCount: 3)
        #expect(try sample(&sampler, [0, 5, 100]) == 0)
        options.logitBias = [3: 1]
        #expect(throws: SwiftletError.self) { try Sampler(options, vocabularyCount: 3) }
    }

    @Test func settingsOutOfRangeAreErrors() {
        let changes: [(inout SamplingOptions) -> Void] = [
            { $0.temperature = -1 }, { $0.temperature = .nan }, { $0.topK = -1 }, { $0.topP = 1.5 }, { $0.minP = -0.1 },
            { $0.typicalP = 2 },
            { $0.repetitionPenalty = 0 }, { $0.frequencyPenalty = .infinity }, { $0.presencePenalty = .nan }, { $0.penaltyWindow = -1 },
            { $0.logitBias = [-1: 0] }, { $0.logitBias = [1: .nan] },
        ]
        for change in changes {
            var options = SamplingOptions()
            change(&options)
            #expect(throws: SwiftletError.self) { try options.validate() }
        }
    }
}

@Suite("How many logits sampling looks at") struct LogitsWantedTests {
    private static func options(_ change: (inout SamplingOptions) -> Void) -> SamplingOptions {
        var options = SamplingOptions()
        options.seed = 7
        change(&options)
        return options
    }

    static let some: [SamplingOptions] = [
        .greedy, options { _ in }, options { $0.topK = 3; $0.typicalP = 0.5 }, options { $0.topK = 5; $0.minP = 0.3; $0.topP = 1; $0.temperature = 2 },
        options { $0.topK = 4; $0.repetitionPenalty = 1.5; $0.frequencyPenalty = 0.4; $0.presencePenalty = 1; $0.penaltyWindow = 6 },
        options { $0.temperature = 0; $0.repetitionPenalty = 3; $0.penaltyWindow = 9 },
    ]

    /// With every other logit at some number below those wanted, the same tokens come out.
    @Test(arguments: some) func othersDoNotMatter(options: SamplingOptions) throws {
        let count = 2_000
        var random = SeededGenerator(seed: 1), whole = try Sampler(options, vocabularyCount: count), ranked = whole
        let wanted = whole.logitsWanted
        try #require(wanted > 0 && wanted < 200)
        for _ in 0..<200 {
            let row = random.floats(count).map { 4 * $0 }
            let least = row.sorted(by: >)[wanted - 1]
            let rest = row.map { $0 >= least ? $0 : least - 0.001 - abs($0) / 3 }
            let (a, b) = (try sample(&whole, row), try sample(&ranked, rest))
            try #require(a == b)
            whole.accept(a)
            ranked.accept(b)
        }
    }

    @Test func allWhereAnyMayCount() throws {
        for options in [
            Self.options { $0.topK = 0 }, Self.options { $0.logitBias = [3: 1] }, Self.options { $0.repetitionPenalty = 0.5 },
            Self.options { $0.frequencyPenalty = -1 }, Self.options { $0.topK = 100 },
        ] {
            #expect(try Sampler(options, vocabularyCount: 100).logitsWanted == 0)
        }
        #expect(try Sampler(.greedy, vocabularyCount: 100).logitsWanted == 1)
        #expect(try Sampler(SamplingOptions(), vocabularyCount: 100).logitsWanted == 40)
        // A window longer than the vocabulary cannot lower more logits than there are.
        var endless = SamplingOptions()
        (endless.penaltyWindow, endless.repetitionPenalty) = (.max, 1.5)
        #expect(try Sampler(endless, vocabularyCount: 100).logitsWanted == 140)
    }
}
