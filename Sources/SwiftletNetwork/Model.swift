// Any ONNX model, loaded and ready to run: what an app holds.
import Foundation
import SwiftletFormats
import SwiftletRuntime

/// How a model runs.
public struct NetworkOptions: Sendable {
    /// Threads that share the work; nil for what suits the machine.
    public var threads: Int?
    /// The instruction set kernels may use; nil for the best the machine has.
    public var instructionSet: InstructionSet?
    /// Runs everything with the plain definitions of the operations: slow, for comparison.
    public var usesReference: Bool

    public init(threads: Int? = nil, instructionSet: InstructionSet? = nil, usesReference: Bool = false) {
        self.threads = threads
        self.instructionSet = instructionSet
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
    public let threads: Int

    private let file: ONNXFile
    private let backends: BackendSet
    private let shared: Shared
    /// Segments and contexts are found and made under this lock; running happens outside of it.
    private let lock = NSLock()

    /// What runs share. `@unchecked Sendable`: touched only under the model's lock.
    private final class Shared: @unchecked Sendable {
        var entries = RecentSegments()
        /// By the segment they come behind.
        var continuations: [ObjectIdentifier: RecentSegments] = [:]
        /// Contexts nobody runs in, by segment.
        var idle: [ObjectIdentifier: [ExecutionContext]] = [:]
    }

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

    package init(file: ONNXFile, options: NetworkOptions) throws {
        self.file = file
        path = file.path
        let defaults = Set(file.graph.initializers.map(\.name))
        inputs = file.graph.inputs.compactMap { input in
            input.type.map { Port(name: input.name, type: $0, isOptional: defaults.contains(input.name)) }
        }
        outputNames = file.graph.outputs.map(\.name)
        threads = options.threads ?? Machine.current().recommendedThreads
        let pool = try ThreadPool(threadCount: threads)
        let reference = ReferenceBackend(pool: pool)
        let isa = try (options.instructionSet ?? InstructionSet.resolve(nil)).usableMask
        backends = options.usesReference ? BackendSet([reference]) : BackendSet([CPUBackend(pool: pool, isa: isa), reference])
        shared = Shared()
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
        let given = try checked(inputs)
        var segment = try entry(given.mapValues(ValueSignature.init))
        var tensors = self.inputs.flatMap { port in given[port.name].map(\.tensors) ?? [] }
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
                segment = try continuation(of: segment, .types(results.map(ValueSignature.init))) {
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
    public func prepare(_ inputs: [String: Tensor]) throws { _ = try entry(checked(inputs.mapValues { .tensor($0) }).mapValues(ValueSignature.init)) }

    /// The values of the declared inputs, each of its declared type.
    private func checked(_ inputs: [String: ModelValue]) throws -> [String: ModelValue] {
        for name in inputs.keys where !self.inputs.contains(where: { $0.name == name }) {
            throw SwiftletError.invalidArgument(
                name: name, reason: "\(path) has no such input", remedy: "Its inputs are: \(self.inputs.map(\.name).joined(separator: ", ")).")
        }
        for port in self.inputs {
            guard let value = inputs[port.name] else {
                if port.isOptional { continue }
                throw SwiftletError.invalidArgument(name: port.name, reason: "the input is missing", remedy: "Give it a value of type \(port.type).")
            }
            guard port.type.accepts(value) else {
                throw SwiftletError.invalidArgument(name: port.name, reason: "is \(value.kind), not \(port.type)", remedy: "Give it a value of that type.")
            }
        }
        return inputs
    }

    /// Runs one segment and returns the values that leave it.
    private func run(_ segment: Segment, _ tensors: [Tensor], _ execute: (BoundGraph) throws -> Void) throws -> [Tensor] {
        guard let compiled = segment.compiled else { return segment.leaving.map { tensors[$0.input ?? 0] } }
        let context = try lock.withLock { shared.idle[ObjectIdentifier(segment)]?.popLast() } ?? ExecutionContext(compiled, stateBinding: [:])
        let plan = try context.plan([:])
        for (id, tensor) in zip(segment.inputs, tensors) where plan.holds(id) { try plan.write(tensor, to: id) }
        try execute(plan)
        let results = try segment.leaving.map { leaving in
            if let input = leaving.input { return tensors[input] }
            return try plan.tensor(leaving.id)
        }
        lock.withLock { shared.idle[ObjectIdentifier(segment), default: []].append(context) }
        return results
    }

    // MARK: Preparing

    private func entry(_ signatures: [String: ValueSignature]) throws -> Segment {
        try lock.withLock {
            let key = SegmentKey.types(inputs.map { signatures[$0.name] ?? .absent })
            return try shared.entries.find(key, dropped: forget) {
                try Segment(Importer(file, inputs: signatures, evaluate: Evaluator.evaluate), compile: compile)
            }
        }
    }

    private func continuation(of segment: Segment, _ key: SegmentKey, _ importer: () throws -> Importer) throws -> Segment {
        try lock.withLock {
            try shared.continuations[ObjectIdentifier(segment), default: RecentSegments()].find(key, dropped: forget) {
                try Segment(importer(), compile: compile)
            }
        }
    }

    private func compile(_ graph: Graph) throws -> CompiledGraph {
        try CompiledGraph(PassPipeline.network.run(graph), backends: backends)
    }

    /// Lets go of what belongs to a segment that has not been used for long.
    private func forget(_ segment: Segment) {
        shared.idle[ObjectIdentifier(segment)] = nil
        for next in shared.continuations.removeValue(forKey: ObjectIdentifier(segment))?.segments ?? [] { forget(next) }
    }
}

/// What decides which segment comes next.
private enum SegmentKey: Hashable {
    case types([ValueSignature])
    case contents(Tensor)

    static func == (left: SegmentKey, right: SegmentKey) -> Bool {
        switch (left, right) {
        case (.types(let a), .types(let b)): a == b
        case (.contents(let a), .contents(let b)): a == b
        default: false
        }
    }

    func hash(into hasher: inout Hasher) {
        switch self {
        case .types(let signatures): hasher.combine(signatures)
        case .contents(let tensor): tensor.withBytes { hasher.combine(bytes: $0) }
        }
    }
}

/// Segments by key, the most recently used kept.
private struct RecentSegments {
    /// Shapes of inputs met in turn are few; texts and counts that decide may be many.
    private static let most = 32
    private var used: [(key: SegmentKey, segment: Segment)] = []

    var segments: [Segment] { used.map(\.segment) }

    mutating func find(_ key: SegmentKey, dropped: (Segment) -> Void, make: () throws -> Segment) rethrows -> Segment {
        if let index = used.firstIndex(where: { $0.key == key }) {
            let found = used.remove(at: index)
            used.append(found)
            return found.segment
        }
        let segment = try make()
        used.append((key, segment))
        if used.count > Self.most { dropped(used.removeFirst().segment) }
        return segment
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
    /// Whether a value is of this type; open dimensions take any size.
    fileprivate func accepts(_ value: ModelValue) -> Bool {
        switch (self, value) {
        case (.tensor(let element, let shape), .tensor(let tensor)): element.dtype == tensor.type && Self.accepts(shape, tensor.shape)
        case (.tensor(.string, let shape), .strings(let strings)): Self.accepts(shape, strings.shape)
        case (.sequence(let type), .sequence(let elements)): elements.allSatisfy(type.accepts)
        case (.optional(let type), let value):
            if case .absent = value { true } else { type.accepts(value) }
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
    static let network = PassPipeline(
        name: "network", [DeadCodeElimination(), FuseGates(), FoldChannelScales(), FuseConvolution(), DeadCodeElimination()])
}
