// Silero VAD, versions 5 and 6: how probable speech is in each window of 32 ms.
//
// The network sees a window behind the last samples of the one before it, and carries a recurrent state:
//
//     input [1, context + window]    16 kHz: 64 + 512 samples; 8 kHz: 32 + 256; the first context is zeros
//     state [2, 1, 128]              the LSTM's hidden and cell state, zeros at first; comes back as stateN
//     sr    i64 scalar               16000 or 8000; chooses the branch of an If
//     output [1, 1]                  the probability
//
// Source: silero-vad 6.2.3 on the Python registry (MIT), its ONNX file and the wrapper around it.
import Foundation
import SwiftletNetwork
import SwiftletTensor

/// How a signal of some rate is cut for the network, in samples.
struct VoiceActivityLayout {
    let window, context: Int

    /// Throws `SwiftletError.invalidArgument` for rates the network was not trained on.
    init(sampleRate: Int) throws {
        switch sampleRate {
        case 16_000: (window, context) = (512, 64)
        case 8_000: (window, context) = (256, 32)
        default:
            throw SwiftletError.invalidArgument(
                name: "sampleRate", reason: "\(sampleRate) hertz is neither 8000 nor 16000", remedy: "Resample the sound to 16000 hertz.")
        }
    }
}

/// Tells speech from everything else as the sound comes, without allocating. Not for several threads at once; detectors share a model's weights.
///
///     let model = try await VoiceActivityDetector.loadModel(URL(fileURLWithPath: "silero-vad.onnx"))
///     let detector = try VoiceActivityDetector(model)
///     for piece in microphone {
///         for probability in try detector.process(piece) where probability > 0.5 { print("speech") }
///     }
public final class VoiceActivityDetector {
    /// Of the samples it takes, in hertz.
    public let sampleRate: Int
    /// Samples of a window: 32 ms.
    public let windowSamples: Int
    private let context: Int
    private let session: ModelSession
    /// Samples of the window that have come.
    private var filled = 0

    /// Loads the network. One thread by default: a window is too little work to share.
    public static func loadModel(_ url: URL, options: NetworkOptions = NetworkOptions(threads: 1)) async throws -> Model {
        try await Model.load(url, options: options)
    }

    /// A detector at the start of a signal.
    ///
    /// - Parameter sampleRate: 16000 or 8000 hertz.
    /// Throws `SwiftletError.unsupported` when the model has other inputs and outputs, `.invalidArgument` for other rates.
    public init(_ model: Model, sampleRate: Int = 16_000) throws {
        let layout = try VoiceActivityLayout(sampleRate: sampleRate)
        func unsupported(_ place: String) -> SwiftletError {
            .unsupported(
                file: model.path, place: place, reason: "is not Silero VAD 5 or 6, which turns input, state and sr into output and stateN",
                remedy: "Use the one that 'swiftlet pull silero-vad' fetches.")
        }
        guard Set(model.inputs.map(\.name)) == ["input", "state", "sr"] else { throw unsupported("inputs") }
        guard Set(model.outputNames) == ["output", "stateN"] else { throw unsupported("outputs") }
        self.sampleRate = sampleRate
        (windowSamples, context) = (layout.window, layout.context)
        session = try model.session(
            ["input": (.f32, [1, layout.context + layout.window]), "state": (.f32, Self.stateShape)],
            constants: ["sr": Tensor(scalar: Int64(sampleRate))])
        // The first window of a stream shall not wait for weights to be packed, nor find out that this is another network.
        try reset()
        _ = try window()
        guard try session.output("stateN").shape == Self.stateShape, try session.output("output").elementCount == 1 else {
            throw unsupported("outputs")
        }
        try reset()
    }

    private static let stateShape: Shape = [2, 1, 128]

    /// The probabilities of speech in the windows that the next samples complete, often none.
    ///
    /// Throws `SwiftletError.invalidArgument` for samples that are no finite numbers.
    public func process(_ samples: [Float]) throws -> [Float] {
        var probabilities: [Float] = []
        try process(samples, into: &probabilities)
        return probabilities
    }

    /// Appends the probabilities of the windows that the next samples complete.
    public func process(_ samples: [Float], into probabilities: inout [Float]) throws {
        try AudioChecks.finite(samples)
        var taken = 0
        while taken < samples.count {
            let count = min(windowSamples - filled, samples.count - taken)
            let place = context + filled
            try session.withInput("input") { (input: UnsafeMutableBufferPointer<Float>) in
                for index in 0..<count { input[place + index] = samples[taken + index] }
            }
            filled += count
            taken += count
            if filled == windowSamples { probabilities.append(try window()) }
        }
    }

    /// The probability of the window that the last samples began, filled up with zeros; empty when there is none. The detector starts anew.
    public func finish() throws -> [Float] {
        guard filled > 0 else {
            try reset()
            return []
        }
        let rest = context + filled..<context + windowSamples
        try session.withInput("input") { (input: UnsafeMutableBufferPointer<Float>) in for index in rest { input[index] = 0 } }
        let probability = try window()
        try reset()
        return [probability]
    }

    /// Forgets all sound.
    public func reset() throws {
        filled = 0
        for name in ["input", "state"] {
            try session.withInput(name) { (values: UnsafeMutableBufferPointer<Float>) in values.update(repeating: 0) }
        }
    }

    /// The stretches of speech in a whole signal. The detector forgets what it heard before, and starts anew.
    public func segments(of samples: [Float], settings: SpeechSettings = SpeechSettings()) throws -> [SpeechSegment] {
        var segmenter = try SpeechSegmenter(sampleRate: sampleRate, settings: settings)
        try reset()
        var segments = segmenter.process(try process(samples))
        segments += segmenter.process(try finish())
        return segments + segmenter.finish(sampleCount: samples.count)
    }

    private func window() throws -> Float {
        try session.run()
        filled = 0
        try session.withOutput("stateN") { (next: UnsafeBufferPointer<Float>) in
            try session.withInput("state") { (state: UnsafeMutableBufferPointer<Float>) in
                for index in 0..<min(state.count, next.count) { state[index] = next[index] }
            }
        }
        // The last samples come first next time.
        try session.withInput("input") { (input: UnsafeMutableBufferPointer<Float>) in
            for index in 0..<context { input[index] = input[windowSamples + index] }
        }
        return try session.withOutput("output") { (output: UnsafeBufferPointer<Float>) in output.first ?? 0 }
    }
}
