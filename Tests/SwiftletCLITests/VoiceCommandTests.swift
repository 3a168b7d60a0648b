import Foundation
import SwiftletFormats
import SwiftletTensor
import Testing

private let vectors = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../SwiftletAudioTests/Vectors")
    .standardizedFileURL

private func isPulled(_ name: String) -> Bool {
    let environment = ProcessInfo.processInfo.environment
    let folder = environment["SWIFTLET_CACHE"] ?? (environment["HOME"] ?? "") + "/.cache/swiftlet"
    return FileManager.default.fileExists(atPath: "\(folder)/\(name).onnx")
}

@Suite(
    .enabled(
        if: CommandRun.binary != nil && isPulled("silero-vad"), "needs the built command and the model silero-vad: swiftlet pull silero-vad"
    ))
struct VADCommandTests {
    private let recording = vectors.appending(path: "voice-16k.wav").path

    @Test func printsTheStretchesOfSilero() throws {
        let run = try CommandRun(["vad", recording])
        #expect(run.status == 0)
        #expect(run.output == "0.322 0.894\n1.282 2.910\n3.362 4.000\n")
        #expect(run.errors.contains("3 stretches of speech, 2.8 of 4.0 s"))
    }

    @Test func jsonHasSamplesAndSeconds() throws {
        let object = try CommandRun(["vad", recording, "--json", "--probabilities"]).object()
        let segments = try #require(object["segments"] as? [[String: Any]])
        #expect(segments.compactMap { $0["start"] as? Int } == [5152, 20512, 53792])
        #expect(segments.compactMap { $0["end"] as? Int } == [14304, 46560, 64000])
        #expect(segments.first?["start_seconds"] as? Double == 0.322)
        #expect(segments.first?["end_seconds"] as? Double == 0.894)
        #expect(object["sample_rate"] as? Int == 16_000)
        #expect(object["samples"] as? Int == 64_000)
        #expect((object["probabilities"] as? [Any])?.count == 125)
    }

    @Test func settingsChangeWhatIsFound() throws {
        #expect(try CommandRun(["vad", recording, "--min-silence", "600"]).output.split(separator: "\n").count == 1)
        #expect(try CommandRun(["vad", recording, "--min-speech", "1000"]).output.split(separator: "\n").count == 1)
        #expect(try CommandRun(["vad", recording, "--max-speech", "0.4"]).output.split(separator: "\n").count > 3)
        #expect(try CommandRun(["vad", recording, "--rate", "8000"]).output.split(separator: "\n").count == 3)
    }

    /// Two channels at 44.1 kHz are mixed and resampled: the same stretches, give or take a window.
    @Test func anyRateAndChannels() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).wav").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let samples = try WAVFile(path: recording).mono()
        // Linear interpolation is enough for a voice.
        let frames = samples.count * 441 / 160 - 3
        let other = (0..<frames).map { frame in
            let (place, part) = (frame * 160 / 441, Float(frame * 160 % 441) / 441)
            return samples[place] * (1 - part) + samples[place + 1] * part
        }
        try WAVFile.write(
            Tensor(other.map { 1.5 * $0 } + other.map { 0.5 * $0 }, shape: [2, frames]), sampleRate: 44_100, encoding: .int24, to: path)
        let object = try CommandRun(["vad", path, "--json"]).object()
        let starts = (object["segments"] as? [[String: Any]])?.compactMap { $0["start"] as? Int } ?? []
        #expect(starts.count == 3)
        #expect(zip(starts, [5152, 20512, 53792]).allSatisfy { abs($0 - $1) <= 512 })
    }

    @Test(arguments: [["--rate", "44100"], ["--probabilities"], ["--threads", "0"]])
    func wrongUsageIsCode2(arguments: [String]) throws { #expect(try CommandRun(["vad", recording] + arguments).status == 2) }

    @Test(arguments: [["/absent.wav"], ["/dev/null"], [vectors.appending(path: "segments.json").path]])
    func badFilesAreCode1(arguments: [String]) throws {
        let run = try CommandRun(["vad"] + arguments)
        #expect(run.status == 1)
        #expect(run.output.isEmpty)
        #expect(run.errors.hasPrefix("error: "))
    }

    @Test func badSettingsAreCode1() throws {
        let run = try CommandRun(["vad", recording, "--threshold", "2"])
        #expect(run.status == 1)
        #expect(run.errors.contains("threshold"))
    }
}

@Suite(
    .enabled(
        if: CommandRun.binary != nil && ["melspectrogram", "embedding", "alexa"].allSatisfy { isPulled("wake-\($0)") },
        "needs the built command and the models wake-melspectrogram, wake-embedding and wake-alexa: swiftlet pull NAME"))
struct WakeCommandTests {
    private let recording = vectors.appending(path: "wake.wav").path

    /// openWakeWord's highest score of "alexa" on this sound is 0.720, with a second of silence on each side.
    @Test func printsWhatOpenWakeWordHears() throws {
        let run = try CommandRun(["wake", recording, "--word", "alexa", "--json", "--scores"])
        let object = try run.object()
        let detections = try #require(object["detections"] as? [[String: Any]])
        #expect(detections.count == 1)
        #expect(detections.first?["word"] as? String == "alexa")
        #expect(abs((detections.first?["score"] as? Double ?? 0) - 0.7203) < 1e-3)
        #expect((object["frames"] as? [Any])?.count == (32_000 + 70_333) / 1280)
        let text = try CommandRun(["wake", recording, "--word", "alexa"]).output
        #expect(text.hasSuffix(" alexa 0.720\n"))
        #expect(try CommandRun(["wake", recording, "--word", "alexa", "--threshold", "0.8"]).output.isEmpty)
    }

    @Test func unknownWordsAreCode1() throws {
        let run = try CommandRun(["wake", recording, "--word", "abracadabra"])
        #expect(run.status == 1)
        #expect(run.errors.hasPrefix("error: "))
    }

    @Test(arguments: [[], ["--word", "alexa", "--padding", "-1"], ["--word", "alexa", "--scores"]])
    func wrongUsageIsCode2(arguments: [String]) throws { #expect(try CommandRun(["wake", recording] + arguments).status == 2) }
}
