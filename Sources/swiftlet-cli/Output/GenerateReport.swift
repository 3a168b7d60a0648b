// What `generate --json` prints, gathered while tokens come.
import SwiftletLanguage
import SwiftletMeasure
import SwiftletRuntime

struct GenerateReport {
    /// The printed object.
    struct Object: Encodable {
        let text: String
        let tokens: [Int32]
        let promptTokens: Int
        let generatedTokens: Int
        let loadMs: Double
        let prefillTokensPerSecond: Double
        let decodeTokensPerSecond: Double
        let peakResidentBytes: Int
        let isa: String
        let threads: Int
        /// Only where tokens were guessed or could have been.
        let speculation: Speculation?
        /// Only when asked for.
        let logProbs: [Entry]?
    }

    /// What guessing tokens brought.
    struct Speculation: Encodable {
        let draftedTokens: Int
        let acceptedTokens: Int
        let verificationSteps: Int
        let plainSteps: Int
        let tokensPerStep: Double
        let state: String
    }

    /// One token with its log-probability.
    struct Entry: Encodable {
        let token: Int32
        let piece: String
        let logProb: Float?
        let top: [Alternative]
    }

    struct Alternative: Encodable {
        let token: Int32
        let piece: String
        let logProb: Float
    }

    private(set) var finish: FinishReason?
    private var text = ""
    private var tokens: [Int32] = []
    private var logProbs: [Entry]?

    init(isLogProbsReported: Bool) { logProbs = isLogProbsReported ? [] : nil }

    mutating func add(_ step: GeneratedText, tokenizer: Tokenizer) {
        text += step.text
        if let reason = step.finish { finish = reason }
        guard let token = step.token else { return }
        tokens.append(token.id)
        logProbs?.append(
            Entry(
                token: token.id, piece: tokenizer.piece(of: token.id), logProb: token.logProbability,
                top: token.alternatives.map {
                    Alternative(token: $0.token, piece: tokenizer.piece(of: $0.token), logProb: $0.logProbability)
                }))
    }

    func object(_ statistics: GenerationStatistics, model: LanguageModel) -> Object {
        Object(
            text: text, tokens: tokens, promptTokens: statistics.promptTokens, generatedTokens: statistics.generatedTokens,
            loadMs: model.loadMilliseconds, prefillTokensPerSecond: statistics.prefillTokensPerSecond,
            decodeTokensPerSecond: statistics.decodeTokensPerSecond, peakResidentBytes: ProcessMemory.current().peakResidentBytes,
            isa: model.instructionSet.rawValue, threads: model.threads,
            speculation: statistics.speculation.map {
                Speculation(
                    draftedTokens: $0.draftedTokens, acceptedTokens: $0.acceptedTokens, verificationSteps: $0.verificationSteps,
                    plainSteps: $0.plainSteps, tokensPerStep: $0.tokensPerStep, state: $0.state.rawValue)
            },
            logProbs: logProbs)
    }
}
