// Mixed precision for matrices: each in the block format it can bear.
//
// What a format costs is what the answers lose when one matrix alone is lowered to it (SensitivityScan), on calibration data. Losses of several
// matrices are taken to add up, which holds while they are small. Time is measured on this machine: each shape in each format, with the kernels that
// will run it.
import SwiftletRuntime

/// Chooses formats for the matrices of one model.
struct MixedMatrices {
    let formats: [WeightFormat]
    let budget: MixedPrecision.Budget
    let scope: Scope
    let windowLimit: Int
    let measure: Divergence?

    private static let technique = MixedPrecision.technique

    func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
        let data = try context.requiredCalibration(for: Self.technique)
        let targets = graph.matrices(in: scope)
        guard !targets.isEmpty else {
            throw SwiftletError.invalidArgument(name: "scope", reason: "takes no matrix", remedy: "Widen the scope.")
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
        let answers = try ParentAnswers(graph, divergence: measure, data: data.forComparison(limit: windowLimit), in: context)
        let entries = try answers.scan(candidates)
        var next = entries.makeIterator()
        let losses = options.map { $0.map { _ in max(0, next.next()?.divergence ?? 0) } }
        var timing = LayerTiming(isa: context.instructionSet, pool: pool)
        let times = try budget.milliseconds == nil ? [] : zip(targets, options).map { target, formats in
            try formats.map { try timing.nanoseconds(target.layer, $0) }
        }
        let sizes = zip(targets, options).map { target, formats in
            formats.map { target.layer.weight.rowCount * ($0.rowBytes(elements: target.layer.weight.columnCount) ?? 0) }
        }
        // What the weights outside the scope take.
        let fixed = graph.weightBytes - targets.reduce(0) { $0 + $1.layer.weight.store.byteCount }
        let elements = targets.reduce(0) { $0 + $1.layer.weight.shape.elementCount }
        let (solution, points, what) = try solve(losses: losses, sizes: sizes, times: times, fixed: fixed, elements: elements)

        var replacement = LayerReplacement(
            graph, technique: Self.technique, parameters: "\(formats) \(budget) \(windowLimit)", total: targets.count, in: context)
        for (index, target) in targets.enumerated() {
            let format = options[index][solution.choices[index]]
            try replacement.replace(target.layer) { try target.layer.weight.stored(as: format, name: target.layer.name, pool: pool) }
        }
        let measured = try answers.difference(to: replacement.graph, name: Self.technique).divergence
        var result = try replacement.result(notes: [
            "chosen: \(what), summed loss \(solution.loss), measured together \(measured); no choice of these formats within the budget has a lower sum than \(solution.bound)"
        ])
        result.report.sensitivities = entries
        result.report.choices = points + [ChoicePoint(weightBytes: result.graph.weightBytes, loss: measured, kind: .chosen)]
        return result
    }

    /// The best choice, points of the front of size and loss around it, and a clause about what it takes.
    private func solve(
        losses: [[Double]], sizes: [[Int]], times: [[Int]], fixed: Int, elements: Int
    ) throws -> (ChoiceProblem.Solution, [ChoicePoint], String) {
        func problem(_ costs: [[Int]]) -> ChoiceProblem {
            ChoiceProblem(zip(costs, losses).map { zip($0, $1).map { ChoiceProblem.Alternative(cost: $0, loss: $1) } })
        }
        let bySize = problem(sizes)
        let (least, most) = (bySize.leastCost, sizes.reduce(0) { $0 + ($1.max() ?? 0) })
        // A front of the sizes there are, for the report: steps of the budget from the least to the most.
        let points = (0...Self.frontSteps).compactMap { step in bySize.solve(budget: least + (most - least) / Self.frontSteps * step) }
            .map { ChoicePoint(weightBytes: fixed + $0.cost, loss: $0.loss, kind: .expected) }
        if let loss = budget.loss {
            guard let solution = bySize.solve(loss: loss) else {
                let best = bySize.solve(budget: most)?.loss ?? 0
                throw MixedPrecision.Budget.missed("a loss of \(loss)", "the best choice of formats loses \(best)", "Raise the budget by \(best - loss), or allow larger formats.")
            }
            return (solution, points, "\(fixed + solution.cost) bytes for a loss of \(loss)")
        }
        let bytes = [budget.bytes.map { $0 - fixed }, budget.bits.map { Int($0 / 8 * Double(elements)) }].compactMap { $0 }.min()
        if let bytes, bytes < least {
            throw MixedPrecision.Budget.missed("\(bytes) bytes", "the smallest choice of formats takes \(least)", "Raise the budget by \(least - bytes) bytes, or allow smaller formats.")
        }
        guard let milliseconds = budget.milliseconds else {
            let limit = bytes ?? most
            guard let solution = bySize.solve(budget: limit) else { throw MixedPrecision.Budget.missed("\(limit) bytes", "it is too little", "Raise the budget.") }
            return (solution, points, "\(solution.cost) of \(limit) bytes")
        }
        let time = Int(milliseconds * 1e6)
        let byTime = problem(times)
        guard byTime.leastCost <= time else {
            throw MixedPrecision.Budget.missed("\(time) ns", "the fastest choice of formats takes \(byTime.leastCost)", "Raise the budget by \(byTime.leastCost - time) ns, or allow faster formats.")
        }
        if let bytes {
            guard let solution = bySize.solve(budget: bytes, times: times, time: time) else {
                throw MixedPrecision.Budget.missed("\(bytes) bytes and \(time) ns together", "no choice of formats was found that keeps to both", "Raise one of them.")
            }
            return (solution, points, "\(solution.cost) of \(bytes) bytes within \(time) ns")
        }
        guard let solution = byTime.solve(budget: time) else { throw MixedPrecision.Budget.missed("\(time) ns", "it is too little", "Raise the budget.") }
        return (solution, points, "\(solution.cost) of \(time) ns")
    }

    private static let frontSteps = 12
}
