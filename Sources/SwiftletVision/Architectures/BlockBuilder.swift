// The blocks that small image networks are made of, on top of GraphBuilder: convolutions with their normalisation, gates, shuffles.
//
// Batch normalisation does not become a node: at inference it is a factor and a shift a channel, which are multiplied into the kernel and the bias
// of the convolution before it. The parameters of the normalisation still count (`ParameterSource.trainableCount`): published counts have them.
import SwiftletGraph

/// Builds a network of blocks.
struct BlockBuilder {
    /// How a window finds room at the border.
    enum Padding {
        /// Half the kernel on each side, as PyTorch's models have it.
        case symmetric
        /// As much as gives ⌈size / stride⌉ outputs, the odd element behind: TensorFlow's "SAME".
        case same
        case none
    }

    var graph: GraphBuilder
    var source: ParameterSource
    /// What keeps the variance of a normalisation from 0.
    var epsilon: Float
    var padding: Padding = .symmetric

    init(_ name: String, parameters: NetworkParameters, epsilon: Float) {
        graph = GraphBuilder(name: name)
        source = ParameterSource(parameters)
        self.epsilon = epsilon
    }

    mutating func image(_ options: NetworkShape) -> ValueID {
        graph.input("input", .f32, [Dimension(options.batch), 3, Dimension(options.size), Dimension(options.size)])
    }

    func channels(_ x: ValueID) -> Int { graph.type(of: x).shape[1].fixed ?? 0 }
    private func size(_ x: ValueID, _ axis: Int) -> Int { graph.type(of: x).shape[axis].fixed ?? 0 }

    private mutating func weight(_ name: String, _ shape: [Int], _ values: [Float]) throws -> ValueID {
        graph.weight(name, try Weight(name: name, shape: Shape(shape), format: .dense(.f32), store: WeightStore(values)))
    }

    // MARK: - Convolutions

    /// A convolution under `name`, its normalisation under `norm` (none: the convolution has a bias of its own), and a function.
    mutating func convolution(
        _ x: ValueID, _ name: String, norm: String?, to features: Int, kernel: Int = 1, stride: Int = 1, groups: Int = 1, _ function: Unary? = nil
    ) throws -> ValueID {
        let shape = [features, channels(x) / max(1, groups), kernel, kernel]
        let fan = shape.dropFirst().reduce(1, *)
        // A rectifier halves the square of what flows on; He's factor makes up for it.
        let gain: Float = function == nil || function == .sigmoid ? 1 : 2
        var values = try source.values("\(name).weight", shape, .normal(deviation: (gain / Float(max(1, fan))).squareRoot()))
        var bias: [Float]
        if let norm {
            let gamma = try source.values("\(norm).weight", [features], .ones)
            let beta = try source.values("\(norm).bias", [features], .zeros)
            let mean = try source.values("\(norm).running_mean", [features], .zeros, isTrained: false)
            let variance = try source.values("\(norm).running_var", [features], .ones, isTrained: false)
            bias = beta
            for channel in 0..<features {
                let factor = gamma[channel] / (variance[channel] + epsilon).squareRoot()
                bias[channel] -= mean[channel] * factor
                for index in channel * fan..<(channel + 1) * fan { values[index] *= factor }
            }
        } else {
            bias = try source.values("\(name).bias", [features], .zeros)
        }
        let operands = [x, try weight("\(name).weight", shape, values), try weight("\(name).bias", [features], bias)]
        let convolution = Convolution(window: window(x, kernel, stride), groups: groups, hasBias: true)
        let result = try graph.node(.tensor(.convolution(convolution)), operands, name: name)[0]
        return try function.map { try graph.unary($0, result, name: "\(name).function") } ?? result
    }

    /// A kernel for each channel alone.
    mutating func depthwise(_ x: ValueID, _ name: String, norm: String, kernel: Int, stride: Int, _ function: Unary?) throws -> ValueID {
        try convolution(x, name, norm: norm, to: channels(x), kernel: kernel, stride: stride, groups: channels(x), function)
    }

    private func window(_ x: ValueID, _ kernel: Int, _ stride: Int) -> Window {
        var window = Window(kernel: [kernel, kernel], strides: [stride, stride])
        for axis in 0..<2 {
            switch padding {
            case .none: break
            case .symmetric: (window.low[axis], window.high[axis]) = (kernel / 2, kernel / 2)
            case .same:
                let size = size(x, axis + 2)
                let total = max(0, ((size + stride - 1) / stride - 1) * stride + kernel - size)
                (window.low[axis], window.high[axis]) = (total / 2, total - total / 2)
            }
        }
        return window
    }

    // MARK: - Between convolutions

    mutating func maxPool(_ x: ValueID, _ name: String, padding: Int, roundsUp: Bool) throws -> ValueID {
        let window = Window(kernel: [3, 3], strides: [2, 2], low: [padding, padding], high: [padding, padding])
        return try graph.node(.tensor(.pool(Pool(kind: .maximum(indices: false), window: window, roundsUp: roundsUp))), [x], name: name)[0]
    }

    /// Squeeze-and-excitation (Hu et al., 2018): a factor for each channel from the means of all. Its convolutions are `name.fc1` and `name.fc2`.
    mutating func squeezeExcitation(_ x: ValueID, _ name: String, squeezed: Int, _ function: Unary, gate: Unary) throws -> ValueID {
        let means = try graph.node(.tensor(.reduce(.mean, axes: [2, 3], keepsAxes: true)), [x], name: "\(name).mean")[0]
        let narrow = try convolution(means, "\(name).fc1", norm: nil, to: squeezed, function)
        let factors = try convolution(narrow, "\(name).fc2", norm: nil, to: channels(x), gate)
        return try graph.binary(.multiply, x, factors, name: "\(name).product")
    }

    mutating func sum(_ a: ValueID, _ b: ValueID, _ name: String) throws -> ValueID { try graph.binary(.add, a, b, name: name) }

    mutating func concatenated(_ parts: [ValueID], _ name: String) throws -> ValueID {
        try graph.node(.tensor(.concat(axis: 1)), parts, name: name)[0]
    }

    /// The channels `range`.
    mutating func slice(_ x: ValueID, _ range: Range<Int>, _ name: String) throws -> ValueID {
        var sizes = graph.type(of: x).shape.compactMap(\.fixed)
        sizes[1] = range.count
        return try graph.node(.tensor(.slice(Slice(starts: [0, range.lowerBound, 0, 0], sizes: sizes, steps: [1, 1, 1, 1]))), [x], name: name)[0]
    }

    /// Channel shuffle (Zhang et al., 2018): channel j of group i becomes channel i of group j.
    mutating func shuffle(_ x: ValueID, groups: Int, _ name: String) throws -> ValueID {
        let shape = graph.type(of: x).shape
        let grouped = [shape[0], Dimension(groups), Dimension(channels(x) / groups), shape[2], shape[3]]
        let split = try graph.reshape(x, grouped, name: "\(name).groups")
        let moved = try graph.node(.tensor(.transpose([0, 2, 1, 3, 4])), [split], name: "\(name).transpose")[0]
        return try graph.reshape(moved, shape, name: name)
    }

    /// The mean over space: `[n, c, h, w] → [n, c]`.
    mutating func globalMean(_ x: ValueID, _ name: String) throws -> ValueID {
        try graph.node(.tensor(.reduce(.mean, axes: [2, 3], keepsAxes: false)), [x], name: name)[0]
    }

    /// A matrix and a bias. `node`: the name of what comes out.
    mutating func linear(_ x: ValueID, _ name: String, to features: Int, node: String? = nil, gain: Float = 1) throws -> ValueID {
        let inputs = channels(x)
        let deviation = (gain / Float(max(1, inputs))).squareRoot()
        let matrix = try weight("\(name).weight", [features, inputs], source.values("\(name).weight", [features, inputs], .normal(deviation: deviation)))
        let bias = try weight("\(name).bias", [features], source.values("\(name).bias", [features], .zeros))
        return try graph.linear(x, matrix, bias: bias, name: node ?? name)
    }

    /// The network, complete.
    mutating func finish(_ output: ValueID) throws -> VisionNetwork {
        try source.checkNothingIsLeft()
        graph.output(output)
        return VisionNetwork(graph: graph.graph, parameterCount: source.trainableCount)
    }

    /// `count` times `width`, as a multiple of 8 that is not more than a tenth smaller: how the MobileNets scale.
    static func scaled(_ count: Int, _ width: Double) -> Int {
        let wanted = Double(count) * width
        let rounded = max(8, Int(wanted + 4) / 8 * 8)
        return Double(rounded) < 0.9 * wanted ? rounded + 8 : rounded
    }
}
