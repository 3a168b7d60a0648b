// SparseGPT: the weights whose removal costs least go, column after column, and what is left of each row makes up for them: Optimal Brain
// Surgeon in one sweep. Frantar and Alistarh, 2023.
//
// With H⁻¹ = Uᵀ·U (see InverseHessian), removing w in column i costs (w / U[i, i])², and the columns after i make up for it by
// −w / U[i, i] · U[i, j]. Columns are worked through in blocks: which weights of a block go is decided when its turn comes, with all changes
// made so far; within the block rows are on their own; what the block's errors mean for later columns is one matrix product.
import SwiftletLinearAlgebra
import SwiftletRuntime

/// Makes the least needed weights of each layer zero and lets the others make up for them.
public struct PruneBySparseGPT: CompressionStep {
    public static let technique = "sparsegpt"

    public var scope: Scope
    /// The share of zeros, from 0 to below 1.
    public var sparsity: Double
    public var pattern: SparsityPattern
    public var schedule: PruningSchedule
    /// What is added to the diagonal of the Hessian, as a share of its mean.
    public var damping: Double

    public init(
        sparsity: Double, pattern: SparsityPattern = .free, schedule: PruningSchedule = PruningSchedule(), damping: Double = 0.01, scope: Scope = .all
    ) {
        self.sparsity = sparsity
        self.pattern = pattern
        self.schedule = schedule
        self.damping = damping
        self.scope = scope
    }

    public func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
        try schedule.check(with: pattern, sparsity: sparsity)
        let pool = try ThreadPool(threadCount: context.threads)
        let pruning = LayerwisePruning<InputHessian>(
            technique: Self.technique, parameters: "sparsegpt \(sparsity) \(pattern) \(schedule) \(damping)", schedule: schedule, sparsity: sparsity,
            measure: { graph, layers, data in
                let moments = try InputMoments.collect(graph, layers: layers, order: .gram, data: data, in: context, technique: Self.technique)
                var made: [InputKey: InputHessian] = [:]
                return try layers.map { layer in
                    let own = try moments.required(layer, in: graph)
                    guard let key = InputKey(layer, in: graph) else { return try InputHessian(own, damping: damping) }
                    let hessian = try made[key] ?? InputHessian(own, damping: damping)
                    made[key] = hessian
                    return hessian
                }
            },
            prune: { elements, layer, hessian, sparsity in
                try hessian.moments.check(columns: layer.weight.inputCount, of: layer)
                try ColumnSweep(inverse: hessian.inverse, pattern: pattern, sparsity: sparsity, pool: pool).prune(&elements, rows: layer.weight.outputCount)
            },
            outputError: { before, after, layer, hessian in try hessian.moments.relativeError(before, after, rows: layer.weight.outputCount) })
        return try pruning.run(graph, scope: scope, in: context)
    }
}

extension PruneBySparseGPT: RecipeTechnique {
    package static let summary = "make the least needed weights zero and let the others make up for them, by calibration"
    package static let parameters =
        RecipeParameter.sparsity + PruningSchedule.parameters + [
            RecipeParameter("damping", .number(0...1), default: .number(0.01), "added to the Hessian's diagonal, as a share of its mean")
        ]

    package init(_ values: RecipeValues) throws {
        self.init(
            sparsity: try values.number("sparsity"), pattern: try SparsityPattern(values.text("pattern")), schedule: try PruningSchedule(values),
            damping: try values.number("damping"), scope: values.scope)
        try schedule.check(with: pattern, sparsity: sparsity)
    }
}

/// What flowed into a layer, and the factor made of it.
private struct InputHessian {
    let moments: InputMoments
    let inverse: InverseHessian

    init(_ moments: InputMoments, damping: Double) throws {
        self.moments = moments
        inverse = try InverseHessian(moments, damping: damping)
    }
}
