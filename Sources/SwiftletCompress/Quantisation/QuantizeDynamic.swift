// 8-bit weights for linear layers, with nothing measured beforehand: activations are rounded when they come, with a scale of their own for each row.
//
// The graph, and an ONNX file made of it, say only what is fixed: i8 weights behind a dequantize with one scale an output channel. How a runtime rounds
// activations is its own affair: ours does it by row in its linear kernels (`BlockLinears`). DynamicQuantizeLinear and MatMulInteger, ONNX's other form,
// would bind every reader to one scale for the whole tensor, which is what loses accuracy, and a reader without a kernel for it to integer matrices.
//
// Scales are rounded to numbers an f16 holds, so that blocks of Q8_0 stand for exactly the same weights.
import SwiftletRuntime

/// Rounds the weights of linear layers to i8 by output channel.
public struct QuantizeDynamic: CompressionStep {
    public static let technique = "int8-dynamic"

    public var scope: Scope

    public init(scope: Scope = .all) { self.scope = scope }

    /// Throws `SwiftletError.invalidArgument` when `scope` takes no linear layer with a dense weight.
    public func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
        // A table that is looked up as well keeps its floats: a dequantize in front of it would run over all of it.
        let tables = Set(graph.layers().filter { $0.kind == .embedding }.map(\.weightID))
        let layers = graph.layers(in: scope).filter { layer in
            guard layer.kind == .linear, case .dense(let type) = layer.weight.format else { return false }
            return type.isFloat && layer.weight.shape.rank == 2 && layer.weight.shape.elementCount > 0 && !tables.contains(layer.weightID)
        }
        guard !layers.isEmpty else {
            throw SwiftletError.invalidArgument(
                name: "scope", reason: "no linear layer with a constant weight of floats has a name that matches", remedy: "Widen the scope.")
        }
        var result = graph
        var added: [ValueID: (first: Int, node: Node)] = [:]
        var reports: [TensorReport] = []
        for (number, layer) in layers.enumerated() {
            if added[layer.weightID] == nil {
                let (node, report) = try result.dequantizedRows(of: layer)
                added[layer.weightID] = (layer.node, node)
                reports.append(report)
            }
            guard let node = added[layer.weightID]?.node else { continue }
            result.nodes[layer.node].inputs = result.nodes[layer.node].inputs.map { $0 == layer.weightID ? node.outputs[0] : $0 }
            try context.progress(StepProgress(technique: Self.technique, detail: layer.name, done: number + 1, total: layers.count))
        }
        for (first, node) in added.values.sorted(by: { $0.first > $1.first }) { result.nodes.insert(node, at: first) }
        return try StepResult(technique: Self.technique, before: graph, after: result, tensors: reports)
    }
}

extension Graph {
    /// A dequantize that gives the rounded weight of a layer, not yet among the nodes.
    fileprivate mutating func dequantizedRows(of layer: Layer) throws -> (Node, TensorReport) {
        let quantized = try QuantizedWeight(layer.weight.floats(), name: layer.name, channels: layer.weight.shape[0], perChannel: true, inHalfScales: true)
        let shape = layer.weight.shape
        let values = try Weight(name: layer.name, shape: shape, format: .dense(.i8), store: WeightStore(quantized.values))
        let scales = try Weight(name: layer.name + ".scale", shape: [shape[0], 1], format: .dense(.f32), store: WeightStore(quantized.scales))
        let inputs = [values, scales].enumerated().map { index, weight in
            add(Value(name: index == 0 ? layer.name : layer.name + ".scale", type: weight.type, origin: .weight(weight)))
        }
        let name = "\(layer.name).dequantize"
        let output = add(Value(name: name, type: ValueType(.f32, shape.dimensions.map { Dimension($0) }), origin: .node))
        var report = try TensorReport(name: layer.name, before: layer.weight, after: Weight(name: layer.name, shape: shape, floats: quantized.floats))
        report.formatAfter = "i8"
        report.bytesAfter = quantized.values.count + 4 * quantized.scales.count
        return (Node(name: name, op: .tensor(.dequantize(.f32)), inputs: inputs, outputs: [output]), report)
    }
}

extension QuantizeDynamic: RecipeTechnique {
    package static let summary = "8-bit weights for linear layers, activations rounded by row when they come"
    package static let parameters: [RecipeParameter] = []
    package init(_ values: RecipeValues) throws { self.init(scope: values.scope) }
}
