// What a session promises: prefixes are reused, the context ends where it should, one generation at a time, errors that say what is wrong.
import SwiftletLanguage
import SwiftletRuntime
import Testing

@Suite(.enabled(if: Stories.isPresent, Stories.note)) struct SessionTests {
    // MARK: Reuse

    @Test func aPromptThatContinuesTheLastOneIsNotEvaluatedAgain() async throws {
        let model = try Stories.model()
        let session = try Session(model)
        let prompt = model.tokenizer.encode(Stories.prompt)
        let first = try await Stories.elements(session.generate(.tokens(prompt), options: Stories.greedy(20)))
        let answer = Stories.tokens(first)
        var statistics = await session.statistics
        #expect(statistics.promptTokens == prompt.count && statistics.cachedTokens == 0 && statistics.generatedTokens == 20)

        // The last token of the answer was handed out but never evaluated.
        let next = prompt + answer + model.tokenizer.encode(" Tom", addSpecial: false)
        let again = try await Stories.elements(session.generate(.tokens(next), options: Stories.greedy(40)))
        statistics = await session.statistics
        #expect(statistics.promptTokens == next.count && statistics.cachedTokens == prompt.count + answer.count - 1)
        let fresh = try await Stories.elements(Session(model).generate(.tokens(next), options: Stories.greedy(40)))
        #expect(Stories.text(again) == Stories.text(fresh) && Stories.text(fresh).count > 40)

        // Another prompt shares only the start token; the same prompt all but its last token.
        _ = try await session.text(.text("Lily had a dog"), options: Stories.greedy(3))
        #expect(await session.statistics.cachedTokens == 1)
        _ = try await session.text(.text("Lily had a dog"), options: Stories.greedy(3))
        statistics = await session.statistics
        #expect(statistics.cachedTokens == statistics.promptTokens - 1)

        await session.reset()
        let afterReset = try await session.text(.tokens(next), options: Stories.greedy(40))
        #expect(afterReset == Stories.text(fresh))
        #expect(await session.statistics.cachedTokens == 0)
    }

    @Test func whatWasScoredOrEmbeddedIsNotMistakenForAPrompt() async throws {
        let session = try Session(Stories.model())
        let expected = try await session.text(.text(Stories.prompt), options: Stories.greedy(20))
        _ = try await session.logProbabilities(of: "One day a cat sat on a mat.")
        #expect(try await session.text(.text(Stories.prompt), options: Stories.greedy(20)) == expected)
        _ = try await session.hiddenState(of: "One day a cat sat on a mat.")
        #expect(try await session.text(.text(Stories.prompt), options: Stories.greedy(20)) == expected)
    }

    // MARK: Context

    @Test func aFullContextEndsTheGeneration() async throws {
        let model = try Stories.model()
        let session = try Session(model, context: 24)
        let elements = try await Stories.elements(session.generate(.text(Stories.prompt), options: Stories.greedy(nil)))
        let expected = try Stories.greedy()
        // 5 tokens of prompt leave 19 positions; the token drawn from the last one needs none.
        #expect(Stories.tokens(elements) == Array(expected.tokens.prefix(20)))
        #expect(elements.last?.finish == .context && elements.last?.token == nil)
        #expect(elements.dropLast().allSatisfy { $0.finish == nil })
    }

    @Test func aPromptThatIsTooLongSaysByHowMuch() async throws {
        let session = try Session(Stories.model(), context: 16)
        let tokens = [Int32](repeating: 300, count: 40)
        #expect(
            await swiftletError { try await session.text(.tokens(tokens)) } == .contextOverflow(needed: 41, available: 16, excess: 25))
        #expect(
            await swiftletError { try await session.text(.tokens(Array(tokens.prefix(16)))) }
                == .contextOverflow(needed: 17, available: 16, excess: 1))
        #expect(try await !session.text(.tokens(Array(tokens.prefix(15))), options: Stories.greedy(1)).isEmpty)
        // The same for texts that are scored or embedded.
        let long = String(repeating: "The dog ran to the park. ", count: 20)
        for error in [
            await swiftletError { try await session.hiddenState(of: long) },
            await swiftletError { try await session.logProbabilities(of: long) },
        ] {
            guard case .contextOverflow(_, 16, let excess) = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
            #expect(excess > 0)
        }
    }

    @Test func contextsBeyondTheModelsAreRefused() async throws {
        let model = try Stories.model()
        #expect(model.context == 512)
        for context in [513, 0, -1] {
            guard case .invalidArgument("context", _, _) = await swiftletError({ try Session(model, context: context) }) else {
                Issue.record("\(context)")
                continue
            }
        }
        let longer = try Stories.model(ModelOptions(threads: 1, context: 1024))
        #expect(try Session(longer).context == 1024)
    }

    @Test func shiftingGoesPastTheContext() async throws {
        let model = try Stories.model()
        let session = try Session(model, context: 32)
        let elements = try await Stories.elements(
            session.generate(.text(Stories.prompt), options: Stories.greedy(100, shiftsContext: true)))
        #expect(Stories.tokens(elements).count == 100 && elements.last?.finish == .length)
        // Until the context is full nothing has changed, and what follows is what a new session says after the tokens that stay.
        let tokens = Stories.tokens(elements)
        #expect(Array(tokens.prefix(28)) == Array(try Stories.greedy().tokens.prefix(28)))
        let evaluated = model.tokenizer.encode(Stories.prompt) + tokens.prefix(27)
        let kept = [evaluated[0]] + evaluated.suffix(15) + [tokens[27]]
        let fresh = try await Stories.elements(Session(model, context: 32).generate(.tokens(kept), options: Stories.greedy(8)))
        #expect(Array(tokens[28..<36]) == Stories.tokens(fresh))
    }

    @Test func shiftingShortensAPromptThatIsTooLong() async throws {
        let model = try Stories.model()
        let long = model.tokenizer.encode(String(repeating: "The dog ran to the park. ", count: 10))
        let session = try Session(model, context: 32)
        let text = try await session.text(.tokens(long), options: Stories.greedy(10, shiftsContext: true))
        let kept = [long[0]] + long.suffix(15)
        #expect(try await text == Session(model, context: 32).text(.tokens(kept), options: Stories.greedy(10)))
        #expect(await session.statistics.promptTokens == 16)
    }

    // MARK: Order

    @Test func anotherGenerationEndsTheFirst() async throws {
        let session = try Session(Stories.model())
        var first = session.generate(.text(Stories.prompt), options: Stories.greedy(80)).makeAsyncIterator()
        for _ in 0..<5 { #expect(try await first.next() != nil) }
        var second = session.generate(.text(Stories.prompt), options: Stories.greedy(10)).makeAsyncIterator()
        var tokens: [Int32] = []
        while let element = try await second.next() {
            tokens += [element.token?.id].compactMap(\.self)
            #expect(try await first.next() == nil)
        }
        #expect(tokens == Array(try Stories.greedy().tokens.prefix(10)))
        #expect(try await first.next() == nil)
        #expect(try await second.next() == nil)
    }

    @Test func aGenerationThatCannotStartLeavesTheOneThatRuns() async throws {
        let session = try Session(Stories.model())
        var running = session.generate(.text(Stories.prompt), options: Stories.greedy(20)).makeAsyncIterator()
        var tokens = [try await running.next()].compactMap { $0?.token?.id }
        var wrong = SamplingOptions()
        wrong.topP = 2
        #expect(await swiftletError { try await session.text(.text("Lily"), options: GenerationOptions(sampling: wrong)) } != nil)
        #expect(await swiftletError { try await session.text(.tokens([])) } != nil)
        while let element = try await running.next() { tokens += [element.token?.id].compactMap(\.self) }
        #expect(tokens == Array(try Stories.greedy().tokens.prefix(20)))
    }

    @Test func nothingIsComputedBeforeItIsAskedFor() async throws {
        let session = try Session(Stories.model())
        let generation = session.generate(.text(Stories.prompt), options: Stories.greedy(5))
        #expect(await session.statistics.promptTokens == 0)
        _ = try await Stories.elements(generation)
        // A second iteration is a generation of its own.
        #expect(try await Stories.tokens(Stories.elements(generation)) == Array(try Stories.greedy().tokens.prefix(5)))
    }

    // MARK: Cancelling

    @Test func cancellingEndsAGenerationAtTheNextToken() async throws {
        let session = try Session(Stories.model(ModelOptions(threads: 1, context: 4096)))
        let (tokens, continuation) = AsyncStream.makeStream(of: Int.self)
        let task = Task {
            var count = 0
            for try await _ in session.generate(.text(Stories.prompt), options: GenerationOptions(shiftsContext: true, ignoresEnd: true)) {
                count += 1
                continuation.yield(count)
                // Cancelled from within the loop body: not one more token may follow.
                if count == 3 { withUnsafeCurrentTask { $0?.cancel() } }
            }
        }
        await #expect(throws: CancellationError.self) { try await task.value }
        continuation.finish()
        #expect(await tokens.reduce(0) { max($0, $1) } == 3)
        // The session is as good as before.
        let after = try await Stories.elements(session.generate(.text(Stories.prompt), options: Stories.greedy(10)))
        #expect(Stories.tokens(after) == Array(try Stories.greedy().tokens.prefix(10)))
    }

    @Test func cancellingStopsALongPromptBetweenBatches() async throws {
        let model = try Stories.model(ModelOptions(threads: 1, context: 4096))
        let task = Task {
            let decoder = try Decoder(model: model, context: 4096)
            withUnsafeCurrentTask { $0?.cancel() }
            try decoder.evaluate([Int32](repeating: 300, count: 2000), at: 0)
        }
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    // MARK: Wrong input

    @Test func promptsMustHoldTokensOfTheModel() async throws {
        let model = try Stories.model()
        let session = try Session(model)
        for prompt in [[], [-1], [1, 512], [1, .max], [.min]] as [[Int32]] {
            guard case .invalidArgument("prompt", _, let remedy) = await swiftletError({ try await session.text(.tokens(prompt)) }) else {
                Issue.record("\(prompt)")
                continue
            }
            #expect(!remedy.isEmpty)
        }
        // The model has no chat template.
        guard
            case .unsupported(_, "tokenizer.chat_template", _, _) = await swiftletError({
                try await session.text(.chat([ChatMessage(role: "user", content: "Hi")]))
            })
        else {
            Issue.record("a chat without a template")
            return
        }
        // An empty text still has the start token.
        #expect(try await !session.text(.text(""), options: Stories.greedy(8)).isEmpty)
    }
}
