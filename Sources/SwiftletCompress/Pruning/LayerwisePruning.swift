// The course of pruning that measures what flows into layers: rounds of rising sparsity, each in stages along the network.
//
// Stages: the layers of a stage are measured with all layers before them pruned already, so that errors are met by those that come after.
// Rounds: sparsity rises as s·(1 − (1 − t/rounds)³) (Zhu and Gupta, 2017), with a new measurement in between.
import SwiftletRuntime

/// How a measured pruning proceeds.
public struct PruningSchedule: Sendable, Hashable {
    /// Steps to the final sparsity; 1 prunes at once.
    public var rounds: Int
    /// Parts of the network that are measured one after the other; 1 measures all layers at once. Each costs a calibration: half of SmolLM2-135M pruned
    /// by SparseGPT has a perplexity of 55.2 with one stage and 53.4 with four.
    public var stages: Int

    public init(rounds: Int = 1, stages: Int = 1) {
        self.rounds = rounds
        self.stages = stages
    }

    /// The sparsity after round `round`, counted from 1.
    package func sparsity(_ final: Double, round: Int) -> Double {
        let left = 1 - Double(round) / Double(max(1, rounds))
        return final * (1 - left * left * left)
    }

    package static let parameters = [
        RecipeParameter("rounds", .integer(1...64), default: .integer(1), "steps to the final sparsity, with a new calibration in between"),
        RecipeParameter("stages", .integer(1...1024), default: .integer(1), "parts of the network, each calibrated with the ones before it pruned"),
    ]

    package init(_ values: RecipeValues) throws { self.init(rounds: try values.integer("rounds"), stages: try values.integer("stages")) }

    /// Throws `SwiftletError.invalidArgument` where the numbers make no sense, alone or with a pattern.
    package func check(with pattern: SparsityPattern, sparsity: Double) throws {
        try pattern.check(sparsity: sparsity)
        guard rounds > 0, stages > 0 else {
            throw SwiftletError.invalidArgument(name: "rounds, stages", reason: "\(rounds) and \(stages) are not both positive", remedy: "Use 1 or more.")
        }
        if case .grouped = pattern, rounds > 1 {
            throw SwiftletError.invalidArgument(
                name: "rounds", reason: "the pattern \(pattern) has one sparsity, which cannot rise", remedy: "Use 1 round, or a pattern of blocks.")
        }
    }
}

/// Walks over the layers of a graph and prunes each by what flows into it.
struct LayerwisePruning<Measure> {
    let technique: String
    /// Everything results depend on besides weights and data.
    let parameters: String
    let schedule: PruningSchedule
    let sparsity: Double
    var kinds = PrunableLayers.Kinds.ungrouped
    /// Measures the inputs of some layers of the graph as it is now, an entry a layer.
    let measure: (Graph, [Layer], any CalibrationData) throws -> [Measure]
    /// The pruned elements of a layer `[outputs, inputs]`, at this sparsity.
    let prune: (inout [Float], Layer, Measure, Double) throws -> Void
    /// The relative error of a layer's outputs, where it is known.
    var outputError: ((_ before: [Float], _ after: [Float], Layer, Measure) throws -> Double?)?

    func run(_ graph: Graph, scope: Scope, in context: CompressionContext) throws -> StepResult {
        let data = try context.requiredCalibration(for: technique)
        let prunable = PrunableLayers(graph, scope: scope, kinds: kinds)
        try prunable.checkNotEmpty(scope: scope)
        var current = graph
        var replacement = LayerReplacement(graph, technique: technique, parameters: parameters, total: prunable.layers.count, in: context)
        for round in 1...schedule.rounds {
            let target = schedule.sparsity(sparsity, round: round)
            for stage in stages(prunable.layers, graph) {
                // Measured when the first layer asks: a stage that was finished by an earlier run needs no data.
                var measures: [Measure]?
                func measured(_ index: Int) throws -> Measure {
                    let all = try measures ?? measure(current, stage, data)
                    measures = all
                    return all[index]
                }
                let before = current
                for (index, layer) in stage.enumerated() {
                    guard let source = before[layer.weightID].weight else { continue }
                    func pruned() throws -> Weight {
                        var elements = try source.floats()
                        try prune(&elements, layer, measured(index), target)
                        return try Weight(name: layer.name, shape: source.shape, floats: elements)
                    }
                    if round < schedule.rounds {
                        try Task.checkCancellation()
                        current.replaceWeight(layer.weightID, with: try pruned())
                        continue
                    }
                    try replacement.replace(
                        layer,
                        outputError: { weight in
                            guard let outputError, let measures else { return nil }
                            return try outputError(layer.weight.floats(), weight.floats(), layer, measures[index])
                        }, pruned)
                    if let weight = replacement.graph[layer.weightID].weight { current.replaceWeight(layer.weightID, with: weight) }
                }
            }
        }
        return try replacement.result(notes: prunable.notes)
    }

    /// The layers in parts of about equally many inputs; layers that read one value stay together.
    private func stages(_ layers: [Layer], _ graph: Graph) -> [[Layer]] {
        var groups: [[Layer]] = []
        var places: [InputKey: Int] = [:]
        for layer in layers {
            guard let key = InputKey(layer, in: graph) else { continue }
            if let place = places[key] {
                groups[place].append(layer)
            } else {
                places[key] = groups.count
                groups.append([layer])
            }
        }
        let count = min(schedule.stages, groups.count)
        return (0..<count).map { stage in groups[stage * groups.count / count..<(stage + 1) * groups.count / count].flatMap { $0 } }
    }
}
