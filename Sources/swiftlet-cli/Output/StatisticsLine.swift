// One line about a generation that has ended, for standard error.
import Foundation
import SwiftletLanguage

enum StatisticsLine {
    static func text(_ statistics: GenerationStatistics, model: LanguageModel, finish: FinishReason?) -> String {
        let ending =
            switch finish {
            case .end: "the model ended"
            case .stop: "stop text"
            case .length: "token limit"
            case .context: "context full"
            case nil: "interrupted"
            }
        let cached = statistics.cachedTokens > 0 ? " (\(statistics.cachedTokens) cached)" : ""
        return "[\(statistics.promptTokens) prompt tokens\(cached) at \(rate(statistics.prefillTokensPerSecond))/s, "
            + "\(statistics.generatedTokens) generated at \(rate(statistics.decodeTokensPerSecond))/s, "
            + "loaded in \(Int(model.loadMilliseconds)) ms, \(model.instructionSet.rawValue), \(model.threads) threads; \(ending)]"
    }

    static func rate(_ value: Double) -> String { String(format: value < 100 ? "%.1f" : "%.0f", value) }
}
