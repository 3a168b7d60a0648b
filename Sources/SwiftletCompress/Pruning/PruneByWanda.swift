// Wanda: a weight counts as much as it moves its output, |w|·‖x‖ with the norm of its input over the calibration data, and competes with the
// other weights of its output only. Sun, Liu, Bair and Kolter, 2023.
import SwiftletRuntime

/// Makes those weights of each output zero that add least to it.
public struct PruneByWanda: CompressionStep {
    public static let technique = "wanda"

    public var scope: Scope
    /// The share of zeros, from 0 to below 1.
    public var sparsity: Double
    public var pattern: SparsityPattern
    public var schedule: PruningSchedule

    public init(sparsity: Double, pattern: SparsityPattern = .free, schedule: PruningSchedule = PruningSchedule(), scope: Scope = .all) {
        self.sparsity = sparsity
        self.pattern = pattern
        self.schedule = schedule
        self.scope = scope
    }

    public func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
        try schedule.check(with: pattern, sparsity: sparsity)
        let pruning = LayerwisePruning<InputMoments>(
            technique: Self.technique, parameters: "wanda \(sparsity) \(pattern) \(schedule)", schedule: schedule, sparsity: sparsity,
            measure: { graph, layers, data in
                let moments = try InputMoments.collect(graph, layers: layers, order: .diagonal, data: data, in: context, technique: Self.technique)
                return try layers.map { try moments.required($0, in: graph) }
            },
            prune: { elements, layer, moments, sparsity in
                let (rows, columns) = (layer.weight.outputCount, layer.weight.inputCount)
                try moments.check(columns: columns, of: layer)
                let norms = moments.squares.map { $0.squareRoot() }
                let scores = elements.enumerated().map { abs($1) * norms[$0 % columns] }
                let removed = scores.withUnsafeBufferPointer {
                    pattern.removed(scores: $0, rows: rows, columns: columns, sparsity: sparsity, comparison: .row)
                }
                for index in elements.indices where removed[index] { elements[index] = 0 }
            })
        return try pruning.run(graph, scope: scope, in: context)
    }
}

extension PruneByWanda: RecipeTechnique {
    package static let summary = "make those weights of each output zero that add least to it, by calibration"
    package static let parameters = RecipeParameter.sparsity + PruningSchedule.parameters

    package init(_ values: RecipeValues) throws {
        self.init(
            sparsity: try values.number("sparsity"), pattern: try SparsityPattern(values.text("pattern")), schedule: try PruningSchedule(values),
            scope: values.scope)
        try schedule.check(with: pattern, sparsity: sparsity)
    }
}

extension [InputKey: InputMoments] {
    /// The moments of a layer's input. Throws `SwiftletError.invalidArgument` when nothing flowed through it.
    func required(_ layer: Layer, in graph: Graph) throws -> InputMoments {
        guard let key = InputKey(layer, in: graph), let moments = self[key] else {
            throw SwiftletError.invalidArgument(
                name: layer.name, reason: "no calibration data reached the layer", remedy: "Give calibration data, or leave the layer out of the scope.")
        }
        return moments
    }
}

extension InputMoments {
    /// Throws `SwiftletError.invalidGraph` where what was measured is not what the layer multiplies.
    func check(columns: Int, of layer: Layer) throws {
        guard self.columns == columns else {
            throw SwiftletError.invalidGraph(
                node: layer.name, reason: "it multiplies \(columns) inputs, and \(self.columns) were measured", remedy: "Check the shape of the weight.")
        }
    }
}
