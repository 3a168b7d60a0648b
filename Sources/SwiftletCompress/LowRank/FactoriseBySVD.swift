// One layer becomes two: W [rows, columns] → B [rows, rank] · A [rank, columns], by the singular value decomposition of W itself (Eckart and Young,
// 1936) or of its outputs on data (Wang et al., "SVD-LLM", 2024).
//
// A linear layer becomes two; a convolution becomes one on the same window with `rank` outputs, and a 1×1 convolution (Zhang et al., "Accelerating very
// deep convolutional networks", 2016). Bias and whatever rode on the layer stay with the second.
import SwiftletLanguage
import SwiftletRuntime

/// Factors weights by their own singular values.
public struct FactoriseBySVD: CompressionStep {
    public static let technique = "svd"

    public var scope: Scope
    public var rank: RankRule
    /// Ranks are multiples of it: rows of block formats hold whole blocks, 32 for the simple formats, 256 for the K formats.
    public var multiple: Int

    public init(rank: RankRule, multiple: Int = 32, scope: Scope = .all) {
        self.scope = scope
        self.rank = rank
        self.multiple = multiple
    }

    public func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
        try SVDFactorisation(technique: Self.technique, prior: nil, scope: scope, rank: rank, multiple: multiple).run(graph, in: context)
    }
}

/// Factors weights so that their outputs on the calibration data change least.
public struct FactoriseByWhitenedSVD: CompressionStep {
    public static let technique = "svd-whitened"

    public var scope: Scope
    public var rank: RankRule
    /// As `FactoriseBySVD.multiple`.
    public var multiple: Int
    /// How much independence of the inputs is taken for granted, in rows of data a column: 0 trusts the data alone, however few they are.
    public var prior: Double

    public init(rank: RankRule, multiple: Int = 32, prior: Double = 0.1, scope: Scope = .all) {
        self.scope = scope
        self.rank = rank
        self.multiple = multiple
        self.prior = prior
    }

    public func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
        guard prior >= 0, prior.isFinite else {
            throw SwiftletError.invalidArgument(name: "prior", reason: "\(prior) is no number of rows", remedy: "Use 0 or more.")
        }
        return try SVDFactorisation(technique: Self.technique, prior: prior, scope: scope, rank: rank, multiple: multiple).run(graph, in: context)
    }
}

extension FactoriseBySVD: RecipeTechnique {
    package static let summary = "linear layers and convolutions as products of two, by singular values of their weights"
    package static let parameters = SVDFactorisation.parameters

    package init(_ values: RecipeValues) throws {
        self.init(rank: try RankRule(values), multiple: try values.integer("multiple"), scope: values.scope)
    }
}

extension FactoriseByWhitenedSVD: RecipeTechnique {
    package static let summary = "linear layers and convolutions as products of two, by singular values of their outputs on the calibration data"
    package static let parameters =
        SVDFactorisation.parameters + [
            RecipeParameter(
                "prior", .number(0...1000), default: .number(0.1), "rows of independent columns taken for granted besides the data, a column: more where data are few")
        ]

    package init(_ values: RecipeValues) throws {
        self.init(
            rank: try RankRule(values), multiple: try values.integer("multiple"), prior: try values.number("prior"), scope: values.scope)
    }
}

/// What both do.
private struct SVDFactorisation {
    static let parameters =
        RankRule.parameters + [
            RecipeParameter(
                "multiple", .integer(1...1024), default: .integer(32),
                "ranks are multiples of it: 32 for factors that become q8_0 or q4_0, 256 for K formats")
        ]

    let technique: String
    /// Nil for plain singular values.
    let prior: Double?
    let scope: Scope
    let rank: RankRule
    let multiple: Int

    func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
        guard multiple > 0 else {
            throw SwiftletError.invalidArgument(name: "multiple", reason: "\(multiple) is not positive", remedy: "Use 1 for any rank.")
        }
        let found = FactorableLayer.all(in: graph, scope: scope)
        var notes = found.notes
        let layers = found.layers.filter { layer in
            if limit(of: layer) > 0 { return true }
            notes.append("\(layer.name) left alone: no rank of a multiple of \(multiple) makes \(layer.rows) × \(layer.columns) cheaper by a tenth")
            return false
        }
        let spectra = try SpectrumSearch(graph: graph, technique: technique, prior: prior, context: context)
            .spectra(layers, limits: layers.map(limit))
        let candidates = zip(layers, spectra).map(candidate)
        var rewriter = FactorRewriter(graph)
        var reports: [TensorReport] = []
        for ((layer, spectrum), choice) in zip(zip(layers, spectra), rank.choice(among: candidates)) {
            guard let choice else {
                notes.append("\(layer.name) left alone: whole it serves \(rank.description) better than any rank up to \(limit(of: layer))")
                continue
            }
            reports.append(try factor(layer, spectrum, choice, &rewriter))
        }
        return try StepResult(technique: technique, before: graph, after: rewriter.result(), tensors: reports, notes: notes)
    }

    /// The largest rank that is worthwhile; 0 when there is none.
    private func limit(of layer: FactorableLayer) -> Int {
        let highest = min(layer.rows, layer.columns) / multiple
        return (1...max(1, highest)).last { $0 <= highest && isWorthwhile($0 * multiple, layer) }.map { $0 * multiple } ?? 0
    }

    private func isWorthwhile(_ rank: Int, _ layer: FactorableLayer) -> Bool {
        RankCandidate.isWorthwhile(cost: cost(rank, layer), denseCost: layer.denseCost)
    }

    private func cost(_ rank: Int, _ layer: FactorableLayer) -> Int { layer.positions * rank * (layer.rows + layer.columns) }

    private func candidate(_ layer: FactorableLayer, _ spectrum: LayerSpectrum) -> RankCandidate {
        let errors = spectrum.errors()
        let offers = stride(from: multiple, through: limit(of: layer), by: multiple).map { rank in
            RankOffer(ranks: [rank], cost: cost(rank, layer), error: errors[rank])
        }
        return RankCandidate(denseCost: layer.denseCost, offers: offers)
    }

    private func factor(_ layer: FactorableLayer, _ spectrum: LayerSpectrum, _ choice: RankOffer, _ rewriter: inout FactorRewriter) throws -> TensorReport {
        let rank = choice.ranks[0]
        let factors = try spectrum.factors(of: layer.layer.weight.floats(), rank: rank)
        let shape = layer.layer.weight.shape.dimensions
        let ones = shape.dropFirst(2).map { _ in 1 }
        let inner = try rewriter.weight(FactorNames.inner(of: layer.name), shape: [rank] + shape.dropFirst(), factors.inner)
        let outer = try rewriter.weight(FactorNames.outer(of: layer.name), shape: [layer.rows, rank] + ones, factors.outer)
        let node = rewriter.graph.nodes[layer.layer.node].op
        let (first, second): (Op, Op) =
            layer.convolution.map { (Convolution.bare($0.window), .tensor(.convolution($0.ending))) } ?? (.linear(Linear()), node)
        try rewriter.replace(
            layer.layer.node, with: [(first, [inner.id]), (second, [outer.id] + layer.rest(in: rewriter.graph))], suffixes: [FactorNames.inner(of: "")])
        return try TensorReport(
            layer.layer, factors: [outer.weight, inner.weight], sizes: [layer.rows, rank] + shape.dropFirst(), error: factors.error,
            outputError: prior == nil ? nil : choice.error)
    }
}
