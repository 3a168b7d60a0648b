// Pruning by activation frequency: inputs of a linear layer that are seldom active lose all their weights. In a feed-forward block these
// inputs are its neurons (Li et al., 2023, find most of them silent on most tokens).
import SwiftletRuntime

/// Makes the weights of those inputs zero that are active least often.
public struct PruneByActivationFrequency: CompressionStep {
    public static let technique = "activation-frequency"

    public var scope: Scope
    /// The share of inputs that lose their weights, from 0 to below 1.
    public var sparsity: Double
    /// An input is active when its magnitude is above this many times the mean magnitude of all inputs of the layer.
    public var threshold: Double
    public var schedule: PruningSchedule

    public init(sparsity: Double, threshold: Double = 1, schedule: PruningSchedule = PruningSchedule(), scope: Scope = .all) {
        self.sparsity = sparsity
        self.threshold = threshold
        self.schedule = schedule
        self.scope = scope
    }

    public func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
        try schedule.check(with: .free, sparsity: sparsity)
        let pruning = LayerwisePruning<ActivationFrequency>(
            technique: Self.technique, parameters: "activation-frequency \(sparsity) \(threshold) \(schedule)", schedule: schedule, sparsity: sparsity,
            kinds: .linear,
            measure: { graph, layers, data in
                let inputs = try ActivationFrequency.collect(
                    graph, values: layers.map(\.input), threshold: threshold, data: data, in: context, technique: Self.technique)
                return try layers.map { layer in
                    guard let frequency = inputs[layer.input] else {
                        throw SwiftletError.invalidArgument(
                            name: layer.name, reason: "no calibration data reached the layer", remedy: "Give calibration data, or leave the layer out of the scope.")
                    }
                    return frequency
                }
            },
            prune: { elements, layer, frequency, sparsity in
                let columns = layer.weight.inputCount
                guard frequency.counts.count == columns else {
                    throw SwiftletError.invalidGraph(
                        node: layer.name, reason: "it multiplies \(columns) inputs, and \(frequency.counts.count) were measured", remedy: "Check the shape of the weight.")
                }
                let scores = frequency.counts.map { Float($0) }
                var lowest = scores.withUnsafeBufferPointer { scores in LowestScores(count: SparsityPattern.count(sparsity, of: columns)) { $0(scores) } }
                let isRemoved = scores.map { lowest.takes($0) }
                for index in elements.indices where isRemoved[index % columns] { elements[index] = 0 }
            })
        return try pruning.run(graph, scope: scope, in: context)
    }
}

extension PruneByActivationFrequency: RecipeTechnique {
    package static let summary = "make the weights of linear layers' seldom active inputs zero, by calibration"
    package static let parameters =
        [
            RecipeParameter("sparsity", .number(0...0.999), default: .number(0.5), "share of the inputs of each layer that lose their weights"),
            RecipeParameter("threshold", .number(0...100), default: .number(1), "an input is active above this many times the layer's mean magnitude"),
        ] + PruningSchedule.parameters

    package init(_ values: RecipeValues) throws {
        self.init(
            sparsity: try values.number("sparsity"), threshold: try values.number("threshold"), schedule: try PruningSchedule(values), scope: values.scope)
    }
}

/// How often each element of the rows of a value is active.
package struct ActivationFrequency: Sendable {
    package fileprivate(set) var rows = 0
    /// Rows in which each column is active.
    package fileprivate(set) var counts: [Int]
    /// The magnitude above which an element is active; the mean magnitude is taken from the first batch.
    package let limit: Float

    /// The frequencies of f32 values `[…, columns]`, by value.
    package static func collect(
        _ graph: Graph, values: [ValueID], threshold: Double, data: any CalibrationData, in context: CompressionContext, technique: String
    ) throws -> [ValueID: ActivationFrequency] {
        var frequencies: [ValueID: ActivationFrequency] = [:]
        let unique = values.reduce(into: [ValueID]()) { if !$0.contains($1) { $0.append($1) } }
        try GraphRun(graph, values: unique, in: context).forEachBatch(of: data) { batch, run in
            for id in unique {
                let x = try run.floats(id)
                guard let columns = try run.shape(id).dimensions.last, columns > 0, !x.isEmpty else { continue }
                var frequency =
                    frequencies.removeValue(forKey: id)
                    ?? ActivationFrequency(
                        counts: Array(repeating: 0, count: columns), limit: Float(threshold * x.reduce(0.0) { $0 + Double(abs($1)) } / Double(x.count)))
                frequency.rows += x.count / columns
                for row in 0..<x.count / columns {
                    for column in 0..<columns where abs(x[row * columns + column]) > frequency.limit { frequency.counts[column] += 1 }
                }
                frequencies[id] = frequency
            }
            try context.progress(StepProgress(technique: technique, detail: "calibration batch \(batch + 1)", done: batch + 1, total: data.batchCount))
        }
        return frequencies
    }
}
