// What the two decompositions of kernels share: which convolutions they take, the choice of ranks, the report.
import SwiftletRuntime

/// A convolution that a decomposition can split, with what it offers for it.
struct ConvolutionFactoring {
    let technique: String
    let scope: Scope
    let rank: RankRule
    let multiple: Int

    static let parameters =
        RankRule.parameters + [RecipeParameter("multiple", .integer(1...1024), default: .integer(8), "ranks are multiples of it; 8 or 16 fill vectors of f32")]

    /// What a decomposition makes of one kernel.
    struct Parts {
        /// The convolutions in the order they run, with their kernels and the suffixes of their weights' names.
        let chain: [(convolution: Convolution, shape: [Int], kernel: [Float], suffix: String)]
        /// ‖W − W′‖² / ‖W‖²
        let error: Double
    }

    /// Goes over the convolutions: `isSuitable` says why one cannot be split (nil when it can), `decompose` gives what is needed for `offers` (ranks,
    /// multiply-accumulates, error) and `parts` (the factors for the ranks chosen).
    func run<Decomposition>(
        _ graph: Graph, in context: CompressionContext, isSuitable: (Convolution) -> String?, decompose: (FactorableLayer, Convolution) throws -> Decomposition,
        offers: (FactorableLayer, Convolution, Decomposition) -> [RankOffer],
        parts: (FactorableLayer, Convolution, Decomposition, RankOffer) throws -> Parts
    ) throws -> StepResult {
        guard multiple > 0 else {
            throw SwiftletError.invalidArgument(name: "multiple", reason: "\(multiple) is not positive", remedy: "Use 1 for any rank.")
        }
        let found = FactorableLayer.all(in: graph, scope: scope)
        var notes = found.notes
        var work: [(layer: FactorableLayer, convolution: Convolution, decomposition: Decomposition)] = []
        var candidates: [RankCandidate] = []
        let layers = found.layers.filter { $0.convolution != nil }
        for (index, layer) in layers.enumerated() {
            try Task.checkCancellation()
            guard let convolution = layer.convolution else { continue }
            if let reason = isSuitable(convolution) {
                notes.append("\(layer.name) left alone: \(reason)")
                continue
            }
            let decomposition = try decompose(layer, convolution)
            let worthwhile = offers(layer, convolution, decomposition).filter {
                RankCandidate.isWorthwhile(cost: $0.cost, denseCost: layer.denseCost)
            }
            try context.progress(StepProgress(technique: technique, detail: layer.name, done: index + 1, total: layers.count))
            guard !worthwhile.isEmpty else {
                notes.append("\(layer.name) left alone: no ranks of a multiple of \(multiple) make \(layer.layer.weight.shape) cheaper by a tenth")
                continue
            }
            work.append((layer, convolution, decomposition))
            candidates.append(RankCandidate(denseCost: layer.denseCost, offers: worthwhile))
        }
        var rewriter = FactorRewriter(graph)
        var reports: [TensorReport] = []
        for (item, choice) in zip(work, rank.choice(among: candidates)) {
            guard let choice else {
                notes.append("\(item.layer.name) left alone: whole it serves \(rank.description) better than any ranks that are worthwhile")
                continue
            }
            let parts = try parts(item.layer, item.convolution, item.decomposition, choice)
            reports.append(try replace(item.layer, choice, parts, &rewriter))
        }
        return try StepResult(technique: technique, before: graph, after: rewriter.result(), tensors: reports, notes: notes)
    }

    private func replace(_ layer: FactorableLayer, _ choice: RankOffer, _ parts: Parts, _ rewriter: inout FactorRewriter) throws -> TensorReport {
        var operations: [(op: Op, operands: [ValueID])] = []
        var weights: [Weight] = []
        for (position, link) in parts.chain.enumerated() {
            let made = try rewriter.weight(layer.name + link.suffix, shape: link.shape, link.kernel)
            let isLast = position == parts.chain.count - 1
            operations.append((.tensor(.convolution(link.convolution)), [made.id] + (isLast ? layer.rest(in: rewriter.graph) : [])))
            weights.insert(made.weight, at: 0)
        }
        try rewriter.replace(layer.layer.node, with: operations, suffixes: parts.chain.map(\.suffix))
        let shape = layer.layer.weight.shape.dimensions
        return try TensorReport(
            layer.layer, factors: weights, sizes: [layer.rows] + choice.ranks.reversed() + shape.dropFirst(), error: parts.error, outputError: nil)
    }
}
