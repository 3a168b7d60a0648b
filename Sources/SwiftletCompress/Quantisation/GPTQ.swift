// GPTQ: the weights of a row are rounded one after the other, and those still to come make up for what each rounding broke.
//
// Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", 2022. This file says which matrices are
// rounded and what they are calibrated on; how one is rounded is in FeedbackRounding.
import SwiftletRuntime

/// Quantises matrices with error feedback.
///
/// The defaults of what is searched and ordered are what did best on SmolLM2-135M in q4_1 with 3 bits, calibrated on 64 windows of 512 tokens
/// (perplexity of 12 × 512 tokens of WikiText-2, parent 26.3): 32.6; with columns in their natural order 33.3; with scales from the extremes 52.5, because
/// with 8 levels an outlier in a group coarsens all of it. Ten times the damping changed less than the choice of text did (27.59 for 27.64 on
/// 40 × 512 tokens), so the published 0.01 stays. 16 windows gave 33.2.
public struct GPTQ: CompressionStep {
    public static let technique = "gptq"

    public var scope: Scope
    public var plan: FormatPlan
    public var fallback: FormatPlan.Fallback
    public var bits: Int?
    /// λ as a share of the Hessian's mean diagonal.
    public var damping: Double
    /// Columns in the order of falling Σx² ("act-order").
    public var ordersByActivation: Bool
    /// Whether scales are searched for the least error instead of taken from the extremes.
    public var searches: Bool
    /// Layers calibrated together; 0 for as many as memory allows. Fewer see more of the errors before them, and cost a calibration each.
    public var layersAtOnce: Int

    public init(
        _ plan: FormatPlan, scope: Scope = .all, fallback: FormatPlan.Fallback = .sameBits, bits: Int? = nil, damping: Double = 0.01,
        ordersByActivation: Bool = true, searches: Bool = true, layersAtOnce: Int = 0
    ) {
        self.plan = plan
        self.scope = scope
        self.fallback = fallback
        self.bits = bits
        self.damping = damping
        self.ordersByActivation = ordersByActivation
        self.searches = searches
        self.layersAtOnce = layersAtOnce
    }

    public func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
        let data = try context.requiredCalibration(for: Self.technique)
        let pool = try ThreadPool(threadCount: context.threads)
        // A table that is only looked up has no inputs: it is rounded by itself in a step of its own.
        let targets = graph.matrices(in: scope).filter { $0.layer.kind == .linear }
        let blocks = graph.blockCount
        var replacement = LayerReplacement(
            graph, technique: Self.technique,
            parameters: "\(plan.name) \(fallback) bits \(bits ?? 0) damping \(damping) order \(ordersByActivation) search \(searches) at once \(layersAtOnce) batches \(data.batchCount)",
            total: targets.count, in: context)
        var notes: [String] = []
        for group in InputMoments.runs(targets, count: layersAtOnce, layer: { $0.layer }) {
            let moments = try InputMoments.collect(
                replacement.graph, layers: group.map(\.layer), order: .gram, data: data, in: context, technique: Self.technique)
            // Layers that read one value follow each other, and have one Hessian.
            var made: (key: InputKey, hessian: InverseHessian)?
            func hessian(_ key: InputKey, _ moment: InputMoments) throws -> InverseHessian {
                if let made, made.key == key { return made.hessian }
                let order = ordersByActivation ? moment.squares.indices.sorted { (moment.squares[$0], $1) > (moment.squares[$1], $0) } : nil
                let hessian = try InverseHessian(moment, damping: damping, order: order)
                made = (key, hessian)
                return hessian
            }
            for target in group {
                let layer = target.layer
                let format = try plan.format(of: layer.name, columns: layer.weight.columnCount, isHead: target.isHead, layers: blocks, fallback: fallback)
                guard let key = InputKey(layer, in: graph), let moment = moments[key], case .block(let block) = format else {
                    notes.append("\(layer.name) is stored as \(format) without error feedback")
                    try replacement.replace(layer) { try layer.weight.stored(as: format, name: layer.name, pool: pool) }
                    continue
                }
                try replacement.replace(layer, outputError: { try moment.relativeError(layer.weight.floats(), $0.floats(), rows: layer.weight.rowCount) }) {
                    let hessian = try hessian(key, moment)
                    if hessian.damping > damping { notes.append("\(layer.name): damping raised to \(hessian.damping)") }
                    let rounding = FeedbackRounding(
                        grid: try BlockGrid(block, bits: bits), hessian: hessian, importance: moment.squares, searches: searches, fixesScalesFirst: ordersByActivation,
                        pool: pool)
                    return try rounding.quantize(layer.weight, name: layer.name)
                }
            }
        }
        return try replacement.result(notes: notes)
    }
}

extension GPTQ: RecipeTechnique {
    package static let summary = "Quantises with error feedback: later weights of a row make up for the rounding of earlier ones"
    package static let parameters = [
        .format("a GGUF type, or a mix such as q4_k_m"),
        .fallback,
        .bits,
        RecipeParameter("damping", .number(0...1), default: .number(0.01), "share of the Hessian's mean diagonal added to it"),
        RecipeParameter("act-order", .flag, default: .flag(true), "columns that carry most come first"),
        RecipeParameter("search", .flag, default: .flag(true), "search scales for the least error"),
        RecipeParameter("layers-at-once", .integer(0...100_000), default: .integer(0), "matrices calibrated together, 0 for as many as memory allows"),
    ]

    package init(_ values: RecipeValues) throws {
        let storage = try values.storage()
        self.init(
            storage.plan, scope: values.scope, fallback: storage.fallback, bits: storage.bits, damping: try values.number("damping"),
            ordersByActivation: try values.flag("act-order"), searches: try values.flag("search"), layersAtOnce: try values.integer("layers-at-once"))
    }
}
