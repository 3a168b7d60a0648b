// What a generation hands out: text, tokens, the reason of its end; seeds, limits, stop strings, log-probabilities.
import Foundation
import SwiftletLanguage
import SwiftletRuntime
import Testing

@Suite(.enabled(if: Stories.isPresent, Stories.note)) struct GenerationTests {
    // MARK: Seeds

    @Test func theSameSeedGivesTheSameTextAndAnotherSeedAnother() async throws {
        let session = try Session(Stories.model())
        var texts: [String] = []
        for seed: UInt64 in [1, 1, 2, 3] {
            texts.append(try await session.text(.text(Stories.prompt), options: Stories.drawn(40, seed: seed)))
        }
        #expect(texts[0] == texts[1])
        #expect(Set(texts).count == 3)
        // Without a seed two runs draw differently.
        let first = try await session.text(.text(Stories.prompt), options: Stories.drawn(40, seed: nil))
        #expect(try await session.text(.text(Stories.prompt), options: Stories.drawn(40, seed: nil)) != first)
    }

    // MARK: Ends

    @Test func limitsAreExact() async throws {
        let session = try Session(Stories.model())
        let expected = try Stories.greedy().tokens
        let none = try await Stories.elements(session.generate(.text(Stories.prompt), options: Stories.greedy(0)))
        #expect(none.count == 1 && none[0].token == nil && none[0].text.isEmpty && none[0].finish == .length)
        #expect(await session.statistics.generatedTokens == 0)
        let one = try await Stories.elements(session.generate(.text(Stories.prompt), options: Stories.greedy(1)))
        #expect(one.count == 1 && one[0].token?.id == expected[0] && one[0].finish == .length)
        let statistics = await session.statistics
        #expect(statistics.generatedTokens == 1 && statistics.decodeSeconds == 0 && statistics.prefillSeconds > 0)
        let seven = try await Stories.elements(session.generate(.text(Stories.prompt), options: Stories.greedy(7)))
        #expect(Stories.tokens(seven) == Array(expected.prefix(7)))
        #expect(seven.map(\.finish) == [nil, nil, nil, nil, nil, nil, .length])
    }

    /// Stop strings end inside tokens, between them and several tokens long; what is shown is the text up to them.
    @Test(arguments: ["Lily", " named", "irl n", ".", ". She loved", "park", "🦊"])
    func stopStringsEndTheText(stop: String) async throws {
        let session = try Session(Stories.model())
        let full = try Stories.greedy().text
        let elements = try await Stories.elements(session.generate(.text(Stories.prompt), options: Stories.greedy(80, stop: [stop, ""])))
        if let range = full.range(of: stop) {
            #expect(Stories.text(elements) == full[..<range.lowerBound])
            #expect(elements.last?.finish == .stop && elements.last?.token != nil)
        } else {
            #expect(Stories.text(elements) == full)
            #expect(elements.last?.finish == .length)
        }
        #expect(elements.dropLast().allSatisfy { $0.finish == nil })
    }

    @Test func textHeldBackForAStopStringComesWithTheEnd() async throws {
        let session = try Session(Stories.model())
        // The text ends in "little", which may begin this stop string.
        let options = Stories.greedy(6, stop: ["le tiger"])
        let elements = try await Stories.elements(session.generate(.text(Stories.prompt), options: options))
        let plain = try await session.text(.text(Stories.prompt), options: Stories.greedy(6))
        #expect(Stories.text(elements) == plain)
    }

    /// The model's own end, by a bias that makes it certain; `ignoresEnd` goes on.
    @Test func theEndTokenEndsTheGeneration() async throws {
        let model = try Stories.model()
        let session = try Session(model)
        let end = try #require(model.tokenizer.eos)
        var options = Stories.greedy(5)
        options.sampling.logitBias = [end: 1000]
        let elements = try await Stories.elements(session.generate(.text(Stories.prompt), options: options))
        #expect(elements.count == 1 && elements[0].finish == .end && elements[0].token == nil && elements[0].text.isEmpty)
        #expect(await session.statistics.generatedTokens == 0)
        options.ignoresEnd = true
        let ignored = try await Stories.elements(session.generate(.text(Stories.prompt), options: options))
        #expect(Stories.tokens(ignored) == [Int32](repeating: end, count: 5) && ignored.last?.finish == .length)
        #expect(Stories.text(ignored).isEmpty)
    }

    /// Bytes of one character in several tokens are shown when they are complete, and never twice.
    @Test func charactersAreNotSplit() async throws {
        let model = try Stories.model()
        let session = try Session(model)
        // The vocabulary lacks the character: tokens of single bytes, behind one for the space before a word.
        let bytes = model.tokenizer.encode("🦊", addSpecial: false).filter { model.tokenizer.type(of: $0) == .byte }
        try #require(bytes.count == 4)
        // Each step is forced: the prompt is what came before, the bias makes the byte certain.
        var (tokens, texts) = (model.tokenizer.encode(Stories.prompt), [String]())
        var decoder = StreamingDecoder(model.tokenizer)
        for byte in bytes {
            var options = Stories.greedy(1)
            options.sampling.logitBias = [byte: 1000]
            let elements = try await Stories.elements(session.generate(.tokens(tokens), options: options))
            #expect(Stories.tokens(elements) == [byte])
            // Alone, an incomplete character is shown as such at the end.
            #expect(Stories.text(elements) == "\u{FFFD}")
            tokens.append(byte)
            texts.append(decoder.append(byte))
        }
        #expect(texts == ["", "", "", "🦊"])
    }

    // MARK: Log-probabilities

    @Test func logProbabilitiesAreOfADistribution() async throws {
        let session = try Session(Stories.model())
        var options = Stories.greedy(12)
        options.logProbabilities = 512
        for element in try await Stories.elements(session.generate(.text(Stories.prompt), options: options)) {
            let token = try #require(element.token)
            #expect(token.alternatives.count == 512)
            let total = token.alternatives.reduce(0) { $0 + exp(Double($1.logProbability)) }
            #expect(abs(total - 1) < 1e-4)
            #expect(token.alternatives.first?.token == token.id)
            #expect(token.alternatives.first?.logProbability == token.logProbability)
            #expect(zip(token.alternatives, token.alternatives.dropFirst()).allSatisfy { $0.logProbability >= $1.logProbability })
        }
        options.logProbabilities = 3
        for element in try await Stories.elements(session.generate(.text(Stories.prompt), options: options)) {
            let token = try #require(element.token)
            #expect(token.alternatives.count == 3)
            #expect(token.alternatives.reduce(0) { $0 + exp($1.logProbability) } <= 1.0001)
        }
        options.logProbabilities = 0
        for element in try await Stories.elements(session.generate(.text(Stories.prompt), options: options)) {
            let token = try #require(element.token)
            #expect(token.alternatives.isEmpty && (token.logProbability ?? 1) <= 0)
        }
        options.logProbabilities = nil
        let elements = try await Stories.elements(session.generate(.text(Stories.prompt), options: options))
        #expect(elements.allSatisfy { $0.token?.logProbability == nil })
    }

    /// Bias and penalties reshape what is drawn, not what is reported.
    @Test func logProbabilitiesAreTheModelsOwn() async throws {
        let session = try Session(Stories.model())
        var options = Stories.greedy(1)
        options.logProbabilities = 1
        let plain = try #require(try await Stories.elements(session.generate(.text(Stories.prompt), options: options)).first?.token)
        options.sampling.logitBias = [261: 1000]
        let biased = try #require(try await Stories.elements(session.generate(.text(Stories.prompt), options: options)).first?.token)
        #expect(biased.id == 261 && biased.alternatives == plain.alternatives)
        #expect(try #require(biased.logProbability) < #require(plain.logProbability))
    }

    /// The log-probabilities a generation reports are those the text has when it is scored as a whole, and those of the logits.
    @Test func scoringATextRecomputesWhatGeneratingReported() async throws {
        let model = try Stories.model(ModelOptions(threads: 1, cacheType: .f32))
        let session = try Session(model)
        let expected = try Stories.greedy()
        var options = Stories.greedy(60)
        options.logProbabilities = 0
        let elements = try await Stories.elements(session.generate(.text(expected.prompt), options: options))
        let text = expected.prompt + Stories.text(elements)
        let tokens = model.tokenizer.encode(text)
        let scores = try await session.logProbabilities(of: text)
        #expect(scores.map(\.token) == Array(tokens.dropFirst()))

        let decoder = try Decoder(model: model, context: 512)
        for (index, score) in scores.enumerated() {
            let row = Array(try decoder.evaluate([tokens[index]], at: index)[0])
            let exact = LogitComparison.logProbabilities(row)[Int(score.token)]
            #expect(abs(Double(score.logProbability) - exact) < 1e-4)
        }
        // The tokens generated are those the text has, so the reports can be compared one by one.
        try #require(Array(tokens.dropFirst(expected.promptTokens.count)) == Stories.tokens(elements))
        for (element, score) in zip(elements, scores.dropFirst(expected.promptTokens.count - 1)) {
            #expect(abs(try #require(element.token?.logProbability) - score.logProbability) < 1e-4)
        }
        #expect(try await session.logProbabilities(of: "").isEmpty)
    }

    @Test func hiddenStatesAreThoseBeforeTheHead() async throws {
        let model = try Stories.model()
        let session = try Session(model)
        let state = try await session.hiddenState(of: Stories.prompt)
        #expect(state.count == model.hyperparameters.width && state.allSatisfy(\.isFinite))
        #expect(try await session.hiddenState(of: Stories.prompt) == state)
        #expect(try await session.hiddenState(of: "The dog ran to the park.") != state)
        // Times the head (here the embedding table) they are the logits.
        let rows = try Decoder(model: model, context: 32).evaluate(model.tokenizer.encode(Stories.prompt), at: 0)
        #expect(Array(rows.hidden(row: 0)) == state)
    }
}
