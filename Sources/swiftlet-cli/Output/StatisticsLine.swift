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
            + "\(statistics.generatedTokens) generated at \(rate(statistics.decodeTokensPerSecond))/s\(guesses(statistics.speculation)), "
            + "loaded in \(Int(model.loadMilliseconds)) ms, \(model.instructionSet.rawValue), \(model.threads) threads; \(ending)]"
    }

    /// What guessing brought, where anything was guessed.
    private static func guesses(_ speculation: SpeculationStatistics?) -> String {
        guard let speculation, speculation.draftedTokens > 0 else { return "" }
        let pause = speculation.state == .paused ? ", now paused" : ""
        return String(format: " (%d of %d guesses right, %.2f tokens a step", speculation.acceptedTokens, speculation.draftedTokens, speculation.tokensPerStep)
            + "\(pause))"
    }

    static func rate(_ value: Double) -> String { String(format: value < 100 ? "%.1f" : "%.0f", value) }
}
