import ArgumentParser
import Foundation
import SwiftletAudio
import SwiftletNetwork

struct WakeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "wake", abstract: "Finds wake words in a WAVE file.",
        discussion:
            "Prints when each word was heard, in seconds, and its highest score, as openWakeWord's Python code scores it. "
            + "Its models are not for commercial use. They are pulled one by one: wake-melspectrogram, wake-embedding, and those of the words."
    )

    @Argument(help: "A WAVE file of any rate and number of channels.")
    var file: String

    @Option(help: "A word to listen for: alexa, hey-mycroft and so on, or an ONNX file. May be given several times.")
    var word: [String] = []

    @Option(help: "Score from which a word counts as heard.")
    var threshold: Float = 0.5

    @Option(help: ArgumentHelp("Frames of 80 ms in a row that must reach the threshold.", valueName: "frames"))
    var patience = 1

    @Option(help: ArgumentHelp("Time below the threshold after which a word counts as heard anew.", valueName: "s"))
    var debounce = 0.5

    @Option(help: ArgumentHelp("Silence before and after the sound, so that words at its edges are heard.", valueName: "s"))
    var padding = 1.0

    @Option(help: "The network from sound to mel spectra.")
    var melspectrogram = "wake-melspectrogram"

    @Option(help: "The network from mel spectra to embeddings.")
    var embedding = "wake-embedding"

    @Flag(help: "Add the scores of each frame to the JSON object.")
    var scores = false

    @Flag(help: "Print one JSON object.")
    var json = false

    @OptionGroup var network: NetworkArguments

    func validate() throws {
        guard !word.isEmpty else { throw ValidationError("Give a word with --word.") }
        guard (0...60).contains(padding) else { throw ValidationError("--padding must be between 0 and 60 seconds.") }
        guard json || !scores else { throw ValidationError("--scores needs --json.") }
    }

    func run() async throws {
        var reader = try SoundReader(path: file, sampleRate: WakeWordDetector.sampleRate)
        let detector = try WakeWordDetector(try await models())
        var trigger = try WakeWordTrigger(words: detector.words, threshold: threshold, patience: patience, debounce: debounce)
        let clock = ContinuousClock(), start = clock.now
        let silence = [Float](repeating: 0, count: Int(padding * Double(WakeWordDetector.sampleRate)))
        var samples = 0
        var frames: [WakeWordScores] = [], detections: [WakeWordDetection] = []
        func take(_ piece: [Float]) throws {
            for frame in try detector.process(piece) {
                if scores { frames.append(frame) }
                for detection in trigger.process(frame) { report(detection, &detections) }
            }
        }
        try take(silence)
        while let piece = try reader.next() {
            try Task.checkCancellation()
            samples += piece.count
            try take(piece)
        }
        try take(silence)
        for detection in trigger.finish() { report(detection, &detections) }
        let result = WakeReport(
            words: detector.words, seconds: Double(samples) / Double(WakeWordDetector.sampleRate), detections: detections,
            frames: scores ? frames.map { WakeReport.Frame(seconds: $0.seconds - padding, scores: $0.scores) } : nil,
            computeSeconds: (clock.now - start) / .seconds(1))
        if json { try JSONOutput.print(result) }
        Console.report(result.summary)
    }

    private func models() async throws -> WakeWordModels {
        var words: [(name: String, model: Model)] = []
        for word in word {
            let isFile = word.hasSuffix(".onnx") || word.contains("/")
            let name =
                isFile
                ? URL(fileURLWithPath: word).deletingPathExtension().lastPathComponent : word.replacingOccurrences(of: "_", with: "-")
            words.append((name, try await network.load(isFile ? word : "wake-\(name)", threads: 1)))
        }
        return WakeWordModels(
            melspectrogram: try await network.load(melspectrogram, threads: 1), embedding: try await network.load(embedding, threads: 1),
            words: words)
    }

    /// Prints a detection as soon as it is over. Times count from the start of the file.
    private func report(_ detection: WakeWordDetection, _ detections: inout [WakeWordDetection]) {
        var detection = detection
        detection.seconds -= padding
        detections.append(detection)
        if !json {
            Console.write(
                String(format: "%.2f", detection.seconds) + " \(detection.word) " + String(format: "%.3f", detection.score) + "\n")
        }
    }
}

/// What was heard. Seconds count from the start of the file to the end of a frame.
struct WakeReport: Encodable {
    struct Detection: Encodable {
        let word: String
        let seconds: Double
        let score: Float
    }

    struct Frame: Encodable {
        let seconds: Double
        let scores: [Float]
    }

    let words: [String]
    let seconds: Double
    let detections: [Detection]
    let frames: [Frame]?
    let computeSeconds: Double

    init(words: [String], seconds: Double, detections: [WakeWordDetection], frames: [Frame]?, computeSeconds: Double) {
        self.words = words
        self.seconds = seconds
        self.detections = detections.map { Detection(word: $0.word, seconds: $0.seconds, score: $0.score) }
        self.frames = frames
        self.computeSeconds = computeSeconds
    }

    var summary: String {
        let found = detections.count == 1 ? "1 wake word" : "\(detections.count) wake words"
        return found + String(format: " in %.1f s; computed in %.2f s", seconds, computeSeconds)
    }
}
