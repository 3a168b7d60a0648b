// What operations on values in memory are given, and the one way in which operators use them: at once during the import when everything is
// known, else at run time between two segments.
import SwiftletFormats
import SwiftletGraph

/// The operands of a host operation, and the node they belong to, for errors.
struct HostOperands: Sendable, OperatorChecks {
    /// The node as errors call it.
    let node: String
    /// `.absent` for operands that are left out.
    let values: [ModelValue]

    /// The operand, nil when it is left out.
    func value(_ index: Int) -> ModelValue? {
        guard index < values.count else { return nil }
        if case .absent = values[index] { return nil }
        return values[index]
    }

    /// A tensor that may be left out.
    func optional(_ index: Int) throws -> Tensor? {
        switch value(index) {
        case .tensor(let tensor): return tensor
        case nil: return nil
        case let other?: throw invalid("the input \(index) is \(other.kind), not a tensor of numbers")
        }
    }

    func tensor(_ index: Int) throws -> Tensor {
        guard let tensor = try optional(index) else { throw invalid("lacks its input \(index)") }
        return tensor
    }

    /// Data breaks a rule of the operator.
    func invalid(_ reason: String) -> SwiftletError {
        .invalidArgument(name: node, reason: reason, remedy: "Give the model other data, or export it again.")
    }
}

extension Importer {
    /// The results of an operation that no graph expresses. With all operands known they are constants; else the import pauses for a run to
    /// compute them. `isRandom`: other results every time, so never at import.
    mutating func hostResults(
        _ call: OperatorCall, isRandom: Bool = false, _ run: @escaping @Sendable (HostOperands) throws -> [ModelValue]
    ) throws -> [Imported] {
        let label = call.node.label
        let operation = HostOperation(name: label) { try run(HostOperands(node: label, values: $0)) }
        let operands = call.inputs.map { $0 ?? .absent }
        guard !isRandom, operands.flatMap(\.tensors).allSatisfy(isConstant) else { throw ImportPause.host(operation, operands) }
        return try operation.run(operands.map(known)).map { try constants($0) }
    }

    /// A value all of whose elements are known.
    private func known(_ value: Imported) throws -> ModelValue {
        switch value {
        case .tensor(let id): .tensor(try Tensor(contents(id)))
        case .strings(let strings): .strings(strings)
        case .sequence(let elements): .sequence(try elements.map(known))
        case .absent: .absent
        }
    }

    /// A value in memory as constants of the graph.
    mutating func constants(_ value: ModelValue) throws -> Imported {
        switch value {
        case .tensor(let tensor): .tensor(weight(try Weight(tensor, name: "constant"), name: "constant"))
        case .strings(let strings): .strings(strings)
        case .sequence(let elements): .sequence(try elements.map { try constants($0) })
        case .absent: .absent
        }
    }

    /// An attribute's tensor, in memory.
    mutating func value(_ tensor: ONNXTensor) throws -> ModelValue {
        let imported = try constant(tensor)
        return try known(imported)
    }
}
