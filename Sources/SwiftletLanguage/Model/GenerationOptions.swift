// What a caller may ask of a generation, and what comes back.

/// What to continue.
public enum Prompt: Sendable {
    /// Raw text. Names of control tokens in it become those tokens.
    case text(String)
    /// Token ids, used as they are.
    case tokens([Int32])
    /// A conversation, put into the model's own chat format.
    case chat([ChatMessage])
}

/// How to continue it.
public struct GenerationOptions: Sendable {
    /// Tokens to generate at most; nil until the model ends or the context is full.
    public var maximumTokens: Int?
    public var sampling: SamplingOptions
    /// Texts that end the generation; they are not part of the output.
    public var stop: [String]
    /// How many alternatives to report with their log-probabilities; nil reports none, 0 the chosen token only.
    public var logProbabilities: Int?
    /// When the context is full, forget the older half and go on, instead of ending.
    public var shiftsContext: Bool
    /// Go on after the model's end-of-sequence token.
    public var ignoresEnd: Bool
    /// Whether tokens to come are guessed and checked several at once. The distribution of the text is the same with and without.
    public var speculation: Speculation

    public init(
        maximumTokens: Int? = nil, sampling: SamplingOptions = SamplingOptions(), stop: [String] = [], logProbabilities: Int? = nil,
        shiftsContext: Bool = false, ignoresEnd: Bool = false, speculation: Speculation = .promptLookup()
    ) {
        self.maximumTokens = maximumTokens
        self.sampling = sampling
        self.stop = stop
        self.logProbabilities = logProbabilities
        self.shiftsContext = shiftsContext
        self.ignoresEnd = ignoresEnd
        self.speculation = speculation
    }
}

/// One step of a generation.
public struct GeneratedText: Sendable {
    /// Text that became certain with this step; empty while a character or a possible stop text is incomplete.
    public let text: String
    /// The token of this step; nil in a closing element that only carries the rest of the text.
    public let token: SampledToken?
    /// Set on the last element.
    public let finish: FinishReason?
}

/// A token as it was drawn.
public struct SampledToken: Sendable {
    public let id: Int32
    /// Natural logarithm of its probability before sampling options reshaped the distribution.
    public let logProbability: Float?
    /// The likeliest tokens of this step, best first.
    public let alternatives: [TokenLogProbability]
}

/// Why a generation ended.
public enum FinishReason: String, Sendable {
    /// The model said it is done.
    case end
    /// A stop text appeared.
    case stop
    /// The token limit was reached.
    case length
    /// No room is left in the context.
    case context
}

/// What a generation took.
public struct GenerationStatistics: Sendable {
    /// Tokens of the prompt, and how many of them were still in the cache.
    public internal(set) var promptTokens = 0
    public internal(set) var cachedTokens = 0
    public internal(set) var generatedTokens = 0
    public internal(set) var prefillSeconds = 0.0
    /// Time spent on all tokens but the first, which the prompt's evaluation yields.
    public internal(set) var decodeSeconds = 0.0
    /// What speculation did; nil without it, and before the second token.
    public internal(set) var speculation: SpeculationStatistics?

    public var prefillTokensPerSecond: Double { prefillSeconds > 0 ? Double(promptTokens - cachedTokens) / prefillSeconds : 0 }
    public var decodeTokensPerSecond: Double { decodeSeconds > 0 ? Double(generatedTokens - 1) / decodeSeconds : 0 }
}
