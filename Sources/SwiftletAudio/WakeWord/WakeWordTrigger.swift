// From scores to detections: a word was said once, however many frames in a row say so.

/// A word that was heard.
public struct WakeWordDetection: Sendable, Hashable {
    public var word: String
    /// When its score reached the threshold often enough, in seconds since the start.
    public var seconds: Double
    /// The highest score while it was heard.
    public var score: Float
}

/// Turns scores into detections. A detection begins with the `patience`-th frame in a row at or above the threshold, and ends when the score
/// has been below it for `debounce` seconds: in the middle of a word it may fall for a moment.
///
///     var trigger = try WakeWordTrigger(words: detector.words, threshold: 0.5)
///     for scores in frames { for detection in trigger.process(scores) { ... } }
///     let last = trigger.finish()
public struct WakeWordTrigger: Sendable {
    private struct Run {
        /// At or above the threshold, in a row.
        var frames = 0
        var score: Float = 0
        /// Where the last of them ended, in samples.
        var end = 0
        var detection: WakeWordDetection?
    }

    private let words: [String]
    private let threshold: Float
    private let patience: Int
    private let debounceSamples: Int
    /// By word.
    private var runs: [Run]

    /// Throws `SwiftletError.invalidArgument` for a threshold outside of 0...1, less than one frame of patience, and a debounce that is no time.
    public init(words: [String], threshold: Float = 0.5, patience: Int = 1, debounce: Double = 0.5) throws {
        try AudioChecks.range("threshold", threshold, 0...1, "of score")
        try AudioChecks.range("patience", patience, 1...1_000_000, "frames")
        try AudioChecks.range("debounce", debounce, 0...3600, "seconds")
        self.words = words
        self.threshold = threshold
        self.patience = patience
        debounceSamples = Int(debounce * Double(WakeWordDetector.sampleRate))
        runs = words.map { _ in Run() }
    }

    /// The words that are being heard now: what an app acts on at once.
    public var active: [String] { runs.compactMap(\.detection?.word) }

    /// The detections that these scores end.
    public mutating func process(_ frame: WakeWordScores) -> [WakeWordDetection] {
        var ended: [WakeWordDetection] = []
        for (index, score) in frame.scores.prefix(words.count).enumerated() {
            var run = runs[index]
            if score >= threshold {
                run.frames += 1
                run.score = max(run.score, score)
                run.end = frame.samples
                if run.detection != nil {
                    run.detection?.score = run.score
                } else if run.frames >= patience {
                    run.detection = WakeWordDetection(word: words[index], seconds: frame.seconds, score: run.score)
                }
            } else if run.detection != nil, frame.samples - run.end < debounceSamples {
                run.frames = 0
            } else {
                if let detection = run.detection { ended.append(detection) }
                run = Run()
            }
            runs[index] = run
        }
        return ended
    }

    /// The detections that the end of the sound ends. The trigger starts anew.
    public mutating func finish() -> [WakeWordDetection] {
        let ended = runs.compactMap(\.detection)
        runs = words.map { _ in Run() }
        return ended
    }
}
