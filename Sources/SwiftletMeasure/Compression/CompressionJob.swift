// A compression from the model file to the new file: data are opened, steps run, the result is written beside its final name, measured beside its
// parent, and gets its name only when it is worth having: not larger, not slower, inside the budget.
import Foundation
import SwiftletCompress
import SwiftletGraph
import SwiftletLanguage
import SwiftletNetwork
import SwiftletRuntime
import SwiftletTensor
import SwiftletVision

/// What is to be done.
public struct CompressionJob: Sendable {
    public var model: String
    public var output: String
    public var recipe: Recipe
    public var budget = Budget()
    /// A text for a language model, texts (a line each) for an encoder, a folder of pictures or arrays for a network; nil for none.
    public var calibration: String?
    /// What quality is measured on; nil for the calibration data.
    public var evaluation: String?
    /// The right classes of the pictures of the evaluation.
    public var truth: String?
    /// How many windows of text, or samples, quality is measured on; nil for all.
    public var evaluationCount: Int? = 8
    /// Of inputs whose sizes a network leaves open.
    public var shapes: [String: [Int]] = [:]
    /// How pictures are prepared for a network.
    public var card: @Sendable (Model) throws -> ImageModelCard
    public var threads: Int?
    public var instructionSet: InstructionSet?
    /// Decides everything random, before the recipe's own.
    public var seed: UInt64?
    /// Where finished layers are kept.
    public var resumeFolder: String?
    /// Whether a result that is refused is written all the same.
    public var isForced = false
    /// Where the report goes; nil for none.
    public var reportFolder: String?
    /// Whether each step is also measured alone, with those behind it that only mend it, and each layer alone. Both take as long as the compression, or longer.
    public var measuresStepsAlone = false
    public var measuresLayersAlone = false

    public init(model: String, output: String, recipe: Recipe, card: @escaping @Sendable (Model) throws -> ImageModelCard) {
        self.model = model
        self.output = output
        self.recipe = recipe
        self.card = card
    }

    /// Share by which the time of a result may exceed its parent's, median and smallest, before it counts as slower.
    static let timingNoise = 0.05
    /// Layers with histograms, and batches and windows for what the report shows of single layers.
    private static let histogramLayers = 24, reportBatches = 2

    /// Does it. `progress` is called after each unit of work; what it throws ends the job, and leaves nothing but the layers in the resume folder.
    ///
    /// Throws what steps, reading and writing throw. A result that is refused is no error here: see `CompressionReport.refusal`.
    public func run(progress: @escaping @Sendable (StepProgress) throws -> Void = { _ in }) throws -> CompressionReport {
        let place = try CompressionOutput(output)
        let parent = try ModelFile.open(model, context: recipe.calibration.length, shapes: shapes)
        if let encoder = parent as? EncoderModel { try encoder.checkOutput(place.path) }
        let data = try CompressionData(self, parent)
        if budget.dropPercent != nil, !data.measuresQuality {
            throw SwiftletError.invalidArgument(
                name: "budget", reason: "a drop is measured on data, and none are given", remedy: "Give --evaluation or --calibration, or leave drop out of the budget.")
        }
        let context = try CompressionContext(
            passes: parent.passes, calibration: data.calibration, threads: threads, instructionSet: instructionSet, seed: seed ?? recipe.seed ?? 0,
            checkpoint: resumeFolder.map { Checkpoint(folder: $0) }, progress: progress)
        let output = place.path, candidate = place.candidate
        defer { place.removeCandidate() }
        func measured(_ graph: Graph) throws -> ModelComparison {
            try parent.write(graph, to: candidate)
            return try data.compare(candidate, in: context)
        }
        var candidates: [CompressionCandidate] = []
        let steps = recipe.steps.enumerated().map { "\($0 + 1) \(type(of: $1).technique)" }
        let showsStages = reportFolder != nil || measuresStepsAlone
        let clock = ContinuousClock(), start = clock.now
        var measuring = Duration.zero
        let result = try recipe.compressor.run(parent.graph, in: context) { graph, index in
            guard showsStages, index + 1 < steps.count else { return }
            let start = clock.now
            candidates.append(CompressionCandidate(try measured(graph), .stage, steps[...index].joined(separator: " + ")))
            measuring += clock.now - start
        }
        let seconds = (clock.now - start - measuring) / .seconds(1)
        let parts = Self.parts(of: recipe.steps)
        if measuresStepsAlone, parts.count > 1 {
            var plain = context
            plain.checkpoint = nil
            for part in parts {
                let graph = try Compressor(Array(recipe.steps[part])).run(parent.graph, in: plain).graph
                candidates.append(CompressionCandidate(try measured(graph), .alone, "\(steps[part].joined(separator: " + ")) alone"))
            }
        }
        var comparison = try measured(result.graph)
        comparison.model.path = output
        candidates.insert(CompressionCandidate(parentOf: comparison), at: 0)
        candidates.append(CompressionCandidate(comparison, .result, steps.joined(separator: " + ")))
        // Each was timed in turns with the parent; against the parent's last time they compare with one another.
        let parentTime = comparison.parent.latencyMilliseconds.median
        for index in candidates.indices { candidates[index].latencyMilliseconds = parentTime / candidates[index].speedup }
        let verdicts = budget.verdicts(
            sizeBytes: comparison.model.fileBytes, dropPercent: comparison.dropPercent, latencyMilliseconds: comparison.model.latencyMilliseconds.median)
        let refusals = Self.refusals(comparison) + verdicts.filter { !$0.isMet }.map(\.text)
        let sensitivities = try measuresLayersAlone ? sensitivities(parent, result.graph, data, context) : []
        let histograms = try reportFolder == nil ? [] : LayerHistogram.collect(
            parent: parent.graph, compressed: result.graph, limit: Self.histogramLayers, data: data.calibration, batches: Self.reportBatches, in: context)
        let report = CompressionReport(
            recipe: recipe.name, seed: context.seed, instructionSet: context.instructionSet.rawValue, threads: context.threads, output: output, steps: result.steps,
            comparison: comparison, data: data.description, dropMeaning: comparison.dropMeaning, dropPercent: comparison.dropPercent, candidates: candidates, budget: verdicts,
            refusals: refusals, isWritten: refusals.isEmpty || isForced, sensitivities: sensitivities, histograms: histograms, compressionSeconds: seconds)
        if let reportFolder { try ReportFiles.write(report, to: reportFolder) }
        if report.isWritten {
            if place.hasSeparateWeights {
                // The model names the file its weights are in.
                try parent.write(result.graph, to: output)
            } else {
                try place.commit()
            }
        }
        return report
    }

    /// What can be measured by itself: each step, with those behind it that only mend it.
    package static func parts(of steps: [any CompressionStep]) -> [Range<Int>] {
        steps.indices.reduce(into: []) { parts, index in
            if let last = parts.last, type(of: steps[index]).mendsLastStep {
                parts[parts.count - 1] = last.lowerBound..<index + 1
            } else {
                parts.append(index..<index + 1)
            }
        }
    }

    private func sensitivities(_ parent: any CompressibleModel, _ graph: Graph, _ data: CompressionData, _ context: CompressionContext) throws -> [SensitivityEntry] {
        guard let calibration = data.sensitivity else {
            throw SwiftletError.invalidArgument(name: "sensitivity", reason: "layers are measured on data, and none are given", remedy: "Give --calibration.")
        }
        return try SensitivityScan().scan(
            parent.graph, candidates: SensitivityCandidate.exchanges(parent: parent.graph, compressed: graph), data: calibration.forComparison(limit: Self.reportBatches),
            in: context)
    }

    /// Why a model is worse than its parent, a clause each.
    static func refusals(_ comparison: ModelComparison) -> [String] {
        var refusals: [String] = []
        let (parent, model) = (comparison.parent, comparison.model)
        if model.fileBytes > parent.fileBytes {
            refusals.append(
                "it is larger than its parent by \(ByteText.text(model.fileBytes - parent.fileBytes)) (\(String(format: "%.1f", 100 * (comparison.sizeRatio - 1))) %)")
        }
        let (before, after) = (parent.latencyMilliseconds, model.latencyMilliseconds)
        if after.median > before.median * (1 + timingNoise), after.minimum > before.minimum * (1 + timingNoise) {
            refusals.append(
                "it is slower than its parent by \(String(format: "%.3g ms (%.1f %%)", after.median - before.median, 100 * (after.median / before.median - 1)))")
        }
        return refusals
    }
}

extension CompressionCandidate {
    init(_ comparison: ModelComparison, _ kind: Kind, _ label: String) {
        self.init(
            kind: kind, label: label, fileBytes: comparison.model.fileBytes, latencyMilliseconds: comparison.model.latencyMilliseconds.median,
            dropPercent: comparison.dropPercent, sizeFactor: 1 / comparison.sizeRatio, speedup: comparison.speedup)
    }

    init(parentOf comparison: ModelComparison) {
        self.init(
            kind: .parent, label: "parent", fileBytes: comparison.parent.fileBytes, latencyMilliseconds: comparison.parent.latencyMilliseconds.median,
            dropPercent: comparison.dropPercent == nil ? nil : 0, sizeFactor: 1, speedup: 1)
    }
}
