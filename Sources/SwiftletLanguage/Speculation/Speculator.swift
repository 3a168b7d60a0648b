// The guesses of one generation: where they come from, what became of them.

struct Speculator {
    private enum Source {
        case none
        case lookup(LookupDrafter)
        case model(ModelDrafter)
    }

    private var source: Source
    /// Room for the guesses of a step, and for the tokens a step draws.
    private var draft: [Int32]
    private var tokens: [Int32] = []
    /// Nil without speculation.
    private(set) var statistics: SpeculationStatistics?

    init(
        _ options: GenerationOptions, vocabularyCount: Int, prompt: [Int32], context: Int, drafts: (LanguageModel) throws -> DraftCache
    ) throws {
        try options.speculation.validate()
        draft = Array(repeating: 0, count: Speculation.longestDraft)
        tokens.reserveCapacity(1 + Speculation.longestDraft)
        switch options.speculation {
        case .none: source = .none
        case .promptLookup(let lookup):
            let generated = min(options.maximumTokens ?? context, context)
            source = .lookup(LookupDrafter(lookup, prompt: prompt, capacity: prompt.count + generated + draft.count))
        case .draft(let model, let draft):
            source = .model(try ModelDrafter(drafts(model), draft, sampling: options.sampling, vocabularyCount: vocabularyCount))
        }
        if case .none = source { return }
        statistics = SpeculationStatistics()
    }

    /// The guesses of the step in progress.
    func withDraft<Result>(_ count: Int, _ body: (UnsafeBufferPointer<Int32>) throws -> Result) rethrows -> Result {
        try draft.withUnsafeBufferPointer { try body(UnsafeBufferPointer(rebasing: $0[0..<count])) }
    }

    func guess(_ index: Int) -> Int32 { draft[index] }

    /// What guess `index` was drawn from; nil when it is right just when the plain draw gives it.
    func distribution(_ index: Int) -> TokenDistribution? {
        guard case .model(let drafter) = source, drafter.drawsGuesses else { return nil }
        return drafter.distributions[index]
    }

    /// Guesses what follows `sequence` and `last`, `limit` tokens at most; returns how many tokens are worth checking.
    mutating func propose(after sequence: [Int32], _ last: Int32, limit: Int, times: StepTimes) throws -> Int {
        let count: Int
        switch source {
        case .none: return 0
        case .lookup(var drafter):
            // Taken out while it works, so that its arrays are not copied.
            source = .none
            count = draft.withUnsafeMutableBufferPointer { drafter.propose(into: $0, limit: limit, times: times) }
            statistics?.state = drafter.isPaused ? .paused : .active
            source = .lookup(drafter)
        case .model(var drafter):
            source = .none
            defer { source = .model(drafter) }
            count = try draft.withUnsafeMutableBufferPointer { try drafter.propose(after: sequence, last, into: $0, limit: limit, times: times) }
            statistics?.state = drafter.isPaused ? .paused : .active
        }
        return count
    }

    /// Takes in a token the step drew.
    mutating func draw(_ token: Int32) { tokens.append(token) }

    /// Ends a step that checked `drafted` guesses, of which the first `accepted` were right.
    mutating func finish(drafted: Int, accepted: Int) {
        switch source {
        case .none: break
        case .lookup(var drafter):
            source = .none
            tokens.withUnsafeBufferPointer { drafter.observe($0, drafted: drafted, accepted: accepted) }
            source = .lookup(drafter)
        case .model(var drafter):
            source = .none
            drafter.observe(drafted: drafted, accepted: accepted)
            source = .model(drafter)
        }
        tokens.removeAll(keepingCapacity: true)
        statistics?.draftedTokens += drafted
        statistics?.acceptedTokens += accepted
        if drafted > 0 { statistics?.verificationSteps += 1 } else { statistics?.plainSteps += 1 }
    }

    /// Takes in the token the prompt's evaluation drew.
    mutating func observe(_ first: Int32) {
        guard case .lookup(var drafter) = source else { return }
        source = .none
        withUnsafePointer(to: first) { drafter.observe(UnsafeBufferPointer(start: $0, count: 1), drafted: 0, accepted: 0) }
        source = .lookup(drafter)
    }
}

extension GenerationRun {
    /// One step of the model: evaluates the newest token, and guesses of those to come where they promise to pay, and draws what follows.
    ///
    /// `cached` is what the decoder's cache holds; afterwards it includes the newest token and the guesses that were right. What was evaluated beyond
    /// them is overwritten by the next step.
    mutating func advance(_ decoder: Decoder, cached: inout [Int32], context: Int, times: inout StepTimes) throws {
        let limit = min(roomForGuesses, context - cached.count - 1)
        let drafted = try speculator.propose(after: cached, last, limit: limit, times: times)
        let start = ContinuousClock.now
        let (newest, best) = (last, logitsWanted)
        let rows =
            if drafted == 0 {
                try decoder.evaluate(token: newest, at: cached.count, best: best)
            } else {
                try speculator.withDraft(drafted) { try decoder.evaluate(token: newest, draft: $0, at: cached.count, best: best) }
            }
        cached.append(newest)
        var accepted = 0
        for row in 0...drafted {
            let hasGuess = row < drafted
            let token =
                if hasGuess, let guesses = speculator.distribution(row) {
                    try draw(from: rows[row], guess: speculator.guess(row), from: guesses)
                } else {
                    try draw(from: rows[row])
                }
            speculator.draw(token)
            guard hasGuess, token == speculator.guess(row) else { break }
            accepted += 1
            // The end of the text: its row is evaluated, nothing is drawn after it.
            if ends(token) { break }
            cached.append(token)
        }
        times.observe(width: 1 + drafted, seconds: (ContinuousClock.now - start) / .seconds(1))
        speculator.finish(drafted: drafted, accepted: accepted)
    }
}
