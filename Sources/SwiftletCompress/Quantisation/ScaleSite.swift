// Places where a scale can move from activations into weights without changing what a model computes: y = W·x = (W·diag(s))·(x / s).
//
// x is divided by s where it is made: in the weights of a norm (x = normalised ⊙ w, all readers linear), or in the rows of a matrix whose output
// is multiplied into x (x = f(gate) ⊙ up). Used by activation-aware quantisation and by smoothing.
import SwiftletRuntime

/// One such place.
struct ScaleSite {
    /// The value x, and the layers that read it.
    let value: ValueID
    let readers: [Layer]
    private let source: Source

    private enum Source {
        /// A vector that is multiplied into x.
        case vector(ValueID)
        /// A matrix whose row i makes element i of a factor of x; it may have a bias, whose elements go along.
        case rows(ValueID, bias: ValueID?)
    }

    /// The sites of a graph whose readers are all linear layers in `scope`.
    static func all(in graph: Graph, scope: Scope) -> [ScaleSite] {
        let producers = graph.producers(), readers = graph.readerCounts()
        var layers: [ValueID: [Layer]] = [:]
        var order: [ValueID] = []
        for layer in graph.layers(in: scope) where layer.kind == .linear {
            if layers[layer.input] == nil { order.append(layer.input) }
            layers[layer.input, default: []].append(layer)
        }
        // Two layers that share a weight cannot have different scales.
        var uses: [ValueID: Int] = [:]
        for node in graph.nodes { for input in node.inputs { uses[input, default: 0] += 1 } }
        return order.compactMap { value in
            guard let group = layers[value], readers[value] == group.count, group.allSatisfy({ uses[$0.weightID] == 1 }),
                let producer = producers[value], case .binary(.multiply) = graph.nodes[producer].op
            else { return nil }
            let operands = graph.nodes[producer].inputs
            for operand in operands {
                if let weight = graph[operand].weight, weight.shape.dimensions == [group[0].weight.columnCount], uses[operand] == 1 {
                    return ScaleSite(value: value, readers: group, source: .vector(operand))
                }
            }
            for operand in operands.reversed() {
                guard readers[operand] == 1, let index = producers[operand], case .linear(let linear) = graph.nodes[index].op, linear.weightCount == 1,
                    linear.epilogue == .none, graph[graph.nodes[index].inputs[1]].weight != nil, uses[graph.nodes[index].inputs[1]] == 1
                else { continue }
                return ScaleSite(
                    value: value, readers: group, source: .rows(graph.nodes[index].inputs[1], bias: linear.hasBias ? graph.nodes[index].inputs[2] : nil))
            }
            return nil
        }
    }

    /// Multiplies column i of every reader by `scales[i]` and divides x's element i by it.
    func migrate(_ scales: [Float], in graph: inout Graph) throws {
        for reader in readers {
            guard let weight = graph[reader.weightID].weight else { continue }
            graph.replaceWeight(reader.weightID, with: try weight.mapped(name: reader.name) { $1 * scales[$0 % scales.count] })
        }
        switch source {
        case .vector(let id): try Self.divide(id, by: scales, in: &graph)
        case .rows(let id, let bias):
            try Self.divide(id, by: scales, in: &graph)
            if let bias { try Self.divide(bias, by: scales, in: &graph) }
        }
    }

    /// Divides row i of a weight, or element i of a vector, by `scales[i]`.
    private static func divide(_ id: ValueID, by scales: [Float], in graph: inout Graph) throws {
        guard let weight = graph[id].weight else { return }
        let width = max(1, weight.shape.elementCount / scales.count)
        graph.replaceWeight(id, with: try weight.mapped(name: graph[id].name) { $1 / scales[$0 / width] })
    }
}
