// The state of one generation between two tokens: what was drawn, what text is certain, why it ends.

struct GenerationRun {
    let id: Int
    let options: GenerationOptions
    var sampler: Sampler
    private let endTokens: Set<Int32>
    private var decoder: StreamingDecoder
    private var stops: StopMatcher
    private var probabilities: LogProbabilities
    /// Tokens drawn; those from `handedOut` on are still to be handed out.
    private var drawn: [SampledToken] = []
    private var handedOut = 0

    /// The newest token, which the next evaluation continues from.
    private(set) var last: Int32 = 0
    /// Tokens handed out.
    private(set) var generated = 0
    private(set) var isFinished = false
    var speculator: Speculator
    /// Whether all tokens drawn have been handed out and the next one must be computed.
    var needsEvaluation: Bool { handedOut == drawn.count }
    /// How many of a row's largest logits drawing looks at; 0 for all.
    var logitsWanted: Int { options.logProbabilities == nil ? sampler.logitsWanted : 0 }
    /// Tokens that may still be handed out, a step's certain one left aside.
    var roomForGuesses: Int { options.maximumTokens.map { max(0, $0 - generated - 1) } ?? .max }

    /// Also reads the prompt for the sampler's penalties and for guesses.
    init(id: Int, options: GenerationOptions, model: LanguageModel, prompt: [Int32], context: Int, drafts: (LanguageModel) throws -> DraftCache) throws {
        self.id = id
        self.options = options
        sampler = try Sampler(options.sampling, vocabularyCount: model.vocabularyCount)
        endTokens = options.ignoresEnd ? [] : model.tokenizer.endOfGeneration
        decoder = StreamingDecoder(model.tokenizer)
        stops = StopMatcher(options.stop)
        probabilities = try LogProbabilities()
        speculator = try Speculator(options, vocabularyCount: model.vocabularyCount, prompt: prompt, context: context, drafts: drafts)
        drawn.reserveCapacity(1 + Speculation.longestDraft)
        for token in prompt { sampler.accept(token) }
    }

    /// Draws the next token from a row of logits, which is used up, and returns it. A guess that was drawn from `guesses` is kept where the rule of
    /// speculative sampling keeps it.
    @discardableResult
    mutating func draw(from logits: UnsafeMutableBufferPointer<Float>, guess: Int32 = 0, from guesses: TokenDistribution? = nil) throws -> Int32 {
        if needsEvaluation {
            drawn.removeAll(keepingCapacity: true)
            handedOut = 0
        }
        // Log-probabilities are the model's own: taken from the row as it was before bias and penalties.
        let row = options.logProbabilities == nil ? [] : Array(logits)
        let id = if let guesses { try sampler.verify(guess, from: guesses, logits) } else { try sampler.sample(logits) }
        var token = SampledToken(id: id, logProbability: nil, alternatives: [])
        if let count = options.logProbabilities {
            let result = try row.withUnsafeBufferPointer { try probabilities.logProbabilities(of: id, top: count, in: $0) }
            token = SampledToken(id: id, logProbability: result.token, alternatives: result.alternatives)
        }
        // Penalties see a token as soon as it is certain: the next row of the same step is drawn after it.
        sampler.accept(id)
        drawn.append(token)
        last = id
        return id
    }

    /// Whether `token` ends the text, so that none is drawn after it.
    func ends(_ token: Int32) -> Bool { endTokens.contains(token) }

    /// Hands out the next of the tokens drawn.
    mutating func emit() -> GeneratedText? {
        guard handedOut < drawn.count else { return nil }
        let token = drawn[handedOut]
        handedOut += 1
        if endTokens.contains(token.id) { return close(.end) }
        if let limit = options.maximumTokens, generated >= limit { return close(.length) }
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
