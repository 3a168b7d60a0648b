// The data of a compression: what techniques calibrate with, and what quality is measured on.
import Foundation
import SwiftletCompress
import SwiftletLanguage
import SwiftletNetwork
import SwiftletTensor

/// Opened data for one model.
struct CompressionData {
    /// For techniques; nil where none were given.
    let calibration: (any CalibrationData)?
    /// The same, with all outputs asked for.
    let sensitivity: (any CalibrationData)?
    /// A sentence about what was used for what.
    let description: String
    private let measure: (String, CompressionContext) throws -> ModelComparison
    let measuresQuality: Bool

    init(_ job: CompressionJob, _ model: any CompressibleModel) throws {
        let settings = job.recipe.calibration
        let evaluation = job.evaluation ?? job.calibration
        measuresQuality = evaluation != nil
        var sentences: [String] = []
        if let model = model as? GGUFModel {
            let windows = try job.calibration.map { try TokenWindows(text: Self.bytes($0), model: model, calibration: settings) }
            calibration = windows
            sensitivity = windows?.askingForLogits(true)
            if let windows, let path = job.calibration { sentences.append("calibrated on \(windows.batchCount) windows of \(settings.length) tokens of \(Self.name(path))") }
            let text = try evaluation.map(Self.bytes)
            let comparison = LanguageComparison(text: text, context: Self.evaluationContext, chunks: job.evaluationCount)
            if let evaluation { sentences.append("measured on \(job.evaluationCount.map { "\($0)" } ?? "all") windows of \(Self.evaluationContext) tokens of \(Self.name(evaluation))") }
            let options = ModelOptions(threads: job.threads, instructionSet: job.instructionSet, usesWeightCache: false)
            measure = { path, context in
                try comparison.measure(parent: job.model, model: path, options: options) { try context.tell($0, $1, $2) }
            }
        } else if let model = model as? EncoderModel {
            guard job.truth == nil else {
                throw SwiftletError.invalidArgument(name: "truth", reason: "\(job.model) is an encoder of texts, which have no right classes", remedy: "Leave --truth out.")
            }
            let texts = try job.calibration.map { try EncoderTexts(text: Self.bytes($0), model: model, limit: settings.samples) }
            calibration = texts
            sensitivity = texts
            if let texts, let path = job.calibration { sentences.append("calibrated on \(texts.count) texts of \(Self.name(path))") }
            let comparison = try EncoderComparison(text: evaluation.map(Self.bytes), limit: job.evaluationCount)
            if let evaluation { sentences.append("measured on \(job.evaluationCount.map { "at most \($0)" } ?? "all") texts of \(Self.name(evaluation))") }
            let options = EncoderOptions(threads: job.threads, instructionSet: job.instructionSet)
            measure = { path, context in
                try comparison.measure(parent: job.model, model: path, options: options) { try context.tell($0, $1, $2) }
            }
        } else {
            let inputs = try NetworkSamples.inputs(of: model.graph)
            let options = NetworkOptions(threads: job.threads, instructionSet: job.instructionSet)
            let card = { try job.card(try Model(path: job.model, options: options)) }
            let samples = try job.calibration.map { try NetworkSamples.open($0, inputs: inputs, truth: nil, limit: settings.samples, card: card) }
            calibration = samples
            sensitivity = samples
            if let samples, let path = job.calibration { sentences.append("calibrated on \(samples.count) samples of \(Self.name(path))") }
            let tests = try evaluation.map { try NetworkSamples.open($0, inputs: inputs, truth: job.truth, limit: job.evaluationCount, card: card) }
            if let tests, let evaluation { sentences.append("measured on \(tests.count) samples of \(Self.name(evaluation))") }
            let used = tests ?? NetworkSamples(zerosFor: inputs)
            let comparison = NetworkComparison(count: used.count) { try used.sample($0) }
            measure = { path, context in
                try comparison.measure(parent: job.model, model: path, options: options, comparesOutputs: used.hasMeaning) { try context.tell($0, $1, $2) }
            }
        }
        if job.evaluation == nil, job.calibration != nil { sentences.append("the same data for both, so the drop is measured favourably") }
        description = sentences.joined(separator: "; ")
    }

    /// Tokens of a window that quality is measured on.
    private static let evaluationContext = 512

    /// The model at `path` beside the parent.
    func compare(_ path: String, in context: CompressionContext) throws -> ModelComparison { try measure(path, context) }

    private static func bytes(_ path: String) throws -> [UInt8] {
        let file = try MappedFile(path: path)
        return withExtendedLifetime(file) { Array(file.bytes) }
    }

    private static func name(_ path: String) -> String { URL(fileURLWithPath: path).lastPathComponent }
}

extension CompressionContext {
    fileprivate func tell(_ what: String, _ done: Int, _ total: Int) throws {
        try Task.checkCancellation()
        try progress(StepProgress(technique: "measure", detail: what, done: done, total: total))
    }
}
