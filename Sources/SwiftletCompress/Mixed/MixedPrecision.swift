// Each matrix in the format it can bear: sensitivity measured, then the best choice within a budget of bytes or of time.
//
// Sensitivity is what the model's answers lose when one matrix alone is lowered to one format (SensitivityScan: KL of logits), on calibration data.
// Losses of several matrices are taken to add up, which holds while they are small. Time is measured on this machine: each shape in each format,
// with the kernels that will run it.
import Foundation
import SwiftletRuntime

/// Chooses a format for each matrix.
public struct MixedPrecision: CompressionStep {
    public static let technique = "mixed"

    public enum Budget: Sendable, Hashable {
        /// Bytes of all weights of the model.
        case bytes(Int)
        /// Bits a weight, on average over the matrices of the scope.
        case bits(Double)
        /// Milliseconds one token's matrix products take on this machine, those of the scope.
        case milliseconds(Double)
    }

    public var scope: Scope
    public var formats: [WeightFormat]
    public var budget: Budget
    /// Tokens of each of the windows that losses are measured on, and how many windows.
    public var windowLimit: Int

    public init(_ formats: [WeightFormat], budget: Budget, scope: Scope = .all, windowLimit: Int = 4) {
        self.formats = formats
        self.budget = budget
        self.scope = scope
        self.windowLimit = windowLimit
    }

    public func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
        let data = try context.requiredCalibration(for: Self.technique)
        let targets = graph.matrices(in: scope)
        guard !targets.isEmpty, !formats.isEmpty else {
            throw SwiftletError.invalidArgument(name: "scope", reason: "takes no matrix, or there is no format to choose from", remedy: "Widen the scope.")
        }
        let pool = try ThreadPool(threadCount: context.threads)
        let options = targets.map { target in formats.filter { $0.rowBytes(elements: target.layer.weight.columnCount) != nil } }
        for (target, formats) in zip(targets, options) where formats.isEmpty {
            throw SwiftletError.invalidArgument(
                name: "formats", reason: "rows of \(target.layer.weight.columnCount) of \(target.layer.name) are not whole blocks of any of them",
                remedy: "Add a format of blocks of 32, such as q8_0.")
        }
        let candidates = zip(targets, options).flatMap { target, formats in
            formats.map { format in
                SensitivityCandidate(layer: target.layer.name, label: format.description) { graph, _ in
                    var graph = graph
                    graph.replaceWeight(target.layer.weightID, with: try target.layer.weight.stored(as: format, name: target.layer.name, pool: pool))
                    return graph
                }
            }
        }
        let entries = try SensitivityScan().scan(graph, candidates: candidates, data: data.forComparison(limit: windowLimit), in: context)
        var timing = LayerTiming(isa: context.instructionSet, pool: pool)
        var next = entries.makeIterator()
        let alternatives = try zip(targets, options).map { target, formats in
            try formats.map { format in
                let loss = max(0, next.next()?.divergence ?? 0)
                return ChoiceProblem.Alternative(cost: try cost(of: target.layer, format, &timing), loss: loss)
            }
        }
        let problem = ChoiceProblem(alternatives)
        let (limit, unit) = limit(graph, targets)
        guard let solution = problem.solve(budget: limit) else {
            throw SwiftletError.invalidArgument(
                name: "budget", reason: "\(limit) \(unit) cannot be met: the smallest choice of formats takes \(problem.leastCost)",
                remedy: "Raise the budget by \(problem.leastCost - limit) \(unit), or allow smaller formats.")
        }
        var replacement = LayerReplacement(
            graph, technique: Self.technique, parameters: "\(formats) \(budget) \(windowLimit)", total: targets.count, in: context)
        for (index, target) in targets.enumerated() {
            let format = options[index][solution.choices[index]]
            try replacement.replace(target.layer) { try target.layer.weight.stored(as: format, name: target.layer.name, pool: pool) }
        }
        var result = try replacement.result(notes: [
            "chosen: \(solution.cost) of \(limit) \(unit), summed loss \(solution.loss); no choice of these formats can lose less than \(solution.bound)"
        ])
        result.report.sensitivities = entries
        return result
    }

    private func cost(of layer: Layer, _ format: WeightFormat, _ timing: inout LayerTiming) throws -> Int {
        switch budget {
        case .bytes, .bits: layer.weight.rowCount * (format.rowBytes(elements: layer.weight.columnCount) ?? 0)
        case .milliseconds: try timing.nanoseconds(layer, format)
        }
    }

    /// The budget in the unit of costs, less what weights outside the scope take.
    private func limit(_ graph: Graph, _ targets: [QuantisedMatrix]) -> (Int, String) {
        switch budget {
        case .bytes(let bytes):
            (bytes - graph.weightBytes + targets.reduce(0) { $0 + $1.layer.weight.store.byteCount }, "bytes")
        case .bits(let bits): (Int(bits / 8 * Double(targets.reduce(0) { $0 + $1.layer.weight.shape.elementCount })), "bytes")
        case .milliseconds(let time): (Int(time * 1e6), "ns")
        }
    }
}

extension MixedPrecision: RecipeTechnique {
    package static let summary = "Measures what each matrix loses in each format, and takes the best choice within a budget"
    package static let parameters = [
        RecipeParameter("formats", .text, default: .text("q8_0,q6_k,q5_1,iq4_nl"), "formats to choose from, with commas between"),
        RecipeParameter("bits", .number(0...32), default: .number(0), "budget: bits a weight on average, 0 for none"),
        RecipeParameter("size", .number(0...1e6), default: .number(0), "budget: all weights in MB (10⁶ bytes), 0 for none"),
        RecipeParameter("latency", .number(0...1e6), default: .number(0), "budget: matrix products of one token in ms, 0 for none"),
        RecipeParameter("windows", .integer(1...1000), default: .integer(4), "batches of the calibration data that losses are measured on"),
    ]

    package init(_ values: RecipeValues) throws {
        let budgets: [Budget] = [
            try values.number("bits") > 0 ? .bits(try values.number("bits")) : nil, try values.number("size") > 0 ? .bytes(Int(try values.number("size") * 1e6)) : nil,
            try values.number("latency") > 0 ? .milliseconds(try values.number("latency")) : nil,
        ].compactMap { $0 }
        guard budgets.count == 1 else {
            throw SwiftletError.invalidArgument(name: "budget", reason: "\(budgets.count) budgets are given", remedy: "Give one of bits, size and latency.")
        }
        let formats = try values.text("formats").split(separator: ",").map { name in
            try FormatPlan(name.trimmingCharacters(in: .whitespaces)).single
        }
        self.init(formats, budget: budgets[0], scope: values.scope, windowLimit: try values.integer("windows"))
    }
}
