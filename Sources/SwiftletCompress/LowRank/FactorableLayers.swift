// Which layers of a graph can be factored, and what they cost.
import SwiftletLanguage
import SwiftletRuntime

/// A layer whose weight is one matrix or kernel that one node reads.
struct FactorableLayer: Sendable {
    let layer: Layer
    /// Outputs, and what a row of the weight multiplies: inputs, times the taps of a convolution.
    let rows: Int
    let columns: Int
    /// The convolution; nil for a linear layer.
    let convolution: Convolution?
    /// Results of each output in a run: tokens, places of a picture. Of a language model those of one token.
    let positions: Int

    var name: String { layer.name }
    var denseCost: Int { positions * rows * columns }

    /// The layers that a scope takes and that can be factored, and for those that cannot why.
    static func all(in graph: Graph, scope: Scope) -> (layers: [FactorableLayer], notes: [String]) {
        let readers = graph.readerCounts()
        var layers: [FactorableLayer] = []
        var notes: [String] = []
        for layer in graph.layers(in: scope) where layer.kind != .embedding {
            switch Self.made(of: layer, in: graph, readers: readers) {
            case .success(let factorable): layers.append(factorable)
            case .failure(let reason): notes.append("\(layer.name) left alone: \(reason.text)")
            }
        }
        return (layers, notes)
    }

    private struct Reason: Error { let text: String }

    private static func made(of layer: Layer, in graph: Graph, readers: [ValueID: Int]) -> Result<FactorableLayer, Reason> {
        let shape = layer.weight.shape.dimensions
        guard !FactorNames.areUsed(by: layer.name) else { return .failure(Reason(text: "a factor already")) }
        guard readers[layer.weightID] == 1 else { return .failure(Reason(text: "several nodes read the weight, factors would come on top of it")) }
        let element = graph[layer.input].type.element
        guard element == .f32 else { return .failure(Reason(text: "computes in \(element), factors are f32")) }
        let rows = shape.first ?? 0
        guard shape.count >= 2, layer.weight.shape.elementCount > 0 else { return .failure(Reason(text: "\(layer.weight.shape) is no matrix")) }
        var places = graph[layer.output].type.shape.map { $0.fixed ?? 1 }
        var convolution: Convolution?
        switch graph.nodes[layer.node].op {
        case .linear(let linear):
            guard linear.weightCount == 1 else { return .failure(Reason(text: "one node multiplies with several weights")) }
            places.removeLast()
        case .tensor(.convolution(let node)):
            guard node.groups == 1 else { return .failure(Reason(text: "a convolution of \(node.groups) groups")) }
            convolution = node
            places = [Self.places(graph[layer.output].type.shape)]
        default: return .failure(Reason(text: "no linear layer and no convolution"))
        }
        return .success(
            FactorableLayer(
                layer: layer, rows: rows, columns: layer.weight.shape.elementCount / rows, convolution: convolution, positions: max(1, places.reduce(1, *))))
    }

    /// Places of the input of a convolution, over all samples.
    func inputPositions(in graph: Graph) -> Int { Self.places(graph[layer.input].type.shape) }

    /// Places between a convolution along the first axis of space and one along the second.
    func positionsBetweenAxes(in graph: Graph) -> Int {
        let (input, output) = (graph[layer.input].type.shape, graph[layer.output].type.shape)
        return Self.places(Array(output.prefix(3)) + Array(input.dropFirst(3)))
    }

    /// What is left of `[samples, channels, space…]` without the channels; open sizes count as 1.
    private static func places(_ shape: [Dimension]) -> Int {
        max(1, shape.enumerated().reduce(1) { $0 * ($1.offset == 1 ? 1 : $1.element.fixed ?? 1) })
    }

    /// The operands behind input and weight: bias, residual.
    func rest(in graph: Graph) -> [ValueID] { Array(graph.nodes[layer.node].inputs.dropFirst(2)) }
}

extension Convolution {
    /// The 1×1 convolution that ends a chain: it has what rode on the whole one.
    var ending: Convolution { moved(to: Window(kernel: window.kernel.map { _ in 1 })) }

    /// Everything that rides on this convolution on another window.
    func moved(to window: Window) -> Convolution {
        var copy = self
        copy.window = window
        return copy
    }

    /// The window alone.
    static func bare(_ window: Window) -> Op { .tensor(.convolution(Convolution(window: window))) }
}
