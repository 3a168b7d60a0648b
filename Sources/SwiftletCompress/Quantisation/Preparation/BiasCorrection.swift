// What rounding moves on average is taken back: rounded weights and activations shift the mean of a layer's output, and a bias can undo that exactly.
//
// The empirical form (Nagel et al., "Data-free quantization through weight equalization and bias correction", 2019, appendix D): the mean of each
// output channel over the calibration data, in the network before the last step and in the one after it; the difference goes into the bias. Layers are
// corrected in the order they run, each with those before it corrected already, so that a shift is not taken back twice.
import SwiftletRuntime

/// Corrects the biases of layers after a step that changed weights or activations: put it behind the quantisation.
public struct BiasCorrection: CompressionStep {
    public static let technique = "bias-correction"

    public var scope: Scope
    /// Batches of the calibration data that are looked at, from the first on; nil for all. Means need fewer than ranges do.
    public var batches: Int?

    public init(scope: Scope = .all, batches: Int? = nil) {
        self.scope = scope
        self.batches = batches
    }

    /// Throws `SwiftletError.invalidArgument` without calibration data or without a step before this one.
    public func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
        let data = try context.requiredCalibration(for: Self.technique)
        guard let parent = context.graphBeforeLastStep else {
            throw SwiftletError.invalidArgument(
                name: Self.technique, reason: "there is no step before it whose error could be corrected", remedy: "Put it behind the step that quantises.")
        }
        let count = min(batches ?? data.batchCount, data.batchCount)
        guard count > 0 else {
            throw SwiftletError.invalidArgument(name: "calibration", reason: "the data have no batches", remedy: "Give at least one sample of what the model will see.")
        }
        let layers = graph.correctableLayers(scope, parent: parent)
        let wanted = try Self.means(parent, layers.map(\.output), data, count, context)
        var result = graph
        var reports: [TensorReport] = []
        for (number, layer) in layers.enumerated() {
            let seen = try Self.means(result, [layer.output], data, count, context)
            guard let wanted = wanted[layer.output], let seen = seen[layer.output], wanted.count == seen.count else { continue }
            let shift = zip(wanted, seen).map { Float($0 - $1) }
            guard shift.allSatisfy(\.isFinite) else {
                throw SwiftletError.numerical(
                    routine: Self.technique, reason: "the output of '\(graph.nodes[layer.node].name)' has elements that are no numbers on the calibration data",
                    remedy: "Check the calibration data, or leave the layer out with exclude.")
            }
            reports.append(try result.addBias(shift, toNode: layer.node))
            try context.progress(
                StepProgress(technique: Self.technique, detail: graph.nodes[layer.node].name, done: number + 1, total: layers.count))
        }
        return try StepResult(technique: Self.technique, before: graph, after: result, tensors: reports)
    }

    /// The mean of each channel of values over the first batches.
    private static func means(
        _ graph: Graph, _ values: [ValueID], _ data: any CalibrationData, _ count: Int, _ context: CompressionContext
    ) throws -> [ValueID: [Double]] {
        var sums: [ValueID: [Double]] = [:]
        var rows: [ValueID: Int] = [:]
        let run = try GraphRun(graph, values: values, in: context)
        try run.forEachBatch(of: FirstBatches(data, limit: count)) { _, seen in
            for value in values {
                let shape = try seen.shape(value)
                // [n, channels, space…], or channels last for the rows of a linear layer.
                let isImage = shape.rank >= 3 && graph.isConvolved(value)
                let channels = isImage ? shape[1] : shape.dimensions.last ?? 1
                let plane = isImage ? shape.dimensions[2...].reduce(1, *) : 1
                guard channels > 0, plane > 0 else { continue }
                let elements = try seen.floats(value)
                var sum = sums[value] ?? [Double](repeating: 0, count: channels)
                for row in 0..<elements.count / plane {
                    var total: Float = 0
                    for element in elements[row * plane..<(row + 1) * plane] { total += element }
                    sum[row % channels] += Double(total)
                }
                sums[value] = sum
                rows[value, default: 0] += elements.count / channels
            }
        }
        return Dictionary(uniqueKeysWithValues: sums.map { value, sum in (value, sum.map { $0 / Double(max(1, rows[value] ?? 1)) }) })
    }
}

extension Graph {
    /// A layer whose bias can be changed: the index of its node, and what it computes.
    fileprivate typealias Correctable = (node: Int, output: ValueID)

    /// Convolutions and linear layers of one weight, in order, whose result the parent computes as well. The weight may be behind a dequantize.
    fileprivate func correctableLayers(_ scope: Scope, parent: Graph) -> [Correctable] {
        let producers = self.producers()
        let known = Set(parent.nodes.flatMap(\.outputs))
        return nodes.indices.compactMap { index in
            let node = nodes[index]
            let hasBias: Bool
            switch node.op {
            case .tensor(.convolution(let convolution)) where convolution.activation == nil && !convolution.hasResidual: hasBias = convolution.hasBias
            case .linear(let linear) where linear.weightCount == 1 && linear.epilogue == .none: hasBias = linear.hasBias
            default: return nil
            }
            if hasBias, self[node.inputs[2]].weight?.format != .dense(.f32) { return nil }
            var weight = node.inputs[1]
            if let producer = producers[weight], case .tensor(.dequantize) = nodes[producer].op { weight = nodes[producer].inputs[0] }
            let output = node.outputs[0]
            guard self[weight].weight != nil, scope.contains(self[weight].name), known.contains(output), parent[output].name == self[output].name,
                parent[output].type == self[output].type, self[output].type.element == .f32
            else { return nil }
            return (index, output)
        }
    }

    /// Whether a convolution computes a value.
    fileprivate func isConvolved(_ value: ValueID) -> Bool {
        nodes.contains { node in
            guard node.outputs.contains(value) else { return false }
            // Behind a folded normalisation the parent computes it with something else.
            if case .linear = node.op { return false }
            return true
        }
    }

    /// Adds numbers to the bias of a convolution or linear layer, which gets one if it has none.
    fileprivate mutating func addBias(_ shift: [Float], toNode index: Int) throws -> TensorReport {
        let node = nodes[index]
        let hasBias = node.inputs.count > 2
        let name = hasBias ? self[node.inputs[2]].name : "\(node.name).bias"
        let old = try hasBias ? self[node.inputs[2]].weight?.floats() ?? [] : [Float](repeating: 0, count: shift.count)
        guard old.count == shift.count else {
            throw SwiftletError.invalidGraph(node: node.name, reason: "has \(old.count) biases for \(shift.count) channels", remedy: "Check the graph.")
        }
        let before = try Weight(name: name, shape: [old.count], floats: old)
        let after = try Weight(name: name, shape: [old.count], floats: zip(old, shift).map(+))
        let bias = add(Value(name: name, type: after.type, origin: .weight(after)))
        switch node.op {
        case .tensor(.convolution(var convolution)):
            convolution.hasBias = true
            nodes[index].op = .tensor(.convolution(convolution))
        case .linear(var linear):
            linear.hasBias = true
            nodes[index].op = .linear(linear)
        default: break
        }
        nodes[index].inputs = Array(node.inputs.prefix(2)) + [bias]
        return try TensorReport(name: name, before: before, after: after)
    }
}

extension BiasCorrection: RecipeTechnique {
    package static let summary = "means of layer outputs put back to what they were before the last step, through the biases"

    package static let parameters: [RecipeParameter] = [
        RecipeParameter("batches", .integer(0...1_000_000), default: .integer(0), "batches of the calibration data that are looked at, 0 for all")
    ]

    package init(_ values: RecipeValues) throws {
        let batches = try values.integer("batches")
        self.init(scope: values.scope, batches: batches == 0 ? nil : batches)
    }
}
