// The parts of an ONNX model as plain values: graphs, nodes, attributes, functions.
import SwiftletTensor

/// What a node, a sub-graph or a function is made of. A checked graph: see `ONNXGraphCheck`.
public struct ONNXGraph: Sendable {
    public let name: String
    /// In the order of the file. One that has an initialiser of the same name is optional, and the initialiser is its default.
    public internal(set) var inputs: [ONNXValueInfo]
    public internal(set) var outputs: [ONNXValueInfo]
    /// Declared types of values in between, where the file has them.
    public internal(set) var values: [ONNXValueInfo]
    /// In the order of the file.
    public internal(set) var initializers: [ONNXTensor]
    /// Sorted: every node comes after those whose outputs it, or a graph inside it, reads. A file that is sorted keeps its order.
    public internal(set) var nodes: [ONNXNode]
    /// The names of enclosing graphs that this graph or a graph inside it reads, sorted; empty for the main graph.
    public internal(set) var captures: [String] = []

    /// The inputs a caller has to give: those without a default.
    public var requiredInputs: [ONNXValueInfo] {
        let defaults = Set(initializers.map(\.name))
        return inputs.filter { !defaults.contains($0.name) }
    }
}

/// One operator, or one call of a function, with the names of what it reads and makes.
public struct ONNXNode: Sendable {
    /// Often empty, and not always unique.
    public let name: String
    /// The operator, for example `Conv`.
    public let op: String
    /// The operator set it is from; `ONNXFile.standardDomain` for ONNX's own.
    public let domain: String
    /// Tells functions of the same name apart.
    public let overload: String
    /// An empty name is an optional input that is not given.
    public let inputs: [String]
    /// An empty name is an optional output that nobody wants.
    public let outputs: [String]
    public internal(set) var attributes: [ONNXAttribute]
    /// The node as errors call it: its name, or its operator and its place in the file's list, and always the operator.
    public let label: String
}

/// A named constant of a node.
public struct ONNXAttribute: Sendable {
    public enum Value: Sendable {
        case float(Float)
        case int(Int)
        /// Text by the specification (UTF-8), any bytes in practice.
        case string([UInt8])
        case tensor(ONNXTensor)
        case graph(ONNXGraph)
        case type(ONNXType)
        case floats([Float])
        case ints([Int])
        case strings([[UInt8]])
        case tensors([ONNXTensor])
        case graphs([ONNXGraph])
        case types([ONNXType])
        /// Inside a function: the value of the calling node's attribute of that name.
        case reference(String)
    }

    public let name: String
    public internal(set) var value: Value
}

/// A function the model brings with it: a node of its domain and name stands for its nodes.
public struct ONNXFunction: Sendable {
    public let name: String
    public let domain: String
    public let overload: String
    /// Attributes a call may give, without defaults.
    public let attributes: [String]
    /// Attributes a call may give, with what holds when it does not.
    public let attributeDefaults: [ONNXAttribute]
    /// The versions of the operator sets its nodes use.
    public let operatorSets: [String: Int]
    /// Inputs and outputs in the order of a call, and the nodes.
    public internal(set) var body: ONNXGraph
}

extension ONNXNode {
    /// Inside a function: puts the attributes of the call in the place of references to them; a reference to one that is not given goes.
    package mutating func resolveReferences(_ given: [String: ONNXAttribute.Value]) {
        guard attributes.contains(where: { if case .reference = $0.value { true } else { false } }) else { return }
        attributes = attributes.compactMap { attribute in
            guard case .reference(let name) = attribute.value else { return attribute }
            return given[name].map { ONNXAttribute(name: attribute.name, value: $0) }
        }
    }

    /// The attribute of that name, or nil.
    public func attribute(_ name: String) -> ONNXAttribute.Value? { attributes.first { $0.name == name }?.value }

    /// The integer of an attribute, nil when the node does not have it. As the others below: throws `SwiftletError.invalidGraph` when
    /// the attribute has another kind.
    public func int(_ name: String) throws -> Int? {
        try value(name, "an integer") { if case .int(let value) = $0 { value } else { nil } }
    }

    public func float(_ name: String) throws -> Float? {
        try value(name, "a float") { if case .float(let value) = $0 { value } else { nil } }
    }

    public func ints(_ name: String) throws -> [Int]? {
        try value(name, "a list of integers") { if case .ints(let value) = $0 { value } else { nil } }
    }

    public func floats(_ name: String) throws -> [Float]? {
        try value(name, "a list of floats") { if case .floats(let value) = $0 { value } else { nil } }
    }

    public func string(_ name: String) throws -> String? {
        try value(name, "a text") { if case .string(let value) = $0 { String(validating: value, as: UTF8.self) } else { nil } }
    }

    public func strings(_ name: String) throws -> [String]? {
        try value(name, "a list of texts") {
            guard case .strings(let values) = $0 else { return nil }
            let texts = values.compactMap { String(validating: $0, as: UTF8.self) }
            return texts.count == values.count ? texts : nil
        }
    }

    public func tensor(_ name: String) throws -> ONNXTensor? {
        try value(name, "a tensor") { if case .tensor(let value) = $0 { value } else { nil } }
    }

    public func graph(_ name: String) throws -> ONNXGraph? {
        try value(name, "a graph") { if case .graph(let value) = $0 { value } else { nil } }
    }

    private func value<Result>(_ name: String, _ kind: String, _ pick: (ONNXAttribute.Value) -> Result?) throws -> Result? {
        guard let value = attribute(name) else { return nil }
        if let result = pick(value) { return result }
        throw SwiftletError.invalidGraph(
            node: label, reason: "the attribute '\(name)' is not \(kind)", remedy: "Export the model again, or check it with onnx.checker.")
    }

    /// The graphs among the attributes, each with the attribute's name.
    public var subgraphs: [(attribute: String, graph: ONNXGraph)] {
        attributes.flatMap { attribute -> [(attribute: String, graph: ONNXGraph)] in
            switch attribute.value {
            case .graph(let graph): [(attribute.name, graph)]
            case .graphs(let graphs): graphs.map { (attribute.name, $0) }
            default: []
            }
        }
    }
}
