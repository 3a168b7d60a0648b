// A network on its way to 8 bits: folded, with the levels every value would have, ready to be written with any choice of layers that compute in
// integers. What static quantisation does once, and mixed precision many times.
import SwiftletRuntime

/// How a layer of a network computes.
public enum LayerPrecision: String, Sendable, Hashable, CaseIterable {
    /// Weights and activations in 8 bits.
    case int8
    /// Weights in 8 bits, activations in floats: the bytes of `int8` at the speed of floats.
    case int8Weights = "int8-weights"
    /// Floats.
    case float = "f32"
}

/// A network and the levels of its values.
package struct StaticQuantisation {
    /// The network with batch normalisation in the weights: what is rounded is what runs.
    package let graph: Graph
    /// Layers that integers can compute, by the index of their node.
    package let layers: [Int: Layer]
    /// What is rounded when every layer is in 8 bits.
    private let sites: QuantizationSites
    private let levels: [ValueID: QuantizedLevels]
    private let isPerChannel: Bool

    /// Folds `parent` and looks at what flows through it.
    ///
    /// Throws `SwiftletError.invalidArgument` when the scope of `step` takes no layer or there are no data.
    package init(_ parent: Graph, _ step: QuantizeStatic, data: any CalibrationData, technique: String, in context: CompressionContext) throws {
        graph = try PassPipeline(name: technique, [DeadCodeElimination(), FuseGates(), FoldChannelScales(), DeadCodeElimination()]).run(parent)
        layers = QuantizationSites.layers(of: graph, in: step.scope)
        guard !layers.isEmpty else {
            throw SwiftletError.invalidArgument(
                name: "scope", reason: "no convolution or linear layer with a constant f32 weight has a name that matches", remedy: "Widen the scope.")
        }
        isPerChannel = step.isPerChannel
        sites = QuantizationSites(graph, integers: layers, floats: [:])
        let ranges = try ActivationRanges.collect(
            graph, values: sites.values, method: step.range, type: step.activations, data: data, in: context, technique: technique)
        levels = ranges.mapValues { QuantizedLevels($0, step.activations) }
    }

    /// Values that are rounded when every layer is in 8 bits, in the order they are computed.
    package var values: [ValueID] { sites.values }

    /// The layer that computes a value which is rounded behind it, by the index of its node.
    package var makers: [ValueID: Int] { sites.makers }

    /// The value that is rounded behind a layer, by the index of its node.
    package var results: [Int: ValueID] { makers.reduce(into: [:]) { $0[$1.value] = $1.key } }

    /// What is rounded with `precisions` by the index of a layer's node, `int8` for those it does not name.
    private func sites(_ precisions: [Int: LayerPrecision]) -> QuantizationSites {
        let floats = layers.filter { (precisions[$0.key] ?? .int8) != .int8 }
        return QuantizationSites(graph, integers: layers.filter { floats[$0.key] == nil }, floats: floats)
    }

    /// The network with `precisions` by the index of a layer's node, `int8` for those it does not name; and what became of the weights.
    package func graph(_ precisions: [Int: LayerPrecision] = [:]) throws -> (graph: Graph, reports: [TensorReport]) {
        let sites = sites(precisions)
        // A value that only moves another one's elements has its levels.
        var levels: [ValueID: QuantizedLevels] = [:]
        for value in sites.values { levels[value] = self.levels[sites.owner(of: value)] }
        var writer = QuantizedGraphWriter(
            graph, weights: layers.filter { precisions[$0.key] != .float }, values: levels, flow: sites.flow, integers: sites.nodes, isPerChannel: isPerChannel)
        let reports = try writer.write()
        return (writer.result, reports)
    }

    /// Layers in floats whose input only exists as levels and whose result only integers read, by the index of their node. With such
    /// layers a network diverged twelve times as much in onnxruntime 1.32 with its optimisations as without, as if it rounded their weights itself.
    package func betweenIntegers(_ precisions: [Int: LayerPrecision]) -> Set<Int> {
        let (sites, results) = (sites(precisions), results)
        let readers = Dictionary(grouping: graph.nodes.indices.flatMap { index in graph.nodes[index].inputs.map { ($0, index) } }) { $0.0 }.mapValues { $0.map(\.1) }
        return Set(
            layers.keys.filter { node in
                guard precisions[node] == .float, let layer = layers[node], sites.flow.contains(layer.input), let result = results[node], let users = readers[result]
                else { return false }
                return users.allSatisfy(sites.nodes.contains)
            })
    }

    /// The network with nothing rounded but these: what each costs alone is found with them.
    package func graph(roundingWeightOf node: Int?, value: ValueID?) throws -> Graph {
        var writer = QuantizedGraphWriter(
            graph, weights: layers.filter { $0.key == node }, values: levels.filter { $0.key == value }, flow: Set(value.map { [$0] } ?? []), integers: [],
            isPerChannel: isPerChannel)
        _ = try writer.write()
        return writer.result
    }
}
