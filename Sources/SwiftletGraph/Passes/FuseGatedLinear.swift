// f(x·Wgᵀ) · (x·Wuᵀ) → one linear with two weights: the gated feed-forward unit (Shazeer, 2020) without its two intermediate results.

/// Fuses gate projection, activation, up projection and product.
public struct FuseGatedLinear: GraphPass {
    public let name = "gated linear"

    public init() {}

    public func run(_ graph: Graph) throws -> Graph {
        var rewriter = GraphRewriter(graph)
        for index in rewriter.indices {
            guard let multiply = rewriter[index] else { continue }
            for (activated, up) in multiply.operands(ofCommutative: .multiply) {
                guard let unaryIndex = rewriter.soleProducer(of: activated), let unary = rewriter[unaryIndex],
                    case .unary(let function) = unary.op,
                    let gateIndex = rewriter.soleProducer(of: unary.inputs[0]), let gateNode = rewriter[gateIndex],
                    let gateLinear = gateNode.plainLinear,
                    let upIndex = rewriter.soleProducer(of: up), let upNode = rewriter[upIndex], let upLinear = upNode.plainLinear,
                    gateNode.inputs[0] == upNode.inputs[0], gateLinear.hasBias == upLinear.hasBias,
                    // No broadcast: one column of the result needs one of each.
                    rewriter.type(of: gateNode.outputs[0]) == rewriter.type(of: up)
                else { continue }
                let linear = Linear(weightCount: 2, hasBias: gateLinear.hasBias, epilogue: .gated(function))
                let biases = gateLinear.hasBias ? [gateNode.inputs[2], upNode.inputs[2]] : []
                let fused = Node(
                    name: gateNode.name, op: .linear(linear), inputs: [gateNode.inputs[0], gateNode.inputs[1], upNode.inputs[1]] + biases,
                    outputs: multiply.outputs)
                rewriter.replace([unaryIndex, gateIndex, upIndex], with: fused, at: index)
                break
            }
        }
        return rewriter.result()
    }
}
