import ArgumentParser
import Foundation
import SwiftletAudio

struct VADCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vad", abstract: "Finds speech in a WAVE file.",
        discussion: "Prints the start and end of each stretch of speech in seconds, as Silero's own Python code finds them.")

    @Argument(help: "A WAVE file of any rate and number of channels.")
    var file: String

    @Option(help: "The Silero VAD network: an ONNX file, or the name of a pulled model.")
    var model = "silero-vad"

    @Option(
        help: ArgumentHelp("Rate the network works at: 16000 or 8000. The sound is resampled where it has another.", valueName: "hertz"))
    var rate = 16_000

    @Flag(help: "Add the probability of each window to the JSON object.")
    var probabilities = false

    @Flag(help: "Print one JSON object.")
    var json = false

    @OptionGroup var speech: SpeechArguments
    @OptionGroup var network: NetworkArguments

    func validate() throws {
        guard rate == 16_000 || rate == 8_000 else { throw ValidationError("--rate must be 16000 or 8000.") }
        guard json || !probabilities else { throw ValidationError("--probabilities needs --json.") }
    }

    func run() async throws {
        var segmenter = try SpeechSegmenter(sampleRate: rate, settings: speech.settings)
        var reader = try SoundReader(path: file, sampleRate: rate)
        let detector = try VoiceActivityDetector(try await network.load(model, threads: 1), sampleRate: rate)
        let clock = ContinuousClock(), start = clock.now
        var (samples, windows) = (0, [Float]())
        var segments: [SpeechSegment] = []
        func take(_ new: [Float]) {
            if probabilities { windows += new }
            for segment in segmenter.process(new) { report(segment, &segments) }
        }
        while let piece = try reader.next() {
            try Task.checkCancellation()
            samples += piece.count
            take(try detector.process(piece))
        }
        take(try detector.finish())
        for segment in segmenter.finish(sampleCount: samples) { report(segment, &segments) }
        let result = VADReport(
            rate: rate, samples: samples, segments: segments, probabilities: probabilities ? windows : nil,
            computeSeconds: (clock.now - start) / .seconds(1))
        if json { try JSONOutput.print(result) }
        Console.report(result.summary)
    }

    /// Prints a stretch as soon as it is known.
    private func report(_ segment: SpeechSegment, _ segments: inout [SpeechSegment]) {
        segments.append(segment)
        guard !json else { return }
        func seconds(_ samples: Int) -> String { String(format: "%.3f", Double(samples) / Double(rate)) }
        Console.write("\(seconds(segment.start)) \(seconds(segment.end))\n")
    }
}

/// What was found. Samples are those of `sampleRate`.
struct VADReport: Encodable {
    struct Segment: Encodable {
        let start, end: Int
        let startSeconds, endSeconds: Double
    }

    let sampleRate, samples: Int
    let seconds, speechSeconds: Double
    let segments: [Segment]
    let probabilities: [Float]?
    let computeSeconds: Double

    init(rate: Int, samples: Int, segments: [SpeechSegment], probabilities: [Float]?, computeSeconds: Double) {
        func seconds(_ samples: Int) -> Double { Double(samples) / Double(rate) }
        sampleRate = rate
        self.samples = samples
        self.seconds = seconds(samples)
        speechSeconds = seconds(segments.reduce(0) { $0 + $1.end - $1.start })
        self.segments = segments.map { Segment(start: $0.start, end: $0.end, startSeconds: seconds($0.start), endSeconds: seconds($0.end)) }
        self.probabilities = probabilities
        self.computeSeconds = computeSeconds
    }

    var summary: String {
        let found = segments.count == 1 ? "1 stretch" : "\(segments.count) stretches"
        return found + String(format: " of speech, %.1f of %.1f s; computed in %.2f s", speechSeconds, seconds, computeSeconds)
    }
}
