// Steps in order, each checked: a wrong step is named, not discovered as a wrong answer.
import SwiftletRuntime

/// Runs a recipe on a graph.
///
///     let result = try Compressor([PruneByWanda(sparsity: 0.5), QuantizeWeights(format: .q8_0)]).run(model.graph, in: context)
///     try model.write(result.graph, to: "small.gguf")
public struct Compressor: Sendable {
    public var steps: [any CompressionStep]

    public init(_ steps: [any CompressionStep]) { self.steps = steps }

    /// The compressed graph and a report a step. `afterStep` gets the graph after each step and the step's index; what it throws ends the run.
    ///
    /// Throws `SwiftletError.invalidGraph` naming a step whose result does not verify, and what steps throw.
    public func run(_ graph: Graph, in context: CompressionContext, afterStep: (Graph, Int) throws -> Void = { _, _ in }) throws -> CompressionResult {
        var graph = graph
        var previous: Graph?
        var reports: [StepReport] = []
        let clock = ContinuousClock()
        for (index, step) in steps.enumerated() {
            let technique = type(of: step).technique
            var context = context
            context.checkpoint = context.checkpoint?.part("\(index + 1)-\(technique)")
            context.graphBeforeLastStep = previous
            let start = clock.now
            var result = try step.run(graph, in: context)
            do {
                try result.graph.verify()
            } catch SwiftletError.invalidGraph(let node, let reason, let remedy) {
                throw SwiftletError.invalidGraph(node: node, reason: "after the step \(technique): \(reason)", remedy: remedy)
            }
            result.report.seconds = (clock.now - start) / .seconds(1)
            reports.append(result.report)
            (previous, graph) = (graph, result.graph)
            try afterStep(graph, index)
        }
        return CompressionResult(graph: graph, steps: reports)
    }
}

/// What a recipe gives.
public struct CompressionResult: Sendable {
    public var graph: Graph
    public var steps: [StepReport]
}
