// Where a network is quantised: which nodes compute on levels of 8 bits, and which values are rounded to them.
//
// Convolutions and linear layers with constant weights do. From a convolution the levels flow on through sums, pooling and moves, so that integer
// kernels need not come back to floats between them. A value is rounded behind the rectifier that follows, never before it: what the rectifier cuts
// needs no levels. Values that leave the network stay floats.
import SwiftletRuntime

/// The quantised part of a graph.
package struct QuantizationSites {
    /// Convolutions and linear layers by the index of their node.
    package private(set) var layers: [Int: Layer] = [:]
    /// Values that are rounded, in the order they are computed.
    package private(set) var values: [ValueID] = []
    /// Values with the very levels of another one, because they only move its elements.
    package private(set) var sources: [ValueID: ValueID] = [:]
    /// Nodes that read rounded values.
    package private(set) var nodes: Set<Int> = []
    /// Values that integers compute, and so have nothing but levels.
    package private(set) var flow: Set<ValueID> = []

    /// The layer behind which a value is rounded, by the index of its node.
    package private(set) var makers: [ValueID: Int] = [:]

    /// Layers that integers can compute, by the index of their node.
    package static func layers(of graph: Graph, in scope: Scope) -> [Int: Layer] {
        Dictionary(graph.layers(in: scope).filter { graph.suitsIntegers($0) }.map { ($0.node, $0) }) { first, _ in first }
    }

    /// - Parameter integers: the layers that compute in integers.
    /// - Parameter floats: layers that are left to floats by choice. A sum beside their results stays one of floats.
    package init(_ graph: Graph, integers: [Int: Layer], floats: [Int: Layer]) {
        layers = integers
        let readers = Dictionary(grouping: graph.nodes.indices.flatMap { index in graph.nodes[index].inputs.map { ($0, index) } }) { $0.0 }
            .mapValues { $0.map(\.1) }
        let outputs = Set(graph.outputs)

        /// The value behind a node's result that is rounded: that of a cut which nobody gets round.
        func settled(_ value: ValueID) -> ValueID {
            guard !outputs.contains(value), let users = readers[value], users.count == 1, graph.nodes[users[0]].isCut else { return value }
            return graph.nodes[users[0]].outputs[0]
        }
        // Forwards: where levels could flow.
        var left: Set<ValueID> = []
        for (index, node) in graph.nodes.enumerated() {
            if let layer = floats[index] {
                if case .convolution = layer.kind { left.insert(settled(layer.output)) }
            } else if let layer = layers[index] {
                nodes.insert(index)
                if case .convolution = layer.kind {
                    let value = settled(layer.output)
                    flow.insert(value)
                    makers[value] = index
                }
            } else if let kind = FlowKind(node, in: graph), node.inputs.contains(where: flow.contains) {
                guard !node.inputs.contains(where: left.contains) else {
                    left.insert(settled(node.outputs[0]))
                    continue
                }
                nodes.insert(index)
                flow.insert(kind == .sum ? settled(node.outputs[0]) : node.outputs[0])
                if kind == .move { sources[node.outputs[0]] = node.inputs[0] }
            }
        }
        // Backwards: moves, means and pools in front of floats are left to floats.
        for index in graph.nodes.indices.reversed() where nodes.contains(index) && layers[index] == nil {
            let node = graph.nodes[index]
            guard FlowKind(node, in: graph) != .sum else { continue }
            let users = readers[node.outputs[0]] ?? []
            if outputs.contains(node.outputs[0]) || users.isEmpty || !users.allSatisfy(nodes.contains) {
                nodes.remove(index)
                flow.remove(node.outputs[0])
                sources[node.outputs[0]] = nil
            }
        }
        var rounded = flow
        for index in nodes {
            let node = graph.nodes[index]
            rounded.formUnion(layers[index].map { [$0.input] } ?? node.inputs.filter { graph[$0].weight == nil })
        }
        flow.formIntersection(rounded)
        // What only leaves the network is not rounded.
        rounded = rounded.filter { value in !(outputs.contains(value) && (readers[value] ?? []).allSatisfy { !nodes.contains($0) }) }
        values = graph.inputs.filter(rounded.contains) + graph.nodes.flatMap(\.outputs).filter(rounded.contains)
    }

    /// The value whose levels `value` has: itself, or what it is a move of.
    package func owner(of value: ValueID) -> ValueID {
        var value = value
        while let source = sources[value] { value = source }
        return value
    }
}

/// How levels flow through a node that has no weight.
private enum FlowKind {
    case sum, move, mean

    init?(_ node: Node, in graph: Graph) {
        func isFloats(_ id: ValueID) -> Bool { graph[id].type.element == .f32 && graph[id].weight == nil && graph[id].state == nil }
        guard node.outputs.count == 1, let x = node.inputs.first, isFloats(x) else { return nil }
        switch node.op {
        case .binary(.add) where isFloats(node.inputs[1]) && graph[x].type == graph[node.inputs[1]].type: self = .sum
        case .reshape, .tensor(.transpose): self = .move
        case .tensor(.pool(let pool)):
            switch pool.kind {
            case .maximum(indices: false): self = .move
            case .average: self = .mean
            case .maximum, .norm: return nil
            }
        case .tensor(.reduce(.mean, let axes, keepsAxes: true)) where axes.sorted() == Array(2..<max(2, graph[x].type.shape.count)): self = .mean
        default: return nil
        }
    }
}

extension Node {
    /// Whether the node only cuts a range off.
    fileprivate var isCut: Bool {
        switch op {
        case .unary(.relu): true
        case .unary(.clip(let low, let high)): low <= 0 && high >= 0 && low < high
        default: false
        }
    }
}

extension Graph {
    /// Whether integer arithmetic can do what a layer does: floats come in, the weight is constant floats, nothing has been fused.
    fileprivate func suitsIntegers(_ layer: Layer) -> Bool {
        let node = nodes[layer.node]
        guard self[layer.input].type.element == .f32, self[layer.input].weight == nil, layer.weight.format == .dense(.f32), layer.weight.shape.elementCount > 0
        else { return false }
        switch node.op {
        case .tensor(.convolution(let convolution)):
            return convolution.activation == nil && !convolution.hasResidual && (!convolution.hasBias || self[node.inputs[2]].weight?.format == .dense(.f32))
        case .linear(let linear):
            return linear.weightCount == 1 && linear.epilogue == .none && (!linear.hasBias || self[node.inputs[2]].weight?.format == .dense(.f32))
        default: return false
        }
    }
}
