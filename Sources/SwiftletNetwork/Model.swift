// Any ONNX model, loaded and ready to run: what an app holds.
import Foundation
import SwiftletFormats
import SwiftletRuntime

/// The numbers a network computes with.
public enum NetworkPrecision: String, Sendable, CaseIterable {
    /// As the file says.
    case exact = "f32"
    /// Convolutions of f32 round what they read and write to bf16, 8 bits of mantissa, and keep sums in f32: about twice as fast on machines that
    /// multiply bf16 (AVX-512 BF16), slower on others.
    case bf16
}

/// How a model runs.
public struct NetworkOptions: Sendable {
    /// Threads that share the work; nil for what suits the machine.
    public var threads: Int?
    /// The instruction set kernels may use; nil for the best the machine has.
    public var instructionSet: InstructionSet?
    /// Runs everything with the plain definitions of the operations: slow, for comparison.
    public var usesReference: Bool
    public var precision: NetworkPrecision

    public init(threads: Int? = nil, instructionSet: InstructionSet? = nil, usesReference: Bool = false, precision: NetworkPrecision = .exact) {
        self.threads = threads
        self.instructionSet = instructionSet
        self.precision = precision
        self.usesReference = usesReference
    }
}

/// A loaded model. Immutable for its users: any number of tasks and threads may run it at once.
///
///     let model = try await Model.load(URL(fileURLWithPath: "classifier.onnx"))
///     let scores = try model.run(["input": image])["scores"]
///
/// The first run with inputs of new shapes prepares the model for them (`prepare` does it ahead of time); later ones find that done.
public final class Model: Sendable {
    /// An input or output as the file declares it.
    public struct Port: Sendable, Hashable {
        public let name: String
        public let type: ONNXType
        /// Whether a run may leave it out, because the file has a value for it.
        public let isOptional: Bool
    }

    public let path: String
    public let inputs: [Port]
    public let outputNames: [String]
    /// What the file says about itself; the last of entries with the same key.
    public let metadata: [String: String]
    public let threads: Int

    private let file: ONNXFile
    private let backends: BackendSet
    private let passes: PassPipeline
    private let entries = SegmentMemory()
    /// Segments and contexts are found and made under this lock; running happens outside of it.
    private let lock = NSLock()

    /// Opens an ONNX file and prepares it to run. Weights stay in the mapped file until the first run.
    ///
    /// Throws `SwiftletError` when the file cannot be read, is malformed, or uses what this version does not run.
    public convenience init(path: String, options: NetworkOptions = NetworkOptions()) throws {
        try self.init(file: ONNXFile(path: path), options: options)
    }

    /// As `init(path:)`, away from the caller's executor.
    public static func load(_ url: URL, options: NetworkOptions = NetworkOptions()) async throws -> Model {
        try await Task.detached { try Model(path: url.path, options: options) }.value
    }

    /// About 0.4 ms: longer than it takes to hand over the results of one image and the next one's pixels. Waking a thread that went to sleep in between
    /// costs as much as a layer.
    private static let pollsBeforeSleep = 4 * ThreadPool.defaultPolls

    package init(file: ONNXFile, options: NetworkOptions) throws {
        self.file = file
        path = file.path
        let defaults = Set(file.graph.initializers.map(\.name))
        inputs = file.graph.inputs.compactMap { input in
            input.type.map { Port(name: input.name, type: $0, isOptional: defaults.contains(input.name)) }
        }
        outputNames = file.graph.outputs.map(\.name)
        metadata = Dictionary(file.metadata.map { ($0.key, $0.value) }) { $1 }
        threads = options.threads ?? Machine.current().recommendedThreads
        let rounding: [any GraphPass] = [ComputeInBF16(excluding: CPUBackend.isFastestInF32), DeadCodeElimination()]
        passes = options.precision == .exact ? .network : PassPipeline(name: "network in bf16", PassPipeline.network.passes + rounding)
        let pool = try ThreadPool(threadCount: threads, pollsBeforeSleep: Self.pollsBeforeSleep)
        let reference = ReferenceBackend(pool: pool)
        let isa = try (options.instructionSet ?? InstructionSet.resolve(nil)).usableMask
        backends = options.usesReference ? BackendSet([reference]) : BackendSet([CPUBackend(pool: pool, isa: isa), reference])
    }

    // MARK: Running

    /// Runs the model. Inputs that the file has values for may be left out.
    ///
    /// Throws `SwiftletError.invalidArgument` naming an input that is missing, unknown or of the wrong type, and whatever error the model's
    /// operators meet in the data.
    public func run(_ inputs: [String: Tensor]) throws -> [String: Tensor] {
        try run(inputs.mapValues { ModelValue.tensor($0) }).mapValues { try $0.tensor }
    }

    /// As `run(_:)` for models with inputs or outputs that are no tensors of numbers.
    public func run(_ inputs: [String: ModelValue]) throws -> [String: ModelValue] { try run(inputs) { try $0.run() } }

    private func run(_ inputs: [String: ModelValue], _ execute: (BoundGraph) throws -> Void) throws -> [String: ModelValue] {
        var segment = try segment(inputs.mapValues(ValueSignature.init))
        var tensors = self.inputs.flatMap { port in inputs[port.name].map(\.tensors) ?? [] }
        while true {
            tensors = try run(segment, tensors, execute)
            switch segment.ending {
            case .finished(let results):
                return Dictionary(uniqueKeysWithValues: zip(outputNames, results.map { $0.value(tensors) }))
            case .contents(let importer):
                let current = segment, values = tensors
                segment = try continuation(of: segment, .contents(values[0])) { try current.continuation(importer, afterContents: values) }
            case .host(let operation, let operands, let importer):
                let current = segment, values = tensors
                let results = try operation.run(operands.map { $0.value(values) })
                segment = try continuation(of: segment, .types(results.map(ValueSignature.init), constants: [])) {
                    try current.continuation(importer, afterHost: results, tensors: values)
                }
                tensors += results.flatMap(\.tensors)
            }
        }
    }

    /// As `run(_:)`, and says what each node took. Nodes between pauses of the import come in the order they ran.
    package func profile(_ inputs: [String: ModelValue]) throws -> (results: [String: ModelValue], timings: [NodeTiming]) {
        var timings: [NodeTiming] = []
        let results = try run(inputs) { plan in timings += try plan.profile() }
        return (results, timings)
    }

    /// Prepares the model for inputs of these types and shapes: packs weights and plans memory. The contents are not looked at unless shapes
    /// inside the model depend on them.
    public func prepare(_ inputs: [String: Tensor]) throws { _ = try segment(inputs.mapValues { ValueSignature(.tensor($0)) }) }

    private func unknown(_ name: String) -> SwiftletError {
        .invalidArgument(name: name, reason: "\(path) has no such input", remedy: "Its inputs are: \(inputs.map(\.name).joined(separator: ", ")).")
    }

    private func missing(_ port: Port) -> SwiftletError {
        .invalidArgument(name: port.name, reason: "the input is missing", remedy: "Give it a value of type \(port.type).")
    }

    /// Runs one segment and returns the values that leave it.
    private func run(_ segment: Segment, _ tensors: [Tensor], _ execute: (BoundGraph) throws -> Void) throws -> [Tensor] {
        guard let compiled = segment.compiled else { return segment.leaving.map { tensors[$0.input ?? 0] } }
        let context = try lock.withLock { segment.memory.idle.popLast() } ?? ExecutionContext(compiled, stateBinding: [:])
        let plan = try context.plan([:])
        defer { plan.endLoans() }
        for (id, tensor) in zip(segment.inputs, tensors) where plan.holds(id) { try plan.lend(tensor, to: id) }
        try execute(plan)
        let results = try segment.leaving.map { leaving in
            if let input = leaving.input { return tensors[input] }
            return try plan.tensor(leaving.id)
        }
        lock.withLock { segment.memory.idle.append(context) }
        return results
    }

    // MARK: Preparing

    /// The segment a run with these inputs begins with; for a session, the only one. `constants`: inputs whose values are fixed, as if the file had them.
    ///
    /// Throws `SwiftletError.invalidArgument` naming an input that is missing, unknown or of the wrong type.
    func segment(_ signatures: [String: ValueSignature], constants: [String: Tensor] = [:]) throws -> Segment {
        for name in Set(signatures.keys).union(constants.keys) where !inputs.contains(where: { $0.name == name }) { throw unknown(name) }
        for port in inputs {
            let given = [signatures[port.name], constants[port.name].map { ValueSignature(.tensor($0)) }].compactMap { $0 }
            if given.isEmpty, !port.isOptional { throw missing(port) }
            for signature in given where !port.type.accepts(signature) {
                throw SwiftletError.invalidArgument(name: port.name, reason: "is \(signature), not \(port.type)", remedy: "Give it a value of that type.")
            }
        }
        return try lock.withLock {
            let key = SegmentKey.types(inputs.map { signatures[$0.name] ?? .absent }, constants: inputs.map { constants[$0.name] })
            return try entries.next.find(key) {
                try Segment(Importer(file, inputs: signatures, constants: constants, evaluate: Evaluator.evaluate), compile: compile)
            }
        }
    }

    private func continuation(of segment: Segment, _ key: SegmentKey, _ importer: () throws -> Importer) throws -> Segment {
        try lock.withLock { try segment.memory.next.find(key) { try Segment(importer(), compile: compile) } }
    }

    private func compile(_ graph: Graph) throws -> CompiledGraph {
        try CompiledGraph(passes.run(graph), backends: backends)
    }
}

extension ModelValue {
    /// Every tensor in it.
    fileprivate var tensors: [Tensor] {
        switch self {
        case .tensor(let tensor): [tensor]
        case .sequence(let elements): elements.flatMap(\.tensors)
        case .strings, .absent: []
        }
    }
}

extension ONNXType {
    /// Whether values with this signature are of this type; open dimensions take any size.
    fileprivate func accepts(_ signature: ValueSignature) -> Bool {
        switch (self, signature) {
        case (.tensor(let element, let shape), .tensor(let type, let own)): element.dtype == type && Self.accepts(shape, own)
        case (.tensor(.string, let shape), .strings(let strings)): Self.accepts(shape, strings.shape)
        case (.sequence(let type), .sequence(let elements)): elements.allSatisfy(type.accepts)
        case (.optional(let type), let signature):
            if case .absent = signature { true } else { type.accepts(signature) }
        default: false
        }
    }

    private static func accepts(_ declared: [ONNXDimension]?, _ shape: Shape) -> Bool {
        guard let declared else { return true }
        return declared.count == shape.rank
            && zip(declared, shape.dimensions).allSatisfy { declared, size in if case .fixed(let fixed) = declared { fixed == size } else { true } }
    }
}

extension PassPipeline {
    /// What is done to every imported network before a backend sees it.
    package static let network = PassPipeline(
        name: "network",
        [
            DeadCodeElimination(), DequantizedConstants(), UnsignedActivations(), FuseQuantization(), BlockLinears(), FuseBias(), FuseGates(), FoldChannelScales(), FuseConvolution(),
            DeadCodeElimination(),
        ])
}
