// A real model writes what llama.cpp writes with it, on every instruction set, thread count and cache type.
import SwiftletLanguage
import SwiftletRuntime
import Testing

@Suite(.enabled(if: Stories.isPresent, Stories.note)) struct GreedyTextTests {
    @Test(arguments: InstructionSet.available, [1, 2])
    func textIsThatOfLlamaCpp(level: InstructionSet, threads: Int) async throws {
        let expected = try Stories.greedy()
        let model = try Stories.model(ModelOptions(threads: threads, instructionSet: level))
        #expect(model.tokenizer.encode(expected.prompt) == expected.promptTokens)
        let elements = try await Stories.elements(Session(model).generate(.text(expected.prompt), options: Stories.greedy(80)))
        #expect(Stories.tokens(elements) == expected.tokens)
        #expect(Stories.text(elements) == expected.text)
        #expect(elements.last?.finish == .length)
    }

    /// A cache of f16 keeps 11 bits.
    @Test func halfPrecisionCacheKeepsTheDistribution() throws {
        let expected = try Stories.greedy()
        func rows(_ options: ModelOptions) throws -> [[Float]] {
            let tokens = expected.promptTokens + expected.tokens
            let rows = try Decoder(model: Stories.model(options), context: 128).evaluate(tokens, at: 0, logits: .range(0..<tokens.count))
            return (0..<tokens.count).map { Array(rows[$0]) }
        }
        let comparison = LogitComparison(
            expected: try rows(ModelOptions(threads: 1, cacheType: .f32)), actual: try rows(ModelOptions(threads: 1, cacheType: .f16)))
        print("stories260k, f16 cache: \(comparison)")
        #expect(comparison.meanDivergence < 1e-5, "\(comparison)")
    }

    @Test func cachesThatHoldTheHeadsTellTheStory() async throws {
        let expected = try Stories.greedy().text
        for type in [ModelOptions.CacheType.f32, .f16] {
            let session = try Session(Stories.model(ModelOptions(threads: 1, cacheType: type)))
            #expect(try await session.text(.text(Stories.prompt), options: Stories.greedy(80)) == expected)
        }
        // Heads of 8 elements are no whole blocks of 32.
        let model = try Stories.model(ModelOptions(threads: 1, cacheType: .q8_0))
        let error = await swiftletError { try Session(model) }
        #expect(error?.description.contains("Q8_0") == true)
    }

    /// A prompt evaluated at once and token by token: batches and single rows take different kernels.
    @Test(arguments: InstructionSet.available)
    func promptsAndSingleTokensAgree(level: InstructionSet) throws {
        let expected = try Stories.greedy()
        let tokens = expected.promptTokens + expected.tokens
        let model = try Stories.model(ModelOptions(threads: 2, instructionSet: level, cacheType: .f32))
        let decoder = try Decoder(model: model, context: 128)
        let rows = try decoder.evaluate(tokens, at: 0, logits: .range(0..<tokens.count))
        let together = (0..<tokens.count).map { Array(rows[$0]) }
        let single = try tokens.enumerated().map { Array(try decoder.evaluate([$0.element], at: $0.offset)[0]) }
        let comparison = LogitComparison(expected: together, actual: single)
        #expect(comparison.relativeError < 1e-5, "\(comparison)")
    }
}
