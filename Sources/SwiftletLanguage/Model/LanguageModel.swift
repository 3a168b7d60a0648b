// A language model, loaded: tokenizer, chat template and the compiled graph. Sessions share it.
import Foundation
import SwiftletFormats
import SwiftletRuntime

/// A loaded language model. Immutable; any number of sessions run on it at once.
public final class LanguageModel: Sendable {
    /// `general.name`, or the file's name.
    public let name: String
    public let path: String
    public let hyperparameters: Hyperparameters
    public let tokenizer: Tokenizer
    /// The model's own template, nil when the file has none.
    public let chatTemplate: ChatTemplate?
    /// Tokens the logits range over.
    public let vocabularyCount: Int
    public let threads: Int
    public let instructionSet: InstructionSet
    /// Wall time of loading: mapping, building, packing.
    public let loadMilliseconds: Double
    /// The longest context sessions may ask for.
    public let context: Int
    /// Where the packed weights came from.
    public let weightCache: WeightCacheUse
    /// What was measured on this machine and is used here; nil where nothing was, a failure where the record is damaged and was left aside.
    public let tuning: Result<MachineTuning?, any Error>

    package let compiled: CompiledGraph
    package let io: LanguageInputs
    /// The thread sessions compute on.
    let runner: InferenceThread

    /// Opens a GGUF file and prepares it for this machine.
    ///
    /// Throws `SwiftletError` when the file cannot be read, is malformed, or describes a model this version does not run.
    public convenience init(path: String, options: ModelOptions = ModelOptions()) throws {
        try self.init(file: try GGUFFile(path: path), options: options)
    }

    /// As `init(path:)`, away from the caller's executor: loading reads and packs all weights.
    public static func load(_ path: String, options: ModelOptions = ModelOptions()) async throws -> LanguageModel {
        try await Task.detached { try LanguageModel(path: path, options: options) }.value
    }

    /// `makeBackends` lets tests choose where the graph runs; nil for the CPU.
    package init(
        file: GGUFFile, options: ModelOptions, passes: PassPipeline = .language, makeBackends: ((ThreadPool, UInt32) throws -> BackendSet)? = nil
    ) throws {
        let clock = ContinuousClock()
        let start = clock.now
        let hyperparameters = try Hyperparameters(file, context: options.context)
        instructionSet = try options.instructionSet ?? InstructionSet.resolve(nil)
        tuning = options.usesTuning ? Result { try MachineTuning.saved(folder: options.tuningFolder) } : .success(nil)
        let tuned = try? tuning.get()
        threads = options.threads ?? tuned?.threads ?? Machine.current().recommendedThreads
        let pool = try ThreadPool(threadCount: threads, pollsBeforeSleep: tuned?.pollsBeforeSleep ?? ThreadPool.defaultPolls)
        // Two halves of the work that know nothing of each other, on a thread each where there are two.
        var texts = Result<(Tokenizer, ChatTemplate?), any Error>.failure(CancellationError())
        var graphs = Result<Graph, any Error>.failure(CancellationError())
        pool.forEach(2) { half in
            if half == 0 {
                texts = Result { (try Tokenizer.load(from: file), try Self.chatTemplate(of: file)) }
            } else {
                graphs = Result {
                    try passes.run(Architectures.graph(of: file, hyperparameters: hyperparameters, cache: options.cacheType.format))
                }
            }
        }
        (tokenizer, chatTemplate) = try texts.get()
        let graph = try graphs.get()
        // What the tables were built from is not looked at again.
        for file in file.files { file.release(0..<file.byteCount) }
        let panels = options.usesWeightCache && makeBackends == nil ? PanelCache(
            files: file.files, folder: WeightCacheFolder(path: options.weightCacheFolder).path, pool: pool,
            minimumBytes: options.weightCacheMinimumBytes) : nil
        let backends =
            try makeBackends?(pool, instructionSet.usableMask)
            ?? BackendSet([
                CPUBackend(pool: pool, isa: instructionSet.usableMask, activation: options.activations == .int8 ? .int8 : .int15, panels: panels)
            ])
        compiled = try CompiledGraph(graph, backends: backends)
        weightCache = panels?.finish() ?? .unused
        for file in file.files { file.release(0..<file.byteCount) }
        io = try LanguageInputs(compiled.graph)
        vocabularyCount = compiled.graph[io.logits].type.shape.last?.fixed ?? 0
        guard tokenizer.count <= vocabularyCount else {
            throw SwiftletError.malformed(
                file: file.path, offset: 0, reason: "\(tokenizer.count) tokens, but an embedding table of \(vocabularyCount) rows",
                remedy: "Convert the model again.")
        }
        name = try file.metadata.string("general.name") ?? URL(fileURLWithPath: file.path).lastPathComponent
        path = file.path
        context = hyperparameters.context
        self.hyperparameters = hyperparameters
        runner = InferenceThread()
        // The vocabulary and the weights have been copied; what the tokenizer still reads in the file is little, and comes back.
        file.releasePages()
        #if canImport(Glibc)
            // What building tables and graph has used and freed, glibc would keep for each thread that did.
            _ = trimFreedMemory(0)
        #endif
        loadMilliseconds = (clock.now - start) / .milliseconds(1)
    }

    private static func chatTemplate(of file: GGUFFile) throws -> ChatTemplate? {
        try file.metadata.string("tokenizer.chat_template").map { try ChatTemplate(source: $0, name: "\(file.path): chat template") }
    }

    /// The graph as it runs, after the passes.
    public var graph: Graph { compiled.graph }

    /// The graph of the model in `file` as it will run, without packing weights: for inspection.
    public static func graph(of file: GGUFFile, options: ModelOptions = ModelOptions()) throws -> Graph {
        try PassPipeline.language.run(unfusedGraph(of: file, options: options))
    }

    /// The graph of the model in `file` as its architecture builds it, before the passes: each weight of the file is a value with its name.
    package static func unfusedGraph(of file: GGUFFile, options: ModelOptions = ModelOptions()) throws -> Graph {
        try Architectures.graph(of: file, hyperparameters: Hyperparameters(file, context: options.context), cache: options.cacheType.format)
    }

    /// The text of `messages` in the model's own format, ending where the assistant's answer starts.
    ///
    /// Throws `SwiftletError.unsupported` when the file has no chat template.
    public func prompt(for messages: [ChatMessage], now: Date = Date()) throws -> String {
        guard let chatTemplate else {
            throw SwiftletError.unsupported(
                file: path, place: "tokenizer.chat_template", reason: "the model has no chat template", remedy: "Use an instruction-tuned model, or a raw prompt.")
        }
        func text(_ token: Int32?) -> String? { token.map { tokenizer.piece(of: $0) } }
        return try chatTemplate.render(
            messages: messages, addGenerationPrompt: true, bosToken: text(tokenizer.bos), eosToken: text(tokenizer.eos), now: now)
    }

    /// The tokens of a rendered chat prompt. Control tokens in it are meant; a template that writes the first token itself gets no second one.
    public func tokens(ofChatPrompt prompt: String) -> [Int32] {
        var tokens = tokenizer.encode(prompt, addSpecial: true, parseSpecial: true)
        if tokens.count > 1, tokens[0] == tokenizer.bos, tokens[1] == tokenizer.bos { tokens.removeFirst() }
        return tokens
    }
}

/// The inputs and outputs of a language graph.
package struct LanguageInputs: Sendable {
    package let tokens, positions, slots, outputs, best: ValueID
    package let logits, hidden: ValueID

    init(_ graph: Graph) throws {
        func input(_ name: String) throws -> ValueID {
            guard let value = graph.input(named: name) else {
                throw SwiftletError.invalidGraph(node: name, reason: "the graph has no such input", remedy: "Build it with DecoderParts.")
            }
            return value
        }
        tokens = try input(LanguageGraph.tokenInput)
        positions = try input(LanguageGraph.positionInput)
        slots = try input(LanguageGraph.slotInput)
        outputs = try input(LanguageGraph.outputInput)
        best = try input(LanguageGraph.bestInput)
        guard graph.outputs.count == 2 else {
            throw SwiftletError.invalidGraph(node: graph.name, reason: "needs two outputs, logits and hidden state", remedy: "Build it with DecoderParts.")
        }
        logits = graph.outputs[0]
        hidden = graph.outputs[1]
    }
}

#if canImport(Glibc)
    /// `malloc_trim` of <malloc.h>, which Swift's module of the C library leaves out: gives free memory of all arenas back to the system but for `keep` bytes.
    @_silgen_name("malloc_trim")
    private func trimFreedMemory(_ keep: Int) -> CInt
#endif
