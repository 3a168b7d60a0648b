// Means and stretches of the channels of layers: what a network that rounds is brought back to, layer after layer.
//
// The mean of a channel is put back through the bias. A channel's results may also be a little too large or too small throughout; the factor that brings
// them nearest to the parent's, covariance through variance, goes into the scales of the layer's weight. Banner, Nahshan and Soudry, "Post training
// 4-bit quantization of convolutional networks for rapid-deployment", 2019, correct mean and variance of the weights themselves; here it is what the
// whole network before the layer has done to its results.
//
// Weights that stay floats but lost some of their elements are another matter: what is left gives less varied results in every layer, and behind the
// rectifiers of a deep network little is left of them ("variance collapse": Jordan et al., "REPAIR: REnormalizing Permuted Activations for Interpolation
// Repair", 2022, section 2). Means alone put back make that worse, as they hold a channel where few of its results reach beyond the rectifier. So such
// channels get the parent's spread as well, by factors on the rows of the weight, as Frantar and Alistarh, "Optimal Brain Compression", 2022, reset the
// statistics of normalisations behind pruning.
import SwiftletRuntime

/// The means that channels of a network's layers have on some data.
package struct ChannelMeans {
    private let parent: Graph
    private let data: any CalibrationData
    private let context: CompressionContext
    private let wanted: [ValueID: [Double]]

    /// Runs `parent`, and looks at what the layers of `graph` compute whose weights `scope` takes.
    package init(_ parent: Graph, of graph: Graph, scope: Scope = .all, data: any CalibrationData, in context: CompressionContext) throws {
        self.parent = parent
        self.data = data
        self.context = context
        wanted = try Self.means(parent, graph.correctableLayers(scope, parent: parent).map(\.output), data, context)
    }

    /// `graph` with the biases of layers whose weights `scope` takes such that means are the parent's.
    ///
    /// - Parameter scales: whether the scales of weights in 8 bits, and rows of f32 weights that are not the parent's, are corrected as well.
    package func corrected(
        _ graph: Graph, scope: Scope = .all, scales: Bool = false, progress: (String, Int, Int) throws -> Void = { _, _, _ in }
    ) throws -> (graph: Graph, reports: [TensorReport]) {
        let layers = graph.correctableLayers(scope, parent: parent)
        let producers = parent.producers()
        var result = graph
        var reports: [TensorReport] = []
        for (number, layer) in layers.enumerated() {
            let name = graph.nodes[layer.node].name
            guard let wanted = wanted[layer.output], var seen = try Self.means(result, [layer.output], data, context)[layer.output], wanted.count == seen.count
            else { continue }
            if scales, let stretched = result.stretchable(layer.node, parent: producers[layer.output].map { parent.nodes[$0] }, in: parent) {
                let gains: [Float]
                switch stretched {
                case .scale(let scale):
                    let isShared = scale.weight.shape.elementCount == 1
                    gains = try result.stretch(scale, ofNode: layer.node, by: self.gains(of: layer.output, in: result, wanted: wanted, seen: seen, areShared: isShared))
                case .rows:
                    gains = try self.gains(of: layer.output, in: result, wanted: wanted, seen: seen, areSpreads: true)
                    try result.stretchRows(ofNode: layer.node, by: gains)
                }
                // The bias is no part of what was stretched.
                for (channel, bias) in try result.biases(ofNode: layer.node, count: seen.count).enumerated() {
                    seen[channel] = Double(gains[channel]) * (seen[channel] - Double(bias)) + Double(bias)
                }
            }
            let shift = zip(wanted, seen).map { Float($0 - $1) }
            guard shift.allSatisfy(\.isFinite) else {
                throw SwiftletError.numerical(
                    routine: BiasCorrection.technique, reason: "the output of '\(name)' has elements that are no numbers on the calibration data",
                    remedy: "Check the calibration data, or leave the layer out with exclude.")
            }
            reports.append(try result.addBias(shift, toNode: layer.node))
            try progress(name, number + 1, layers.count)
        }
        return (result, reports)
    }

    // MARK: Means

    /// The mean of each channel of values over the data.
    private static func means(
        _ graph: Graph, _ values: [ValueID], _ data: any CalibrationData, _ context: CompressionContext
    ) throws -> [ValueID: [Double]] {
        var sums: [ValueID: [Double]] = [:]
        var rows: [ValueID: Int] = [:]
        let run = try GraphRun(graph, values: values, in: context)
        try run.forEachBatch(of: data) { _, seen in
            for value in values {
                let layout = ChannelPlanes(try seen.shape(value), isImage: graph.isConvolved(value))
                guard layout.channels > 0, layout.plane > 0 else { continue }
                let elements = try seen.floats(value)
                var sum = sums[value] ?? [Double](repeating: 0, count: layout.channels)
                for row in 0..<elements.count / layout.plane {
                    var total: Float = 0
                    for element in elements[row * layout.plane..<(row + 1) * layout.plane] { total += element }
                    sum[row % layout.channels] += Double(total)
                }
                sums[value] = sum
                rows[value, default: 0] += elements.count / layout.channels
            }
        }
        return Dictionary(uniqueKeysWithValues: sums.map { value, sum in (value, sum.map { $0 / Double(max(1, rows[value] ?? 1)) }) })
    }

    // MARK: Stretches

    /// Elements of a channel and batch that gains are found with at most, and how many a channel needs for a gain of its own.
    private static let (elementsOfBatch, elementsOfGain) = (64, 1024)
    /// What is beyond these is an accident of few or equal numbers.
    private static let gainLimits: ClosedRange<Double> = 0.5...2

    /// What each channel of a value is to be multiplied with, about its mean, to be nearest to the parent's, or with `areSpreads` to be as far spread.
    /// `areShared`: the same for all channels, as it is where a channel has few numbers.
    private func gains(
        of value: ValueID, in graph: Graph, wanted: [Double], seen: [Double], areShared: Bool = false, areSpreads: Bool = false
    ) throws -> [Float] {
        /// Some elements of each channel, spread evenly, in the order they lie.
        func sample(_ source: Graph, _ body: (Int, Int, Int, Float) -> Void) throws {
            try GraphRun(source, values: [value], in: context).forEachBatch(of: data) { batch, values in
                let layout = ChannelPlanes(try values.shape(value), isImage: graph.isConvolved(value))
                guard layout.channels == wanted.count, layout.plane > 0 else { return }
                let elements = try values.floats(value)
                let step = (layout.plane + Self.elementsOfBatch - 1) / Self.elementsOfBatch
                var place = 0
                for row in 0..<elements.count / layout.plane {
                    for column in stride(from: 0, to: layout.plane, by: step) {
                        body(batch, place, row % layout.channels, elements[row * layout.plane + column])
                        place += 1
                    }
                }
            }
        }
        var expected = [[Float]](repeating: [], count: data.batchCount)
        try sample(parent) { batch, _, _, element in expected[batch].append(element) }
        var sums = [(count: Int, covariance: Double, variance: Double, wanted: Double)](repeating: (0, 0, 0, 0), count: wanted.count)
        try sample(graph) { batch, place, channel, element in
            guard place < expected[batch].count else { return }
            let (p, q) = (Double(expected[batch][place]) - wanted[channel], Double(element) - seen[channel])
            sums[channel].count += 1
            sums[channel].covariance += p * q
            sums[channel].variance += q * q
            sums[channel].wanted += p * p
        }
        func gain(_ sum: (count: Int, covariance: Double, variance: Double, wanted: Double)) -> Float {
            let gain = areSpreads ? (sum.wanted / sum.variance).squareRoot() : sum.covariance / sum.variance
            return gain.isFinite ? Float(min(max(gain, Self.gainLimits.lowerBound), Self.gainLimits.upperBound)) : 1
        }
        guard areShared || sums.contains(where: { $0.count < Self.elementsOfGain }) else { return sums.map(gain) }
        let shared = gain(sums.reduce((0, 0, 0, 0)) { ($0.0 + $1.count, $0.1 + $1.covariance, $0.2 + $1.variance, $0.3 + $1.wanted) })
        return [Float](repeating: shared, count: wanted.count)
    }
}

/// How channels lie in a value.
private struct ChannelPlanes {
    let channels: Int
    /// Elements of a channel that lie side by side.
    let plane: Int

    /// `[n, channels, space…]`, or channels last for the rows of a linear layer.
    init(_ shape: Shape, isImage: Bool) {
        let isImage = isImage && shape.rank >= 3
        channels = isImage ? shape[1] : shape.dimensions.last ?? 1
        plane = isImage ? shape.dimensions[2...].reduce(1, *) : 1
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

    /// The constant that scales the integers of a weight, one number or one a channel, and the node that multiplies them.
    fileprivate typealias WeightScale = (name: String, weight: Weight, dequantize: Int)

    /// What of a node's weight takes factors for its channels.
    fileprivate enum Stretchable {
        case scale(WeightScale)
        /// The rows of an f32 weight.
        case rows
    }

    /// Nil where the weight is not of a kind that does, or the one `parent`, a node of `graph`, computes the same value with.
    fileprivate func stretchable(_ index: Int, parent: Node?, in graph: Graph) -> Stretchable? {
        if let scale = weightScale(ofNode: index) { return .scale(scale) }
        guard let weight = self[nodes[index].inputs[1]].weight, weight.format == .dense(.f32) else { return nil }
        let before = parent.flatMap { $0.inputs.count > 1 ? graph[$0.inputs[1]].weight : nil }
        return before?.store.bytes.baseAddress == weight.store.bytes.baseAddress ? nil : .rows
    }

    /// Multiplies the rows of a node's weight, an output channel each.
    fileprivate mutating func stretchRows(ofNode index: Int, by gains: [Float]) throws {
        let id = nodes[index].inputs[1]
        guard let old = self[id].weight else { return }
        let width = max(1, old.shape.elementCount / max(1, gains.count))
        let weight = try old.mapped(name: self[id].name) { $1 * gains[$0 / width] }
        nodes[index].inputs[1] = add(Value(name: self[id].name, type: weight.type, origin: .weight(weight)))
    }

    /// The scale of a node's weight; nil where the weight has none.
    fileprivate func weightScale(ofNode index: Int) -> WeightScale? {
        guard let producer = producers()[nodes[index].inputs[1]], case .tensor(.dequantize) = nodes[producer].op else { return nil }
        let scale = self[nodes[producer].inputs[1]]
        return scale.weight.flatMap { $0.format == .dense(.f32) ? (scale.name, $0, producer) : nil }
    }

    /// Multiplies the scales of a node's weight; returns the factors as they came out, one a channel.
    fileprivate mutating func stretch(_ scale: WeightScale, ofNode index: Int, by gains: [Float]) throws -> [Float] {
        let old = try scale.weight.floats()
        // A linear layer runs on blocks whose scales are f16.
        var inHalves = false
        if case .linear = nodes[index].op { inHalves = true }
        let new = zip(old, gains).map { inHalves ? ($0 * $1).roundedToHalf(.toNearestOrEven) : $0 * $1 }
        let stretched = try Weight(name: scale.name, shape: scale.weight.shape, floats: new)
        nodes[scale.dequantize].inputs[1] = add(Value(name: scale.name, type: stretched.type, origin: .weight(stretched)))
        let factors = zip(new, old).map { $1 > 0 ? $0 / $1 : 1 }
        return factors.count == gains.count ? factors : [Float](repeating: factors.first ?? 1, count: gains.count)
    }

    /// The biases of a node; zeros where it has none.
    fileprivate func biases(ofNode index: Int, count: Int) throws -> [Float] {
        let bias = nodes[index].inputs.count > 2 ? try self[nodes[index].inputs[2]].weight?.floats() : nil
        return bias?.count == count ? bias ?? [] : [Float](repeating: 0, count: count)
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
