// Computes once, before anything runs, what depends on nothing but weights.

/// Constant folding: a node that reads only weights becomes the weights it would compute.
///
/// This module has no kernels, so the caller brings the evaluator (a backend, usually the reference). A node that computes an output of the
/// graph stays, as do results that are large or have symbolic sizes: an imported file must not make memory grow by broadcasting constants.
public struct ConstantFolding: GraphPass {
    /// Computes the results of a node whose operands are all weights of the graph.
    public typealias Evaluator = @Sendable (Node, Graph) throws -> [Weight]

    public let name = "constant folding"
    /// The largest result that is folded.
    public let maximumBytes: Int
    private let evaluator: Evaluator

    public init(maximumBytes: Int = 64 << 20, evaluator: @escaping Evaluator) {
        self.maximumBytes = maximumBytes
        self.evaluator = evaluator
    }

    public func run(_ graph: Graph) throws -> Graph {
        var result = graph
        let outputs = Set(graph.outputs)
        result.nodes = []
        for node in graph.nodes {
            let isConstant = node.inputs.allSatisfy { result[$0].weight != nil } && !node.op.writesState
            guard isConstant, node.outputs.allSatisfy({ !outputs.contains($0) && fits(graph[$0].type) }) else {
                result.nodes.append(node)
                continue
            }
            let weights = try evaluator(node, result)
            guard weights.map(\.type) == node.outputs.map({ graph[$0].type }) else {
                throw SwiftletError.invalidGraph(
                    node: node.name, reason: "folds to \(weights.map(\.type)), which is not what it computes",
                    remedy: "Correct the evaluator given to constant folding.")
            }
            for (output, weight) in zip(node.outputs, weights) { result[output].origin = .weight(weight) }
        }
        return result
    }

    private func fits(_ type: ValueType) -> Bool {
        guard let dimensions = type.shape.fixedSizes, let elements = Shape(dimensions).checkedElementCount else { return false }
        return elements <= maximumBytes / type.element.byteCount
    }
}
