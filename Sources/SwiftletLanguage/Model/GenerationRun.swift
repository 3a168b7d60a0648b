// The state of one generation between two tokens: what was drawn, what text is certain, why it ends.

struct GenerationRun {
    let id: Int
    let options: GenerationOptions
    var sampler: Sampler
    private let endTokens: Set<Int32>
    private var decoder: StreamingDecoder
    private var stops: StopMatcher
    private var probabilities: LogProbabilities
    private var drawn: SampledToken?

    /// The newest token, which the next evaluation continues from.
    private(set) var last: Int32 = 0
    private(set) var generated = 0
    private(set) var isFinished = false
    /// Whether the newest token has been handed out and the next one must be computed.
    var needsEvaluation: Bool { drawn == nil }

    init(id: Int, options: GenerationOptions, model: LanguageModel) throws {
        self.id = id
        self.options = options
        sampler = try Sampler(options.sampling, vocabularyCount: model.vocabularyCount)
        endTokens = options.ignoresEnd ? [] : model.tokenizer.endOfGeneration
        decoder = StreamingDecoder(model.tokenizer)
        stops = StopMatcher(options.stop)
        probabilities = try LogProbabilities()
    }

    /// Draws the next token from a row of logits, which is used up.
    mutating func draw(from logits: UnsafeMutableBufferPointer<Float>) throws {
        guard let count = options.logProbabilities else {
            drawn = SampledToken(id: try sampler.sample(logits), logProbability: nil, alternatives: [])
            return
        }
        // Log-probabilities are the model's own: taken from the row as it was before bias and penalties.
        let row = Array(logits)
        let id = try sampler.sample(logits)
        let result = try row.withUnsafeBufferPointer { try probabilities.logProbabilities(of: id, top: count, in: $0) }
        drawn = SampledToken(id: id, logProbability: result.token, alternatives: result.alternatives)
    }

    /// Hands out the token drawn last.
    mutating func emit() -> GeneratedText? {
        guard let token = drawn else { return nil }
        drawn = nil
        if endTokens.contains(token.id) { return close(.end) }
        if let limit = options.maximumTokens, generated >= limit { return close(.length) }
        sampler.accept(token.id)
        last = token.id
        generated += 1
        let text = stops.append(decoder.append(token.id))
        if stops.matched != nil {
            isFinished = true
            return GeneratedText(text: text, token: token, finish: .stop)
        }
        if let limit = options.maximumTokens, generated >= limit {
            isFinished = true
            return GeneratedText(text: text + rest(), token: token, finish: .length)
        }
        return GeneratedText(text: text, token: token, finish: nil)
    }

    /// Ends the generation with the text still held back.
    mutating func close(_ reason: FinishReason) -> GeneratedText {
        isFinished = true
        return GeneratedText(text: rest(), token: nil, finish: reason)
    }

    private mutating func rest() -> String {
        let text = stops.append(decoder.finish())
        return stops.matched != nil ? text : text + stops.finish()
    }
}
