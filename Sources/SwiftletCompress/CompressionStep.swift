// A technique of compression: a pure pass with a report. Everything a technique needs from outside (data, threads, progress) is in the context.
import SwiftletRuntime

/// One technique with its parameters. `run` is a function of the graph, the step's own parameters and the calibration data: the same ones give
/// the same result on one machine.
public protocol CompressionStep: Sendable {
    /// The technique's name, as recipes write it: `quantize`, `gptq`, `wanda`.
    static var technique: String { get }

    /// Whether the step only mends what the one before it did, and is nothing without it.
    static var mendsLastStep: Bool { get }

    /// The weights the step works on.
    var scope: Scope { get }

    /// The compressed graph, and what it cost and gained, weight by weight.
    ///
    /// Throws `SwiftletError.invalidArgument` where parameters or data do not suit the graph, `.numerical` where a factorisation fails, and
    /// what `context.progress` throws.
    func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult
}

extension CompressionStep {
    public static var mendsLastStep: Bool { false }
}

/// What a step gives.
public struct StepResult: Sendable {
    public var graph: Graph
    public var report: StepReport

    public init(graph: Graph, report: StepReport) {
        self.graph = graph
        self.report = report
    }

    /// The result of a step that changed these weights: totals are counted from the graphs.
    package init(technique: String, before: Graph, after: Graph, tensors: [TensorReport], notes: [String] = []) throws {
        graph = after
        report = StepReport(
            technique: technique, before: try GraphSize(before), after: try GraphSize(after), tensors: tensors, notes: notes)
    }
}
