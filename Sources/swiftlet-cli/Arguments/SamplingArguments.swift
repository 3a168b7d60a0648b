// The options that say how tokens are chosen, and when to stop.
import ArgumentParser
import SwiftletLanguage
import SwiftletTensor

struct SamplingArguments: ParsableArguments {
    private static let defaults = SamplingOptions()

    // `.unconditional`, here and below: a negative number is a value, not another option.
    @Option(parsing: .unconditional, help: "Divides the logits; 0 takes the most probable token always.")
    var temperature: Float = defaults.temperature

    @Option(help: "Keep the k most probable tokens; 0 keeps all.")
    var topK: Int = defaults.topK

    @Option(help: "Keep the most probable tokens up to this mass; 1 keeps all.")
    var topP: Float = defaults.topP

    @Option(help: "Keep tokens at least this fraction as probable as the best; 0 keeps all.")
    var minP: Float = defaults.minP

    @Option(help: "Keep the most typical tokens up to this mass; 1 keeps all.")
    var typicalP: Float = defaults.typicalP

    @Option(help: "Penalty factor for tokens in the window; 1 is none.")
    var repetitionPenalty: Float = defaults.repetitionPenalty

    @Option(parsing: .unconditional, help: "Penalty for each time a token is in the window; 0 is none.")
    var frequencyPenalty: Float = defaults.frequencyPenalty

    @Option(parsing: .unconditional, help: "Penalty for tokens in the window; 0 is none.")
    var presencePenalty: Float = defaults.presencePenalty

    @Option(help: "How many of the latest tokens the penalties look at.")
    var penaltyWindow: Int = defaults.penaltyWindow

    @Option(
        help: ArgumentHelp(
            "Add to the logit of a token id, for example 42=-2.5 or 42=-inf; may be given several times.", valueName: "id=bias"))
    var logitBias: [LogitBias] = []

    @Option(help: "Seed of the draws: same seed, same text (default: a new one each time).")
    var seed: UInt64?

    @Option(help: ArgumentHelp("Generate at most this many tokens.", valueName: "count"))
    var maxTokens: Int = 256

    @Option(help: ArgumentHelp("End at this text, which is not printed; may be given several times.", valueName: "text"))
    var stop: [String] = []

    @Flag(help: "When the context is full, forget its older half and go on.")
    var contextShift = false

    @Flag(help: "Go on after the model's end of sequence.")
    var ignoreEos = false

    func validate() throws {
        guard maxTokens > 0 else { throw ValidationError("--max-tokens must be positive.") }
        guard !stop.contains("") else { throw ValidationError("--stop must not be empty.") }
        do {
            try options.validate()
        } catch SwiftletError.invalidArgument(let name, let reason, _) {
            throw ValidationError("--\(name): \(reason).")
        }
    }

    private var options: SamplingOptions {
        var options = SamplingOptions()
        options.temperature = temperature
        options.topK = topK
        options.topP = topP
        options.minP = minP
        options.typicalP = typicalP
        options.repetitionPenalty = repetitionPenalty
        options.frequencyPenalty = frequencyPenalty
        options.presencePenalty = presencePenalty
        options.penaltyWindow = penaltyWindow
        options.logitBias = Dictionary(logitBias.map { ($0.token, $0.amount) }) { $1 }
        options.seed = seed
        return options
    }

    /// The options of a generation that reports `alternatives` log-probabilities a token (nil: none).
    func generation(alternatives: Int? = nil, speculation: Speculation) -> GenerationOptions {
        GenerationOptions(
            maximumTokens: maxTokens, sampling: options, stop: stop, logProbabilities: alternatives, shiftsContext: contextShift,
            ignoresEnd: ignoreEos, speculation: speculation)
    }
}

/// A token id and what to add to its logit, written `42=-2.5`.
struct LogitBias: ExpressibleByArgument {
    let token: Int32
    let amount: Float

    init?(argument: String) {
        let parts = argument.split(separator: "=", maxSplits: 1)
        guard parts.count == 2, let token = Int32(parts[0]), let amount = Float(parts[1]) else { return nil }
        self.token = token
        self.amount = amount
    }
}
