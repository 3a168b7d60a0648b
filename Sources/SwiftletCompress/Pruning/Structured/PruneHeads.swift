// Structured pruning of attention: key-value heads go with all queries that share them, the same number in every layer. Michel et al., 2019.
import SwiftletRuntime

/// Removes the least important heads of attention.
public struct PruneHeads: CompressionStep {
    public static let technique = "attention-heads"

    /// Attention is pruned when the scope takes the weight of the layer that takes its heads in.
    public var scope: Scope
    /// The share of key-value heads that goes, from 0 to below 1.
    public var share: Double
    /// By what a head gives to the layer behind it; for l1 and l2 by that layer's weights alone.
    public var importance: ChannelImportance
    /// Whether the layer behind makes up for the heads it loses, by least squares on the calibration data.
    public var reconstructs: Bool

    public init(share: Double, importance: ChannelImportance = .activation, reconstructs: Bool = true, scope: Scope = .all) {
        self.share = share
        self.importance = importance
        self.reconstructs = reconstructs
        self.scope = scope
    }

    public func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
        let quota = ChannelQuota(share: share, multiple: 1)
        try quota.check()
        let blocks = try AttentionBlock.all(graph).filter { scope.contains($0.output.name) }
        guard !blocks.isEmpty else {
            throw SwiftletError.invalidArgument(name: "scope", reason: "the graph has no attention in it", remedy: "Use a language model, or widen the scope.")
        }
        let layers = blocks.map(\.output)
        let needsData = importance == .activation || reconstructs
        let moments = needsData
            ? try InputMoments.collect(
                graph, layers: layers, order: reconstructs ? .gram : .diagonal, data: context.requiredCalibration(for: Self.technique), in: context,
                technique: Self.technique) : [:]
        var result = graph
        var notes: [String] = []
        for (index, block) in blocks.enumerated() {
            try Task.checkCancellation()
            let moment = needsData ? try moments.required(block.output, in: graph) : nil
            let scores = try scores(block, moment)
            let kept = ChannelQuota.highest(scores, count: quota.kept(of: scores.count))
            guard kept.count < scores.count else { continue }
            let width = block.headsPerGroup * block.attention.headDimension
            let columns = kept.flatMap { $0 * width..<($0 + 1) * width }
            let elements = reconstructs ? try moment.flatMap { try ColumnReconstruction(damping: 0.01).elements(of: block.output.weight, kept: columns, moments: $0) } : nil
            try block.keep(kept, in: &result, output: elements)
            notes.append("\(graph.nodes[block.node].name): key-value heads \(kept.map(String.init).joined(separator: ", ")) of \(scores.count) stay.")
            try context.progress(StepProgress(technique: Self.technique, detail: graph.nodes[block.node].name, done: index + 1, total: blocks.count))
        }
        try result.inferTypes()
        let reports = try graph.weights.compactMap { id, weight in
            try result[id].weight.flatMap { $0.shape == weight.shape ? nil : try TensorReport(name: graph[id].name, before: weight, after: $0) }
        }
        return try StepResult(technique: Self.technique, before: graph, after: result, tensors: reports, notes: notes)
    }

    /// A score a key-value head.
    private func scores(_ block: AttentionBlock, _ moments: InputMoments?) throws -> [Double] {
        let columns = block.output.weight.inputCount
        let width = block.headsPerGroup * block.attention.headDimension
        try moments?.check(columns: columns, of: block.output)
        var scores = [Double](repeating: 0, count: block.attention.keyValueHeads)
        for (index, value) in try block.output.weight.floats().enumerated() {
            let column = index % columns
            let amount = importance == .l1 ? Double(abs(value)) : Double(value) * Double(value)
            scores[column / width] += importance == .activation ? amount * Double(moments?.squares[column] ?? 0) : amount
        }
        return scores
    }
}

extension PruneHeads: RecipeTechnique {
    package static let summary = "remove the least important attention heads with their keys and values: smaller, dense matrices and cache"
    package static let parameters = [
        RecipeParameter("share", .number(0...0.99), default: .number(0.25), "share of the key-value heads that goes, in whole heads"),
        RecipeParameter(
            "importance", .choice(ChannelImportance.allCases.map(\.rawValue)), default: .text(ChannelImportance.activation.rawValue),
            "how heads are ranked: by the weights that take them in, or by what they give (needs calibration)"),
        RecipeParameter("reconstruct", .flag, default: .flag(true), "whether the layer behind makes up for heads it loses (needs calibration)"),
    ]

    package init(_ values: RecipeValues) throws {
        self.init(
            share: try values.number("share"), importance: try ChannelImportance(values), reconstructs: try values.flag("reconstruct"), scope: values.scope)
    }
}
