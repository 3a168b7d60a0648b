// Removes nodes whose results nobody reads.

/// Dead code elimination: keeps the nodes that an output of the graph or a state depends on.
public struct DeadCodeElimination: GraphPass {
    public let name = "dead code elimination"

    public init() {}

    public func run(_ graph: Graph) throws -> Graph {
        var needed = Set(graph.outputs)
        var kept: [Node] = []
        for node in graph.nodes.reversed() where node.op.writesState || node.outputs.contains(where: needed.contains) {
            needed.formUnion(node.inputs)
            kept.append(node)
        }
        var result = graph
        result.nodes = kept.reversed()
        return result
    }
}
