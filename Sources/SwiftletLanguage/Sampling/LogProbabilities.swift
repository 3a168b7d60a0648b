// Log-probabilities of tokens from raw logits: log-softmax, computed for the tokens asked for only.
import SwiftletRuntime

/// A token and the natural logarithm of its probability.
public struct TokenLogProbability: Sendable, Codable, Equatable {
    public let token: Int32
    public let logProbability: Float

    public init(token: Int32, logProbability: Float) {
        self.token = token
        self.logProbability = logProbability
    }
}

/// Computes log-probabilities from rows of logits as the model gave them, before bias, penalties and temperature. Reusable; keeps its memory.
package struct LogProbabilities {
    private let reductions: RowReductions
    private var candidates = CandidateHeap()
    /// For rows of the length seen last.
    private var blocks: (length: Int, value: LogitBlocks)?

    /// Throws `SwiftletError.unsupported` for an incomplete build.
    package init() throws { reductions = try RowReductions() }

    /// ln p of one token of a row. Throws `SwiftletError.invalidArgument` for a token outside the row.
    package func logProbability(of token: Int32, in logits: UnsafeBufferPointer<Float>) throws -> Float {
        guard token >= 0, Int(token) < logits.count else { throw Self.outside(token, logits.count) }
        return logits[Int(token)] - reductions.logSumExp(logits)
    }

    /// ln p of `token`, and of the `top` most probable tokens of the row, best first (equals: the lower id first).
    package mutating func logProbabilities(
        of token: Int32, top: Int, in logits: UnsafeBufferPointer<Float>
    ) throws -> (token: Float, alternatives: [TokenLogProbability]) {
        guard token >= 0, Int(token) < logits.count else { throw Self.outside(token, logits.count) }
        let total = reductions.logSumExp(logits)
        try keepBest(max(top, 0), of: logits)
        return (
            logits[Int(token)] - total,
            candidates.items.map { TokenLogProbability(token: $0.token, logProbability: $0.logit - total) }
        )
    }

    private mutating func keepBest(_ count: Int, of logits: UnsafeBufferPointer<Float>) throws {
        var blocks: LogitBlocks
        if let known = self.blocks, known.length == logits.count { blocks = known.value } else { blocks = try LogitBlocks(vocabularyCount: logits.count) }
        self.blocks = nil
        _ = blocks.read(logits)
        candidates.keep(logits, atLeast: blocks.threshold(forBest: count), blocks)
        candidates.keepBest(count)
        self.blocks = (logits.count, blocks)
    }

    private static func outside(_ token: Int32, _ count: Int) -> SwiftletError {
        .invalidArgument(name: "token", reason: "\(token) is not in the vocabulary of \(count) tokens", remedy: "Give an id of this model.")
    }
}
