// x·Wᵀ + r → linear with a residual: the sum rides on the product instead of reading and writing the row again.

/// Fuses a linear with the addition that is its only reader. The fused node stands where the addition was, so the other addend is known.
public struct FuseResidual: GraphPass {
    public let name = "residual"

    public init() {}

    public func run(_ graph: Graph) throws -> Graph {
        var rewriter = GraphRewriter(graph)
        for index in rewriter.indices {
            guard let add = rewriter[index] else { continue }
            for (product, residual) in add.operands(ofCommutative: .add) {
                guard let producer = rewriter.soleProducer(of: product), let node = rewriter[producer], var linear = node.plainLinear,
                    rewriter.type(of: product) == rewriter.type(of: residual)  // no broadcast
                else { continue }
                linear.epilogue = .residual
                let fused = Node(name: node.name, op: .linear(linear), inputs: node.inputs + [residual], outputs: add.outputs)
                rewriter.replace([producer], with: fused, at: index)
                break
            }
        }
        return rewriter.result()
    }
}
