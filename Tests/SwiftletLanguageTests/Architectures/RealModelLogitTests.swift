// Logits of real models on real text: every instruction set against the reference backend.
import Foundation
import SwiftletFormats
import SwiftletLanguage
import SwiftletRuntime
import Testing

@Suite struct RealModelLogitTests {
    private static let smolLM2 = Fixtures.smolLM2
    private static let gemma3 = Fixtures.path(of: "gemma-3-270m-q4_k_m.gguf")

    /// About 90 tokens of either model.
    private static let text = """
        The lighthouse at the end of the bay was built in 1873, after three ships had been lost on the rocks within a single winter. Its keeper, \
        a quiet man named Arthur Bell, lived there with his wife and two daughters for thirty-one years. Every evening he climbed the 142 steps, \
        trimmed the wick and wound the clockwork that turned the lens. "You can learn a great deal about the sea," he once wrote, "by
        """

    /// The logits of the last `count` tokens of the text's first `tokens`.
    private func rows(
        _ path: String, tokens: Int, count: Int, options: ModelOptions, makeBackends: ((ThreadPool, UInt32) throws -> BackendSet)? = nil
    ) throws -> [[Float]] {
        var options = options
        options.context = 128
        let model = try LanguageModel(file: GGUFFile(path: path), options: options, makeBackends: makeBackends)
        let prompt = Array(model.tokenizer.encode(Self.text).prefix(tokens))
        try #require(prompt.count == tokens)
        let rows = try Decoder(model: model, context: 128).evaluate(prompt, at: 0, logits: .range(tokens - count..<tokens))
        return (0..<count).map { Array(rows[$0]) }
    }

    private func compare(_ path: String, tokens: Int, count: Int, scalarCount: Int) throws {
        let expected = try rows(path, tokens: tokens, count: count, options: ModelOptions()) { pool, _ in
            BackendSet([ReferenceBackend(pool: pool)])
        }
        for level in InstructionSet.available {
            for activations in ModelOptions.Activations.allCases {
                // The scalar kernels are slow: fewer tokens, whose logits do not depend on the ones after them.
                let last = level == .scalar || level == .portable ? scalarCount : count
                let kept = tokens - count + last
                let actual = try rows(
                    path, tokens: kept, count: last, options: ModelOptions(instructionSet: level, activations: activations))
                let comparison = LogitComparison(expected: Array(expected.prefix(last)), actual: actual)
                print("\(URL(filePath: path).lastPathComponent), \(level), \(activations): \(comparison)")
                // 15-bit activations are as good as exact; 8-bit ones err about as much as the 8-bit weights of a model file would.
                #expect(comparison.meanDivergence < (activations == .int15 ? 1e-4 : 1e-2), "\(level), \(activations): \(comparison)")
            }
        }
    }

    @Test(.enabled(if: smolLM2 != nil, "needs the model smollm2-135m: swiftlet pull smollm2-135m"))
    func smolLM2FollowsTheReference() throws {
        try compare(#require(Self.smolLM2), tokens: 88, count: 88, scalarCount: 24)
    }

    /// What the cache's rounding does to the distribution: f16 keeps 11 bits of keys and values, q8_0 eight.
    @Test(.enabled(if: smolLM2 != nil, "needs the model smollm2-135m: swiftlet pull smollm2-135m"))
    func cacheTypesKeepTheDistribution() throws {
        let path = try #require(Self.smolLM2)
        let expected = try rows(path, tokens: 88, count: 88, options: ModelOptions(cacheType: .f32))
        for (type, limit) in [(ModelOptions.CacheType.f16, 1e-4), (.q8_0, 2e-3)] {
            let comparison = LogitComparison(
                expected: expected, actual: try rows(path, tokens: 88, count: 88, options: ModelOptions(cacheType: type)))
            print("SmolLM2, \(type.rawValue) cache: \(comparison)")
            #expect(comparison.meanDivergence < limit, "\(type.rawValue): \(comparison)")
        }
    }

    /// A vocabulary of 262,144: the head is most of the work, so fewer rows.
    @Test(.enabled(if: gemma3 != nil, "needs the model gemma3-270m: swiftlet pull gemma3-270m"))
    func gemma3FollowsTheReference() throws {
        try compare(#require(Self.gemma3), tokens: 88, count: 48, scalarCount: 8)
    }
}
