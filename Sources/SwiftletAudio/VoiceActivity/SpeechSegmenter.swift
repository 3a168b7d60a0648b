// From the probability of speech in each window to stretches of speech, as the sound comes.
//
// A stretch begins with the first window at or above `threshold` and ends where `minimumSilence` of windows below `negativeThreshold` begins;
// windows between the two thresholds prolong whatever is. Stretches of `minimumSpeech` or less are dropped, longer ones than `maximumSpeech`
// are cut, best in a silence. All are widened by `padding`, or up to the middle of a short silence.
//
// The rules are those of Silero's `get_speech_timestamps` (silero-vad 6.2.3), which works on a whole recording; here a stretch comes out as soon
// as nothing that follows can change it, and a whole recording gives the same stretches.

/// What counts as speech. Lengths are milliseconds of sound.
public struct SpeechSettings: Sendable, Hashable {
    /// Probability from which a window is speech.
    public var threshold: Double
    /// Probability below which a window in speech is silence; nil: 0.15 less than `threshold`, but not less than 0.01.
    public var negativeThreshold: Double?
    /// Stretches up to this length are dropped.
    public var minimumSpeech: Int
    /// Seconds after which a stretch is cut.
    public var maximumSpeech: Double
    /// Silence that ends a stretch.
    public var minimumSilence: Int
    /// What is added to a stretch on each side.
    public var padding: Int
    /// Silences longer than this are places to cut a stretch that is too long.
    public var minimumSilenceForCut: Int
    /// Whether a stretch that is too long is cut at its longest silence (else its last).
    public var cutsAtLongestSilence: Bool

    public init(
        threshold: Double = 0.5, negativeThreshold: Double? = nil, minimumSpeech: Int = 250, maximumSpeech: Double = .infinity,
        minimumSilence: Int = 100, padding: Int = 30, minimumSilenceForCut: Int = 98, cutsAtLongestSilence: Bool = true
    ) {
        self.threshold = threshold
        self.negativeThreshold = negativeThreshold
        self.minimumSpeech = minimumSpeech
        self.maximumSpeech = maximumSpeech
        self.minimumSilence = minimumSilence
        self.padding = padding
        self.minimumSilenceForCut = minimumSilenceForCut
        self.cutsAtLongestSilence = cutsAtLongestSilence
    }

    /// Throws `SwiftletError.invalidArgument` for values that are no probabilities or lengths.
    func check() throws {
        try AudioChecks.range("threshold", threshold, 0...1, "of probability")
        if let negativeThreshold { try AudioChecks.range("negativeThreshold", negativeThreshold, 0...1, "of probability") }
        try AudioChecks.range("maximumSpeech", maximumSpeech, 0.001...Double.infinity, "seconds")
        let lengths = [
            ("minimumSpeech", minimumSpeech), ("minimumSilence", minimumSilence), ("padding", padding),
            ("minimumSilenceForCut", minimumSilenceForCut),
        ]
        for (name, length) in lengths { try AudioChecks.range(name, length, 0...Self.longest, "milliseconds") }
    }

    /// Forty-nine days: more than any recording, and small enough to be counted in samples.
    private static let longest = 1 << 32
}

/// A stretch of speech, in samples of the detector's rate: `start` is its first sample, `end` the one behind its last.
public struct SpeechSegment: Sendable, Hashable {
    public var start: Int
    public var end: Int

    public init(start: Int, end: Int) {
        self.start = start
        self.end = end
    }
}

/// Finds stretches of speech in probabilities that come window by window. A value: a copy goes on by itself.
///
///     var segmenter = try SpeechSegmenter(sampleRate: 16_000)
///     var segments = segmenter.process(probabilities)
///     segments += segmenter.finish(sampleCount: samples.count)
public struct SpeechSegmenter: Sendable {
    /// Samples of a window.
    public let windowSamples: Int
    private let threshold, negativeThreshold: Double
    // All in samples. The last stays a Double: infinite by default, and no whole number of samples where seconds are none.
    private let minimumSpeech, minimumSilence, padding, minimumSilenceForCut: Int
    private let maximumSpeech: Double
    private let cutsAtLongestSilence: Bool

    private var windows = 0
    /// Where the stretch that goes on began.
    private var start: Int?
    /// Where the silence began that may end it.
    private var silence: Int?
    /// The longest silence inside it so far, over which it may be cut.
    private var longestSilence: (start: Int, length: Int)?
    /// The last silence inside it that is long enough to cut at, and where speech came back after one.
    private var lastSilence: (start: Int, resumed: Int) = (0, 0)
    /// A stretch whose end depends on where the next begins.
    private var waiting: SpeechSegment?

    /// Throws `SwiftletError.invalidArgument` for settings that make no sense and for rates other than 8000 and 16000 hertz.
    public init(sampleRate: Int = 16_000, settings: SpeechSettings = SpeechSettings()) throws {
        let layout = try VoiceActivityLayout(sampleRate: sampleRate)
        try settings.check()
        windowSamples = layout.window
        let samplesPerMillisecond = sampleRate / 1000
        threshold = settings.threshold
        negativeThreshold = settings.negativeThreshold ?? max(settings.threshold - 0.15, 0.01)
        minimumSpeech = settings.minimumSpeech * samplesPerMillisecond
        minimumSilence = settings.minimumSilence * samplesPerMillisecond
        padding = settings.padding * samplesPerMillisecond
        minimumSilenceForCut = settings.minimumSilenceForCut * samplesPerMillisecond
        maximumSpeech = Double(sampleRate) * settings.maximumSpeech - Double(layout.window) - 2 * Double(padding)
        cutsAtLongestSilence = settings.cutsAtLongestSilence
    }

    /// Whether the last window belongs to a stretch that has not ended yet.
    public var isInSpeech: Bool { start != nil }

    /// The stretches that the next windows settle, in order.
    public mutating func process(_ probabilities: some Sequence<Float>) -> [SpeechSegment] {
        var settled: [SpeechSegment] = []
        for probability in probabilities {
            window(Double(probability), &settled)
            settleEarly(&settled)
            windows += 1
        }
        return settled
    }

    /// The stretches that the end of the sound settles. The segmenter starts anew.
    ///
    /// - Parameter sampleCount: samples of the whole sound, of which the last window may have had fewer than the others.
    public mutating func finish(sampleCount: Int) -> [SpeechSegment] {
        var settled: [SpeechSegment] = []
        if let start, sampleCount - start > minimumSpeech { append(start, sampleCount, &settled) }
        if var last = waiting {
            last.end = min(sampleCount, last.end + padding)
            settled.append(last)
        }
        (windows, start, silence, longestSilence, lastSilence, waiting) = (0, nil, nil, nil, (0, 0), nil)
        return settled
    }

    // MARK: Rules

    private mutating func window(_ probability: Double, _ settled: inout [SpeechSegment]) {
        let now = windows * windowSamples
        if probability >= threshold, let begun = silence { resume(after: begun, now) }
        guard let start else {
            if probability >= threshold { self.start = now }
            return
        }
        if Double(now - start) > maximumSpeech {
            guard cut(start, now, &settled) else { return }
        }
        if probability < negativeThreshold { silent(now, &settled) }
    }

    /// Speech is back after a silence inside a stretch.
    private mutating func resume(after begun: Int, _ now: Int) {
        let length = now - begun
        if length > minimumSilenceForCut, length > longestSilence?.length ?? 0 { longestSilence = (begun, length) }
        silence = nil
        if lastSilence.resumed < lastSilence.start { lastSilence.resumed = now }
    }

    /// Ends a stretch that is too long. False when it was cut where it stands, which ends the window too.
    private mutating func cut(_ start: Int, _ now: Int, _ settled: inout [SpeechSegment]) -> Bool {
        defer { forgetSilences() }
        if cutsAtLongestSilence, let longest = longestSilence {
            append(start, longest.start, &settled)
            self.start = longest.start + longest.length
            return true
        }
        if lastSilence.start > 0 {
            append(start, lastSilence.start, &settled)
            // Without speech since that silence the next stretch has not begun.
            self.start = lastSilence.resumed < lastSilence.start ? nil : lastSilence.resumed
            return true
        }
        append(start, now, &settled)
        self.start = nil
        return false
    }

    /// A window of silence, perhaps in a stretch.
    private mutating func silent(_ now: Int, _ settled: inout [SpeechSegment]) {
        guard let start else { return }
        let begun = silence ?? now
        silence = begun
        if !cutsAtLongestSilence, now - begun > minimumSilenceForCut { lastSilence.start = begun }
        guard now - begun >= minimumSilence else { return }
        if begun - start > minimumSpeech { append(start, begun, &settled) }
        self.start = nil
        forgetSilences()
    }

    private mutating func forgetSilences() { (silence, longestSilence, lastSilence) = (nil, nil, (0, 0)) }

    // MARK: Padding

    /// Takes a stretch and settles the one before it.
    private mutating func append(_ start: Int, _ end: Int, _ settled: inout [SpeechSegment]) {
        var widening = padding
        if var last = waiting {
            let gap = start - last.end
            if gap < 2 * padding {
                widening = gap / 2
                last.end += widening
            } else {
                last.end += padding
            }
            settled.append(last)
        }
        waiting = SpeechSegment(start: max(0, start - widening), end: end)
    }

    /// Settles the last stretch when the next one, wherever it begins, is too far away to matter.
    private mutating func settleEarly(_ settled: inout [SpeechSegment]) {
        guard var last = waiting, (start ?? windows * windowSamples) - last.end >= 2 * padding else { return }
        last.end += padding
        settled.append(last)
        waiting = nil
    }
}
