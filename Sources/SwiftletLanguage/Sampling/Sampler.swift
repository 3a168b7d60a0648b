// Chooses the next token: bias, penalties, filters, temperature, draw, in the order and with the definitions of llama.cpp's default chain.
//
// Nothing is allocated after the first token: candidates live in one reused array. Where top-k is on (the usual case) the cost is one
// pass over the logits; without it the probabilities of the whole vocabulary are computed.
import SwiftletRuntime

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Chooses tokens from logits and remembers what it needs of the sequence so far. One sampler serves one sequence.
package struct Sampler {
    package let options: SamplingOptions
    package let vocabularyCount: Int
    /// The seed in use: the one of the options, or one from the system.
    package let seed: UInt64

    private let reductions: RowReductions
    private let bias: [(token: Int, amount: Float)]
    private var penalties: TokenPenalties?
    private var candidates = CandidateHeap()
    private var generator: SampleGenerator

    /// Throws `SwiftletError.invalidArgument` for settings out of range and for a biased token outside the vocabulary.
    package init(_ options: SamplingOptions, vocabularyCount: Int) throws {
        try options.validate()
        for token in options.logitBias.keys where Int(token) >= vocabularyCount {
            throw SwiftletError.invalidArgument(
                name: "logit-bias", reason: "token \(token) is not in the vocabulary of \(vocabularyCount) tokens",
                remedy: "Give ids that `swiftlet tokenize` prints for this model.")
        }
        self.options = options
        self.vocabularyCount = vocabularyCount
        seed = options.seed ?? UInt64.random(in: .min ... .max)
        generator = SampleGenerator(seed: seed)
        reductions = try RowReductions()
        bias = options.logitBias.map { (Int($0.key), $0.value) }
        if options.penalises { penalties = TokenPenalties(options, vocabularyCount: vocabularyCount) }
    }

    /// Tells the sampler that `token` is now part of the sequence (prompt or generated), for the penalties.
    package mutating func accept(_ token: Int32) { penalties?.accept(token) }

    /// Forgets the sequence. The random numbers go on where they are.
    package mutating func reset() { penalties?.reset() }

    /// Chooses a token. `logits` [vocabularyCount] are changed by bias and penalties; take log-probabilities before.
    ///
    /// Throws `SwiftletError.invalidArgument` when the count is another one, and `SwiftletError.invalidGraph` when a logit is NaN or +∞ or when
    /// all are −∞: the model's numbers are broken, and any token would be made up.
    package mutating func sample(_ logits: UnsafeMutableBufferPointer<Float>) throws -> Int32 {
        guard logits.count == vocabularyCount, vocabularyCount > 0 else {
            throw SwiftletError.invalidArgument(
                name: "logits", reason: "\(logits.count) values for a vocabulary of \(vocabularyCount)",
                remedy: "Give one row of the model's logits.")
        }
        for (token, amount) in bias { logits[token] += amount }
        penalties?.apply(to: logits)
        let row = UnsafeBufferPointer(logits)
        let best = try bestToken(row)
        guard options.temperature > 0 else { return Int32(best) }

        if options.topK > 0, options.topK < vocabularyCount {
            if candidates.count == 0 { candidates.reserve(options.topK) }
            candidates.keepBest(options.topK, of: row)
        } else {
            if candidates.count == 0 { candidates.reserve(vocabularyCount) }
            candidates.keepAll(row)
        }
        if options.typicalP < 1 { keepTypical() }
        if options.topP < 1 { keepNucleus() }
        if options.minP > 0 { keepProbable() }
        return draw()
    }

    private func bestToken(_ row: UnsafeBufferPointer<Float>) throws -> Int {
        guard !reductions.sum(row).isNaN, let best = reductions.argmax(row), row[best].isFinite else {
            throw SwiftletError.invalidGraph(
                node: "logits", reason: "a logit is not a number or infinite, or every token is forbidden",
                remedy: "Check the logit bias; otherwise the model file or a kernel is broken: try --isa scalar.")
        }
        return best
    }

    /// Σ exp(logit − largest) over the candidates, and that largest logit.
    private func mass() -> (total: Double, largest: Float) {
        let largest = largestLogit
        var total = 0.0
        for candidate in candidates.items { total += Double(expf(candidate.logit - largest)) }
        return (total, largest)
    }

    /// Keeps the tokens whose surprise −ln p is nearest to the entropy, until their mass exceeds `typicalP`.
    private mutating func keepTypical() {
        let (total, largest) = mass()
        let logTotal = Float(log(total)) + largest
        var entropy = 0.0
        for candidate in candidates.items {
            let surprise = Double(logTotal - candidate.logit)
            entropy += exp(-surprise) * surprise
        }
        let typical = Float(entropy)
        candidates.rank { logit in -abs(logTotal - logit - typical) }
        candidates.heapify()
        var kept = 0.0
        while let candidate = candidates.popBest() {
            kept += Double(expf(candidate.logit - largest)) / total
            if kept > Double(options.typicalP) { break }
        }
        candidates.keepPopped()
        candidates.rank { $0 }
    }

    /// Keeps the most probable tokens until their mass reaches `topP`.
    private mutating func keepNucleus() {
        let (total, largest) = mass()
        // Of n tokens, those less probable than (1 − p)/n hold less than 1 − p together, so the nucleus is among the others: usually a few
        // hundred of a vocabulary. Half of that bound leaves room for rounding.
        let bound = total * Double(1 - options.topP) / Double(2 * candidates.count)
        candidates.dropLogits(below: largest + Float(log(bound)))
        candidates.heapify()
        var kept = 0.0
        while let candidate = candidates.popBest() {
            kept += Double(expf(candidate.logit - largest)) / total
            if kept >= Double(options.topP) { break }
        }
        candidates.keepPopped()
    }

    /// Keeps the tokens at least `minP` times as probable as the best.
    private mutating func keepProbable() { candidates.dropLogits(below: largestLogit + logf(options.minP)) }

    private var largestLogit: Float {
        var largest = -Float.infinity
        for candidate in candidates.items where candidate.logit > largest { largest = candidate.logit }
        return largest
    }

    /// Draws a candidate by its probability under the temperature.
    private mutating func draw() -> Int32 {
        // Relative to the candidates' own maximum no exponent is positive and the sum is at least 1, at any temperature.
        let largest = largestLogit
        let temperature = options.temperature
        candidates.rank { logit in expf((logit - largest) / temperature) }
        var total = 0.0
        for candidate in candidates.items { total += Double(candidate.rank) }
        var rest = generator.unit() * total
        var chosen = candidates.items[0]
        for candidate in candidates.items where candidate.rank > 0 {
            chosen = candidate
            rest -= Double(candidate.rank)
            if rest < 0 { break }
        }
        return chosen.token
    }

    /// The tokens that the last draw chose from, with their probabilities: for tests of the filters.
    package var lastDistribution: [(token: Int32, probability: Double)] {
        let total = candidates.items.reduce(0) { $0 + Double($1.rank) }
        return candidates.items.map { ($0.token, Double($0.rank) / total) }
    }
}
