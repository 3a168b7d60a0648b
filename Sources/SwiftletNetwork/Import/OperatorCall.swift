// One ONNX node with its operands: what the functions that import operators are given.
import SwiftletFormats
import SwiftletGraph

/// A node, the version of its operator set, and what its inputs stand for.
struct OperatorCall: Sendable, OperatorChecks {
    let node: ONNXNode
    let version: Int
    /// Nil for inputs that are left out.
    let inputs: [Imported?]
    /// The model's path, for errors.
    let file: String

    /// The value of an input, nil when it is left out.
    func value(_ index: Int) -> Imported? { index < inputs.count ? inputs[index] : nil }

    /// A tensor the operator cannot do without.
    func tensor(_ index: Int) throws -> ValueID {
        switch value(index) {
        case .tensor(let id): return id
        case nil: throw invalid("lacks its input \(index)")
        default: throw invalid("the input \(index) is no tensor of numbers")
        }
    }

    /// A tensor that may be left out.
    func optional(_ index: Int) throws -> ValueID? { value(index) == nil ? nil : try tensor(index) }

    /// All inputs, as tensors.
    func tensors() throws -> [ValueID] { try inputs.indices.map { try tensor($0) } }

    func int(_ name: String, _ defaultValue: Int) throws -> Int { try node.int(name) ?? defaultValue }
    func bool(_ name: String, _ defaultValue: Bool = false) throws -> Bool { try node.int(name).map { $0 != 0 } ?? defaultValue }
    func float(_ name: String, _ defaultValue: Float) throws -> Float { try node.float(name) ?? defaultValue }
    func ints(_ name: String) throws -> [Int]? { try node.ints(name) }
    func string(_ name: String, _ defaultValue: String) throws -> String { try node.string(name) ?? defaultValue }

    /// Whether somebody wants the output.
    func wants(_ output: Int) -> Bool { output < node.outputs.count && !node.outputs[output].isEmpty }

    /// The node breaks a rule of its operator.
    func invalid(_ reason: String) -> SwiftletError {
        .invalidGraph(node: node.label, reason: "\(reason), in \(file)", remedy: "Export the model again, or check it with onnx.checker.")
    }

    /// The node is right, but asks for what this version does not do.
    func unsupported(_ reason: String) -> SwiftletError {
        .unsupported(file: file, place: node.label, reason: reason, remedy: "Export the model in another way.")
    }

    func axes(_ axes: [Int], rank: Int) throws -> [Int] {
        let front = try axes.map { try axis($0, rank: rank) }
        try require(Set(front).count == front.count, "an axis is named twice")
        return front
    }
}

/// Adds what an operator computes to the graph, and returns its results.
typealias OperatorImporter = @Sendable (inout Importer, OperatorCall) throws -> [Imported]
