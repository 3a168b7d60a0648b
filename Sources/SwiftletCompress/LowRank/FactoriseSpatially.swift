// A convolution of kh × kw becomes one of kh × 1 and one of 1 × kw, by the singular values of the kernel as a matrix [inputs·kh, outputs·kw] (Jaderberg,
// Vedaldi and Zisserman, "Speeding up convolutional neural networks with low rank expansions", 2014; Tai et al., 2016, for the exact solution).
//
// Each has the strides, pads and dilations of its own axis. The first has no bias, so that the zeros the second pads with are what the first would have
// made of zeros.
import SwiftletRuntime

/// Splits convolutions into a column and a row.
public struct FactoriseSpatially: CompressionStep {
    public static let technique = "spatial"

    public var scope: Scope
    public var rank: RankRule
    /// Ranks are multiples of it.
    public var multiple: Int

    public init(rank: RankRule, multiple: Int = 8, scope: Scope = .all) {
        self.scope = scope
        self.rank = rank
        self.multiple = multiple
    }

    public func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
        try ConvolutionFactoring(technique: Self.technique, scope: scope, rank: rank, multiple: multiple).run(
            graph, in: context,
            isSuitable: { convolution in
                let kernel = convolution.window.kernel
                return kernel.count == 2 && kernel[0] > 1 && kernel[1] > 1 ? nil : "a kernel of \(kernel) has no two axes to split"
            },
            decompose: { layer, convolution in
                let sides = Sides(layer, convolution)
                return try LayerSpectrum(
                    sides.separated(layer.layer.weight.floats()), rows: sides.inputs * sides.height, columns: sides.outputs * sides.width, root: nil,
                    limit: min(sides.inputs * sides.height, sides.outputs * sides.width), seed: context.seed)
            },
            offers: { layer, convolution, spectrum in
                let sides = Sides(layer, convolution)
                let errors = spectrum.errors()
                let between = layer.positionsBetweenAxes(in: graph)
                return stride(from: multiple, to: errors.count, by: multiple).map { rank in
                    let cost = rank * (between * sides.inputs * sides.height + layer.positions * sides.outputs * sides.width)
                    return RankOffer(ranks: [rank], cost: cost, error: errors[rank])
                }
            }, parts: parts)
    }

    /// The sizes of a kernel `[outputs, inputs, height, width]`.
    private struct Sides {
        let outputs, inputs, height, width: Int

        init(_ layer: FactorableLayer, _ convolution: Convolution) {
            (height, width) = (convolution.window.kernel[0], convolution.window.kernel[1])
            outputs = layer.rows
            inputs = layer.columns / max(1, height * width)
        }

        /// The kernel as `[inputs·height, outputs·width]`.
        func separated(_ kernel: [Float]) -> [Float] {
            var result = [Float](repeating: 0, count: kernel.count)
            for m in 0..<outputs {
                for c in 0..<inputs {
                    for y in 0..<height {
                        for x in 0..<width {
                            result[(c * height + y) * outputs * width + m * width + x] = kernel[((m * inputs + c) * height + y) * width + x]
                        }
                    }
                }
            }
            return result
        }
    }

    private func parts(
        _ layer: FactorableLayer, _ convolution: Convolution, _ spectrum: LayerSpectrum, _ offer: RankOffer
    ) throws -> ConvolutionFactoring.Parts {
        let rank = offer.ranks[0]
        let sides = Sides(layer, convolution)
        // B [inputs·height, rank] is the column, A [rank, outputs·width] the row.
        let factors = try spectrum.factors(of: sides.separated(layer.layer.weight.floats()), rank: rank)
        var column = [Float](repeating: 0, count: factors.outer.count)
        let span = sides.inputs * sides.height
        for index in 0..<span { for r in 0..<rank { column[r * span + index] = factors.outer[index * rank + r] } }
        var row = [Float](repeating: 0, count: factors.inner.count)
        for r in 0..<rank {
            for m in 0..<sides.outputs {
                for x in 0..<sides.width { row[(m * rank + r) * sides.width + x] = factors.inner[r * sides.outputs * sides.width + m * sides.width + x] }
            }
        }
        return ConvolutionFactoring.Parts(
            chain: [
                (Convolution(window: convolution.window.alone(0)), [rank, sides.inputs, sides.height, 1], column, ".spatial_column"),
                (convolution.moved(to: convolution.window.alone(1)), [sides.outputs, rank, 1, sides.width], row, ".spatial_row"),
            ], error: factors.error)
    }
}

extension Window {
    /// The window along one axis, a single place along the others.
    fileprivate func alone(_ axis: Int) -> Window {
        func only(_ values: [Int], else other: Int) -> [Int] { values.enumerated().map { $0.offset == axis ? $0.element : other } }
        return Window(
            kernel: only(kernel, else: 1), strides: only(strides, else: 1), dilations: only(dilations, else: 1), low: only(low, else: 0),
            high: only(high, else: 0))
    }
}

extension FactoriseSpatially: RecipeTechnique {
    package static let summary = "convolutions as one of a column and one of a row, by singular values"
    package static let parameters = ConvolutionFactoring.parameters

    package init(_ values: RecipeValues) throws {
        self.init(rank: try RankRule(values), multiple: try values.integer("multiple"), scope: values.scope)
    }
}
