// The quantised graph, written node by node: behind each value that is rounded a quantize and a dequantize, which its readers read; in front of each
// layer a dequantize of its weight. A reader that computes floats and finds them unrounded, because floats made them, takes those.
import SwiftletRuntime

struct QuantizedGraphWriter {
    private let graph: Graph
    /// Layers whose weights are rounded.
    private let weights: [Int: Layer]
    private let levels: [ValueID: QuantizedLevels]
    /// Values that exist as levels only, and nodes that read levels.
    private let flow: Set<ValueID>
    private let integers: Set<Int>
    private let isPerChannel: Bool
    private(set) var result: Graph
    /// The rounded twin of a value.
    private var twins: [ValueID: ValueID] = [:]
    private var names: Set<String>
    private var reports: [TensorReport] = []

    /// - Parameters:
    ///   - weights: layers whose weights are rounded, by node.
    ///   - values: values that are rounded, with their levels.
    ///   - flow: those of them that exist as levels only.
    ///   - integers: nodes that read levels even where floats are at hand.
    init(_ graph: Graph, weights: [Int: Layer], values: [ValueID: QuantizedLevels], flow: Set<ValueID>, integers: Set<Int>, isPerChannel: Bool) {
        self.graph = graph
        self.weights = weights
        levels = values
        self.flow = flow
        self.integers = integers
        self.isPerChannel = isPerChannel
        result = graph
        result.nodes = []
        names = Set(graph.nodes.map(\.name))
    }

    mutating func write() throws -> [TensorReport] {
        for input in graph.inputs { try round(input) }
        for (index, node) in graph.nodes.enumerated() {
            var node = node
            node.inputs = node.inputs.map { integers.contains(index) || flow.contains($0) ? twins[$0] ?? $0 : $0 }
            if let layer = weights[index] { node.inputs[1] = try weight(of: layer, bias: node.inputs.count > 2 ? node.inputs[2] : nil) }
            result.nodes.append(node)
            for output in node.outputs { try round(output) }
        }
        return reports
    }

    /// A pair of quantize and dequantize behind a value that has levels.
    private mutating func round(_ value: ValueID) throws {
        guard let levels = levels[value] else { return }
        let name = graph[value].name
        let scale = try constant("\(name).scale", [], .f32, [levels.scale])
        let zero = levels.type.isSigned
            ? try constant("\(name).zero", [], .i8, [Int8(truncatingIfNeeded: levels.zero)]) : try constant("\(name).zero", [], .u8, [UInt8(truncatingIfNeeded: levels.zero)])
        let quantized = try append(.quantize(levels.type.element), [value, scale, zero], "\(name).quantize")
        twins[value] = try append(.dequantize(.f32), [quantized, scale, zero], "\(name).dequantize")
    }

    /// The weight of a layer as i8 behind a dequantize.
    private mutating func weight(of layer: Layer, bias: ValueID?) throws -> ValueID {
        let channels = layer.weight.shape[0]
        // A bias must not be more than 2²⁹ units of a sum.
        var least: [Float]?
        if let bias = bias.flatMap({ graph[$0].weight }), let unit = levels[layer.input]?.scale {
            least = try bias.floats().map { abs($0) / unit * 0x1p-29 }
        }
        // A linear layer whose results stay floats runs on blocks of Q8_0, whose scales are f16.
        let quantized = try QuantizedWeight(
            layer.weight.floats(), name: layer.name, channels: channels, perChannel: isPerChannel, leastScales: least?.count == channels ? least : nil,
            inHalfScales: layer.kind == .linear)
        let shape = isPerChannel ? [channels] + [Int](repeating: 1, count: layer.weight.shape.rank - 1) : []
        let values = try constant(layer.name, layer.weight.shape.dimensions, .i8, quantized.values)
        let scale = try constant("\(layer.name).scale", shape, .f32, quantized.scales)
        var report = try TensorReport(
            name: layer.name, before: layer.weight, after: Weight(name: layer.name, shape: layer.weight.shape, floats: quantized.floats))
        report.formatAfter = "i8"
        report.bytesAfter = quantized.values.count + 4 * quantized.scales.count
        reports.append(report)
        return try append(.dequantize(.f32), [values, scale], "\(layer.name).dequantize")
    }

    private mutating func constant<Element: BitwiseCopyable>(_ name: String, _ shape: [Int], _ type: DType, _ values: [Element]) throws -> ValueID {
        let weight = try Weight(name: name, shape: Shape(shape), format: .dense(type), store: WeightStore(values))
        return result.add(Value(name: name, type: weight.type, origin: .weight(weight)))
    }

    private mutating func append(_ op: TensorOp, _ inputs: [ValueID], _ name: String) throws -> ValueID {
        var unique = name
        var number = 1
        while !names.insert(unique).inserted {
            number += 1
            unique = "\(name).\(number)"
        }
        let type = try Op.tensor(op).outputTypes(for: inputs.map { result[$0].type }, node: unique)[0]
        let output = result.add(Value(name: unique, type: type, origin: .node))
        result.nodes.append(Node(name: unique, op: .tensor(op), inputs: inputs, outputs: [output]))
        return output
    }
}
