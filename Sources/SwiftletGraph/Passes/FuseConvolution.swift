// What follows a convolution rides on it: per-channel scales and shifts (batch normalisation) go into its weights, the activation and the sum with
// a residual into its epilogue.

/// Folds `conv·scale + shift`, with one constant number a channel, into the weight and the bias of the convolution.
public struct FoldChannelScales: GraphPass {
    public let name = "channel scales"

    public init() {}

    public func run(_ graph: Graph) throws -> Graph {
        var rewriter = GraphRewriter(graph)
        for index in rewriter.indices {
            guard let node = rewriter[index], case .binary(let function) = node.op, let result = node.outputs.first else { continue }
            for (x, constant) in [(node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])] {
                guard let producer = rewriter.soleProducer(of: x), let conv = rewriter[producer], let kind = conv.scalable,
                    rewriter.type(of: x) == rewriter.type(of: result), let values = rewriter.graph.channelConstant(constant, of: result),
                    var weight = rewriter.floats(conv.inputs[1]), x == node.inputs[0] || function == .add || function == .multiply,
                    var bias = kind.hasBias ? rewriter.floats(conv.inputs[2]) : [Float](repeating: 0, count: values.count), bias.count == values.count
                else { continue }
                switch function {
                case .multiply, .divide:
                    let scales = function == .multiply ? values : values.map { 1 / $0 }
                    // [outer, features, inner] elements: features come first, or second in a transposed convolution.
                    let inner = kind.inner ?? weight.count / max(1, scales.count)
                    for place in weight.indices { weight[place] *= scales[place / inner % scales.count] }
                    for feature in bias.indices { bias[feature] *= scales[feature] }
                case .add: for feature in bias.indices { bias[feature] += values[feature] }
                case .subtract: for feature in bias.indices { bias[feature] -= values[feature] }
                default: continue
                }
                let weightID = function == .add || function == .subtract ? conv.inputs[1] : try rewriter.constant(weight, like: conv.inputs[1])
                let biasID = try rewriter.constant(bias, name: "\(conv.name).bias")
                rewriter.replace(
                    [producer], with: Node(name: conv.name, op: kind.biased, inputs: [conv.inputs[0], weightID, biasID], outputs: node.outputs), at: index)
                break
            }
        }
        return rewriter.result()
    }
}

/// Fuses a convolution with the activation and the sum that follow it, in either order.
public struct FuseConvolution: GraphPass {
    public let name = "convolution epilogue"

    public init() {}

    public func run(_ graph: Graph) throws -> Graph {
        var rewriter = GraphRewriter(graph)
        for index in rewriter.indices {
            guard let node = rewriter[index] else { continue }
            if case .unary(let function) = node.op, function.isActivation, let producer = rewriter.soleProducer(of: node.inputs[0]),
                let conv = rewriter[producer], case .tensor(.convolution(var convolution)) = conv.op, convolution.activation == nil
            {
                convolution.activation = function
                rewriter.replace([producer], with: conv.with(convolution, inputs: conv.inputs, outputs: node.outputs), at: index)
                continue
            }
            if case .unary(let function) = node.op, function.isActivation, let producer = rewriter.soleProducer(of: node.inputs[0]),
                let conv = rewriter[producer], case .tensor(.transposedConvolution(var convolution)) = conv.op, convolution.activation == nil
            {
                convolution.activation = function
                let fused = Node(name: conv.name, op: .tensor(.transposedConvolution(convolution)), inputs: conv.inputs, outputs: node.outputs)
                rewriter.replace([producer], with: fused, at: index)
                continue
            }
            for (x, residual) in node.operands(ofCommutative: .add) {
                guard let producer = rewriter.soleProducer(of: x), let conv = rewriter[producer], case .tensor(.convolution(var convolution)) = conv.op,
                    !convolution.hasResidual, x != residual, rewriter.type(of: x) == rewriter.type(of: residual), graph[residual].weight == nil
                else { continue }
                convolution.hasResidual = true
                // A function that is there already came before the sum.
                convolution.addsResidualFirst = convolution.activation == nil
                rewriter.replace([producer], with: conv.with(convolution, inputs: conv.inputs + [residual], outputs: node.outputs), at: index)
                break
            }
        }
        return rewriter.result()
    }
}

/// Recognises functions that exporters write out: `x·sigmoid(x)`, `x·hardSigmoid(x)`, `x·clip(x + 3, 0, 6)/6`.
public struct FuseGates: GraphPass {
    public let name = "gates"

    public init() {}

    public func run(_ graph: Graph) throws -> Graph {
        var rewriter = GraphRewriter(graph)
        for index in rewriter.indices {
            guard let node = rewriter[index] else { continue }
            // x·clip(x + 3, 0, 6)/6: the quotient stands last, or the clip is divided first.
            if case .binary(.divide) = node.op, rewriter.number(node.inputs[1]) == 6, let producer = rewriter.soleProducer(of: node.inputs[0]),
                let product = rewriter[producer], let (x, parts) = rewriter.clippedGate(product)
            {
                rewriter.replace([producer] + parts, with: Node(name: node.name, op: .unary(.hardSwish), inputs: [x], outputs: node.outputs), at: index)
                continue
            }
            for (x, gate) in node.operands(ofCommutative: .multiply) {
                guard let producer = rewriter.soleProducer(of: gate), let function = rewriter[producer], case .unary(let unary) = function.op,
                    function.inputs[0] == x, let whole = unary.gated
                else { continue }
                rewriter.replace([producer], with: Node(name: node.name, op: .unary(whole), inputs: [x], outputs: node.outputs), at: index)
                break
            }
        }
        return rewriter.result()
    }
}

extension Unary {
    /// Whether it may ride on a convolution.
    var isActivation: Bool {
        switch self {
        case .relu, .clip, .leakyRelu, .hardSigmoid, .hardSwish, .sigmoid, .silu, .swish(1), .tanh, .gelu, .geluTanh: true
        default: false
        }
    }

    /// `x·f(x)` as a function of its own.
    fileprivate var gated: Unary? {
        switch self {
        case .sigmoid: .silu
        // One sixth as exporters round it.
        case .hardSigmoid(let alpha, 0.5) where abs(alpha - 1 / 6) < 1e-6: .hardSwish
        default: nil
        }
    }
}

extension Node {
    /// A convolution that nothing has been fused into: whether it has a bias, the elements behind the features in its weight's order of axes (nil:
    /// all the others), and the same operation with a bias.
    fileprivate var scalable: (hasBias: Bool, inner: Int?, biased: Op)? {
        switch op {
        case .tensor(.convolution(var convolution)) where convolution.activation == nil && !convolution.hasResidual:
            let hasBias = convolution.hasBias
            convolution.hasBias = true
            return (hasBias, nil, .tensor(.convolution(convolution)))
        case .tensor(.transposedConvolution(var convolution)) where convolution.activation == nil && convolution.groups == 1:
            let hasBias = convolution.hasBias
            convolution.hasBias = true
            return (hasBias, convolution.window.kernel.reduce(1, *), .tensor(.transposedConvolution(convolution)))
        default: return nil
        }
    }

    fileprivate func with(_ convolution: Convolution, inputs: [ValueID], outputs: [ValueID]) -> Node {
        Node(name: name, op: .tensor(.convolution(convolution)), inputs: inputs, outputs: outputs)
    }
}

extension GraphRewriter {
    /// The x of `x·clip(x + 3, 0, 6)`, and the nodes of the clip and the sum.
    fileprivate func clippedGate(_ product: Node) -> (x: ValueID, parts: [Int])? {
        for (x, gate) in product.operands(ofCommutative: .multiply) {
            guard let clip = soleProducer(of: gate), let clipNode = self[clip], clipNode.op == .unary(.clip(0, 6)),
                let sum = soleProducer(of: clipNode.inputs[0]), let sumNode = self[sum]
            else { continue }
            for (operand, three) in sumNode.operands(ofCommutative: .add) where operand == x && number(three) == 3 { return (x, [clip, sum]) }
        }
        return nil
    }
}
