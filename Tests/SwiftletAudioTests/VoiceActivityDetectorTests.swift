import SwiftletAudio
import SwiftletNetwork
import SwiftletTensor
import Testing

/// Four seconds of a recording and what Silero's package says of them.
@Suite(.enabled(if: PulledModels.hasVoiceActivity, "needs the model silero-vad: swiftlet pull silero-vad"))
struct VoiceActivityDetectorTests {
    private static let recordings: [(name: String, rate: Int, segments: [[Int]])] = [
        ("voice-16k", 16_000, [[5152, 14304], [20512, 46560], [53792, 64000]]),
        ("voice-8k", 8_000, [[2576, 7408], [9744, 23536], [26896, 32000]]),
    ]

    private func detector(_ rate: Int) throws -> VoiceActivityDetector {
        try VoiceActivityDetector(PulledModels.load("silero-vad"), sampleRate: rate)
    }

    @Test func probabilitiesAreThoseOfTheirRuntime() throws {
        for (name, rate, segments) in Self.recordings {
            let detector = try detector(rate)
            let samples = try Vectors.sound(name)
            let found = try detector.process(samples) + detector.finish()
            let expected = try Vectors.tensor(name).elements(as: Float.self)
            #expect(found.count == expected.count)
            let error = zip(found, expected).map { abs($0 - $1) }.max() ?? 1
            #expect(error < 1e-4, "\(name): \(error)")
            #expect(try detector.segments(of: samples) == segments.map { SpeechSegment(start: $0[0], end: $0[1]) }, "\(name)")
        }
    }

    /// Whatever the pieces, the bits are the same; after the end, after a reset and after another signal the detector is as new.
    @Test func piecesDoNotMatter() throws {
        let samples = Array(try Vectors.sound("voice-16k").prefix(20_000))
        let detector = try detector(16_000)
        let whole = try detector.process(samples) + detector.finish()
        #expect(whole.count == 40)
        for sizes in [[1, 511, 512, 513], [160], [4096], [3, 0x7FFF]] {
            var found: [Float] = []
            for piece in pieces(of: samples, sizes: sizes) { try detector.process(piece, into: &found) }
            #expect(try found + detector.finish() == whole, "\(sizes)")
        }
        _ = try detector.process(Array(samples[..<700]))
        try detector.reset()
        #expect(try detector.process(samples) == Array(whole.dropLast()))
        _ = try detector.segments(of: samples)
        #expect(try detector.process([]) == [])
        #expect(try detector.finish() == [])
    }

    /// Detectors of one model do not hear each other.
    @Test func detectorsAreIndependent() throws {
        let samples = Array(try Vectors.sound("voice-16k").prefix(10_240))
        let model = try PulledModels.load("silero-vad")
        let (first, second) = (try VoiceActivityDetector(model), try VoiceActivityDetector(model))
        let alone = try first.process(samples)
        try first.reset()
        var found: ([Float], [Float]) = ([], [])
        for piece in pieces(of: samples, sizes: [512]) {
            try first.process(piece, into: &found.0)
            try second.process(piece.map { -0.5 * $0 }, into: &found.1)
        }
        #expect(found.0 == alone)
        #expect(found.1 != alone)
    }

    @Test func refusesWhatIsNoSoundOrNoRate() throws {
        let detector = try detector(8_000)
        #expect(throws: SwiftletError.self) { try detector.process([0, .nan]) }
        #expect(throws: SwiftletError.self) { try detector.process([.infinity]) }
        #expect(throws: SwiftletError.self) { try self.detector(44_100) }
    }

    @Test(.enabled(if: PulledModels.hasWakeWords, "needs the model wake-embedding: swiftlet pull wake-embedding"))
    func refusesAnotherNetwork() {
        #expect(throws: SwiftletError.self) { try VoiceActivityDetector(PulledModels.load("wake-embedding")) }
    }
}
