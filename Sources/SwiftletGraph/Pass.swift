// Passes: functions from a graph to a graph that computes the same, and the pipeline that runs and checks them.

/// A transformation of a graph. It keeps the inputs, the outputs, the states and what is computed.
public protocol GraphPass: Sendable {
    /// For messages and listings.
    var name: String { get }

    /// The transformed graph. `graph` must verify; so does the result. Throws `SwiftletError.invalidGraph`.
    func run(_ graph: Graph) throws -> Graph
}

/// Passes in order. The graph is verified before the first and after each: a wrong pass is named, not discovered as a wrong answer.
public struct PassPipeline: GraphPass {
    public let name: String
    public let passes: [any GraphPass]

    public init(name: String, _ passes: [any GraphPass]) {
        self.name = name
        self.passes = passes
    }

    public func run(_ graph: Graph) throws -> Graph {
        try graph.verify()
        return try passes.reduce(graph) { graph, pass in
            let result = try pass.run(graph)
            do {
                try result.verify()
            } catch SwiftletError.invalidGraph(let node, let reason, let remedy) {
                throw SwiftletError.invalidGraph(node: node, reason: "after the pass \(pass.name): \(reason)", remedy: remedy)
            }
            return result
        }
    }

    /// The hardware-neutral fusions that pay on language models, for every backend. Gates come before projections and activations, which
    /// would take their linears; dead code goes first, since a reader that nobody needs prevents a fusion.
    public static let language = PassPipeline(
        name: "language",
        [DeadCodeElimination(), FuseNormScale(), FuseGatedLinear(), FuseProjections(), FuseResidual(), FuseActivation()])

    /// This pipeline behind constant folding.
    public func folding(_ evaluator: @escaping ConstantFolding.Evaluator) -> PassPipeline {
        PassPipeline(name: name, [ConstantFolding(evaluator: evaluator)] + passes)
    }
}
