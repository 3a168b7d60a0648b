// A convolution becomes three: 1×1 down to fewer channels, the same window on those, 1×1 up again (Kim et al., 2016).
//
// The first has no bias and reads no padding, so that the zeros the core pads with are what the first would have made of zeros. Strides, pads and
// dilations are the core's; the first therefore runs at the size of the input, which its cost is counted with.
import SwiftletRuntime

/// Splits convolutions by Tucker's decomposition of their channels.
public struct FactoriseByTucker: CompressionStep {
    public static let technique = "tucker2"

    public var scope: Scope
    public var rank: RankRule
    /// Ranks are multiples of it.
    public var multiple: Int
    /// How often both bases are improved.
    public var sweeps: Int

    public init(rank: RankRule, multiple: Int = 8, sweeps: Int = 2, scope: Scope = .all) {
        self.scope = scope
        self.rank = rank
        self.multiple = multiple
        self.sweeps = sweeps
    }

    public func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
        guard sweeps >= 0 else {
            throw SwiftletError.invalidArgument(name: "sweeps", reason: "\(sweeps) is negative", remedy: "Use 0 for the bases of the unfoldings alone.")
        }
        return try ConvolutionFactoring(technique: Self.technique, scope: scope, rank: rank, multiple: multiple).run(
            graph, in: context,
            isSuitable: { $0.window.kernel.allSatisfy { $0 == 1 } ? "a kernel of one tap is a matrix: svd splits it" : nil },
            decompose: { layer, convolution in
                let taps = convolution.window.kernel.reduce(1, *)
                return try TuckerDecomposition(layer.layer.weight.floats(), outputs: layer.rows, inputs: layer.columns / max(1, taps), taps: taps)
            },
            offers: { layer, _, decomposition in offers(layer, decomposition, inputPositions: layer.inputPositions(in: graph)) }, parts: parts)
    }

    /// For each rank of the inputs every rank of the outputs, less those that something cheaper beats.
    private func offers(_ layer: FactorableLayer, _ tensor: TuckerDecomposition, inputPositions: Int) -> [RankOffer] {
        var offers: [RankOffer] = []
        for inputRank in stride(from: multiple, through: tensor.inputValues.count, by: multiple) {
            for outputRank in stride(from: multiple, through: tensor.outputValues.count, by: multiple) {
                // A core [o, i, taps] has no more than i·taps directions of outputs, and o·taps of inputs.
                guard outputRank <= inputRank * tensor.taps, inputRank <= outputRank * tensor.taps else { continue }
                let cost =
                    inputPositions * inputRank * tensor.inputs
                    + layer.positions * (inputRank * outputRank * tensor.taps + outputRank * tensor.outputs)
                offers.append(
                    RankOffer(ranks: [inputRank, outputRank], cost: cost, error: tensor.errorBound(inputRank: inputRank, outputRank: outputRank)))
            }
        }
        var best = Double.infinity
        return offers.sorted { ($0.cost, $0.error) < ($1.cost, $1.error) }.filter { offer in
            guard offer.error < best else { return false }
            best = offer.error
            return true
        }
    }

    private func parts(
        _ layer: FactorableLayer, _ convolution: Convolution, _ tensor: TuckerDecomposition, _ offer: RankOffer
    ) throws -> ConvolutionFactoring.Parts {
        let (inputRank, outputRank) = (offer.ranks[0], offer.ranks[1])
        let factors = try tensor.factors(inputRank: inputRank, outputRank: outputRank, sweeps: sweeps)
        let ones = convolution.window.kernel.map { _ in 1 }
        return ConvolutionFactoring.Parts(
            chain: [
                (Convolution(window: Window(kernel: ones)), [inputRank, tensor.inputs] + ones, factors.inner, ".tucker_in"),
                (Convolution(window: convolution.window), [outputRank, inputRank] + convolution.window.kernel, factors.core, ".tucker_core"),
                (convolution.ending, [tensor.outputs, outputRank] + ones, factors.outer, ".tucker_out"),
            ], error: factors.error)
    }
}

extension FactoriseByTucker: RecipeTechnique {
    package static let summary = "convolutions as 1×1, a smaller kernel, 1×1, by Tucker's decomposition of their channels"
    package static let parameters =
        ConvolutionFactoring.parameters + [
            RecipeParameter("sweeps", .integer(0...20), default: .integer(2), "how often the two bases are improved, each for the other")
        ]

    package init(_ values: RecipeValues) throws {
        self.init(
            rank: try RankRule(values), multiple: try values.integer("multiple"), sweeps: try values.integer("sweeps"), scope: values.scope)
    }
}
