// How many tokens to guess: the number that promises most tokens a second by what was measured so far, none when no number promises more than the
// plain loop.
//
// With acceptance a₁, a₂, … of the guesses in order, a step that checks k of them yields 1 + a₁ + a₁a₂ + … tokens and takes the time of a step of k + 1
// tokens and of making the guesses. Both sides are moving averages, so a text that stops repeating, or a machine that gets busy, changes the choice
// within a few steps.

/// Moving averages of what steps of each width take, in times of a step of one token.
struct StepTimes {
    /// Seconds of a step of one token; nil before the first.
    private(set) var plainSeconds: Double?
    /// By width; 0 where not measured.
    private var ratios = [Double](repeating: 0, count: Speculation.longestDraft + 2)
    private var isPlanned = [Bool](repeating: false, count: Speculation.longestDraft + 2)
    /// What each token after the first adds, over all widths: the guess for those not measured.
    private var slope = 0.25

    /// Takes in a step of `width` tokens. The first of each width plans memory and does not count.
    mutating func observe(width: Int, seconds: Double) {
        guard ratios.indices.contains(width), seconds > 0 else { return }
        guard isPlanned[width] else {
            isPlanned[width] = true
            return
        }
        guard width > 1 else {
            // A step the system interrupted says little about the next.
            plainSeconds = plainSeconds.map { $0 + (min(seconds, 2 * $0) - $0) / 8 } ?? seconds
            return
        }
        guard let plainSeconds else { return }
        let expected = ratio(width)
        let observed = max(1, min(seconds / plainSeconds, 1.5 * expected))
        ratios[width] = expected + (observed - expected) / 4
        slope += ((observed - 1) / Double(width - 1) - slope) / 8
    }

    /// What a step of `width` tokens is expected to take, beside a step of one.
    func ratio(_ width: Int) -> Double {
        if width <= 1 { return 1 }
        return ratios[width] > 0 ? ratios[width] : 1 + slope * Double(width - 1)
    }

    /// The widths measured, with their ratios.
    var measured: [Int: Double] {
        var result: [Int: Double] = [:]
        for (width, ratio) in ratios.enumerated() where ratio > 0 { result[width] = ratio }
        return result
    }
}

/// A rate of hits that forgets: an average over about the last thirty tries, starting from a guess worth three.
struct HitRate {
    private var hits: Double
    private var tries = 3.0

    init(guess: Double) { hits = 3 * guess }

    var value: Double { hits / tries }

    mutating func observe(_ isHit: Bool) {
        hits = 0.97 * hits + (isHit ? 1 : 0)
        tries = 0.97 * tries + 1
    }
}

/// The draft lengths that are considered. Few, because each width of a step has its own plan in memory.
enum DraftLength {
    private static let lengths = [1, 2, 3, 5, 7, 11, 15]
    /// What a draft must promise over the plain loop: less is within the error of the averages.
    private static let margin = 1.05

    /// The best number of tokens to guess, at most `limit`; 0 for none.
    ///
    /// `acceptance` is that of the guess at each index, given that those before it were right; `guessCost` the time of making one guess, beside a plain step.
    static func best(limit: Int, times: StepTimes, guessCost: Double, acceptance: (Int) -> Double) -> Int {
        guard times.plainSeconds != nil else { return 0 }
        var (best, bestGain) = (0, margin)
        var (tokens, reach, index) = (1.0, 1.0, 0)
        for length in lengths where length <= limit {
            while index < length {
                reach *= acceptance(index)
                tokens += reach
                index += 1
            }
            let gain = tokens / (times.ratio(length + 1) + guessCost * Double(length))
            if gain > bestGain { (best, bestGain) = (length, gain) }
        }
        return best
    }

    /// The longest draft considered within `limit`.
    static func longest(within limit: Int) -> Int { lengths.last { $0 <= limit } ?? 0 }
}
