// rmsNorm(x) · scale → rmsNorm(x, scale): one pass over the row instead of two.

/// Gives a root-mean-square norm the weight vector that its result is multiplied with.
public struct FuseNormScale: GraphPass {
    public let name = "norm and scale"

    public init() {}

    public func run(_ graph: Graph) throws -> Graph {
        var rewriter = GraphRewriter(graph)
        for index in rewriter.indices {
            guard let multiply = rewriter[index] else { continue }
            for (normalised, scale) in multiply.operands(ofCommutative: .multiply) {
                guard let producer = rewriter.soleProducer(of: normalised), let norm = rewriter[producer], case .rmsNorm = norm.op,
                    norm.inputs.count == 1, graph[scale].weight != nil,
                    let width = graph[normalised].type.shape.last, graph[scale].type.shape == [width]
                else { continue }
                let fused = Node(name: norm.name, op: norm.op, inputs: [norm.inputs[0], scale], outputs: multiply.outputs)
                rewriter.replace([producer], with: fused, at: index)
                break
            }
        }
        return rewriter.result()
    }
}
