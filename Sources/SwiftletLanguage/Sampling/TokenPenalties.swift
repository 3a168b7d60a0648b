// Penalties for tokens that were there lately: a ring of the latest tokens and how often each is in it.

/// The latest tokens of a sequence and the penalties that follow from them.
struct TokenPenalties {
    private let window: Int
    private let repetition: Float
    private let frequency: Float
    private let presence: Float
    /// The latest tokens; a ring once it holds `window` of them.
    private var latest: [Int32] = []
    private var oldest = 0
    /// How often each token of the vocabulary is in `latest`. Negative only inside `apply`: already penalised.
    private var occurrences: [Int32]

    init(_ options: SamplingOptions, vocabularyCount: Int) {
        window = options.penaltyWindow
        repetition = options.repetitionPenalty
        frequency = options.frequencyPenalty
        presence = options.presencePenalty
        occurrences = Array(repeating: 0, count: vocabularyCount)
        latest.reserveCapacity(min(window, 4096))
    }

    /// Takes in one more token of the sequence; the oldest leaves a full window.
    mutating func accept(_ token: Int32) {
        guard occurrences.indices.contains(Int(token)) else { return }
        occurrences[Int(token)] += 1
        if latest.count < window {
            latest.append(token)
        } else {
            occurrences[Int(latest[oldest])] -= 1
            latest[oldest] = token
            oldest = oldest + 1 == window ? 0 : oldest + 1
        }
    }

    mutating func reset() {
        for token in latest { occurrences[Int(token)] = 0 }
        latest.removeAll(keepingCapacity: true)
        oldest = 0
    }

    /// Lowers the logits of the tokens in the window, each token once.
    mutating func apply(to logits: UnsafeMutableBufferPointer<Float>) {
        for token in latest {
            let index = Int(token)
            let count = occurrences[index]
            guard count > 0 else { continue }
            occurrences[index] = -count
            let logit = logits[index]
            let repeated = logit > 0 ? logit / repetition : logit * repetition
            logits[index] = repeated - Float(count) * frequency - presence
        }
        for token in latest where occurrences[Int(token)] < 0 { occurrences[Int(token)].negate() }
    }
}
