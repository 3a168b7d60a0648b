// A model bound to inputs of fixed types and shapes, with memory of its own: for frames of a camera or chunks of sound, one after the other.

import SwiftletRuntime

/// Runs a model again and again without allocating. Not for several threads at once: each takes a session of its own; they share the weights.
///
///     let session = try model.session(["input": (.f32, [1, 3, 224, 224])])
///     try session.withInput("input") { (pixels: UnsafeMutableBufferPointer<Float>) in fill(pixels) }
///     try session.run()
///     let best = try session.withOutput("scores") { (scores: UnsafeBufferPointer<Float>) in scores.indices.max { scores[$0] < scores[$1] } }
public final class ModelSession {
    private let context: ExecutionContext?
    private let plan: BoundGraph?
    private let inputs: [String: ValueID]
    private let types: [String: (type: DType, shape: Shape)]
    /// Where each output is: computed, one of the inputs, or a constant.
    private let outputs: [String: Source]
    /// Inputs that nothing computes with have no memory in the plan.
    private var unread: [String: Tensor]

    private enum Source {
        case computed(ValueID)
        case input(String)
        case constant(Tensor)
    }

    /// Throws as `Model.session`.
    init(_ model: Model, _ inputs: [String: (type: DType, shape: Shape)], constants: [String: Tensor]) throws {
        let segment = try model.segment(inputs.mapValues { .tensor($0.type, $0.shape) }, constants: constants)
        guard case .finished(let results) = segment.ending else {
            throw SwiftletError.unsupported(
                file: model.path, place: "session", reason: "shapes or branches inside the model depend on what the inputs hold",
                remedy: "Fix the inputs that decide as constants, or use run(_:).")
        }
        context = try segment.compiled.map { try ExecutionContext($0, stateBinding: [:]) }
        plan = try context?.plan([:])
        types = inputs
        let order = model.inputs.map(\.name).filter { inputs[$0] != nil }
        self.inputs = Dictionary(uniqueKeysWithValues: zip(order, segment.inputs))
        var unread: [String: Tensor] = [:]
        for (name, id) in self.inputs where !(plan?.holds(id) ?? false) {
            if let type = inputs[name] { unread[name] = try Tensor(zeros: type.type, shape: type.shape) }
        }
        self.unread = unread
        outputs = try Dictionary(uniqueKeysWithValues: zip(model.outputNames, results).map { name, result in
            switch result {
            case .constant(let tensor): return (name, .constant(tensor))
            case .leaving(let index):
                let leaving = segment.leaving[index]
                return (name, leaving.input.map { .input(order[$0]) } ?? .computed(leaving.id))
            case .strings, .sequence, .absent:
                throw SwiftletError.unsupported(
                    file: model.path, place: name, reason: "the output is no tensor of numbers", remedy: "Use run(_:) for this model.")
            }
        })
    }

    /// Calls `body` with the memory the model reads the input from. What it holds stays from run to run.
    ///
    /// Throws `SwiftletError.invalidArgument` when there is no such input, or its elements are of another type.
    public func withInput<Element: TensorElement, Result>(
        _ name: String, as element: Element.Type = Element.self, _ body: (UnsafeMutableBufferPointer<Element>) throws -> Result
    ) throws -> Result {
        guard let id = inputs[name], let type = types[name] else { throw missing(name, "input", Array(inputs.keys)) }
        guard type.type == element.elementType || (type.type == .bool && element.elementType == .u8) else { throw wrongType(name, type.type) }
        if var tensor = unread.removeValue(forKey: name) {
            defer { unread[name] = tensor }
            return try tensor.withMutableElements(as: element, body)
        }
        guard let plan else { throw missing(name, "input", []) }
        return try body(plan.elements(of: id, as: element))
    }

    /// Copies a tensor to an input. Throws as `withInput`, and when the shape differs.
    public func set(_ name: String, to tensor: Tensor) throws {
        guard let id = inputs[name] else { throw missing(name, "input", Array(inputs.keys)) }
        if unread[name] != nil { unread[name] = tensor } else { try plan?.write(tensor, to: id) }
    }

    /// Runs the model on what the inputs hold.
    public func run() throws { try plan?.run() }

    /// Calls `body` with an output of the last run, which is valid until the next one.
    ///
    /// Throws `SwiftletError.invalidArgument` when there is no such output, or its elements are of another type.
    public func withOutput<Element: TensorElement, Result>(
        _ name: String, as element: Element.Type = Element.self, _ body: (UnsafeBufferPointer<Element>) throws -> Result
    ) throws -> Result {
        switch outputs[name] {
        case nil: throw missing(name, "output", Array(outputs.keys))
        case .constant(let tensor): return try tensor.withElements(as: element, body)
        case .input(let input): return try withInput(input, as: element) { try body(UnsafeBufferPointer($0)) }
        case .computed(let id):
            guard let plan else { throw missing(name, "output", []) }
            return try body(UnsafeBufferPointer(plan.elements(of: id, as: element)))
        }
    }

    /// A copy of an output of the last run.
    public func output(_ name: String) throws -> Tensor {
        switch outputs[name] {
        case nil: throw missing(name, "output", Array(outputs.keys))
        case .constant(let tensor): return tensor
        case .input(let input):
            if let tensor = unread[input] { return tensor }
            guard let id = inputs[input], let plan else { throw missing(input, "input", []) }
            return try plan.tensor(id)
        case .computed(let id):
            guard let plan else { throw missing(name, "output", []) }
            return try plan.tensor(id)
        }
    }

    private func missing(_ name: String, _ kind: String, _ names: [String]) -> SwiftletError {
        .invalidArgument(name: name, reason: "the session has no such \(kind)", remedy: "It has: \(names.sorted().joined(separator: ", ")).")
    }

    private func wrongType(_ name: String, _ type: DType) -> SwiftletError {
        .invalidArgument(name: name, reason: "holds \(type.rawValue)", remedy: "Ask for its own type.")
    }
}

extension Model {
    /// A session for inputs of these types and shapes. `constants` are inputs that are the same in every run; what depends on them alone is computed
    /// now, and they may decide shapes and branches.
    ///
    /// Throws as `run(_:)`, and `SwiftletError.unsupported` when something inside still depends on what the other inputs hold.
    public func session(_ inputs: [String: (type: DType, shape: Shape)], constants: [String: Tensor] = [:]) throws -> ModelSession {
        try ModelSession(self, inputs, constants: constants)
    }
}
