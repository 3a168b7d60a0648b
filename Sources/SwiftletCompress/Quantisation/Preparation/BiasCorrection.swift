// What rounding moves on average is taken back: rounded weights and activations shift the mean of a layer's output, and a bias can undo that exactly.
//
// The empirical form (Nagel et al., "Data-free quantization through weight equalization and bias correction", 2019, appendix D): the mean of each
// output channel over the calibration data, in the network before the last step and in the one after it; the difference goes into the bias. Layers are
// corrected in the order they run, each with those before it corrected already, so that a shift is not taken back twice.
//
// Rounding also stretches: small errors of many layers that all point the same way make logits some per cent too large or too small, which changes no
// answer but every probability. Scales of rounded weights take that back, at no cost; pruned and factored weights get their spread back (ChannelMeans).
import SwiftletRuntime

/// Corrects the biases of layers after a step that changed weights or activations: put it behind the quantisation, or behind pruning.
public struct BiasCorrection: CompressionStep {
    public static let technique = "bias-correction"
    public static let mendsLastStep = true

    public var scope: Scope
    /// Batches of the calibration data that are looked at, from the first on; nil for all. Means need fewer than ranges do.
    public var batches: Int?
    /// Whether scales of weights in 8 bits, and rows of f32 weights that changed, are corrected as well.
    public var correctsScales: Bool

    public init(scope: Scope = .all, batches: Int? = nil, correctsScales: Bool = true) {
        self.scope = scope
        self.batches = batches
        self.correctsScales = correctsScales
    }

    /// Throws `SwiftletError.invalidArgument` without calibration data or without a step before this one.
    public func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
        let data = try context.requiredCalibration(for: Self.technique)
        guard let parent = context.graphBeforeLastStep else {
            throw SwiftletError.invalidArgument(
                name: Self.technique, reason: "there is no step before it whose error could be corrected", remedy: "Put it behind the step that quantises.")
        }
        let count = min(batches ?? data.batchCount, data.batchCount)
        guard count > 0 else {
            throw SwiftletError.invalidArgument(name: "calibration", reason: "the data have no batches", remedy: "Give at least one sample of what the model will see.")
        }
        let looked = FirstBatches(data, limit: count)
        let (result, reports) = try ChannelMeans(parent, of: graph, scope: scope, data: looked, in: context).corrected(graph, scope: scope, scales: correctsScales) { name, done, total in
            try context.progress(StepProgress(technique: Self.technique, detail: name, done: done, total: total))
        }
        return try StepResult(technique: Self.technique, before: graph, after: result, tensors: reports)
    }
}

extension BiasCorrection: RecipeTechnique {
    package static let summary = "means of layer outputs put back to what they were before the last step, through the biases"

    package static let parameters: [RecipeParameter] = [
        RecipeParameter("batches", .integer(0...1_000_000), default: .integer(0), "batches of the calibration data that are looked at, 0 for all"),
        RecipeParameter("scales", .flag, default: .flag(true), "whether scales of weights in 8 bits, and rows of pruned or factored f32 weights, are corrected as well"),
    ]

    package init(_ values: RecipeValues) throws {
        let batches = try values.integer("batches")
        self.init(scope: values.scope, batches: batches == 0 ? nil : batches, correctsScales: try values.flag("scales"))
    }
}
