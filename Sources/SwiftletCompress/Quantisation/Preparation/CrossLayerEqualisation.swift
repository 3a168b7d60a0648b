// Channels brought to one range before they are rounded: where a layer feeds another through a function with f(s·x) = s·f(x), a channel of the first may be
// divided by s and the next layer's weights for it multiplied by s, and the network computes the same. With s = √(r₁/r₂), r being the largest weight of
// the channel on each side, both sides get √(r₁·r₂). Source: Nagel et al., "Data-free quantization through weight equalization and bias correction", 2019.
//
// A rectifier that also cuts at the top (ReLU6) is no such function. Such pairs are left alone, unless the cut is given up.
import SwiftletRuntime

/// Equalises the channels of convolutions and linear layers that follow each other.
public struct CrossLayerEqualisation: CompressionStep {
    public static let technique = "cross-layer-equalisation"

    public var scope: Scope
    /// Rounds over all pairs: a layer that is the second of one pair and the first of the next moves both. It ends early when nothing moves.
    public var rounds: Int
    /// Replaces rectifiers that cut at the top by ones that do not. The network then computes something else where the cut was at work.
    public var dropsUpperCuts: Bool

    public init(scope: Scope = .all, rounds: Int = 20, dropsUpperCuts: Bool = false) {
        self.scope = scope
        self.rounds = rounds
        self.dropsUpperCuts = dropsUpperCuts
    }

    public func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
        var result = try PassPipeline(name: Self.technique, [DeadCodeElimination(), FoldChannelScales(), DeadCodeElimination()]).run(graph)
        let pairs = result.pairs(scope, dropsUpperCuts: dropsUpperCuts)
        var layers: [Int: EqualisedLayer] = [:]
        for index in pairs.flatMap({ [$0.first.node, $0.second.node] }) where layers[index] == nil { layers[index] = try EqualisedLayer(index, in: result) }
        for round in 0..<rounds {
            var furthest: Float = 1
            for pair in pairs {
                guard var first = layers[pair.first.node], var second = layers[pair.second.node] else { continue }
                let factors = zip(first.outputRanges, second.inputRanges).map { a, b -> Float in
                    let factor = (a / b).squareRoot()
                    // A channel that is not used, or makes nothing, has no range to share.
                    return a > 0 && b > 0 && factor.isNormal && (1 / factor).isNormal ? factor : 1
                }
                first.divideOutputs(by: factors)
                second.multiplyInputs(by: factors)
                (layers[pair.first.node], layers[pair.second.node]) = (first, second)
                furthest = factors.reduce(furthest) { max($0, $1, 1 / $1) }
            }
            try context.progress(StepProgress(technique: Self.technique, detail: "round \(round + 1)", done: round + 1, total: rounds))
            if furthest < 1.001 { break }
        }
        var reports: [TensorReport] = []
        for (index, layer) in layers.sorted(by: { $0.key < $1.key }) { reports.append(try layer.store(in: &result, node: index)) }
        var dropped = 0
        for pair in pairs { if let cut = pair.cut { (result.nodes[cut].op, dropped) = (.unary(.relu), dropped + 1) } }
        var notes = ["\(pairs.count) pairs of layers equalised."]
        if dropped > 0 { notes.append("\(dropped) rectifiers no longer cut at the top: the network computes something else where they did.") }
        return try StepResult(technique: Self.technique, before: graph, after: result, tensors: reports, notes: notes)
    }
}

/// Two layers with nothing between them but a function that scales.
private struct EqualisedPair {
    let first: Layer
    let second: Layer
    /// The node between them that cuts at the top, which has to go.
    let cut: Int?
}

/// The weight `[outputs, inputs / groups, taps…]` and bias of a layer while they change.
private struct EqualisedLayer {
    private let layer: Layer
    private var weight: [Float]
    private var bias: [Float]?
    private let groups: Int
    private let outputs: Int
    /// Inputs a group, and elements of a kernel.
    private let inputs, taps: Int

    init(_ index: Int, in graph: Graph) throws {
        guard let layer = graph.layers().first(where: { $0.node == index }) else {
            throw SwiftletError.invalidGraph(node: graph.nodes[index].name, reason: "has no constant weight", remedy: "Check the graph.")
        }
        self.layer = layer
        if case .convolution(let groups) = layer.kind { self.groups = groups } else { groups = 1 }
        weight = try layer.weight.floats()
        (outputs, inputs) = (layer.weight.shape[0], layer.weight.shape[1])
        taps = layer.weight.shape.dimensions.dropFirst(2).reduce(1, *)
        let operands = graph.nodes[index].inputs
        bias = try operands.count > 2 ? graph[operands[2]].weight?.floats() : nil
    }

    /// The channel of the input that an element of the weight multiplies.
    private func input(of place: Int) -> Int {
        let output = place / (inputs * taps)
        return output / max(1, outputs / groups) * inputs + place / taps % inputs
    }

    var outputRanges: [Float] {
        var ranges = [Float](repeating: 0, count: outputs)
        for (place, value) in weight.enumerated() { ranges[place / (inputs * taps)] = max(ranges[place / (inputs * taps)], abs(value)) }
        return ranges
    }

    var inputRanges: [Float] {
        var ranges = [Float](repeating: 0, count: inputs * groups)
        for (place, value) in weight.enumerated() { ranges[input(of: place)] = max(ranges[input(of: place)], abs(value)) }
        return ranges
    }

    mutating func divideOutputs(by factors: [Float]) {
        for place in weight.indices { weight[place] /= factors[place / (inputs * taps)] }
        bias = bias.map { zip($0, factors).map { $0 / $1 } }
    }

    mutating func multiplyInputs(by factors: [Float]) {
        for place in weight.indices { weight[place] *= factors[input(of: place)] }
    }

    func store(in graph: inout Graph, node: Int) throws -> TensorReport {
        let after = try Weight(name: layer.name, shape: layer.weight.shape, floats: weight)
        graph.nodes[node].inputs[1] = graph.add(Value(name: layer.name, type: after.type, origin: .weight(after)))
        if let bias {
            let name = graph[graph.nodes[node].inputs[2]].name
            let new = try Weight(name: name, shape: [bias.count], floats: bias)
            graph.nodes[node].inputs[2] = graph.add(Value(name: name, type: new.type, origin: .weight(new)))
        }
        return try TensorReport(name: layer.name, before: layer.weight, after: after)
    }
}

extension Graph {
    fileprivate func pairs(_ scope: Scope, dropsUpperCuts: Bool) -> [EqualisedPair] {
        let readers = readerCounts()
        let layers = layers(in: scope).filter(isPlain)
        let byInput = Dictionary(grouping: layers) { $0.input }
        let functions = Dictionary(nodes.indices.compactMap { index -> (ValueID, Int)? in
            if case .unary = nodes[index].op { (nodes[index].inputs[0], index) } else { nil }
        }) { first, _ in first }
        return layers.compactMap { first in
            var (value, cut) = (first.output, Int?.none)
            guard readers[value] == 1 else { return nil }
            if let index = functions[value], case .unary(let function) = nodes[index].op {
                switch function {
                case .relu, .leakyRelu, .absolute, .negate, .scale: break
                case .clip(0, let top) where top > 0 && dropsUpperCuts: cut = index
                default: return nil
                }
                value = nodes[index].outputs[0]
            }
            guard readers[value] == 1, let second = byInput[value]?.first, first.feeds(second) else { return nil }
            return EqualisedPair(first: first, second: second, cut: cut)
        }
    }

    /// Whether nothing but a weight and perhaps a constant bias makes up the layer.
    private func isPlain(_ layer: Layer) -> Bool {
        let node = nodes[layer.node]
        let hasBias: Bool
        switch node.op {
        case .tensor(.convolution(let convolution)) where convolution.activation == nil && !convolution.hasResidual: hasBias = convolution.hasBias
        case .linear(let linear) where linear.weightCount == 1 && linear.epilogue == .none: hasBias = linear.hasBias
        default: return false
        }
        return layer.weight.format == .dense(.f32) && layer.weight.shape.rank >= 2 && (!hasBias || self[node.inputs[2]].weight?.format == .dense(.f32))
    }
}

extension Layer {
    /// Whether the channels of the output are those of the other's input: a convolution's lie along another axis than those of a linear layer.
    fileprivate func feeds(_ second: Layer) -> Bool {
        switch (kind, second.kind) {
        case (.convolution, .convolution), (.linear, .linear): weight.shape[0] == second.inputChannels
        default: false
        }
    }

    /// Channels of the input.
    fileprivate var inputChannels: Int {
        if case .convolution(let groups) = kind { weight.shape[1] * groups } else { weight.shape[1] }
    }
}

extension CrossLayerEqualisation: RecipeTechnique {
    package static let summary = "channels of layers that follow each other brought to one range, without changing the network"

    package static let parameters: [RecipeParameter] = [
        RecipeParameter("rounds", .integer(1...1000), default: .integer(20), "rounds over all pairs at most"),
        RecipeParameter("drop-upper-cuts", .flag, default: .flag(false), "whether rectifiers that cut at the top (ReLU6) become plain ones, which changes the network"),
    ]

    package init(_ values: RecipeValues) throws {
        self.init(scope: values.scope, rounds: try values.integer("rounds"), dropsUpperCuts: try values.flag("drop-upper-cuts"))
    }
}
