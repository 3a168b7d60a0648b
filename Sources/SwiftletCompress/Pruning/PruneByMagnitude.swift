// Pruning by magnitude: the smallest weights go. Han et al., 2015. Needs no data.
import SwiftletRuntime

/// Makes the weights that are smallest in magnitude zero. Of layers of all kinds, depthwise convolutions among them.
public struct PruneByMagnitude: CompressionStep {
    public static let technique = "magnitude"

    /// Where weights compete with each other.
    public enum Comparison: String, Sendable, Hashable, CaseIterable {
        /// Each layer gets the same sparsity.
        case layer
        /// All layers together get it: those of small weights get more.
        case global
    }

    public var scope: Scope
    /// The share of zeros, from 0 to below 1.
    public var sparsity: Double
    public var pattern: SparsityPattern
    public var comparison: Comparison

    public init(sparsity: Double, pattern: SparsityPattern = .free, comparison: Comparison = .layer, scope: Scope = .all) {
        self.sparsity = sparsity
        self.pattern = pattern
        self.comparison = comparison
        self.scope = scope
    }

    public func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
        try pattern.check(sparsity: sparsity)
        let prunable = PrunableLayers(graph, scope: scope, kinds: .all)
        try prunable.checkNotEmpty(scope: scope)
        var selection = try globalSelection(prunable.layers)
        var replacement = LayerReplacement(
            graph, technique: Self.technique, parameters: "magnitude \(sparsity) \(pattern) \(comparison.rawValue)", total: prunable.layers.count, in: context)
        // Kept layers of a global comparison would not be asked, and the ties among equal weights be counted wrongly: that comparison runs through.
        for layer in prunable.layers {
            let removed = try removed(of: layer.weight, &selection)
            try replacement.replace(layer) {
                var elements = try layer.weight.floats()
                for index in elements.indices where removed[index] { elements[index] = 0 }
                return try Weight(name: layer.name, shape: layer.weight.shape, floats: elements)
            }
        }
        return try replacement.result(notes: prunable.notes)
    }

    /// What is lowest among all layers, where they are compared.
    private func globalSelection(_ layers: [Layer]) throws -> LowestScores? {
        guard comparison == .global, case .blocks = pattern else { return nil }
        let total = try layers.reduce(0) { $0 + (try units(of: $1.weight).count) }
        return try LowestScores(count: SparsityPattern.count(sparsity, of: total)) { count in
            for layer in layers { try units(of: layer.weight).withUnsafeBufferPointer(count) }
        }
    }

    private func units(of weight: Weight) throws -> [Float] {
        try weight.floats().map { abs($0) }.withUnsafeBufferPointer { pattern.unitScores($0, rows: weight.outputCount, columns: weight.inputCount) }
    }

    private func removed(of weight: Weight, _ selection: inout LowestScores?) throws -> [Bool] {
        let (rows, columns) = (weight.outputCount, weight.inputCount)
        guard var lowest = selection else {
            return try weight.floats().map { abs($0) }.withUnsafeBufferPointer {
                pattern.removed(scores: $0, rows: rows, columns: columns, sparsity: sparsity, comparison: .layer)
            }
        }
        var removed = [Bool](repeating: false, count: rows * columns)
        for (unit, score) in try units(of: weight).enumerated() where lowest.takes(score) {
            pattern.forEachElement(ofUnit: unit, rows: rows, columns: columns) { removed[$0] = true }
        }
        selection = lowest
        return removed
    }
}

extension PruneByMagnitude: RecipeTechnique {
    package static let summary = "make the smallest weights zero"
    package static let parameters =
        RecipeParameter.sparsity + [
            RecipeParameter("comparison", .choice(Comparison.allCases.map(\.rawValue)), default: .text(Comparison.layer.rawValue), "where weights compete")
        ]

    package init(_ values: RecipeValues) throws {
        self.init(sparsity: try values.number("sparsity"), pattern: try SparsityPattern(values.text("pattern")), scope: values.scope)
        comparison = Comparison(rawValue: try values.text("comparison")) ?? .layer
        try pattern.check(sparsity: sparsity)
    }
}

extension RecipeParameter {
    /// What pruners of single weights take.
    package static let sparsity = [
        RecipeParameter("sparsity", .number(0...0.999), default: .number(0.5), "share of the weights that become zero"),
        RecipeParameter(
            "pattern", .choice(SparsityPattern.names), default: .text("free"),
            "where zeros may lie: anywhere, N of each M columns not zero, or blocks of rows x columns"),
    ]
}
