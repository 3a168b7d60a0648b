// Static quantisation to 8 bits: activations get levels that calibration chose once and for all, weights are rounded to i8 by channel, and the graph
// says so with pairs of quantize and dequantize around float operations, as ONNX does (QDQ). The float graph with those pairs is the definition of what the
// network computes; backends make integer operations of it.
//
// Biases stay floats: a backend adds them to the sums in units of (input scale · weight scale), which are so fine (below 2⁻¹⁴ of the range of the sums) that
// rounding them in the file would buy nothing and cost a second table of scales.
import SwiftletRuntime

/// Rounds convolutions, linear layers and what lies between them to 8 bits.
public struct QuantizeStatic: CompressionStep {
    public static let technique = "int8-static"

    public var scope: Scope
    /// How the range of an activation is chosen.
    public var range: RangeMethod
    public var activations: QuantizedType
    /// One scale a channel of the output, else one a weight.
    public var isPerChannel: Bool

    public init(scope: Scope = .all, range: RangeMethod = .minmax, activations: QuantizedType = QuantizedType(), isPerChannel: Bool = true) {
        self.scope = scope
        self.range = range
        self.activations = activations
        self.isPerChannel = isPerChannel
    }

    /// Throws `SwiftletError.invalidArgument` without calibration data or when `scope` takes no layer.
    public func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
        let data = try context.requiredCalibration(for: Self.technique)
        let quantisation = try StaticQuantisation(graph, self, data: data, technique: Self.technique, in: context)
        let (result, reports) = try quantisation.graph()
        let skipped = graph.layers(in: scope).count - quantisation.layers.count
        return try StepResult(
            technique: Self.technique, before: graph, after: result, tensors: reports,
            notes: skipped > 0 ? ["\(skipped) layers in the scope have no constant f32 weight and stay as they are."] : [])
    }
}

extension QuantizeStatic: RecipeTechnique {
    package static let summary = "8-bit integers for weights and activations, with scales from calibration"

    package static let parameters: [RecipeParameter] = [
        RecipeParameter("range", .choice(["minmax", "percentile", "entropy", "mse"]), default: .text("minmax"), "how the range of an activation is chosen"),
        RecipeParameter("percentile", .number(50...100), default: .number(99.99), "per cent of the values inside the range, for range: percentile"),
        RecipeParameter("activations", .choice(["u8", "i8"]), default: .text("u8"), "the type of activations"),
        RecipeParameter("symmetric", .flag, default: .flag(false), "whether the zero point of activations is the middle of the type"),
        RecipeParameter("per-channel", .flag, default: .flag(true), "whether each output channel of a weight has a scale of its own"),
    ]

    package init(_ values: RecipeValues) throws {
        let range: RangeMethod =
            switch try values.text("range") {
            case "percentile": .percentile(try values.number("percentile"))
            case "entropy": .entropy
            case "mse": .mse
            default: .minmax
            }
        self.init(
            scope: values.scope, range: range,
            activations: QuantizedType(isSigned: try values.text("activations") == "i8", isSymmetric: try values.flag("symmetric")),
            isPerChannel: try values.flag("per-channel"))
    }
}
