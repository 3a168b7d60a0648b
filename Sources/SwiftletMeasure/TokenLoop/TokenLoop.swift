// The engine's part of generating a token, without text and without asynchrony: evaluate, sample, tell the penalties. What must not allocate.
import SwiftletLanguage
import SwiftletTensor

/// Generates tokens one after the other from a model.
public struct TokenLoop {
    private let decoder: Decoder
    private var sampler: Sampler
    private var token: Int32
    private var position: Int

    /// Evaluates a prompt of `promptTokens` tokens. Throws when the context is shorter than that and `tokens` together.
    public init(model: LanguageModel, sampling: SamplingOptions, promptTokens: Int = 32, tokens: Int) throws {
        guard promptTokens > 0, tokens > 0 else {
            throw SwiftletError.invalidArgument(name: "tokens", reason: "a count is not positive", remedy: "Give at least 1.")
        }
        decoder = try Decoder(model: model, context: promptTokens + tokens)
        sampler = try Sampler(sampling, vocabularyCount: model.vocabularyCount)
        let prompt = BenchmarkPrompt.tokens(promptTokens, of: model)
        for token in prompt { sampler.accept(token) }
        token = try sampler.sample(try decoder.evaluate(prompt, at: 0, best: sampler.logitsWanted)[0])
        position = promptTokens
    }

    /// Generates `count` more tokens. Throws when the context is full.
    public mutating func run(_ count: Int) throws {
        for _ in 0..<count {
            guard position < decoder.context else {
                throw SwiftletError.contextOverflow(needed: position + 1, available: decoder.context, excess: 1)
            }
            sampler.accept(token)
            token = try sampler.sample(try decoder.evaluate(token: token, at: position, best: sampler.logitsWanted)[0])
            position += 1
        }
    }
}
