// AWQ: columns that large activations meet are scaled up before rounding, and the activations down by as much, so that what matters is rounded
// more finely. Lin et al., "AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration", 2023.
//
// The scale of column i is mean(|xᵢ|)^α, brought to a geometric middle of 1; α is searched for the least error of the layer's output after rounding
// to the format that a later step stores. The step itself rounds nothing: it returns a graph that computes the same.
import Foundation
import SwiftletRuntime

/// Scales the columns of matrices by what activations meet them.
public struct AWQ: CompressionStep {
    public static let technique = "awq"

    public var scope: Scope
    /// The format the next step stores.
    public var plan: FormatPlan
    public var fallback: FormatPlan.Fallback
    public var bits: Int?
    /// Whether that step searches scales for the least error: α that suits the one kind of rounding need not suit the other.
    public var searches: Bool
    /// How many α between 0 and 1 are tried.
    public var gridSteps: Int

    public init(_ plan: FormatPlan, scope: Scope = .all, fallback: FormatPlan.Fallback = .sameBits, bits: Int? = nil, searches: Bool = false, gridSteps: Int = 20) {
        self.plan = plan
        self.scope = scope
        self.fallback = fallback
        self.bits = bits
        self.searches = searches
        self.gridSteps = gridSteps
    }

    public func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
        let data = try context.requiredCalibration(for: Self.technique)
        let pool = try ThreadPool(threadCount: context.threads)
        let sites = ScaleSite.all(in: graph, scope: scope)
        guard !sites.isEmpty else {
            throw SwiftletError.invalidArgument(
                name: "scope", reason: "no value is made by a norm or a gate and read by linear layers of the scope alone", remedy: "Widen the scope, or leave awq out.")
        }
        var result = graph
        var notes: [String] = []
        let blocks = graph.blockCount
        // Scales inside one site do not change what flows into another, so all are measured on the parent.
        var done = 0
        for run in InputMoments.runs(sites, layer: { $0.readers[0] }) {
            let moments = try InputMoments.collect(graph, layers: run.map { $0.readers[0] }, order: .gram, data: data, in: context, technique: Self.technique)
            for site in run {
                done += 1
                guard let key = InputKey(site.readers[0], in: graph), let moment = moments[key], let gram = moment.gram, moment.rows > 0 else { continue }
                try Task.checkCancellation()
                let (alpha, scales, gain) = try bestScales(site, result, moment, gram, blocks, pool)
                if alpha > 0 { try site.migrate(scales, in: &result) }
                notes.append(String(format: "%@: alpha %.2f, output error after rounding × %.3f", graph[site.value].name, alpha, gain))
                try context.progress(StepProgress(technique: Self.technique, detail: graph[site.value].name, done: done, total: sites.count))
            }
        }
        let reports = try sites.flatMap(\.readers).map { layer in
            try TensorReport(name: layer.name, before: layer.weight, after: result[layer.weightID].weight ?? layer.weight)
        }
        return try StepResult(technique: Self.technique, before: graph, after: result, tensors: reports, notes: notes)
    }

    /// The exponent with the least error, its scales, and that error as a share of the one without scales.
    private func bestScales(
        _ site: ScaleSite, _ graph: Graph, _ moment: InputMoments, _ gram: [Float], _ blocks: Int, _ pool: ThreadPool
    ) throws -> (alpha: Double, scales: [Float], gain: Double) {
        // The rows of a matrix may have been scaled by a site before this one: what is rounded is the matrix as it is now.
        let weights = try site.readers.map { layer in
            let format = try plan.format(of: layer.name, columns: layer.weight.columnCount, isHead: false, layers: blocks, fallback: fallback)
            return try (elements: (graph[layer.weightID].weight ?? layer.weight).floats(), rounding: RowRounding(format, bits: bits, searches: searches))
        }
        let means = moment.magnitudes.map { max($0 / Float(moment.rows), 1e-4) }
        var plain = 0.0
        var best = (alpha: 0.0, scales: [Float](repeating: 1, count: means.count), error: Double.infinity)
        for step in 0..<max(1, gridSteps) {
            let alpha = Double(step) / Double(gridSteps)
            var scales = means.map { powf($0, Float(alpha)) }
            let middle = ((scales.max() ?? 1) * (scales.min() ?? 1)).squareRoot()
            scales = scales.map { $0 / middle }
            let error = try weights.reduce(0.0) { sum, weight in
                let difference = try Self.roundingError(of: weight.elements, scales: scales, weight.rounding, pool)
                return try sum + InputMoments.energy(difference, gram: gram, rows: difference.count / scales.count, columns: scales.count)
            }
            if step == 0 { plain = error }
            if error < best.error { best = (alpha, scales, error) }
        }
        return (best.alpha, best.scales, plain > 0 ? best.error / plain : 1)
    }

    /// W − round(W·diag(s))·diag(1/s)
    private static func roundingError(of elements: [Float], scales: [Float], _ rounding: RowRounding, _ pool: ThreadPool) throws -> [Float] {
        let columns = scales.count
        guard let rowBytes = rounding.format.rowBytes(elements: columns) else {
            throw SwiftletError.invalidArgument(
                name: "format", reason: "rows of \(columns) are not whole blocks of \(rounding.format)", remedy: "Choose a format of smaller blocks.")
        }
        let failures = FirstFailure()
        var difference = elements
        difference.withUnsafeMutableBufferPointer { difference in
            nonisolated(unsafe) let difference = difference
            pool.forEach(difference.count / columns) { index in
                let row = UnsafeMutableBufferPointer(rebasing: difference[index * columns..<(index + 1) * columns])
                failures.catching {
                    try withUnsafeTemporaryAllocation(of: Float.self, capacity: columns) { scaled in
                        try withUnsafeTemporaryAllocation(byteCount: rowBytes, alignment: 16) { bytes in
                            for column in 0..<columns { scaled[column] = row[column] * scales[column] }
                            try rounding.write(UnsafeBufferPointer(scaled), importance: nil, into: bytes)
                            try rounding.format.dequantizeRow(UnsafeRawBufferPointer(bytes), into: scaled)
                            for column in 0..<columns { row[column] -= scaled[column] / scales[column] }
                        }
                    }
                }
            }
        }
        try failures.rethrow()
        return difference
    }
}

extension AWQ: RecipeTechnique {
    package static let summary = "Scales columns by the activations that meet them, so that a later quantise step rounds what matters more finely"
    package static let parameters = [
        .format("the format the next step stores"),
        .fallback,
        .bits,
        RecipeParameter("search", .flag, default: .flag(false), "the next step searches scales, so search them here as well: many times slower"),
        RecipeParameter("steps", .integer(1...100), default: .integer(20), "exponents tried between 0 and 1"),
    ]

    package init(_ values: RecipeValues) throws {
        let storage = try values.storage()
        self.init(storage.plan, scope: values.scope, fallback: storage.fallback, bits: storage.bits, searches: try values.flag("search"), gridSteps: try values.integer("steps"))
    }
}
