// A conversation with a model: a cache, and generations that are pulled one token at a time.
import SwiftletRuntime

/// One sequence of tokens on a model.
///
/// A session remembers what it has evaluated: a prompt that starts like the last one plus its answer costs only its new tokens, so a chat
/// is one `generate(.chat(messages))` a turn. Sessions of one model run at once and share its weights.
public actor Session {
    public nonisolated let model: LanguageModel
    /// Tokens the cache has room for.
    public nonisolated let context: Int
    private let decoder: Decoder
    /// What the cache holds, position by position.
    private var cached: [Int32] = []
    private var run: GenerationRun?
    private var runCount = 0
    /// What steps take, kept from one generation to the next.
    private var times = StepTimes()
    /// The cache of the draft model used last.
    private var drafts: DraftCache?
    /// Figures of the latest generation.
    public private(set) var statistics = GenerationStatistics()

    public nonisolated var unownedExecutor: UnownedSerialExecutor { model.runner.asUnownedSerialExecutor() }

    /// A new, empty session. `context` is its length in tokens; nil for the model's own, at most 4,096.
    ///
    /// Throws when the context is longer than the model was loaded for or memory does not suffice.
    public init(_ model: LanguageModel, context: Int? = nil) throws {
        self.model = model
        self.context = context ?? min(model.context, 4_096)
        decoder = try Decoder(model: model, context: self.context)
    }

    /// Continues `prompt`. Nothing is computed until the result is iterated; each `next()` computes one token, and dropping the iterator
    /// or cancelling its task ends the work. Starting another generation ends this one.
    public nonisolated func generate(_ prompt: Prompt, options: GenerationOptions = GenerationOptions()) -> Generation {
        Generation(session: self, prompt: prompt, options: options)
    }

    /// The whole continuation of `prompt` as text.
    public nonisolated func text(_ prompt: Prompt, options: GenerationOptions = GenerationOptions()) async throws -> String {
        var text = ""
        for try await piece in generate(prompt, options: options) { text += piece.text }
        return text
    }

    /// The hidden state after the last norm at the last token of `text`, `[width]`: an embedding of the text as the model sees it.
    public func hiddenState(of text: String) throws -> [Float] {
        let tokens = model.tokenizer.encode(text)
        guard !tokens.isEmpty else { throw Self.emptyPrompt }
        run = nil
        cached = []
        let rows = try decoder.evaluate(tokens, at: 0)
        cached = tokens
        return Array(rows.hidden(row: 0))
    }

    /// Log-probabilities of each token of `text` given the ones before it, natural logarithm; nothing for the first token.
    public func logProbabilities(of text: String) throws -> [TokenLogProbability] {
        let tokens = model.tokenizer.encode(text)
        run = nil
        cached = []
        let probabilities = try LogProbabilities()
        var result: [TokenLogProbability] = []
        var position = 0
        // Few rows at a time: a row of logits is as long as the vocabulary.
        while position + 1 < tokens.count {
            let count = min(32, tokens.count - 1 - position)
            let rows = try decoder.evaluate(Array(tokens[position..<position + count]), at: position, logits: .range(0..<count))
            for row in 0..<count {
                let next = tokens[position + row + 1]
                let probability = try probabilities.logProbability(of: next, in: UnsafeBufferPointer(rows[row]))
                result.append(TokenLogProbability(token: next, logProbability: probability))
            }
            position += count
        }
        return result
    }

    /// Forgets everything evaluated so far.
    public func reset() {
        run = nil
        cached = []
    }

    private static let emptyPrompt = SwiftletError.invalidArgument(
        name: "prompt", reason: "it has no tokens", remedy: "Give some text, or use a model that starts with a token of its own.")

    // MARK: Generations

    /// Evaluates the prompt and returns the number of the generation.
    func start(_ prompt: Prompt, _ options: GenerationOptions) throws -> Int {
        let tokens: [Int32] =
            switch prompt {
            case .text(let text): model.tokenizer.encode(text, addSpecial: true, parseSpecial: true)
            case .tokens(let tokens): tokens
            case .chat(let messages): model.tokens(ofChatPrompt: try model.prompt(for: messages))
            }
        guard !tokens.isEmpty else { throw Self.emptyPrompt }
        if let wrong = tokens.first(where: { $0 < 0 || Int($0) >= model.vocabularyCount }) {
            throw SwiftletError.invalidArgument(
                name: "prompt", reason: "token \(wrong) is outside the vocabulary of \(model.vocabularyCount)", remedy: "Use the model's own tokenizer.")
        }
        var prompt = tokens
        if prompt.count >= context {
            guard options.shiftsContext else {
                throw SwiftletError.contextOverflow(needed: prompt.count + 1, available: context, excess: prompt.count + 1 - context)
            }
            prompt = shifted(prompt)
        }
        runCount += 1
        var run = try GenerationRun(id: runCount, options: options, model: model, prompt: prompt, context: context) { try draftCache(of: $0) }
        // From here on the cache is no longer that of the generation before, even if this one fails.
        self.run = nil
        statistics = GenerationStatistics()
        statistics.promptTokens = prompt.count
        let start = ContinuousClock.now
        // At least the last token is evaluated again: its logits are what the generation starts from.
        let shared = zip(prompt.dropLast(), cached).prefix { $0 == $1 }.count
        statistics.cachedTokens = shared
        cached.removeSubrange(shared...)
        let rows = try decoder.evaluate(Array(prompt[shared...]), at: shared, best: run.logitsWanted)
        cached = prompt
        let first = try run.draw(from: rows[0])
        run.speculator.observe(first)
        statistics.prefillSeconds = (ContinuousClock.now - start) / .seconds(1)
        self.run = run
        return run.id
    }

    /// The next step of generation `id`, or nil when it has ended or another one has begun.
    func next(_ id: Int) throws -> GeneratedText? {
        guard var run, run.id == id, !run.isFinished else { return nil }
        // Taken out while it works, so that its buffers are not copied.
        self.run = nil
        defer { self.run = run }
        if run.needsEvaluation {
            if cached.count >= context {
                guard run.options.shiftsContext else { return run.close(.context) }
                try shift()
            }
            let start = ContinuousClock.now
            try run.advance(decoder, cached: &cached, context: context, times: &times)
            statistics.decodeSeconds += (ContinuousClock.now - start) / .seconds(1)
            statistics.speculation = run.speculator.statistics
        }
        let step = run.emit()
        statistics.generatedTokens = run.generated
        if run.isFinished { statistics.speculation?.stepCosts = times.measured }
        return step
    }

    /// The cache of a draft model: the one there is, where it is of that model.
    private func draftCache(of draft: LanguageModel) throws -> DraftCache {
        if let drafts, drafts.model === draft { return drafts }
        let cache = try DraftCache(draft, for: model, context: context)
        drafts = cache
        return cache
    }

    /// The part of `tokens` that stays when the context is full: the first token, where it is the model's start token, and the newer half.
    private func shifted(_ tokens: [Int32]) -> [Int32] {
        let head = tokens.first == model.tokenizer.bos ? 1 : 0
        return Array(tokens.prefix(head)) + tokens.suffix(max(1, context / 2 - head))
    }

    /// Forgets the older half and evaluates the newer one at its new positions: exact, unlike turning the cached keys.
    private func shift() throws {
        let kept = shifted(cached)
        cached = []
        try decoder.evaluate(kept, at: 0, logits: .none)
        cached = kept
    }
}

/// The asynchronous sequence of a generation's steps.
public struct Generation: AsyncSequence, Sendable {
    public typealias Element = GeneratedText

    let session: Session
    let prompt: Prompt
    let options: GenerationOptions

    public func makeAsyncIterator() -> Iterator { Iterator(generation: self) }

    public struct Iterator: AsyncIteratorProtocol {
        let generation: Generation
        private var id: Int?

        init(generation: Generation) { self.generation = generation }

        /// Computes the next step. Throws `CancellationError` when the task was cancelled.
        public mutating func next() async throws -> GeneratedText? {
            try Task.checkCancellation()
            let id: Int
            if let started = self.id { id = started } else { id = try await generation.session.start(generation.prompt, generation.options) }
            self.id = id
            return try await generation.session.next(id)
        }
    }
}
