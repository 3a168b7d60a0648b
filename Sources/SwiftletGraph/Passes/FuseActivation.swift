// f(x·Wᵀ) → linear with an activation.

/// Fuses a linear with the function that is its only reader.
public struct FuseActivation: GraphPass {
    public let name = "activation"

    public init() {}

    public func run(_ graph: Graph) throws -> Graph {
        var rewriter = GraphRewriter(graph)
        for index in rewriter.indices {
            guard let unary = rewriter[index], case .unary(let function) = unary.op,
                let producer = rewriter.soleProducer(of: unary.inputs[0]), let node = rewriter[producer], var linear = node.plainLinear
            else { continue }
            linear.epilogue = .activation(function)
            let fused = Node(name: node.name, op: .linear(linear), inputs: node.inputs, outputs: unary.outputs)
            rewriter.replace([producer], with: fused, at: index)
        }
        return rewriter.result()
    }
}
