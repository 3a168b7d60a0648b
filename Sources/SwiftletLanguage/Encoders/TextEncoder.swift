// Text embeddings: a vector for a text, so that texts which mean the same lie close to each other.
import Foundation
import SwiftletFormats
import SwiftletRuntime

/// How a text encoder runs.
public struct EncoderOptions: Sendable {
    /// Threads that share the work; nil for one a physical core.
    public var threads: Int?
    /// The instruction set kernels may use; nil for the best the machine has (or the SWIFTLET_ISA variable).
    public var instructionSet: InstructionSet?
    /// The most tokens of a text, the two that frame it included; what is beyond is cut. Nil for what the model's files say.
    public var maximumTokens: Int?
    /// The format that matrices are rounded to when the model is loaded, `.q8_0` or another one with a definition of rounding; nil to leave them as
    /// they are. Matrices whose rows are no whole blocks stay as they are.
    public var quantization: BlockFormat?

    public init(threads: Int? = nil, instructionSet: InstructionSet? = nil, maximumTokens: Int? = nil, quantization: BlockFormat? = nil) {
        self.quantization = quantization
        self.threads = threads
        self.instructionSet = instructionSet
        self.maximumTokens = maximumTokens
    }
}

/// A loaded encoder of the BERT family. Immutable for its users: any number of tasks and threads may call it at once.
///
///     let encoder = try await TextEncoder.load("models/all-MiniLM-L6-v2")
///     let vectors = try encoder.embed(["A cat sleeps.", "The kitten naps."])
///     let similarity = TextEncoder.similarity(vectors[0], vectors[1])
///
/// The vector of a text is the mean of its tokens' vectors (or the first token's, where the model's files say so), scaled to length 1.
public final class TextEncoder: Sendable {
    /// The folder the model was loaded from.
    public let path: String
    public var tokenizer: Tokenizer { texts.tokenizer }
    /// Elements of a vector.
    public let dimensions: Int
    /// The most tokens of a text, the two that frame it included.
    public var maximumTokens: Int { texts.maximumTokens }
    public let threads: Int
    public let instructionSet: InstructionSet

    package let compiled: CompiledGraph
    private let configuration: EncoderConfiguration
    private let texts: EncoderTokenizer
    private let runs = IdleRuns()

    /// Runs nobody is in.
    private final class IdleRuns: @unchecked Sendable {
        private let lock = NSLock()
        private var idle: [EncoderRun] = []

        func take() -> EncoderRun? { lock.withLock { idle.popLast() } }
        func give(_ run: EncoderRun) { lock.withLock { idle.append(run) } }
    }

    /// Opens a model and prepares it for this machine.
    ///
    /// - Parameter path: a folder with `config.json`, `tokenizer.json` and `model.safetensors`, or the safetensors file in it. Where the folder has
    ///   them, `sentence_bert_config.json` says how long texts may be and `1_Pooling/config.json` how vectors are pooled.
    /// - Throws: `SwiftletError` when a file is missing, malformed, or describes an encoder this version does not run.
    public convenience init(path: String, options: EncoderOptions = EncoderOptions()) throws {
        try self.init(path: path, options: options) { pool, isa in BackendSet([CPUBackend(pool: pool, isa: isa)]) }
    }

    /// As `init(path:)`, away from the caller's executor: loading reads and packs all weights.
    public static func load(_ path: String, options: EncoderOptions = EncoderOptions()) async throws -> TextEncoder {
        try await Task.detached { try TextEncoder(path: path, options: options) }.value
    }

    /// `makeBackends` lets tests choose where the graph runs.
    package init(path: String, options: EncoderOptions, makeBackends: (ThreadPool, UInt32) throws -> BackendSet) throws {
        let (folder, weights) = Self.places(path)
        let configuration = try EncoderConfiguration(folder: folder)
        let texts = try EncoderTokenizer(folder: folder, configuration: configuration, maximumTokens: options.maximumTokens)
        let instructionSet = try options.instructionSet ?? InstructionSet.resolve(nil)
        let threads = options.threads ?? Machine.current().recommendedThreads
        let pool = try ThreadPool(threadCount: threads)
        var source = try BERTGraph.graph(configuration, SafetensorsFile(path: weights))
        if let format = options.quantization { try source.roundMatrices(to: format) }
        let graph = try PassPipeline.language.run(source)
        compiled = try CompiledGraph(graph, backends: makeBackends(pool, instructionSet.usableMask))
        self.path = folder
        self.configuration = configuration
        self.instructionSet = instructionSet
        self.threads = threads
        dimensions = configuration.width
        self.texts = texts
    }

    /// The folder of a model and its file of weights.
    private static func places(_ path: String) -> (folder: String, weights: String) {
        var isFolder: ObjCBool = false
        if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue { return (path, path + "/model.safetensors") }
        return (URL(fileURLWithPath: path).deletingLastPathComponent().path, path)
    }

    /// The graph of an encoder before any fusion, and the file its weights are in. Throws as `init(path:)`.
    package static func unfusedGraph(path: String) throws -> (graph: Graph, file: SafetensorsFile, prefix: String, folder: String) {
        let (folder, weights) = places(path)
        let file = try SafetensorsFile(path: weights)
        return (try BERTGraph.graph(EncoderConfiguration(folder: folder), file), file, EncoderWeights(file).prefix, folder)
    }

    /// The tokenizer of an encoder alone. Throws as `init(path:)`.
    package static func texts(path: String) throws -> EncoderTokenizer {
        let folder = places(path).folder
        return try EncoderTokenizer(folder: folder, configuration: EncoderConfiguration(folder: folder))
    }

    // MARK: Texts

    /// The tokens of a text: framed, and cut to `maximumTokens`. Names of special tokens in the text (`[SEP]`) become those tokens, as in the
    /// `tokenizers` library.
    public func tokens(of text: String) -> [Int32] { texts.tokens(of: text) }

    /// A vector of `dimensions` elements and length 1 for each text, in order. An empty text has one too.
    ///
    /// Texts are computed some at a time, without padding, so a vector does not depend on what it is computed with but for rounding.
    /// Throws `SwiftletError.outOfMemory`, and `CancellationError` between batches when the current task was cancelled.
    public func embed(_ texts: [String]) throws -> [[Float]] { try embed(tokens: texts.map(tokens)) }

    /// The vector of one text.
    public func embed(_ text: String) throws -> [Float] { try embed([text])[0] }

    /// As `embed(_:)` for tokens made before, each text framed and of 1 to `maximumTokens` tokens.
    ///
    /// Throws `SwiftletError.invalidArgument` when a text is not.
    public func embed(tokens: [[Int32]]) throws -> [[Float]] {
        for text in tokens where text.isEmpty || text.count > maximumTokens {
            throw SwiftletError.invalidArgument(
                name: "tokens", reason: "a text has \(text.count) tokens", remedy: "Give each text 1 to \(maximumTokens).")
        }
        let run = try idleRun()
        defer { runs.give(run) }
        return try EncoderBatches.ranges(tokens.map(\.count)).flatMap { range in
            try Task.checkCancellation()
            return try run.vectors(of: tokens[range])
        }
    }

    /// What each node takes on the tokens of one text.
    package func profile(tokens: [Int32]) throws -> [NodeTiming] {
        let run = try idleRun()
        defer { runs.give(run) }
        return try run.profile([tokens])
    }

    private func idleRun() throws -> EncoderRun {
        try runs.take() ?? EncoderRun(compiled, configuration: configuration, maximumTokens: maximumTokens)
    }

    /// The cosine of the angle between two vectors of length 1: 1 for the same direction, 0 for texts that have nothing in common.
    public static func similarity(_ a: [Float], _ b: [Float]) -> Float { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
}

extension Graph {
    /// Rounds every matrix that is multiplied or looked up in. Throws `SwiftletError.invalidArgument` for formats without a definition of rounding.
    fileprivate mutating func roundMatrices(to format: BlockFormat) throws {
        for (id, weight) in weights {
            guard weight.shape.rank == 2, weight.shape[1] % format.blockElements == 0, weight.shape.elementCount > 0, case .dense = weight.format else { continue }
            let values = try weight.floats()
            let store = try WeightStore(byteCount: values.count / format.blockElements * format.blockBytes) { target in
                try values.withUnsafeBufferPointer { try format.quantize($0, into: target) }
            }
            self[id].origin = .weight(try Weight(name: self[id].name, shape: weight.shape, format: .block(format), store: store))
        }
    }
}
