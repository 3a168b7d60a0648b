import SwiftletAudio
import SwiftletTensor
import Testing

/// Probabilities with settings, and the stretches that Silero's own code finds in them.
private struct Case: Decodable, Sendable {
    let samplingRate, audioLengthSamples: Int
    let threshold, negThreshold, maxSpeechDurationS: Double?
    let minSpeechDurationMs, minSilenceDurationMs, speechPadMs, minSilenceAtMaxSpeech: Int?
    let useMaxPossSilAtMaxSpeech: Bool?
    /// Probabilities in 64ths.
    let levels: [Int]
    let segments: [[Int]]

    var probabilities: [Float] { levels.map { Float($0) / 64 } }
    var expected: [SpeechSegment] { segments.map { SpeechSegment(start: $0[0], end: $0[1]) } }

    func segmenter() throws -> SpeechSegmenter {
        var settings = SpeechSettings()
        if let threshold { settings.threshold = threshold }
        settings.negativeThreshold = negThreshold
        if let maxSpeechDurationS { settings.maximumSpeech = maxSpeechDurationS }
        if let minSpeechDurationMs { settings.minimumSpeech = minSpeechDurationMs }
        if let minSilenceDurationMs { settings.minimumSilence = minSilenceDurationMs }
        if let speechPadMs { settings.padding = speechPadMs }
        if let minSilenceAtMaxSpeech { settings.minimumSilenceForCut = minSilenceAtMaxSpeech }
        if let useMaxPossSilAtMaxSpeech { settings.cutsAtLongestSilence = useMaxPossSilAtMaxSpeech }
        return try SpeechSegmenter(sampleRate: samplingRate, settings: settings)
    }
}

@Suite struct SpeechSegmenterTests {
    @Test func findsTheStretchesOfSilero() throws {
        let cases = try Vectors.decoded("segments", as: [Case].self)
        #expect(cases.count == 120)
        for (index, example) in cases.enumerated() {
            var segmenter = try example.segmenter()
            let found = segmenter.process(example.probabilities) + segmenter.finish(sampleCount: example.audioLengthSamples)
            #expect(found == example.expected, "case \(index)")
        }
    }

    /// Window by window it finds the same, nothing after the windows it needs, and starts anew after the end.
    @Test func streamsAreAsWholeRecordings() throws {
        var early = 0
        for (index, example) in try Vectors.decoded("segments", as: [Case].self).enumerated() {
            var segmenter = try example.segmenter()
            for _ in 0..<2 {
                var found: [SpeechSegment] = []
                for (window, probability) in example.probabilities.enumerated() {
                    let new = segmenter.process(CollectionOfOne(probability))
                    #expect(new.allSatisfy { $0.end <= (window + 1) * segmenter.windowSamples }, "case \(index)")
                    found += new
                }
                early += found.count
                #expect(found + segmenter.finish(sampleCount: example.audioLengthSamples) == example.expected, "case \(index)")
            }
        }
        #expect(early > 2000)
    }

    @Test func endsOfTheSound() throws {
        var segmenter = try SpeechSegmenter()
        #expect(segmenter.finish(sampleCount: 0) == [])
        // A quarter of a second is 4000 samples, and must be exceeded.
        #expect(segmenter.process([Float](repeating: 1, count: 8)) == [])
        #expect(segmenter.isInSpeech)
        #expect(segmenter.finish(sampleCount: 4000) == [])
        #expect(!segmenter.isInSpeech)
        #expect(segmenter.process([Float](repeating: 1, count: 8)) == [])
        #expect(segmenter.finish(sampleCount: 4001) == [SpeechSegment(start: 0, end: 4001)])
    }

    @Test func thresholdsAreInclusiveAbove() throws {
        var segmenter = try SpeechSegmenter(settings: SpeechSettings(threshold: 0.5, minimumSpeech: 0, padding: 0))
        #expect(segmenter.process([0.499, 0.5, 0.36]) == [])
        #expect(segmenter.isInSpeech)
        // Five windows of silence are more than 100 ms.
        #expect(segmenter.process([0.34, 0.34, 0.34, 0.34, 0.34]) == [SpeechSegment(start: 512, end: 3 * 512)])
    }

    @Test(arguments: [
        SpeechSettings(threshold: -0.1), SpeechSettings(threshold: .nan), SpeechSettings(negativeThreshold: 1.5),
        SpeechSettings(minimumSpeech: -1),
        SpeechSettings(maximumSpeech: 0), SpeechSettings(minimumSilence: .max), SpeechSettings(padding: -3),
        SpeechSettings(minimumSilenceForCut: -1),
    ])
    func refusesSettingsThatMakeNoSense(settings: SpeechSettings) {
        #expect(throws: SwiftletError.self) { try SpeechSegmenter(settings: settings) }
    }

    @Test func refusesOtherRates() { #expect(throws: SwiftletError.self) { try SpeechSegmenter(sampleRate: 44_100) } }
}
