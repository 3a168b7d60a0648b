// Generations with guesses against generations without: the same text to the token, the same ends, the same figures.
import Foundation
import SwiftletLanguage
import SwiftletRuntime
import SwiftletTensor
import TestSupport
import Testing

@Suite(.enabled(if: Stories.isPresent, Stories.note)) struct SpeculationTests {
    /// Text that is certain to repeat itself, so that lookup has guesses.
    private static let prompt = "Once upon a time, there was a little girl named Lily. She loved to play. Once upon a time, there was"

    /// Checks guesses in every step, whatever the clock says.
    private static func forced(_ model: LanguageModel, _ count: Int = 5) -> [(name: String, speculation: Speculation)] {
        [
            ("lookup", .promptLookup(DraftOptions(fixedTokens: count))), ("lookup of 15", .promptLookup(DraftOptions(fixedTokens: 15))),
            ("draft", .draft(model, DraftOptions(fixedTokens: count))), ("measured lookup", .promptLookup()), ("measured draft", .draft(model)),
        ]
    }

    private func elements(_ session: Session, _ options: GenerationOptions, _ speculation: Speculation, prompt: Prompt = .text(prompt)) async throws
        -> [GeneratedText]
    {
        var options = options
        options.speculation = speculation
        return try await Stories.elements(session.generate(prompt, options: options))
    }

    private func expectSame(_ found: [GeneratedText], _ expected: [GeneratedText], _ name: String) {
        #expect(found.map(\.text) == expected.map(\.text), "\(name)")
        #expect(found.map { $0.token?.id } == expected.map { $0.token?.id }, "\(name)")
        #expect(found.map(\.finish) == expected.map(\.finish), "\(name)")
    }

    @Test(arguments: [1, 2])
    func greedyTextIsTheSame(threads: Int) async throws {
        let model = try Stories.model(ModelOptions(threads: threads))
        let session = try Session(model)
        let plain = try await elements(session, Stories.greedy(200), .none)
        #expect(await session.statistics.speculation == nil)
        for (name, speculation) in Self.forced(try Stories.model()) {
            expectSame(try await elements(session, Stories.greedy(200), speculation), plain, name)
            let statistics = try #require(await session.statistics.speculation)
            #expect(await session.statistics.generatedTokens == 200)
            #expect(statistics.acceptedTokens <= statistics.draftedTokens)
            #expect(statistics.verificationSteps <= statistics.draftedTokens)
            // Each step draws one token of its own besides the guesses that were right; the first token is the prompt's.
            #expect(statistics.verificationSteps + statistics.plainSteps + statistics.acceptedTokens == 199)
            if !name.hasPrefix("measured") {
                #expect(statistics.acceptedTokens > 20, "\(name): \(statistics)")
                #expect(statistics.tokensPerStep > 1.1)
            }
        }
    }

    /// A model that guesses for itself is right all the time.
    @Test func aModelGuessesItself() async throws {
        let model = try Stories.model()
        let session = try Session(model)
        let plain = try await elements(session, Stories.greedy(100), .none)
        expectSame(try await elements(session, Stories.greedy(100), .draft(model, DraftOptions(fixedTokens: 4))), plain, "itself")
        let statistics = try #require(await session.statistics.speculation)
        #expect(statistics.acceptance > 0.98 && statistics.verificationSteps <= 21)
        // Drawn from one distribution and judged by the same: kept always, but for rounding.
        var drawn = Stories.drawn(100, seed: nil)
        drawn.speculation = .draft(model, DraftOptions(fixedTokens: 4))
        _ = try await Stories.elements(session.generate(.text(Stories.prompt), options: drawn))
        #expect(try #require(await session.statistics.speculation).acceptance > 0.95)
    }

    /// A seed gives the text of that seed, penalties and filters included.
    @Test func seededTextIsTheSame() async throws {
        let model = try Stories.model()
        let (session, draft) = (try Session(model), try Stories.model())
        for seed: UInt64 in 1...4 {
            var options = Stories.drawn(120, seed: seed)
            options.sampling.temperature = 0.7
            options.sampling.repetitionPenalty = seed % 2 == 0 ? 1.2 : 1
            options.sampling.frequencyPenalty = seed == 4 ? 0.3 : 0
            options.sampling.topK = seed == 3 ? 20 : 0
            options.sampling.topP = 0.95
            let plain = try await elements(session, options, .none)
            for (name, speculation) in Self.forced(draft) {
                expectSame(try await elements(session, options, speculation), plain, "\(name), seed \(seed)")
            }
        }
    }

    /// Without a seed guesses are drawn and judged; tokens at each place must be as frequent as without. Penalties make the two distributions differ,
    /// since guesses are made without them.
    @Test func drawnTokensAreAsFrequentAsWithout() async throws {
        let model = try Stories.model()
        let session = try Session(model)
        var options = Stories.drawn(4, seed: nil)
        options.sampling.presencePenalty = 2
        options.sampling.topK = 6
        func counts(_ speculation: Speculation) async throws -> [[Int32: Int]] {
            var counts = [[Int32: Int]](repeating: [:], count: 4)
            for _ in 0..<1500 {
                let drawn = try await elements(session, options, speculation, prompt: .text("One day, a big red"))
                for (place, token) in Stories.tokens(drawn).enumerated() { counts[place][token, default: 0] += 1 }
            }
            return counts
        }
        let plain = try await counts(.none)
        let guessed = try await counts(.draft(Stories.model(), DraftOptions(fixedTokens: 3)))
        let statistics = try #require(await session.statistics.speculation)
        #expect(statistics.draftedTokens > 0)
        for place in 0..<4 {
            // Two samples of one distribution, tokens that are rare put together: χ² with at most 30 degrees of freedom stays below 73 in 99.998 % of cases.
            let frequent = Set(plain[place].filter { $0.value >= 40 }.keys)
            #expect(frequent.count <= 30)
            func binned(_ counts: [Int32: Int]) -> [Int32: Double] {
                counts.reduce(into: [:]) { $0[frequent.contains($1.key) ? $1.key : -1, default: 0] += Double($1.value) }
            }
            let (a, b) = (binned(plain[place]), binned(guessed[place]))
            let statistic = Set(a.keys).union(b.keys).reduce(0.0) { sum, token in
                let (x, y) = (a[token] ?? 0, b[token] ?? 0)
                return sum + (x - y) * (x - y) / (x + y)
            }
            #expect(statistic < Double(frequent.count) + 6 * Double(2 * frequent.count + 2).squareRoot(), "place \(place)")
        }
    }

    @Test func endsAreTheSame() async throws {
        let model = try Stories.model()
        let session = try Session(model)
        let end = try #require(model.tokenizer.eos)
        var certainEnd = Stories.greedy(30)
        certainEnd.sampling.logitBias = [end: 1000]
        var ignored = certainEnd
        ignored.ignoresEnd = true
        var cases = [certainEnd, ignored, Stories.greedy(nil, shiftsContext: false)]
        cases += [0, 1, 2, 3, 6, 7].map { Stories.greedy($0) }
        cases += ["Lily", " loved", "irl n", "play outside", "Once upon a time, there"].map { Stories.greedy(90, stop: [$0]) }
        for options in cases {
            let plain = try await elements(session, options, .none)
            for (name, speculation) in Self.forced(model) { expectSame(try await elements(session, options, speculation), plain, name) }
        }
    }

    @Test func logProbabilitiesAreTheSame() async throws {
        let model = try Stories.model()
        let session = try Session(model)
        var options = Stories.greedy(60)
        options.logProbabilities = 3
        options.sampling.frequencyPenalty = 0.2
        let plain = try await elements(session, options, .none)
        for (name, speculation) in Self.forced(model) {
            let found = try await elements(session, options, speculation)
            expectSame(found, plain, name)
            for (a, b) in zip(found, plain) {
                #expect(a.token?.alternatives.map(\.token) == b.token?.alternatives.map(\.token))
                let (x, y) = (try #require(a.token?.logProbability), try #require(b.token?.logProbability))
                #expect(abs(x - y) < 1e-3)
            }
        }
    }

    /// Full contexts end or shift at the same token; guesses never go beyond the room there is.
    @Test func fullContextsAreTheSame() async throws {
        let model = try Stories.model()
        let session = try Session(model, context: 48)
        for shifts in [false, true] {
            let options = Stories.greedy(150, shiftsContext: shifts)
            let plain = try await elements(session, options, .none)
            for (name, speculation) in Self.forced(model) { expectSame(try await elements(session, options, speculation), plain, "\(name), \(shifts)") }
        }
    }

    /// A conversation goes on from the cache as it is after guesses, right and wrong ones.
    @Test func theCacheHoldsWhatWasAccepted() async throws {
        let model = try Stories.model()
        let (guessing, plain) = (try Session(model), try Session(model))
        var prompt = model.tokenizer.encode(Self.prompt)
        for turn in 0..<6 {
            let options = Stories.greedy(17 + turn, stop: [" the"])
            let speculation = Self.forced(model)[turn % 3].speculation
            let expected = try await elements(plain, options, .none, prompt: .tokens(prompt))
            expectSame(try await elements(guessing, options, speculation, prompt: .tokens(prompt)), expected, "turn \(turn)")
            if turn > 0 { #expect(await guessing.statistics.cachedTokens >= prompt.count / 2) }
            prompt += Stories.tokens(expected) + model.tokenizer.encode(" Once upon", addSpecial: false)
        }
    }

    @Test func droppingAGenerationLeavesTheSessionAsItWas() async throws {
        let session = try Session(Stories.model())
        for taken in 0..<5 {
            var options = Stories.greedy(40)
            options.speculation = .promptLookup(DraftOptions(fixedTokens: 7))
            var iterator = session.generate(.text(Self.prompt), options: options).makeAsyncIterator()
            for _ in 0..<taken { _ = try await iterator.next() }
            let after = try await elements(session, Stories.greedy(10), .none, prompt: .text(Stories.prompt))
            #expect(Stories.tokens(after) == Array(try Stories.greedy().tokens.prefix(10)))
        }
    }

    @Test func wrongSettingsAreErrors() async throws {
        let model = try Stories.model()
        let session = try Session(model)
        for count in [0, -1, 16, .max] {
            for speculation: Speculation in [.promptLookup(DraftOptions(maximumTokens: count)), .draft(model, DraftOptions(maximumTokens: count))] {
                let error = await swiftletError { try await session.text(.text("Lily"), options: GenerationOptions(speculation: speculation)) }
                guard case .invalidArgument("speculation", _, _) = error else {
                    Issue.record("\(count): \(String(describing: error))")
                    continue
                }
            }
        }
    }
}
