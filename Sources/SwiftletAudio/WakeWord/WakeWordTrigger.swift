// From scores to detections: a word was said once, however many frames in a row say so.

/// A word that was heard.
public struct WakeWordDetection: Sendable, Hashable {
    public var word: String
    /// When its score reached the threshold often enough, in seconds since the start.
    public var seconds: Double
    /// The highest score until it fell below the threshold.
    public var score: Float
}

/// Turns scores into detections. A detection begins with the `patience`-th frame in a row at or above the threshold, and ends with the first
/// below it.
///
///     var trigger = try WakeWordTrigger(words: detector.words, threshold: 0.5)
///     for scores in frames { for detection in trigger.process(scores) { ... } }
///     let last = trigger.finish()
public struct WakeWordTrigger: Sendable {
    private let words: [String]
    private let threshold: Float
    private let patience: Int
    /// By word: frames in a row at or above the threshold, and the detection they make.
    private var runs: [(frames: Int, score: Float, detection: WakeWordDetection?)]

    /// Throws `SwiftletError.invalidArgument` for a threshold outside of 0...1 and less than one frame of patience.
    public init(words: [String], threshold: Float = 0.5, patience: Int = 1) throws {
        try AudioChecks.range("threshold", threshold, 0...1, "of score")
        try AudioChecks.range("patience", patience, 1...1_000_000, "frames")
        self.words = words
        self.threshold = threshold
        self.patience = patience
        runs = words.map { _ in (0, 0, nil) }
    }

    /// The words that are being heard now: what an app acts on at once.
    public var active: [String] { runs.compactMap(\.detection?.word) }

    /// The detections that these scores end.
    public mutating func process(_ frame: WakeWordScores) -> [WakeWordDetection] {
        var ended: [WakeWordDetection] = []
        for (index, score) in frame.scores.prefix(words.count).enumerated() {
            guard score >= threshold else {
                if let detection = runs[index].detection { ended.append(detection) }
                runs[index] = (0, 0, nil)
                continue
            }
            var run = runs[index]
            run.frames += 1
            run.score = max(run.score, score)
            if run.frames == patience {
                run.detection = WakeWordDetection(word: words[index], seconds: frame.seconds, score: run.score)
            } else {
                run.detection?.score = run.score
            }
            runs[index] = run
        }
        return ended
    }

    /// The detections that the end of the sound ends. The trigger starts anew.
    public mutating func finish() -> [WakeWordDetection] {
        let ended = runs.compactMap(\.detection)
        runs = words.map { _ in (0, 0, nil) }
        return ended
    }
}
