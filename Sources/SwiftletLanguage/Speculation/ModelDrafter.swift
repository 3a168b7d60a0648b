// Guesses of a smaller model: it follows the sequence in a cache of its own and runs ahead of the large one by a few tokens.
import SwiftletRuntime

/// The smaller model's side of a session: its cache and what is in it. Lives as long as the session, so that a conversation is not read twice.
final class DraftCache {
    let model: LanguageModel
    private let decoder: Decoder
    /// What the cache holds: tokens of the session's sequence from `start` on.
    private var tokens: [Int32] = []
    private var start = 0

    /// Farther behind than this the cache starts over on the latest `shortMemory` tokens, so that coming back after a pause costs little. That makes
    /// guesses worse, never the text.
    private static let longestCatchUp = 256
    private static let shortMemory = 128

    /// Throws `SwiftletError.invalidArgument` when the vocabularies differ.
    init(_ model: LanguageModel, for target: LanguageModel, context: Int) throws {
        let (mine, other) = (model.tokenizer, target.tokenizer)
        guard mine.count == other.count, (0..<Int32(mine.count)).allSatisfy({ mine.piece(of: $0) == other.piece(of: $0) }) else {
            throw SwiftletError.invalidArgument(
                name: "draft model", reason: "\(model.name) has other tokens than \(target.name)",
                remedy: "Choose a smaller model of the same family, with the same vocabulary.")
        }
        self.model = model
        decoder = try Decoder(model: model, context: min(context, model.context))
    }

    /// Whether a generation's prompt can be followed from where the cache is. A new generation reads its prompt whole.
    func begin() { start = 0 }

    /// Evaluates what is missing of `sequence` followed by `last` and returns the logits after it, and how many tokens were read; nil when there is no
    /// room for `count` guesses after it. `best` as of `Decoder`.
    func follow(_ sequence: [Int32], _ last: Int32, room count: Int, best: Int) throws -> (logits: UnsafeMutableBufferPointer<Float>, read: Int)? {
        var shared = self.shared(sequence)
        let isBehind = sequence.count - start - shared > Self.longestCatchUp && (shared > 0 || start > 0)
        if isBehind || sequence.count + 1 + count - start > decoder.context {
            start = max(0, sequence.count - min(Self.shortMemory, decoder.context / 2))
            shared = 0
        }
        tokens.removeSubrange(min(shared, tokens.count)...)
        tokens.append(contentsOf: sequence[(start + shared)...])
        tokens.append(last)
        guard tokens.count + count <= decoder.context else { return nil }
        let read = tokens.count - shared
        return (try decoder.evaluate(Array(tokens[shared...]), at: shared, best: best)[0], read)
    }

    /// How much of the cache agrees with `sequence`.
    private func shared(_ sequence: [Int32]) -> Int {
        guard start <= sequence.count else { return 0 }
        var count = 0
        let limit = min(tokens.count, sequence.count - start)
        while count < limit, tokens[count] == sequence[start + count] { count += 1 }
        return count
    }

    /// The logits after one more guess.
    func extend(_ guess: Int32, best: Int) throws -> UnsafeMutableBufferPointer<Float> {
        let row = try decoder.evaluate(token: guess, at: tokens.count, best: best)[0]
        tokens.append(guess)
        return row
    }
}

/// Decides how many guesses to ask the smaller model for, and asks.
struct ModelDrafter {
    let cache: DraftCache
    private let options: DraftOptions
    private var sampler: Sampler
    /// What each guess was drawn from.
    private(set) var distributions: [TokenDistribution]
    private var rate = HitRate(guess: 0.7)
    /// Seconds a guess takes; nil before the first.
    private var guessSeconds: Double?
    private var stepsSinceDraft = 0
    private var probeInterval = 32
    private(set) var isPaused = false

    /// A pause is interrupted after so many steps at the latest.
    private static let longestPause = 1024

    init(_ cache: DraftCache, _ options: DraftOptions, sampling: SamplingOptions, vocabularyCount: Int) throws {
        self.cache = cache
        self.options = options
        cache.begin()
        // Any distribution of guesses leaves the text's as it is; penalties would need the guesses taken back one by one.
        var sampling = sampling
        sampling.penaltyWindow = 0
        if sampling.seed != nil { sampling.temperature = 0 }
        sampler = try Sampler(sampling, vocabularyCount: vocabularyCount)
        distributions = Array(repeating: TokenDistribution(), count: options.maximumTokens)
    }

    /// Whether guesses are drawn, so that `distributions` must judge them, instead of being the most probable tokens.
    var drawsGuesses: Bool { sampler.options.temperature > 0 }

    /// Writes guesses for what follows `sequence` and `last` to `draft`; returns how many.
    mutating func propose(after sequence: [Int32], _ last: Int32, into draft: UnsafeMutableBufferPointer<Int32>, limit: Int, times: StepTimes) throws -> Int {
        let count = guessCount(limit: min(limit, options.maximumTokens, draft.count), times: times)
        guard count > 0 else { return 0 }
        stepsSinceDraft = 0
        let (start, best) = (ContinuousClock.now, sampler.logitsWanted)
        guard let reached = try cache.follow(sequence, last, room: count, best: best) else { return 0 }
        var row = reached.logits
        for index in 0..<count {
            if index > 0 { row = try cache.extend(draft[index - 1], best: best) }
            draft[index] = drawsGuesses ? try sampler.sample(row, recording: &distributions[index]) : try sampler.sample(row)
        }
        if reached.read <= 4 {
            let seconds = (ContinuousClock.now - start) / .seconds(1) / Double(count)
            guessSeconds = guessSeconds.map { $0 + (min(seconds, 2 * $0) - $0) / 8 } ?? seconds
        }
        return count
    }

    private mutating func guessCount(limit: Int, times: StepTimes) -> Int {
        guard options.isAdaptive else { return max(limit, 0) }
        guard let plainSeconds = times.plainSeconds else { return 0 }
        // Until a guess is timed it is taken to cost a fifth of a step.
        let cost = guessSeconds.map { $0 / plainSeconds } ?? 0.2
        let count = DraftLength.best(limit: limit, times: times, guessCost: cost) { _ in rate.value }
        isPaused = count == 0
        guard isPaused else {
            probeInterval = 32
            return count
        }
        stepsSinceDraft += 1
        guard stepsSinceDraft >= probeInterval else { return 0 }
        probeInterval = min(2 * probeInterval, Self.longestPause)
        return DraftLength.longest(within: min(limit, 2))
    }

    /// Takes in how many of `drafted` guesses were right.
    mutating func observe(drafted: Int, accepted: Int) {
        for index in 0..<min(drafted, accepted + 1) { rate.observe(index < accepted) }
    }
}
