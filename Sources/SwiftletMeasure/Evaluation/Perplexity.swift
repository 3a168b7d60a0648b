// Perplexity of a model on a text, by the procedure of llama.cpp's perplexity tool, so that figures compare.
//
// The text is tokenised once and cut into windows of `context` tokens; a rest shorter than a window is dropped. Where the model starts
// sequences with a token of its own, that token stands in place of a window's first one. Each window is evaluated alone. Its first
// half only gives context: scored are the tokens at context/2 + 1 ... context − 1. Perplexity is exp(mean(−ln p)) over all of them.
import Foundation
import SwiftletLanguage
import SwiftletTensor

/// Measures perplexity.
public struct Perplexity: Sendable {
    /// Tokens in a window.
    public var context: Int
    /// How many windows to score, from the start of the text; nil for all.
    public var chunks: Int?

    public init(context: Int = 512, chunks: Int? = nil) {
        self.context = context
        self.chunks = chunks
    }

    /// What was measured.
    public struct Result: Sendable, Codable, Equatable {
        public var perplexity: Double
        /// One standard error of the perplexity, from the variance of −ln p over the scored tokens.
        public var standardError: Double
        /// Mean of −ln p, in nats a token.
        public var negativeLogLikelihood: Double
        public var context: Int
        /// Windows scored.
        public var chunks: Int
        public var scoredTokens: Int
        /// Tokens of the whole text.
        public var textTokens: Int
        /// Time of evaluation, without tokenising and loading.
        public var seconds: Double
    }

    /// The estimate after one more window.
    public struct Progress: Sendable {
        public let chunk: Int
        public let chunks: Int
        public let perplexity: Double
    }

    /// Scores UTF-8 text. `progress` is called after each window; what it throws ends the measurement.
    ///
    /// Throws `SwiftletError.invalidArgument` when the context is under 4 tokens or the text has fewer than two windows, and what evaluation throws.
    public func measure(_ text: [UInt8], model: LanguageModel, progress: (Progress) throws -> Void = { _ in }) throws -> Result {
        let tokens = text.withUnsafeBufferPointer { model.tokenizer.encode($0, addSpecial: true) }
        return try measure(tokens: tokens, model: model, progress: progress)
    }

    /// Scores a text given as tokens.
    public func measure(tokens: [Int32], model: LanguageModel, progress: (Progress) throws -> Void = { _ in }) throws -> Result {
        let count = try windowCount(of: tokens.count)
        let scorer = try TokenScorer(try Decoder(model: model, context: context))
        let clock = ContinuousClock()
        let start = clock.now
        var (sum, squares, scored) = (0.0, 0.0, 0)
        for chunk in 0..<count {
            var window = Array(tokens[chunk * context..<(chunk + 1) * context])
            if model.tokenizer.addsBos, let bos = model.tokenizer.bos { window[0] = bos }
            try scorer.score(window, at: 0, from: context / 2) { logProbability in
                sum -= logProbability
                squares += logProbability * logProbability
                scored += 1
            }
            try progress(Progress(chunk: chunk + 1, chunks: count, perplexity: exp(sum / Double(scored))))
        }
        let mean = sum / Double(scored)
        let variance = max(0, squares / Double(scored) - mean * mean)
        return Result(
            perplexity: exp(mean), standardError: scored > 1 ? exp(mean) * (variance / Double(scored - 1)).squareRoot() : 0,
            negativeLogLikelihood: mean, context: context, chunks: count, scoredTokens: scored, textTokens: tokens.count,
            seconds: (clock.now - start) / .seconds(1))
    }

    /// How many windows a text of so many tokens gives.
    func windowCount(of tokens: Int) throws -> Int {
        guard context >= 4 else {
            throw SwiftletError.invalidArgument(
                name: "context", reason: "\(context) tokens are too few to score", remedy: "Give at least 4.")
        }
        guard tokens >= 2 * context else {
            throw SwiftletError.invalidArgument(
                name: "text", reason: "\(tokens) tokens, where a context of \(context) needs \(2 * context)",
                remedy: "Give a longer text or a shorter context.")
        }
        let available = tokens / context
        let count = min(chunks ?? available, available)
        guard count > 0 else {
            throw SwiftletError.invalidArgument(name: "chunks", reason: "\(count) is not positive", remedy: "Score at least one.")
        }
        return count
    }
}
