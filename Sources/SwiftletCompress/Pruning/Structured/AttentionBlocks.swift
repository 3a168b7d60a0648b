// Attention with what surrounds it: the projections that make queries, keys and values, and the one that takes the heads' answers.
import SwiftletRuntime

/// One attention of a language graph.
struct AttentionBlock {
    /// A linear layer whose rows are heads.
    struct Projection {
        let weight: ValueID
        let bias: ValueID?
        /// The node that cuts rows into heads.
        let reshape: Int
    }

    let node: Int
    let attention: Attention
    let queries, keys, values: Projection
    let states: [ValueID]
    /// The node that joins heads to a row again, and the layer that takes it in.
    let join: Int
    let output: Layer

    /// Heads that share a key.
    var headsPerGroup: Int { attention.heads / attention.keyValueHeads }

    /// All attentions of a graph, in order.
    ///
    /// Throws `SwiftletError.unsupported` naming one around which the graph looks otherwise.
    static func all(_ graph: Graph) throws -> [AttentionBlock] {
        let producers = graph.producers()
        var readers: [ValueID: [Int]] = [:]
        for (index, node) in graph.nodes.enumerated() { for input in node.inputs { readers[input, default: []].append(index) } }
        let layers = graph.layers()
        return try graph.nodes.indices.compactMap { index in
            let node = graph.nodes[index]
            guard case .attention(let attention) = node.op else { return nil }
            guard let queries = projection(node.inputs[0], graph, producers), let keys = projection(node.inputs[1], graph, producers),
                let values = projection(node.inputs[2], graph, producers), let join = readers[node.outputs[0]], join.count == 1,
                case .reshape = graph.nodes[join[0]].op, let taking = readers[graph.nodes[join[0]].outputs[0]], taking.count == 1,
                let output = layers.first(where: { $0.node == taking[0] && $0.kind == .linear && $0.weight.shape.rank == 2 })
            else {
                throw SwiftletError.unsupported(
                    file: graph.name, place: node.name, reason: "the projections around this attention are not plain linear layers", remedy: "Prune neurons or layers instead.")
            }
            let states = node.inputs[1...2].compactMap { id in producers[id].map { graph.nodes[$0].inputs[0] } }
            return AttentionBlock(
                node: index, attention: attention, queries: queries, keys: keys, values: values, states: states, join: join[0], output: output)
        }
    }

    /// Back from what attention reads, over rotation, norms of heads and the cache, to the layer it comes from.
    private static func projection(_ value: ValueID, _ graph: Graph, _ producers: [ValueID: Int]) -> Projection? {
        var value = value
        while let index = producers[value] {
            let node = graph.nodes[index]
            switch node.op {
            case .rotary, .rmsNorm: value = node.inputs[0]
            case .cacheWrite: value = node.inputs[1]
            case .binary(.multiply):
                guard let computed = node.inputs.first(where: { graph[$0].weight == nil }), node.inputs.contains(where: { graph[$0].weight?.shape.rank == 1 }) else { return nil }
                value = computed
            case .reshape(let shape):
                guard shape.count == 3, let source = producers[node.inputs[0]], case .linear(let linear) = graph.nodes[source].op, linear.weightCount == 1,
                    linear.epilogue == .none
                else { return nil }
                let inputs = graph.nodes[source].inputs
                return Projection(weight: inputs[1], bias: linear.hasBias ? inputs[2] : nil, reshape: index)
            default: return nil
            }
        }
        return nil
    }

    /// Takes heads out: `groups` are the key-value heads that stay, with all queries that share them. Types are inferred by the caller.
    func keep(_ groups: [Int], in graph: inout Graph, output elements: [Float]?) throws {
        let size = attention.headDimension
        func rows(_ heads: [Int]) -> [Int] { heads.flatMap { $0 * size..<($0 + 1) * size } }
        let heads = groups.flatMap { $0 * headsPerGroup..<($0 + 1) * headsPerGroup }
        for (projection, kept) in [(queries, heads), (keys, groups), (values, groups)] {
            for id in [projection.weight, projection.bias].compactMap({ $0 }) {
                if let weight = graph[id].weight { graph.replaceWeight(id, with: try weight.keeping([0: rows(kept)], name: graph[id].name)) }
            }
            if case .reshape(var shape) = graph.nodes[projection.reshape].op {
                shape[1] = Dimension(kept.count)
                graph.nodes[projection.reshape].op = .reshape(shape)
            }
        }
        graph.replaceWeight(output.weightID, with: try output.weight.keeping([1: rows(heads)], name: output.name, adjusted: elements))
        if case .reshape(var shape) = graph.nodes[join].op {
            shape[shape.count - 1] = Dimension(heads.count * size)
            graph.nodes[join].op = .reshape(shape)
        }
        for state in states {
            guard let spec = graph[state].state else { continue }
            var shape = spec.shape
            shape[1] = Dimension(groups.count)
            graph[state].origin = .state(StateSpec(shape: shape, format: spec.format))
            graph[state].type.shape = shape
        }
        var smaller = attention
        smaller.heads = heads.count
        smaller.keyValueHeads = groups.count
        graph.nodes[node].op = .attention(smaller)
    }
}
