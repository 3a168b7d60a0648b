// What wake-word networks listen to: every 80 ms, an embedding of the last 775 ms of sound.
//
//     samples ──mel network──▶ 8 rows of 32 bands ──embedding network over the last 76 rows──▶ 96 values
//
// The mel network gets the 1280 new samples behind the 480 before them, as 16-bit integers in floats; its decibels x become x / 10 + 2. It sees
// how loud the loudest band of its piece is, so pieces must be these and no others. At the very start there are no samples before, and ones
// stand for the rows that are not there yet.
//
// The mel and embedding networks are those of openWakeWord 0.4.0, the second after Lin et al., "Training Keyword Spotters with Limited and
// Synthesized Speech Data", 2020, arXiv:2002.01322; the order of things is that of its Python streaming code.
import SwiftletNetwork
import SwiftletTensor

/// The front end that wake words share.
final class SpeechEmbedding {
    /// Hertz.
    static let sampleRate = 16_000
    /// Samples from one embedding to the next: 80 ms.
    static let frameSamples = 1280
    /// Values of an embedding.
    static let width = 96
    /// The embedding of silence, with which histories begin.
    private(set) var silence: [Float] = []

    private static let contextSamples = 480
    private static let bands = 32
    /// Rows of bands an embedding covers.
    private static let rows = 76
    /// Samples that make `rows`: windows of 512 with a hop of 160.
    private static let silenceSamples = (rows - 1) * 160 + 512

    private let melModel: Model
    /// Samples `[1, 480 + 1280]` to rows `[1, 1, 8, 32]`.
    private let mel: ModelSession
    /// Rows `[1, 76, 32, 1]` to values `[1, 1, 1, 96]`.
    private let embedding: ModelSession
    private let melInput, melOutput, embeddingInput, embeddingOutput: String
    private var isFirst = true

    /// Throws `SwiftletError.unsupported` when the networks are not those of openWakeWord.
    init(mel: Model, embedding: Model) throws {
        guard mel.inputs.count == 1, mel.outputNames.count == 1 else { throw Self.wrong(mel, "the mel network") }
        guard embedding.inputs.count == 1, embedding.outputNames.count == 1 else { throw Self.wrong(embedding, "the embedding network") }
        melModel = mel
        (melInput, melOutput) = (mel.inputs[0].name, mel.outputNames[0])
        (embeddingInput, embeddingOutput) = (embedding.inputs[0].name, embedding.outputNames[0])
        self.mel = try mel.session([melInput: (.f32, [1, Self.contextSamples + Self.frameSamples])])
        self.embedding = try embedding.session([embeddingInput: (.f32, [1, Self.rows, Self.bands, 1])])
        // Also shows that the networks are the right ones, and spares the first frame of a stream the packing of weights.
        try self.mel.run()
        try self.mel.withOutput(melOutput) { (rows: UnsafeBufferPointer<Float>) in try append(rows) }
        try appendRows(of: [Float](repeating: 0, count: Self.silenceSamples))
        try embed { silence = Array($0) }
        guard silence.count == Self.width else { throw Self.wrong(embedding, "the embedding network") }
        try reset()
    }

    /// Forgets all sound.
    func reset() throws {
        isFirst = true
        try embedding.withInput(embeddingInput) { (rows: UnsafeMutableBufferPointer<Float>) in rows.update(repeating: 1) }
    }

    /// Calls `body` with the embedding after the next `frameSamples` samples, which lie between -1 and 1.
    func process(_ frame: ArraySlice<Float>, _ body: (UnsafeBufferPointer<Float>) throws -> Void) throws {
        let (context, length) = (Self.contextSamples, Self.frameSamples)
        let start = try mel.withInput(melInput) { (samples: UnsafeMutableBufferPointer<Float>) in
            for index in 0..<context { samples[index] = samples[index + length] }
            for (index, sample) in frame.prefix(length).enumerated() { samples[context + index] = Self.integer(sample) }
            return isFirst ? Array(samples[context...]) : nil
        }
        isFirst = false
        if let start {
            try appendRows(of: start)
        } else {
            try mel.run()
            try mel.withOutput(melOutput) { (rows: UnsafeBufferPointer<Float>) in try append(rows) }
        }
        try embed(body)
    }

    /// The rows of samples of another number than usual.
    private func appendRows(of samples: [Float]) throws {
        guard let rows = try melModel.run([melInput: Tensor(samples, shape: [1, samples.count])])[melOutput] else {
            throw Self.wrong(melModel, "the mel network")
        }
        try rows.withElements { try append($0) }
    }

    /// Moves the rows up and puts the new ones behind them.
    private func append(_ new: UnsafeBufferPointer<Float>) throws {
        guard !new.isEmpty, new.count % Self.bands == 0, new.count <= Self.rows * Self.bands else {
            throw Self.wrong(melModel, "the mel network")
        }
        try embedding.withInput(embeddingInput) { (rows: UnsafeMutableBufferPointer<Float>) in
            let kept = rows.count - new.count
            for index in 0..<kept { rows[index] = rows[index + new.count] }
            for index in new.indices { rows[kept + index] = new[index] / 10 + 2 }
        }
    }

    private func embed(_ body: (UnsafeBufferPointer<Float>) throws -> Void) throws {
        try embedding.run()
        try embedding.withOutput(embeddingOutput, body)
    }

    /// A sample as the 16-bit integer that a WAVE file would hold.
    private static func integer(_ sample: Float) -> Float { min(max((sample * 0x1p15).rounded(.toNearestOrEven), -0x1p15), 0x1p15 - 1) }

    private static func wrong(_ model: Model, _ part: String) -> SwiftletError {
        .unsupported(
            file: model.path, place: "inputs and outputs", reason: "is not \(part) of openWakeWord",
            remedy: "Use those that 'swiftlet pull wake-melspectrogram' and 'swiftlet pull wake-embedding' fetch.")
    }
}
