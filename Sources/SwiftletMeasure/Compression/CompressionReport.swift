// What a compression was and gave, as data: what `swiftlet compress --json` prints and --report keeps.
import Foundation
import SwiftletCompress
import SwiftletTensor

/// One model that was tried, beside its parent.
public struct CompressionCandidate: Sendable, Codable, Equatable {
    public enum Kind: String, Sendable, Codable {
        case parent
        /// After some of the steps.
        case stage
        /// After one step alone.
        case alone
        case result
    }

    public var kind: Kind
    /// What was done to it.
    public var label: String
    public var fileBytes: Int
    /// The parent's time at the end through `speedup`: times that were taken apart do not compare on a busy machine.
    public var latencyMilliseconds: Double
    /// As `ModelComparison.dropPercent`.
    public var dropPercent: Double?
    /// The parent's bytes and time through this one's.
    public var sizeFactor: Double
    public var speedup: Double

    package init(
        kind: Kind, label: String, fileBytes: Int, latencyMilliseconds: Double, dropPercent: Double? = nil, sizeFactor: Double, speedup: Double
    ) {
        self.kind = kind
        self.label = label
        self.fileBytes = fileBytes
        self.latencyMilliseconds = latencyMilliseconds
        self.dropPercent = dropPercent
        self.sizeFactor = sizeFactor
        self.speedup = speedup
    }
}

/// A compression from beginning to end.
public struct CompressionReport: Sendable, Codable {
    public var recipe: String?
    public var seed: UInt64
    public var instructionSet: String
    public var threads: Int
    public var output: String
    public var steps: [StepReport]
    public var comparison: ModelComparison
    /// What the data were: a sentence.
    public var data: String
    /// What `drop` means here; nil where quality was not measured.
    public var dropMeaning: String?
    public var dropPercent: Double?
    public var candidates: [CompressionCandidate]
    public var budget: [Budget.Verdict]
    /// Why the result is refused, a clause each; empty where it is not.
    public var refusals: [String]
    /// Whether the result was written all the same.
    public var isWritten: Bool
    public var sensitivities: [SensitivityEntry]
    public var histograms: [LayerHistogram]
    /// Of the whole compression, without measuring.
    public var compressionSeconds: Double
    /// Nil where the steps were not measured alone.
    public private(set) var combination: Combination?

    package init(
        recipe: String? = nil, seed: UInt64, instructionSet: String, threads: Int, output: String, steps: [StepReport], comparison: ModelComparison,
        data: String, dropMeaning: String? = nil, dropPercent: Double? = nil, candidates: [CompressionCandidate], budget: [Budget.Verdict],
        refusals: [String], isWritten: Bool, sensitivities: [SensitivityEntry], histograms: [LayerHistogram], compressionSeconds: Double
    ) {
        self.recipe = recipe
        self.seed = seed
        self.instructionSet = instructionSet
        self.threads = threads
        self.output = output
        self.steps = steps
        self.comparison = comparison
        self.data = data
        self.dropMeaning = dropMeaning
        self.dropPercent = dropPercent
        self.candidates = candidates
        self.budget = budget
        self.refusals = refusals
        self.isWritten = isWritten
        self.sensitivities = sensitivities
        self.histograms = histograms
        self.compressionSeconds = compressionSeconds
        combination = Combination(candidates)
    }

    /// The error that refuses the result; nil where it was written.
    public var refusal: SwiftletError? {
        isWritten ? nil : .invalidArgument(
            name: output, reason: "the result is refused: \(refusals.joined(separator: "; "))", remedy: "Change the recipe or the budget, or keep it with --force.")
    }

    /// Several steps together against what they give alone: the factors of each, their product, and what was measured.
    public struct Combination: Sendable, Codable, Equatable {
        public var sizeProduct: Double
        public var sizeMeasured: Double
        public var speedProduct: Double
        public var speedMeasured: Double

        /// Nil unless parts of the recipe were measured alone: all of them are, or none.
        fileprivate init?(_ candidates: [CompressionCandidate]) {
            let alone = candidates.filter { $0.kind == .alone }
            guard alone.count > 1, let result = candidates.last(where: { $0.kind == .result }) else { return nil }
            sizeProduct = alone.reduce(1) { $0 * $1.sizeFactor }
            sizeMeasured = result.sizeFactor
            speedProduct = alone.reduce(1) { $0 * $1.speedup }
            speedMeasured = result.speedup
        }
    }

    /// Figures of the parent and the result for people.
    public var text: String {
        var lines = ComparisonText.lines(comparison)
        if !data.isEmpty { lines.append(data) }
        if let combination {
            func factor(_ value: Double) -> String { String(format: "%.2f", value) }
            lines.append("steps alone give size ÷ \(factor(combination.sizeProduct)) and speed × \(factor(combination.speedProduct)) if multiplied; together \(factor(combination.sizeMeasured)) and \(factor(combination.speedMeasured))")
        }
        lines += budget.map { "budget: " + $0.text }
        lines.append(isWritten ? "wrote \(output)" + (refusals.isEmpty ? "" : " in spite of: \(refusals.joined(separator: "; "))") : "nothing was written")
        return lines.joined(separator: "\n") + "\n"
    }
}

/// Two models as a table of text.
public enum ComparisonText {
    /// A line a figure: what, of the parent, of the model, the relation.
    public static func lines(_ comparison: ModelComparison) -> [String] {
        let rows = rows(comparison)
        let widths = (0..<4).map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            let cells = row.enumerated().map { column, cell in
                let blanks = String(repeating: " ", count: widths[column] - cell.count)
                return column == 0 ? cell + blanks : blanks + cell
            }
            return cells.joined(separator: "  ").replacing(/\x20+$/, with: "")
        }
    }

    package static func rows(_ comparison: ModelComparison) -> [[String]] {
        let (a, b) = (comparison.parent, comparison.model)
        func fixed(_ value: Double?, _ digits: Int = 2, _ unit: String = "") -> String {
            value.map { String(format: "%.\(digits)f", $0) + unit } ?? "-"
        }
        var rows = [["", name(a.path), name(b.path), ""]]
        rows.append(["file", ByteText.text(a.fileBytes), ByteText.text(b.fileBytes), "÷ " + fixed(1 / comparison.sizeRatio)])
        let isLanguage = a.prefillTokensPerSecond != nil
        rows.append([
            isLanguage ? "a token" : comparison.vectors != nil ? "a text" : "a run", fixed(a.latencyMilliseconds.median, 3, " ms"), fixed(b.latencyMilliseconds.median, 3, " ms"), "× " + fixed(comparison.speedup) + " speed",
        ])
        if let first = a.prefillTokensPerSecond, let second = b.prefillTokensPerSecond {
            rows.append(["prompt", fixed(first.median, 1, " tokens/s"), fixed(second.median, 1, " tokens/s"), "× " + fixed(second.median / first.median) + " speed"])
        }
        if let first = a.peakMemoryBytes, let second = b.peakMemoryBytes { rows.append(["memory", ByteText.text(first), ByteText.text(second), ""]) }
        if let divergence = comparison.divergence {
            rows.append(["perplexity", fixed(divergence.parentPerplexity, 4), fixed(divergence.perplexity, 4), String(format: "%+.2f %%", divergence.perplexityRisePercent)])
            rows.append(["divergence", "", String(format: "%.3g nats", divergence.meanDivergence), String(format: "± %.2g", divergence.divergenceError)])
            rows.append(["same top token", "", fixed(divergence.topTokenAgreementPercent, 2, " %"), ""])
        }
        if let agreement = comparison.agreement {
            if let before = agreement.parentAccuracyPercent, let after = agreement.accuracyPercent {
                rows.append(["top-1 of \(agreement.labelled)", fixed(before, 2, " %"), fixed(after, 2, " %"), String(format: "%+.2f points", after - before)])
                rows.append(["top-5", fixed(agreement.parentTop5Percent, 2, " %"), fixed(agreement.top5Percent, 2, " %"), ""])
            }
            if let same = agreement.topAgreementPercent { rows.append(["same answer", "", fixed(same, 2, " %"), "of \(agreement.samples)"]) }
            rows.append(["output error", "", fixed(agreement.relativeErrorPercent, 4, " %"), ""])
        }
        if let vectors = comparison.vectors {
            rows.append(["cosine of \(vectors.texts)", "", fixed(vectors.meanCosine, 5), "least \(fixed(vectors.leastCosine, 5))"])
            if let same = vectors.sameNearestPercent { rows.append(["same nearest text", "", fixed(same, 2, " %"), ""]) }
        }
        return rows
    }

    /// The last part of a path; of an encoder's weights the name of the folder, as all of them are called the same.
    package static func name(_ path: String) -> String {
        let url = URL(fileURLWithPath: path)
        return (url.pathExtension == "safetensors" ? url.deletingLastPathComponent() : url).lastPathComponent
    }
}
