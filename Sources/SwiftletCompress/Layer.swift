// The layers of a graph: nodes that multiply what flows with a weight. What techniques walk over.
import SwiftletRuntime

/// A node's product with one weight.
package struct Layer: Sendable {
    package enum Kind: Sendable, Hashable {
        /// `x·Wᵀ`, the weight is `[rows, columns]`.
        case linear
        /// The weight is `[outputs, inputs / groups, kernel…]`; `groups` as in the node.
        case convolution(groups: Int)
        /// A table from which rows are looked up.
        case embedding
    }

    /// The weight's name.
    package let name: String
    package let kind: Kind
    package let weightID: ValueID
    package let weight: Weight
    /// What the weight multiplies; the ids of the tokens for an embedding.
    package let input: ValueID
    /// What the node computes with it.
    package let output: ValueID
    /// The node's index in the graph.
    package let node: Int
}

extension Graph {
    /// Products with a constant matrix or kernel whose weight `scope` takes, in the order they run. A weight that several nodes read (a table
    /// that is the head as well) comes once a reader.
    package func layers(in scope: Scope = .all) -> [Layer] {
        nodes.enumerated().flatMap { index, node in
            layers(of: node, at: index).filter { scope.contains($0.name) }
        }
    }

    private func layers(of node: Node, at index: Int) -> [Layer] {
        func layer(_ kind: Layer.Kind, weight id: ValueID, input: ValueID, output: ValueID) -> [Layer] {
            guard let weight = self[id].weight else { return [] }
            return [Layer(name: self[id].name, kind: kind, weightID: id, weight: weight, input: input, output: output, node: index)]
        }
        switch node.op {
        case .linear(let linear):
            return (0..<linear.weightCount).flatMap {
                layer(.linear, weight: node.inputs[1 + $0], input: node.inputs[0], output: node.outputs[min($0, node.outputs.count - 1)])
            }
        case .embedding: return layer(.embedding, weight: node.inputs[0], input: node.inputs[1], output: node.outputs[0])
        case .tensor(.convolution(let convolution)):
            return layer(.convolution(groups: convolution.groups), weight: node.inputs[1], input: node.inputs[0], output: node.outputs[0])
        default: return []
        }
    }

    /// Puts another weight in the place of one. Shapes and formats may differ; the nodes that read it must suit.
    package mutating func replaceWeight(_ id: ValueID, with weight: Weight) {
        self[id].origin = .weight(weight)
        self[id].type = weight.type
        self[id].quantized = nil
    }
}
