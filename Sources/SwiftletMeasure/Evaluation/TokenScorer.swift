// Log-probabilities of given tokens under a model, in few and bounded pieces: a row of logits is as long as the vocabulary, so a window of
// them may take hundreds of megabytes.
import SwiftletLanguage
import SwiftletTensor

/// Scores tokens with a decoder: how probable is each, given the ones before it?
package struct TokenScorer {
    package let decoder: Decoder
    private let probabilities: LogProbabilities
    /// Rows of logits held at once.
    private let rowLimit: Int

    /// Memory that rows of logits may take, in bytes.
    static let logitBytes = 64 << 20

    package init(_ decoder: Decoder) throws {
        self.decoder = decoder
        probabilities = try LogProbabilities()
        rowLimit = min(max(1, Self.logitBytes / (decoder.model.vocabularyCount * MemoryLayout<Float>.stride)), Decoder.batch)
    }

    /// Evaluates `tokens` at `position` and on, and gives ln p of `tokens[i + 1]` after `tokens[...i]` to `body` for each i from `first` on.
    /// The last token is not evaluated: nothing follows it.
    package func score(_ tokens: [Int32], at position: Int, from first: Int = 0, _ body: (Double) throws -> Void) throws {
        for piece in LogitPieces(count: tokens.count, from: first, rowLimit: rowLimit, batch: Decoder.batch).pieces {
            let part = Array(tokens[piece.tokens])
            guard piece.rows > 0 else {
                try decoder.evaluate(part, at: position + piece.tokens.lowerBound, logits: .none)
                continue
            }
            let rows = try decoder.evaluate(part, at: position + piece.tokens.lowerBound, logits: .range(piece.wanted))
            for index in 0..<rows.count { try body(try probability(of: tokens[piece.firstRow + index + 1], in: rows[index])) }
        }
    }

    /// ln p of each of `next` after `tokens`, which are evaluated at position 0.
    package func score(next: [Int32], after tokens: [Int32]) throws -> [Double] {
        let rows = try decoder.evaluate(tokens, at: 0, logits: .last)
        return try next.map { try probability(of: $0, in: rows[0]) }
    }

    /// Σ ln p of the tokens of each of `continuations` after `prefix`, which is evaluated once and stays in the cache; each continuation overwrites the
    /// one before it.
    package func sums(of continuations: [[Int32]], after prefix: [Int32]) throws -> [Double] {
        let firsts = try score(next: continuations.map { $0[0] }, after: prefix)
        return try continuations.enumerated().map { index, continuation in
            var sum = firsts[index]
            try score(continuation, at: prefix.count) { sum += $0 }
            return sum
        }
    }

    private func probability(of token: Int32, in row: UnsafeMutableBufferPointer<Float>) throws -> Double {
        let value = Double(try probabilities.logProbability(of: token, in: UnsafeBufferPointer(row)))
        guard !value.isNaN else {
            throw SwiftletError.invalidGraph(
                node: "logits", reason: "a logit is not a number", remedy: "The model file or a kernel is broken: try --isa scalar.")
        }
        return value
    }
}
