// How much each layer's compression alone moves the outputs: the parent with one weight exchanged, run on a few batches beside the parent itself.
import SwiftletRuntime

/// What one exchanged weight does to the outputs.
public struct LayerSensitivity: Sendable, Codable, Equatable {
    public var name: String
    /// ‖y′ − y‖ / ‖y‖ over the f32 outputs, in percent.
    public var outputErrorPercent: Double

    package init(
        name: String, outputErrorPercent: Double
    ) {
        self.name = name
        self.outputErrorPercent = outputErrorPercent
    }

    /// Measures every weight that `compressed` has in another form than `parent` and in the same shape, in the order the parent runs them.
    ///
    /// Compiles and runs the model once a weight. `batches` of `data` are used, from its start.
    package static func measure(
        parent: Graph, compressed: Graph, data: any CalibrationData, batches: Int, in context: CompressionContext
    ) throws -> [LayerSensitivity] {
        let new = Dictionary(compressed.weights.map { (compressed[$0.id].name, $0.weight) }) { first, _ in first }
        var seen: Set<ValueID> = []
        let layers = parent.layers().filter { layer in
            guard let weight = new[layer.name], weight.shape == layer.weight.shape, seen.insert(layer.weightID).inserted else { return false }
            return weight.format != layer.weight.format || weight.store.bytes.baseAddress != layer.weight.store.bytes.baseAddress
        }
        let data = FirstBatches(data, limit: batches)
        let expected = try outputs(parent, data, context)
        let signal = expected.joined().reduce(0.0) { $0 + Double($1) * Double($1) }
        return try layers.enumerated().map { index, layer in
            var graph = parent
            if let weight = new[layer.name] { graph.replaceWeight(layer.weightID, with: weight) }
            let noise = zip(expected.joined(), try outputs(graph, data, context).joined()).reduce(0.0) { sum, pair in
                let difference = Double(pair.1) - Double(pair.0)
                return sum + difference * difference
            }
            try context.progress(StepProgress(technique: "sensitivity", detail: layer.name, done: index + 1, total: layers.count))
            return LayerSensitivity(name: layer.name, outputErrorPercent: signal > 0 ? 100 * (noise / signal).squareRoot() : 0)
        }
    }

    /// The elements of the f32 outputs, batch after batch.
    private static func outputs(_ graph: Graph, _ data: some CalibrationData, _ context: CompressionContext) throws -> [[Float]] {
        let values = graph.outputs.filter { graph[$0].type.element == .f32 }
        var elements: [[Float]] = []
        try GraphRun(graph, values: values, in: context).forEachBatch(of: data) { _, run in
            for value in values { elements.append(Array(try run.floats(value))) }
        }
        return elements
    }
}
