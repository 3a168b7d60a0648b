// Structured pruning of channels: filters of convolutions, neurons of feed-forward blocks. The graph comes out smaller and dense.
import SwiftletRuntime

/// Removes the least important channels of convolutions, with everything that depends on them.
public struct PruneChannels: CompressionStep {
    public static let technique = "channels"

    /// A group of channels is pruned when the scope takes the weights of all layers that make them.
    public var scope: Scope
    /// The share of each group's channels that goes, from 0 to below 1.
    public var share: Double
    /// The number of channels that stay is a multiple of it.
    public var multiple: Int
    public var importance: ChannelImportance
    /// Whether layers make up for the channels they lose, by least squares on the calibration data.
    public var reconstructs: Bool

    public init(share: Double, multiple: Int = 8, importance: ChannelImportance = .l2, reconstructs: Bool = false, scope: Scope = .all) {
        self.share = share
        self.multiple = multiple
        self.importance = importance
        self.reconstructs = reconstructs
        self.scope = scope
    }

    public func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
        let convolutions = Set(graph.layers().compactMap { layer in if case .convolution = layer.kind { layer.weightID } else { nil } })
        let pruning = ChannelPruning(
            technique: Self.technique, scope: scope, quota: ChannelQuota(share: share, multiple: multiple), importance: importance, reconstructs: reconstructs)
        return try pruning.run(graph, in: context, what: "channels of convolutions") { group in group.producers.contains { convolutions.contains($0.weight) } }
    }
}

extension PruneChannels: RecipeTechnique {
    package static let summary = "remove the least important channels of convolutions: a smaller, dense network"
    package static let parameters = ChannelPruning.parameters(multiple: 8, importance: .l2, reconstructs: false)

    package init(_ values: RecipeValues) throws {
        self.init(
            share: try values.number("share"), multiple: try values.integer("multiple"), importance: try ChannelImportance(values),
            reconstructs: try values.flag("reconstruct"), scope: values.scope)
    }
}

/// Removes the least important neurons of feed-forward blocks: the same number in every block of one width.
public struct PruneNeurons: CompressionStep {
    public static let technique = "ffn-neurons"

    /// A block is pruned when the scope takes the weights of all layers that make its neurons.
    public var scope: Scope
    /// The share of each block's neurons that goes, from 0 to below 1.
    public var share: Double
    /// The number of neurons that stay is a multiple of it: 32 or 256, as the format to quantise to wants.
    public var multiple: Int
    public var importance: ChannelImportance
    /// Whether the layer behind makes up for the neurons it loses, by least squares on the calibration data.
    public var reconstructs: Bool

    public init(share: Double, multiple: Int = 32, importance: ChannelImportance = .activation, reconstructs: Bool = true, scope: Scope = .all) {
        self.share = share
        self.multiple = multiple
        self.importance = importance
        self.reconstructs = reconstructs
        self.scope = scope
    }

    public func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
        let linears = Set(graph.layers().compactMap { $0.kind == .linear ? $0.weightID : nil })
        let pruning = ChannelPruning(
            technique: Self.technique, scope: scope, quota: ChannelQuota(share: share, multiple: multiple), importance: importance, reconstructs: reconstructs)
        return try pruning.run(graph, in: context, what: "neurons between linear layers") { group in
            (group.producers + group.consumers).allSatisfy { linears.contains($0.weight) }
        }
    }
}

extension PruneNeurons: RecipeTechnique {
    package static let summary = "remove the least important neurons of feed-forward blocks: smaller, dense matrices"
    package static let parameters = ChannelPruning.parameters(multiple: 32, importance: .activation, reconstructs: true)

    package init(_ values: RecipeValues) throws {
        self.init(
            share: try values.number("share"), multiple: try values.integer("multiple"), importance: try ChannelImportance(values),
            reconstructs: try values.flag("reconstruct"), scope: values.scope)
    }
}

extension ChannelImportance {
    init(_ values: RecipeValues) throws {
        let word = try values.text("importance")
        guard let importance = ChannelImportance(rawValue: word) else {
            throw SwiftletError.invalidArgument(name: "importance", reason: "'\(word)' is unknown", remedy: "Use l1, l2 or activation.")
        }
        self = importance
    }
}

/// What both have in common.
private struct ChannelPruning {
    let technique: String
    let scope: Scope
    let quota: ChannelQuota
    let importance: ChannelImportance
    let reconstructs: Bool

    static func parameters(multiple: Int, importance: ChannelImportance, reconstructs: Bool) -> [RecipeParameter] {
        [
            RecipeParameter("share", .number(0...0.99), default: .number(0.25), "share of each group's channels that goes"),
            RecipeParameter("multiple", .integer(1...4096), default: .integer(multiple), "the number of channels that stay is a multiple of it"),
            RecipeParameter(
                "importance", .choice(ChannelImportance.allCases.map(\.rawValue)), default: .text(importance.rawValue),
                "how channels are ranked: by the weights that make them, or by what they give to the layers behind (needs calibration)"),
            RecipeParameter("reconstruct", .flag, default: .flag(reconstructs), "whether layers make up for channels they lose (needs calibration)"),
        ]
    }

    func run(_ graph: Graph, in context: CompressionContext, what: String, _ takes: (ChannelGroups.Group) -> Bool) throws -> StepResult {
        try quota.check()
        let channels = ChannelGroups(graph)
        let groups = channels.groups.filter { group in takes(group) && group.producers.allSatisfy { scope.contains(graph[$0.weight].name) } }
        guard !groups.isEmpty else {
            throw SwiftletError.invalidArgument(
                name: "scope", reason: "the graph has no \(what) that can go without changing what it takes or gives", remedy: "Widen the scope, or use another technique.")
        }
        let moments = try moments(graph, groups, context)
        let scores = ChannelScores(graph: graph, importance: importance, moments: moments)
        var kept: [Int: [Int]] = [:]
        for (index, group) in groups.enumerated() {
            try Task.checkCancellation()
            let count = quota.kept(of: group.count)
            if count < group.count { kept[group.id] = ChannelQuota.highest(try scores.scores(of: group), count: count) }
            try context.progress(StepProgress(technique: technique, detail: name(group, graph), done: index + 1, total: groups.count))
        }
        let removal = ChannelRemoval(channels: channels, kept: kept)
        let elements = removal.keptElements(graph)
        var unmeasured: [String] = []
        let result = try removal.apply(to: graph) { id, weight in
            guard reconstructs, let inputs = elements[id]?[1] else { return nil }
            let layer = graph.layers().first { $0.weightID == id }
            guard let layer, let key = InputKey(layer, in: graph), let moment = moments[key] else {
                unmeasured.append(graph[id].name)
                return nil
            }
            let taps = weight.inputCount / weight.shape[1]
            let columns = inputs.flatMap { $0 * taps..<($0 + 1) * taps }
            return try ColumnReconstruction(damping: Self.damping).elements(of: weight, kept: columns, moments: moment)
        }
        let reports = try graph.weights.filter { elements[$0.id] != nil }.compactMap { id, weight in
            try result[id].weight.map { try TensorReport(name: graph[id].name, before: weight, after: $0) }
        }
        var notes = groups.map { group in "\(name(group, graph)): \(kept[group.id]?.count ?? group.count) of \(group.count) stay." }
        if !unmeasured.isEmpty { notes.append("Not reconstructed, since what flows into them is not measured: \(unmeasured.joined(separator: ", ")).") }
        return try StepResult(technique: technique, before: graph, after: result, tensors: reports, notes: notes)
    }

    /// Added to the diagonal in the reconstruction, as a share of its mean.
    private static let damping = 0.01

    private func name(_ group: ChannelGroups.Group, _ graph: Graph) -> String {
        group.producers.map { graph[$0.weight].name }.joined(separator: " + ")
    }

    private func moments(_ graph: Graph, _ groups: [ChannelGroups.Group], _ context: CompressionContext) throws -> [InputKey: InputMoments] {
        guard importance == .activation || reconstructs else { return [:] }
        let consumers = Set(groups.flatMap { $0.consumers.map(\.weight) })
        return try InputMoments.collect(
            graph, layers: graph.layers().filter { consumers.contains($0.weightID) }, order: reconstructs ? .gram : .diagonal,
            data: context.requiredCalibration(for: technique), in: context, technique: technique)
    }
}
