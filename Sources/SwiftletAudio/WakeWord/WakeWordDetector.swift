// Wake words: a small network per word over the last second or two of embeddings, every 80 ms.
//
// A word's network takes `[1, n, 96]`, the last n embeddings (16 for most words), and gives `[1, 1]`, a score, or `[1, classes]` with the names of
// the classes in the name of its output, a JSON object from class to name; classes without a name are none of them.
// Until five frames have passed scores are 0: the histories still hold what stands for sound that was not there.
// Source: the Python streaming code of openWakeWord 0.4.0; scores are those of its `Model.predict` on frames of 1280 samples.
import Foundation
import SwiftletNetwork
import SwiftletTensor

/// How sure a detector is of each word after a frame.
public struct WakeWordScores: Sendable, Hashable {
    /// Samples of 16 kHz since the start, this frame included.
    public var samples: Int
    /// 0 to 1, in the order of the detector's `words`.
    public var scores: [Float]

    public init(samples: Int, scores: [Float]) {
        self.samples = samples
        self.scores = scores
    }

    /// Seconds since the start, this frame included.
    public var seconds: Double { Double(samples) / Double(SpeechEmbedding.sampleRate) }
}

/// Listens for words as the sound comes. Not for several threads at once; detectors share the models' weights.
///
///     let models = try await WakeWordModels.load(melspectrogram: melURL, embedding: embeddingURL, words: [("alexa", alexaURL)])
///     let detector = try WakeWordDetector(models)
///     for piece in microphone {                                    // 16 kHz, any number of samples
///         for frame in try detector.process(piece) where frame.scores[0] > 0.5 { print("alexa at \(frame.seconds)") }
///     }
public final class WakeWordDetector {
    /// Of the samples it takes, in hertz.
    public static let sampleRate = SpeechEmbedding.sampleRate
    /// Samples from one score to the next: 80 ms.
    public static let frameSamples = SpeechEmbedding.frameSamples

    /// What scores are of: the names of the words, and of the classes of those that have several.
    public let words: [String]
    private let embedding: SpeechEmbedding
    private let heads: [WakeWordHead]
    /// Samples that do not fill a frame yet.
    private var pending: [Float] = []
    private var frames = 0
    /// Frames after which scores count.
    private static let warmUp = 5

    /// A detector at the start of a signal.
    ///
    /// Throws `SwiftletError.unsupported` when a network is none of openWakeWord.
    public init(_ models: WakeWordModels) throws {
        let embedding = try SpeechEmbedding(mel: models.melspectrogram, embedding: models.embedding)
        heads = try models.words.map { try WakeWordHead(name: $0.name, model: $0.model, silence: embedding.silence) }
        self.embedding = embedding
        words = heads.flatMap(\.classes.names)
        pending.reserveCapacity(Self.frameSamples)
    }

    /// Scores after each frame that the next samples (16 kHz, between -1 and 1) complete, often none.
    ///
    /// Throws `SwiftletError.invalidArgument` for samples that are no finite numbers.
    public func process(_ samples: [Float]) throws -> [WakeWordScores] {
        try AudioChecks.finite(samples)
        var results: [WakeWordScores] = []
        var rest = samples[...]
        while pending.count + rest.count >= Self.frameSamples {
            let count = Self.frameSamples - pending.count
            if pending.isEmpty {
                results.append(try frame(rest.prefix(count)))
            } else {
                pending += rest.prefix(count)
                results.append(try frame(pending[...]))
                pending.removeAll(keepingCapacity: true)
            }
            rest = rest.dropFirst(count)
        }
        pending += rest
        return results
    }

    /// Forgets all sound.
    public func reset() throws {
        try embedding.reset()
        for head in heads { try head.reset() }
        pending.removeAll(keepingCapacity: true)
        frames = 0
    }

    private func frame(_ samples: ArraySlice<Float>) throws -> WakeWordScores {
        var scores: [Float] = []
        scores.reserveCapacity(words.count)
        try embedding.process(samples) { new in
            for head in heads { try head.score(after: new, into: &scores) }
        }
        frames += 1
        if frames <= Self.warmUp { for index in scores.indices { scores[index] = 0 } }
        return WakeWordScores(samples: frames * Self.frameSamples, scores: scores)
    }
}

/// The networks of a detector.
public struct WakeWordModels: Sendable {
    public let melspectrogram, embedding: Model
    public let words: [(name: String, model: Model)]

    public init(melspectrogram: Model, embedding: Model, words: [(name: String, model: Model)]) {
        self.melspectrogram = melspectrogram
        self.embedding = embedding
        self.words = words
    }

    /// Loads the networks. One thread by default: a frame is too little work to share.
    public static func load(
        melspectrogram: URL, embedding: URL, words: [(name: String, url: URL)], options: NetworkOptions = NetworkOptions(threads: 1)
    ) async throws -> WakeWordModels {
        var models: [(name: String, model: Model)] = []
        for (name, url) in words { models.append((name, try await Model.load(url, options: options))) }
        return WakeWordModels(
            melspectrogram: try await Model.load(melspectrogram, options: options),
            embedding: try await Model.load(embedding, options: options),
            words: models)
    }
}

/// One word's network and the embeddings it looks at.
private final class WakeWordHead {
    let classes: WakeWordClasses
    private let model: Model
    private let input, output: String
    private let silence: [Float]
    /// Nil for a network that asks a second one only when it is in doubt, an If that depends on the sound: that one runs as a model.
    private let session: ModelSession?
    /// `[1, n, 96]`, without a session.
    private var history: Tensor

    init(name: String, model: Model, silence: [Float]) throws {
        guard model.inputs.count == 1, model.outputNames.count == 1, case .tensor(_, let shape?) = model.inputs[0].type, shape.count == 3,
            case .fixed(let frames) = shape[1], case .fixed(SpeechEmbedding.width) = shape[2], (1...Self.mostFrames).contains(frames)
        else { throw Self.wrong(model) }
        self.model = model
        self.silence = silence
        (input, output) = (model.inputs[0].name, model.outputNames[0])
        history = try Tensor(zeros: .f32, shape: [1, frames, SpeechEmbedding.width])
        session = try Self.session(model, input, history.shape)
        try session?.run()
        let scores = try session?.output(output) ?? model.run([input: history])[output]
        guard let scores, scores.type == .f32, let classes = WakeWordClasses(word: name, output: output, count: scores.elementCount) else {
            throw Self.wrong(model)
        }
        self.classes = classes
        try reset()
    }

    func reset() throws {
        try withHistory { history in
            for index in history.indices { history[index] = silence[index % silence.count] }
        }
    }

    /// Appends the scores of the classes after one more embedding.
    func score(after embedding: UnsafeBufferPointer<Float>, into scores: inout [Float]) throws {
        try withHistory { history in
            let kept = history.count - embedding.count
            for index in 0..<kept { history[index] = history[index + embedding.count] }
            for index in embedding.indices { history[kept + index] = embedding[index] }
        }
        func append(_ results: UnsafeBufferPointer<Float>) throws {
            for place in classes.places {
                guard place < results.count else { throw Self.wrong(model) }
                scores.append(results[place])
            }
        }
        if let session {
            try session.run()
            try session.withOutput(output, append)
        } else {
            guard let results = try model.run([input: history])[output] else { throw Self.wrong(model) }
            try results.withElements(append)
        }
    }

    private static func session(_ model: Model, _ input: String, _ shape: Shape) throws -> ModelSession? {
        do { return try model.session([input: (.f32, shape)]) } catch SwiftletError.unsupported { return nil }
    }

    private func withHistory(_ body: (UnsafeMutableBufferPointer<Float>) -> Void) throws {
        if let session { try session.withInput(input, body) } else { try history.withMutableElements(as: Float.self, body) }
    }

    /// A minute of sound: more than any word takes.
    private static let mostFrames = 750

    private static func wrong(_ model: Model) -> SwiftletError {
        .unsupported(
            file: model.path, place: "inputs and outputs",
            reason: "is not a wake word of openWakeWord, which takes [1, n, \(SpeechEmbedding.width)]",
            remedy: "Use one that 'swiftlet pull wake-alexa' and its like fetch.")
    }
}

/// Which of a network's outputs have a name.
package struct WakeWordClasses: Sendable, Equatable {
    package let names: [String]
    /// The place of each in the output.
    package let places: [Int]

    /// A single output is the word itself; nil when several have no names.
    package init?(word: String, output: String, count: Int) {
        if count == 1 {
            (names, places) = ([word], [0])
            return
        }
        guard let named = try? JSONDecoder().decode([String: String].self, from: Data(output.utf8)), !named.isEmpty else { return nil }
        let classes = named.compactMap { place, name in Int(place).map { (place: $0, name: name) } }.sorted { $0.place < $1.place }
        guard classes.count == named.count, classes.allSatisfy({ (0..<count).contains($0.place) }) else { return nil }
        (names, places) = (classes.map(\.name), classes.map(\.place))
    }
}
