import SwiftletAudio
import SwiftletNetwork
import SwiftletTensor
import Testing

/// Words spoken by a synthesiser and what openWakeWord's package says of them, frame by frame.
@Suite(.enabled(if: PulledModels.hasWakeWords, "needs the models wake-melspectrogram, wake-embedding and wake-alexa: swiftlet pull NAME"))
struct WakeWordDetectorTests {
    /// The words whose models are there, in the order of the vectors.
    private static let words = ["alexa", "hey-mycroft", "hey-jarvis", "hey-marvin", "timer", "weather"].filter {
        PulledModels.path("wake-\($0)") != nil
    }

    private func detector(_ words: [String] = words) throws -> WakeWordDetector {
        try WakeWordDetector(
            WakeWordModels(
                melspectrogram: PulledModels.load("wake-melspectrogram"), embedding: PulledModels.load("wake-embedding"),
                words: words.map { ($0, try PulledModels.load("wake-\($0)")) }))
    }

    /// The package's names of words and classes.
    private func package(_ word: String) -> String {
        word.contains("_minute_") || word.contains("_hour_") ? word : word.replacing("-", with: "_") + "_v0.1"
    }

    @Test func scoresAreThoseOfTheirPackage() throws {
        let detector = try detector()
        let frames = try detector.process(Vectors.sound("wake"))
        let expected = try Vectors.tensor("wake")
        let labels = try Vectors.decoded("wake", as: [String].self)
        let values = try expected.elements(as: Float.self)
        #expect(frames.count == expected.shape[0])
        for (column, word) in detector.words.enumerated() {
            let place = try #require(labels.firstIndex(of: package(word)))
            let error = frames.enumerated().map { abs($1.scores[column] - values[$0 * labels.count + place]) }.max() ?? 1
            #expect(error < 1e-3, "\(word): \(error)")
        }
        #expect(frames.last?.samples == frames.count * 1280)
        // The vectors say something: a word is heard in them.
        #expect(values.contains { $0 > 0.9 })
    }

    /// With a second of silence on each side, as the package's `predict_clip` has it.
    @Test func paddedScoresAreThoseOfTheirPackage() throws {
        let detector = try detector()
        let silence = [Float](repeating: 0, count: 16_000)
        let frames = try detector.process(silence + Vectors.sound("wake") + silence)
        let expected = try Vectors.decoded("wake-padded", as: [String: Float].self)
        for (column, word) in detector.words.enumerated() {
            let highest = frames.map { $0.scores[column] }.max() ?? -1
            #expect(abs(highest - (expected[package(word)] ?? 2)) < 1e-3, "\(word)")
        }
    }

    @Test func piecesDoNotMatter() throws {
        let samples = Array(try Vectors.sound("wake").prefix(20_000))
        let detector = try detector(["alexa"])
        let whole = try detector.process(samples)
        #expect(whole.map(\.samples) == (1...15).map { $0 * 1280 })
        #expect(whole.prefix(5).allSatisfy { $0.scores == [0] })
        for sizes in [[1, 1279, 1280, 1281], [160], [5000]] {
            try detector.reset()
            var found: [WakeWordScores] = []
            for piece in pieces(of: samples, sizes: sizes) { found += try detector.process(piece) }
            #expect(found == whole, "\(sizes)")
        }
        #expect(throws: SwiftletError.self) { try detector.process([.nan]) }
    }

    @Test func refusesOtherNetworks() throws {
        let embedding = try PulledModels.load("wake-embedding"), mel = try PulledModels.load("wake-melspectrogram")
        #expect(throws: SwiftletError.self) {
            try WakeWordDetector(WakeWordModels(melspectrogram: mel, embedding: embedding, words: [("x", embedding)]))
        }
        #expect(throws: SwiftletError.self) { try WakeWordDetector(WakeWordModels(melspectrogram: embedding, embedding: mel, words: [])) }
    }
}

@Suite struct WakeWordTriggerTests {
    private func detections(_ scores: [[Float]], patience: Int = 1, debounce: Double = 0) throws -> [WakeWordDetection] {
        var trigger = try WakeWordTrigger(words: ["a", "b"], threshold: 0.5, patience: patience, debounce: debounce)
        let ended = scores.enumerated().flatMap { trigger.process(WakeWordScores(samples: ($0 + 1) * 1280, scores: $1)) }
        return ended + trigger.finish()
    }

    @Test func aWordInManyFramesIsHeardOnce() throws {
        let found = try detections([[0, 0], [0.5, 0], [0.9, 0.2], [0.7, 0.6], [0.4, 0.8], [0.6, 0.9]])
        #expect(found.map(\.word) == ["a", "a", "b"])
        #expect(found.map(\.score) == [0.9, 0.6, 0.9])
        #expect(found.map { Int(($0.seconds / 0.08).rounded()) } == [2, 6, 4])
    }

    @Test func patienceWantsFramesInARow() throws {
        let found = try detections([[0.9, 0.6], [0.9, 0.1], [0.1, 0.6], [0.6, 0.7], [0.1, 0.8]], patience: 2)
        #expect(found.map(\.word) == ["a", "b"])
        #expect(found.map(\.score) == [0.9, 0.8])
        #expect(found.map { Int(($0.seconds / 0.08).rounded()) } == [2, 4])
        #expect(try detections([[0.9, 0.6], [0.1, 0.1]], patience: 2).isEmpty)
    }

    /// A score that falls for less than the debounce goes on; one frame is 80 ms.
    @Test func shortDipsDoNotCount() throws {
        let scores: [[Float]] = [[0.6, 0.9], [0.1, 0.1], [0.1, 0.1], [0.8, 0.1], [0.1, 0.6], [0.1, 0.1]]
        let found = try detections(scores, debounce: 0.24)
        #expect(found.map(\.word) == ["b", "a", "b"])
        #expect(found.map(\.score) == [0.9, 0.8, 0.6])
        #expect(found.map { Int(($0.seconds / 0.08).rounded()) } == [1, 1, 5])
        #expect(try detections(scores, debounce: 0.16).count == 4)
        #expect(try detections(scores, debounce: 10).count == 2)
    }

    @Test func showsWhatIsBeingHeard() throws {
        var trigger = try WakeWordTrigger(words: ["a", "b"])
        _ = trigger.process(WakeWordScores(samples: 1280, scores: [0.1, 0.5]))
        #expect(trigger.active == ["b"])
        #expect(trigger.finish().count == 1)
        #expect(trigger.active == [])
    }

    @Test func refusesSettingsThatMakeNoSense() {
        #expect(throws: SwiftletError.self) { try WakeWordTrigger(words: [], threshold: 1.1) }
        #expect(throws: SwiftletError.self) { try WakeWordTrigger(words: [], threshold: .nan) }
        #expect(throws: SwiftletError.self) { try WakeWordTrigger(words: [], patience: 0) }
        #expect(throws: SwiftletError.self) { try WakeWordTrigger(words: [], debounce: -1) }
    }

    @Test func classesHaveTheNamesOfTheOutput() {
        let one = WakeWordClasses(word: "alexa", output: "13", count: 1)
        #expect(one?.names == ["alexa"] && one?.places == [0])
        let many = WakeWordClasses(word: "timer", output: #"{"2": "five", "1": "one", "10": "ten"}"#, count: 11)
        #expect(many?.names == ["one", "five", "ten"])
        #expect(many?.places == [1, 2, 10])
        for output in ["13", "{}", #"{"x": "one"}"#, #"{"7": "out of range"}"#, #"{"-1": "one"}"#] {
            #expect(WakeWordClasses(word: "w", output: output, count: 7) == nil, "\(output)")
        }
    }
}
