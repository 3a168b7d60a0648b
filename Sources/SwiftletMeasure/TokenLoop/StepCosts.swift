// What evaluating a few tokens in one step costs beside evaluating one: the figure that decides whether drafts of speculation can pay.
import SwiftletLanguage
import SwiftletTensor

/// Times steps of several widths in turn, so that a machine that changes its pace changes all of them alike.
public struct StepCosts: Sendable {
    /// Tokens a step evaluates, each with a row of logits.
    public var widths: [Int]
    /// Positions in the cache before each step.
    public var contextTokens: Int
    /// Rounds over all widths; the median of each width counts.
    public var repetitions: Int

    public init(widths: [Int] = [1, 2, 3, 4, 5, 8], contextTokens: Int = 256, repetitions: Int = 40) {
        self.widths = widths
        self.contextTokens = contextTokens
        self.repetitions = repetitions
    }

    /// The cost of one width.
    public struct Cost: Sendable, Codable, Equatable {
        public let width: Int
        public let milliseconds: Spread
        /// Time beside the first width's.
        public let ratio: Double
    }

    /// Throws `SwiftletError.invalidArgument` for a count that is not positive and when the tokens exceed the model's context.
    public func measure(model: LanguageModel) throws -> [Cost] {
        guard let widest = widths.max(), widths.allSatisfy({ $0 > 0 }), contextTokens > 0, repetitions > 0 else {
            throw SwiftletError.invalidArgument(name: "widths", reason: "a count is not positive", remedy: "Give at least one width, and counts of at least 1.")
        }
        let decoder = try Decoder(model: model, context: contextTokens + widest)
        try decoder.evaluate(BenchmarkPrompt.tokens(contextTokens, of: model), at: 0, logits: .none)
        let clock = ContinuousClock()
        var times = Array(repeating: [Double](), count: widths.count)
        for repetition in 0...repetitions {
            for (index, width) in widths.enumerated() {
                let batch = BenchmarkPrompt.tokens(width, of: model)
                let start = clock.now
                try decoder.evaluate(batch, at: contextTokens, logits: .range(0..<width), best: 1)
                // The first round plans memory.
                if repetition > 0 { times[index].append((clock.now - start) / .milliseconds(1)) }
            }
        }
        let spreads = times.compactMap { Spread($0) }
        return zip(widths, spreads).map { Cost(width: $0, milliseconds: $1, ratio: $1.median / spreads[0].median) }
    }
}
