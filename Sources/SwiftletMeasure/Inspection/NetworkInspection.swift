// What an ONNX model is made of, as data: its interface and its operators. Graphs within nodes and functions count too.
import SwiftletFormats

extension ModelInspection {
    /// The interface and the operators of a network.
    public struct Network: Sendable, Codable {
        public struct Value: Sendable, Codable {
            public let name: String
            /// For example `f32`; the whole type for a sequence, a map or an optional. Nil where the file leaves it to inference.
            public let type: String?
            /// A number, a name (symbolic) or `?` a dimension. Nil when the rank is unknown or the value is no tensor.
            public let shape: [String]?
            /// Whether the file has a default for it, so that a caller may leave it out.
            public let isOptional: Bool
        }

        public struct OperatorSet: Sendable, Codable {
            public let domain: String
            public let version: Int
        }

        /// How many nodes use an operator.
        public struct OperatorCount: Sendable, Codable {
            public let op: String
            public let domain: String
            public let nodes: Int
        }

        public let irVersion: Int
        /// The program that wrote the file and its version; empty when the file does not say.
        public let producer: String
        public let operatorSets: [OperatorSet]
        public let inputs: [Value]
        public let outputs: [Value]
        /// All nodes: of the graph, of graphs within nodes, and once of each function.
        public let nodes: Int
        /// The most frequent first.
        public let operators: [OperatorCount]
        public let functions: [String]
    }
}

extension ModelInspection.Network {
    init(_ file: ONNXFile) {
        irVersion = file.irVersion
        producer = [file.producerName, file.producerVersion].filter { !$0.isEmpty }.joined(separator: " ")
        operatorSets = file.operatorSets.sorted { $0.key < $1.key }.map { OperatorSet(domain: $0.key, version: $0.value) }
        let required = Set(file.graph.requiredInputs.map(\.name))
        inputs = file.graph.inputs.map { Value($0, isOptional: !required.contains($0.name)) }
        outputs = file.graph.outputs.map { Value($0, isOptional: false) }
        let all = Self.graphs(file).flatMap(\.nodes)
        nodes = all.count
        operators = Dictionary(grouping: all) { [$0.domain, $0.op] }
            .map { OperatorCount(op: $0.key[1], domain: $0.key[0], nodes: $0.value.count) }
            .sorted { ($1.nodes, $0.domain, $0.op) < ($0.nodes, $1.domain, $1.op) }
        functions = file.functions.map { "\($0.domain).\($0.name)" }
    }

    /// The main graph, the bodies of functions, and every graph within their nodes, from the outside in.
    private static func graphs(_ file: ONNXFile) -> [ONNXGraph] {
        var graphs = [file.graph] + file.functions.map(\.body)
        var next = 0
        while next < graphs.count {
            graphs += graphs[next].nodes.flatMap { $0.subgraphs.map(\.graph) }
            next += 1
        }
        return graphs
    }

    /// Initialisers, then the constants among the nodes under the name of their output: some exporters store all weights as such.
    static func tensors(_ file: ONNXFile) -> [ModelInspection.Tensor] {
        graphs(file).flatMap { graph in
            let constants = graph.nodes.flatMap { node in
                node.attributes.flatMap { attribute -> [ModelInspection.Tensor] in
                    let name = node.op == "Constant" ? node.outputs.first ?? node.label : "\(node.label).\(attribute.name)"
                    return switch attribute.value {
                    case .tensor(let tensor): [ModelInspection.Tensor(tensor, name: name)]
                    case .tensors(let tensors): tensors.map { ModelInspection.Tensor($0, name: name) }
                    default: []
                    }
                }
            }
            return graph.initializers.map { ModelInspection.Tensor($0, name: $0.name) } + constants
        }
    }
}

extension ModelInspection.Network.Value {
    init(_ value: ONNXValueInfo, isOptional: Bool) {
        name = value.name
        self.isOptional = isOptional
        if case .tensor(let element, let dimensions)? = value.type {
            type = "\(element)"
            shape = dimensions?.map(\.description)
        } else {
            type = value.type?.description
            shape = nil
        }
    }
}

extension ModelInspection.Tensor {
    init(_ tensor: ONNXTensor, name: String) {
        self.name = name
        shape = tensor.shape.dimensions
        format = "\(tensor.type)".uppercased()
        bytes = tensor.byteCount
        offset = tensor.place?.offset
    }
}
