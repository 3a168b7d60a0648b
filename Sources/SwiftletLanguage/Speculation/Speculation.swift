// Speculation: several tokens are guessed cheaply, one step of the model checks them all, and those it would have drawn itself are kept.
//
// What comes out does not change. A guess is taken only by a rule under which every token has exactly the distribution of the plain loop
// (Leviathan, Kalman and Matias, "Fast Inference from Transformers via Speculative Decoding", 2023; Chen and others, "Accelerating Large
// Language Model Decoding with Speculative Sampling", 2023), after bias, penalties and filters:
//
//   a guess without probabilities   the token is drawn as ever, with the same random number; the guess is right when it is that token. So the
//   (prompt lookup, greedy drafts)  text of a seed stays the text of that seed, however many tokens are guessed.
//   a guess x drawn from q          x is kept with probability min(1, p(x)/q(x)), otherwise a token is drawn from max(0, p − q), normalised.
//
// The logits of a step of several tokens may differ in rounding from those of single steps where a kernel sums in another order for more rows
// (attention, floating-point weights; the products of quantised weights are the same bit for bit). So a greedy text can differ where two
// tokens are equally likely to the last digits, as it can between instruction sets.
import SwiftletRuntime

/// Whether and how the tokens to come are guessed.
public enum Speculation: Sendable {
    /// One token a step.
    case none
    /// Guesses that text repeats: what followed the last few tokens where they stood before, in the prompt or the answer. Needs no second
    /// model; pays when the answer quotes, edits or continues a pattern, and measures itself, so it costs next to nothing elsewhere.
    case promptLookup(DraftOptions = DraftOptions())
    /// A smaller model of the same vocabulary guesses. With a seed it guesses its most probable tokens, so that the text depends on the
    /// seed only; without one it draws them, which more often meets what the large model would draw.
    case draft(LanguageModel, DraftOptions = DraftOptions(maximumTokens: 8))

    /// Tokens a draft holds at most: with the token it follows, rows of two register tiles.
    static let longestDraft = 15

    private var options: DraftOptions? {
        switch self {
        case .none: nil
        case .promptLookup(let options), .draft(_, let options): options
        }
    }

    /// Throws `SwiftletError.invalidArgument` for a draft length out of range.
    func validate() throws {
        guard let count = options?.maximumTokens else { return }
        guard (1...Self.longestDraft).contains(count) else {
            throw SwiftletError.invalidArgument(
                name: "speculation", reason: "\(count) tokens at once are not between 1 and \(Self.longestDraft)",
                remedy: "Choose a number in that range.")
        }
    }
}

/// How many tokens are guessed.
public struct DraftOptions: Sendable, Equatable {
    /// Tokens guessed at once at most, 1 to 15. How many it is within that follows from what was measured.
    public var maximumTokens: Int
    /// Whether measured times and hits decide; otherwise as many tokens as allowed are guessed in every step, for tests and measurements.
    package var isAdaptive = true

    public init(maximumTokens: Int = 15) { self.maximumTokens = maximumTokens }

    package init(fixedTokens: Int) {
        maximumTokens = fixedTokens
        isAdaptive = false
    }
}

/// What speculation did in a generation.
public struct SpeculationStatistics: Sendable, Equatable {
    public enum State: String, Sendable {
        /// The latest figures say that guesses pay where there are any.
        case active
        /// They do not pay at present; it is tried again now and then.
        case paused
    }

    /// Tokens guessed, and how many of them were kept.
    public internal(set) var draftedTokens = 0
    public internal(set) var acceptedTokens = 0
    /// Steps that checked guesses, and steps that evaluated a single token.
    public internal(set) var verificationSteps = 0
    public internal(set) var plainSteps = 0
    public internal(set) var state = State.active
    /// Time of a step by the tokens it evaluates, beside that of a single token: a moving average of what was measured. Set when a generation ends.
    public internal(set) var stepCosts: [Int: Double] = [:]

    public var acceptance: Double { draftedTokens > 0 ? Double(acceptedTokens) / Double(draftedTokens) : 0 }
    /// Tokens a step of the model yielded; 1 without speculation.
    public var tokensPerStep: Double {
        let steps = verificationSteps + plainSteps
        return steps > 0 ? Double(steps + acceptedTokens) / Double(steps) : 1
    }
}
