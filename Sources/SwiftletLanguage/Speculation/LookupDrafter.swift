// Guesses from the text itself: what followed the last tokens where they stood before.
//
// How often a guess is right depends on how many tokens agreed, so a rate is kept for each length of match. It is kept up without evaluating anything:
// whether or not guesses are checked, the token that is drawn next tells whether the first of them was right. So a text that begins to repeat
// itself is noticed at no cost, and one that does not repeat costs only the look-up.

struct LookupDrafter {
    private var index: NGramIndex
    private let options: DraftOptions
    private var rates: [HitRate]
    /// The match the current guess came from: its length and its first token.
    private var pending: (length: Int, token: Int32)?
    /// Guesses turned down since one was checked.
    private var declined = 0
    private(set) var isPaused = false

    /// After so many promising guesses that the measured times speak against, one is checked all the same, to measure again.
    private static let probeInterval = 128

    init(_ options: DraftOptions, prompt: [Int32], capacity: Int) {
        self.options = options
        index = NGramIndex(capacity: max(capacity, prompt.count))
        // Two tokens agree often by chance, many only where text is copied.
        rates = (0...NGramIndex.longestMatch).map { HitRate(guess: min(0.85, 0.15 + 0.1 * Double(max(0, $0 - 2)))) }
        for token in prompt { index.append(token) }
    }

    /// Writes guesses to `draft` and returns how many are worth checking.
    mutating func propose(into draft: UnsafeMutableBufferPointer<Int32>, limit: Int, times: StepTimes) -> Int {
        pending = nil
        guard let match = index.match() else { return 0 }
        index.copy(from: match.continuation, to: draft)
        pending = (match.length, draft[0])
        let limit = min(limit, options.maximumTokens, draft.count)
        guard limit > 0 else { return 0 }
        guard options.isAdaptive else { return limit }
        var count = DraftLength.best(limit: limit, times: times, guessCost: 0) { rate(match.length + $0) }
        isPaused = count == 0
        if count == 0, rate(match.length) > 0.5 {
            declined += 1
            if declined >= Self.probeInterval, times.plainSeconds != nil { count = DraftLength.longest(within: min(limit, 3)) }
        }
        if count > 0 { declined = 0 }
        return count
    }

    /// Takes in the tokens a step drew. The first `accepted` of them were guessed right, of `drafted` that were checked (0: a plain step).
    mutating func observe(_ tokens: UnsafeBufferPointer<Int32>, drafted: Int, accepted: Int) {
        if let pending, let first = tokens.first {
            if drafted == 0 {
                rates[bucket(pending.length)].observe(first == pending.token)
            } else {
                for index in 0..<min(drafted, accepted + 1) { rates[bucket(pending.length + index)].observe(index < accepted) }
            }
        }
        pending = nil
        for token in tokens { index.append(token) }
    }

    private func bucket(_ length: Int) -> Int { min(length, NGramIndex.longestMatch) }
    private func rate(_ length: Int) -> Double { rates[bucket(length)].value }
}
