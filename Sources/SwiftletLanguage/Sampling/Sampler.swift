// Chooses the next token: bias, penalties, filters, temperature, draw, in the order and with the definitions of llama.cpp's default chain.
//
// Nothing is allocated after the first token. One vectorised pass over the logits finds the best token and where the candidates are. Top-k and typical
// sampling leave a list of candidates; without them the weights of the whole vocabulary stand in a row (TokenWeights), which top-p and min-p cut off at an edge.
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

    private let bias: [(token: Int, amount: Float)]
    private var penalties: TokenPenalties?
    private var blocks: LogitBlocks
    private var candidates = CandidateHeap()
    /// Whether neither top-k nor typical sampling leaves a list of candidates; then `weights` takes its place.
    private let weighsAll: Bool
    private var weights: TokenWeights
    private var nucleus = Nucleus()
    /// Probabilities by token that `verify` looks up; all zero in between. Empty until the first.
    private var guessed: [Double] = []
    private var generator: SampleGenerator
    /// The largest logit after bias and penalties.
    private var largest: Float = 0

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
        blocks = try LogitBlocks(vocabularyCount: vocabularyCount)
        bias = options.logitBias.map { (Int($0.key), $0.value) }
        weighsAll = options.temperature > 0 && options.typicalP == 1 && (options.topK == 0 || options.topK >= vocabularyCount)
        weights = try TokenWeights(vocabularyCount: weighsAll ? vocabularyCount : 0)
        if options.penalises { penalties = TokenPenalties(options, vocabularyCount: vocabularyCount) }
    }

    /// How many of a row's largest logits `sample` and `verify` look at; 0 when they look at all.
    ///
    /// Bias may lift any token, and what top-p and typical sampling keep depends on all the others unless top-k goes first. A penalty may take each token of
    /// its window out of the best, so that as many more are looked at; one that is a reward may lift any.
    package var logitsWanted: Int {
        guard bias.isEmpty, !options.penalises || options.onlyLowers else { return 0 }
        let window = options.penalises ? min(options.penaltyWindow, vocabularyCount) : 0
        if options.temperature == 0 { return 1 + window }
        return options.topK > 0 && options.topK < vocabularyCount ? options.topK + window : 0
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
        let best = try prepare(logits)
        guard options.temperature > 0 else { return best }
        let total = weigh(UnsafeBufferPointer(logits))
        return draw(total: total)
    }

    /// As `sample`, and says in `distribution` what the token was drawn from.
    package mutating func sample(_ logits: UnsafeMutableBufferPointer<Float>, recording distribution: inout TokenDistribution) throws -> Int32 {
        distribution.removeAll()
        let best = try prepare(logits)
        guard options.temperature > 0 else {
            distribution.append(best, 1)
            return best
        }
        let total = weigh(UnsafeBufferPointer(logits))
        if weighsAll {
            weights.forEach { distribution.append($0, $1) }
        } else {
            for candidate in candidates.items where candidate.rank > 0 { distribution.append(candidate.token, Double(candidate.rank) / total) }
        }
        return draw(total: total)
    }

    /// Keeps `guess`, which was drawn from the distribution `guesses`, with probability min(1, p/q), or chooses another token from max(0, p − q): together
    /// that is a token of the distribution p of `sample`. Errors as of `sample`.
    ///
    /// Leviathan, Kalman and Matias, "Fast Inference from Transformers via Speculative Decoding", 2023, section 2.3 and appendix A.1.
    package mutating func verify(_ guess: Int32, from guesses: TokenDistribution, _ logits: UnsafeMutableBufferPointer<Float>) throws -> Int32 {
        let best = try prepare(logits)
        guard options.temperature > 0 else { return best }
        let row = UnsafeBufferPointer(logits)
        let total = weigh(row)
        let weight = weighsAll ? weights[guess] : candidates.items.first { $0.token == guess }?.rank ?? 0
        if generator.unit() * guesses.probability(of: guess) < Double(weight) / total { return guess }
        if weighsAll {
            weights.subtract(guesses)
            // Nothing is left only where p and q are equal but for rounding; then p itself is as good.
            return draw(total: weights.total > 0 ? weights.total : weigh(row))
        }
        if guessed.isEmpty { guessed = Array(repeating: 0, count: vocabularyCount) }
        for entry in guesses.entries where guessed.indices.contains(Int(entry.token)) { guessed[Int(entry.token)] = entry.probability }
        var rest = 0.0
        for index in candidates.items.indices {
            let candidate = candidates.items[index]
            let left = Float(max(0, Double(candidate.rank) / total - guessed[Int(candidate.token)]))
            candidates.setRank(of: index, to: left)
            rest += Double(left)
        }
        for entry in guesses.entries where guessed.indices.contains(Int(entry.token)) { guessed[Int(entry.token)] = 0 }
        return draw(total: rest > 0 ? rest : weighCandidates())
    }

    /// Applies bias and penalties, and returns the best token.
    private mutating func prepare(_ logits: UnsafeMutableBufferPointer<Float>) throws -> Int32 {
        guard logits.count == vocabularyCount, vocabularyCount > 0 else {
            throw SwiftletError.invalidArgument(
                name: "logits", reason: "\(logits.count) values for a vocabulary of \(vocabularyCount)",
                remedy: "Give one row of the model's logits.")
        }
        for (token, amount) in bias { logits[token] += amount }
        penalties?.apply(to: logits)
        guard let best = blocks.read(UnsafeBufferPointer(logits)) else {
            throw SwiftletError.invalidGraph(
                node: "logits", reason: "a logit is not a number or infinite, or every token is forbidden",
                remedy: "Check the logit bias; otherwise the model file or a kernel is broken: try --isa scalar.")
        }
        largest = logits[best]
        return Int32(truncatingIfNeeded: best)
    }

    /// Filters the row and weighs the tokens that are left, under the temperature: in `weights`, or in the ranks of `candidates`. Returns the weights' sum.
    private mutating func weigh(_ row: UnsafeBufferPointer<Float>) -> Double {
        guard weighsAll else {
            filter(row)
            return weighCandidates()
        }
        var edge = TokenEdge.logit(-.infinity)
        if options.topP < 1 {
            weights.weigh(row, largest: largest, temperature: 1, from: edge, blocks)
            edge = nucleus.edge(row, weights, share: Double(options.topP), largest: largest, blocks)
        }
        if options.minP > 0, largest + logf(options.minP) > edge.logit { edge = .logit(largest + logf(options.minP)) }
        weights.weigh(row, largest: largest, temperature: options.temperature, from: edge, blocks)
        return weights.total
    }

    /// Leaves as candidates what the filters of the options leave.
    private mutating func filter(_ row: UnsafeBufferPointer<Float>) {
        if options.topK > 0, options.topK < vocabularyCount {
            candidates.keep(row, atLeast: blocks.threshold(forBest: options.topK), blocks)
            candidates.keepBest(options.topK)
        } else {
            candidates.keep(row, atLeast: -.infinity, blocks)
        }
        if options.typicalP < 1 { keepTypical() }
        if options.topP < 1 {
            let total = mass().total
            candidates.dropLogits(below: nucleusBound(total: total, largest: largestLogit, count: candidates.count))
            keepNucleus(total: total)
        }
        if options.minP > 0 { keepProbable() }
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

    /// A logit below every one of the nucleus, among `count` tokens whose Σ exp(logit − largest) is `total`.
    ///
    /// Those less probable than (1 − p)/count hold less than 1 − p together, so the nucleus is among the others: usually a few hundred of a vocabulary. Half
    /// of that bound leaves room for rounding.
    private func nucleusBound(total: Double, largest: Float, count: Int) -> Float {
        largest + Float(log(total * Double(1 - options.topP) / Double(2 * count)))
    }

    /// Keeps the most probable tokens until their mass reaches `topP` of `total`.
    private mutating func keepNucleus(total: Double) {
        let largest = largestLogit
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

    /// Sets the candidates' ranks to their weights under the temperature, and returns the sum.
    private mutating func weighCandidates() -> Double {
        // Relative to the candidates' own maximum no exponent is positive and the sum is at least 1, at any temperature.
        let largest = largestLogit
        let temperature = options.temperature
        candidates.weigh { expf(($0.logit - largest) / temperature) }
        var total = 0.0
        for candidate in candidates.items { total += Double(candidate.rank) }
        return total
    }

    /// Draws a token by the weights of `weigh`, whose sum is `total`.
    private mutating func draw(total: Double) -> Int32 {
        if weighsAll { return weights.draw(generator.unit()) }
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
        if weighsAll {
            var result: [(token: Int32, probability: Double)] = []
            weights.forEach { result.append(($0, $1)) }
            return result
        }
        let total = candidates.items.reduce(0) { $0 + Double($1.rank) }
        return candidates.items.map { ($0.token, Double($0.rank) / total) }
    }
}
