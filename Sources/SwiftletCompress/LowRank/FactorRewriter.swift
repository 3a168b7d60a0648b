// Putting several nodes in the place of one: how factored layers enter a graph.
import SwiftletRuntime

/// Collects replacements by the index a node has in the graph it began with.
struct FactorRewriter {
    private(set) var graph: Graph
    private var chains: [Int: [Node]] = [:]

    init(_ graph: Graph) { self.graph = graph }

    /// A new dense f32 weight.
    mutating func weight(_ name: String, shape: [Int], _ elements: [Float]) throws -> (id: ValueID, weight: Weight) {
        let weight = try Weight(name: name, shape: Shape(shape), floats: elements)
        return (graph.add(Value(name: name, type: weight.type, origin: .weight(weight))), weight)
    }

    /// Puts `operations`, each on the result of the one before and on operands of its own, in the place of the node `index`. The last gives what the node
    /// gave; `suffixes` are added to the node's name for those before it.
    mutating func replace(_ index: Int, with operations: [(op: Op, operands: [ValueID])], suffixes: [String]) throws {
        let node = graph.nodes[index]
        var x = node.inputs[0]
        var chain: [Node] = []
        for (position, operation) in operations.enumerated() {
            let inputs = [x] + operation.operands
            if position == operations.count - 1 {
                chain.append(Node(name: node.name, op: operation.op, inputs: inputs, outputs: node.outputs))
            } else {
                let name = node.name + suffixes[position]
                let types = try operation.op.outputTypes(for: inputs.map { graph[$0].type }, node: name)
                x = graph.add(Value(name: name, type: types[0], origin: .node))
                chain.append(Node(name: name, op: operation.op, inputs: inputs, outputs: [x]))
            }
        }
        chains[index] = chain
    }

    /// The graph with all replacements made.
    func result() -> Graph {
        var result = graph
        result.nodes = graph.nodes.enumerated().flatMap { chains[$0.offset] ?? [$0.element] }
        return result
    }
}
