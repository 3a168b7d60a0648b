// Linears that read the same input become one with several weights and results (query, key and value): the input is read, and quantised by
// the backend, once, and the threads have one larger product to share.

/// Fuses linears on the same input into the place of the first.
public struct FuseProjections: GraphPass {
    public let name = "projections"

    public init() {}

    private struct Key: Hashable {
        let input: ValueID
        let hasBias: Bool
    }

    public func run(_ graph: Graph) throws -> Graph {
        var rewriter = GraphRewriter(graph)
        var groups: [Key: [Int]] = [:]
        var keys: [Key] = []
        for (index, node) in graph.nodes.enumerated() {
            guard let linear = node.plainLinear else { continue }
            let key = Key(input: node.inputs[0], hasBias: linear.hasBias)
            if let first = groups[key]?.first {
                // Weights and biases may be computed themselves; then they must be known where the fused node runs.
                if node.inputs.allSatisfy({ rewriter.isKnown($0, before: first) }) { groups[key, default: []].append(index) }
            } else {
                groups[key] = [index]
                keys.append(key)
            }
        }
        for key in keys {
            guard let group = groups[key], group.count > 1 else { continue }
            let parts = group.map { graph.nodes[$0] }
            let linear = Linear(weightCount: parts.count, hasBias: key.hasBias)
            let biases = key.hasBias ? parts.map { $0.inputs[2] } : []
            let fused = Node(
                name: joinedName(parts.map(\.name)), op: .linear(linear), inputs: [key.input] + parts.map { $0.inputs[1] } + biases,
                outputs: parts.flatMap(\.outputs))
            rewriter.replace(group, with: fused, at: group[0])
        }
        return rewriter.result()
    }

    /// The names joined by `+`, their common scope once: `blk.0/q+k+v`.
    private func joinedName(_ names: [String]) -> String {
        let paths = names.map { $0.split(separator: "/", omittingEmptySubsequences: false) }
        let scope = paths[0].dropLast()
        guard paths.allSatisfy({ $0.dropLast() == scope }) else { return names.joined(separator: "+") }
        return (scope + [paths.map { $0[$0.count - 1] }.joined(separator: "+")[...]]).joined(separator: "/")
    }
}
