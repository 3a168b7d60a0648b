// How far a model has moved from the one it was made of: the Kullback-Leibler divergence of the next token, and how often both prefer the same one.
//
// Windows and scored positions are those of Perplexity (and of llama.cpp's perplexity tool with --kl-divergence): the second half of each
// window. Both models evaluate the same tokens; their rows of logits are compared piece by piece, so memory stays bounded. With P of the parent
// and Q of the other, D = Σ P·(ln P − ln Q) over the vocabulary, in nats. Kullback and Leibler, "On Information and Sufficiency", 1951.
import Foundation
import SwiftletLanguage
import SwiftletTensor

/// Compares the predictions of a language model with those of its parent.
public struct Divergence: Sendable {
    /// Tokens in a window.
    public var context: Int
    /// How many windows to compare, from the start of the text; nil for all.
    public var chunks: Int?

    public init(context: Int = 512, chunks: Int? = nil) {
        self.context = context
        self.chunks = chunks
    }

    /// What was measured.
    public struct Result: Sendable, Codable, Equatable {
        public var parentPerplexity: Double
        public var perplexity: Double
        /// The rise of perplexity, in percent of the parent's.
        public var perplexityRisePercent: Double
        /// Of one token, in nats, with one standard error.
        public var meanDivergence: Double
        public var divergenceError: Double
        public var medianDivergence: Double
        /// Not exceeded by 99 % of the tokens.
        public var divergence99: Double
        public var maximumDivergence: Double
        /// How often both hold the same token for the most probable.
        public var topTokenAgreementPercent: Double
        public var context: Int
        public var chunks: Int
        public var scoredTokens: Int
        public var seconds: Double
    }

    /// The estimate after one more window.
    public struct Progress: Sendable {
        public let chunk: Int
        public let chunks: Int
        public let meanDivergence: Double
    }

    /// Compares on UTF-8 text. `progress` is called after each window; what it throws ends the measurement.
    ///
    /// Throws `SwiftletError.invalidArgument` when the models do not split the text into the same tokens, and as `Perplexity`.
    public func measure(
        _ text: [UInt8], parent: LanguageModel, model: LanguageModel, progress: (Progress) throws -> Void = { _ in }
    ) throws -> Result {
        let tokens = text.withUnsafeBufferPointer { parent.tokenizer.encode($0, addSpecial: true) }
        let others = text.withUnsafeBufferPointer { model.tokenizer.encode($0, addSpecial: true) }
        guard tokens == others, parent.vocabularyCount == model.vocabularyCount else {
            throw SwiftletError.invalidArgument(
                name: model.path, reason: "does not split the text into the tokens of \(parent.path)", remedy: "Compare models with one vocabulary.")
        }
        return try measure(tokens: tokens, parent: parent, model: model, progress: progress)
    }

    func measure(tokens: [Int32], parent: LanguageModel, model: LanguageModel, progress: (Progress) throws -> Void = { _ in }) throws -> Result {
        let count = try Perplexity(context: context, chunks: chunks).windowCount(of: tokens.count)
        let first = try Decoder(model: parent, context: context), second = try Decoder(model: model, context: context)
        let rowBytes = 2 * parent.vocabularyCount * MemoryLayout<Float>.stride
        let rowLimit = min(max(1, TokenScorer.logitBytes / rowBytes), Decoder.batch)
        let pieces = LogitPieces(count: context, from: context / 2, rowLimit: rowLimit, batch: Decoder.batch).pieces
        let clock = ContinuousClock()
        let start = clock.now
        var sums = (parent: 0.0, model: 0.0, agreements: 0)
        var divergences: [Float] = []
        for chunk in 0..<count {
            var window = Array(tokens[chunk * context..<(chunk + 1) * context])
            if parent.tokenizer.addsBos, let bos = parent.tokenizer.bos { window[0] = bos }
            for piece in pieces {
                let part = Array(window[piece.tokens]), wanted = piece.rows > 0 ? Decoder.LogitRows.range(piece.wanted) : .none
                let left = try first.evaluate(part, at: piece.tokens.lowerBound, logits: wanted)
                let right = try second.evaluate(part, at: piece.tokens.lowerBound, logits: wanted)
                for row in 0..<piece.rows {
                    let pair = try LogitPair(UnsafeBufferPointer(left[row]), UnsafeBufferPointer(right[row]))
                    let next = Int(window[piece.firstRow + row + 1])
                    sums.parent -= Double(left[row][next]) - pair.totals.parent
                    sums.model -= Double(right[row][next]) - pair.totals.model
                    if pair.agrees { sums.agreements += 1 }
                    divergences.append(Float(pair.divergence))
                }
            }
            let mean = divergences.reduce(0) { $0 + Double($1) } / Double(divergences.count)
            try progress(Progress(chunk: chunk + 1, chunks: count, meanDivergence: mean))
        }
        let scored = Double(divergences.count)
        let mean = divergences.reduce(0) { $0 + Double($1) } / scored
        let variance = divergences.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / max(1, scored - 1)
        let sorted = divergences.sorted()
        func quantile(_ share: Double) -> Double { Double(sorted[min(sorted.count - 1, Int((share * scored).rounded(.up)) - 1)]) }
        let (parentPerplexity, perplexity) = (exp(sums.parent / scored), exp(sums.model / scored))
        return Result(
            parentPerplexity: parentPerplexity, perplexity: perplexity, perplexityRisePercent: 100 * (perplexity / parentPerplexity - 1),
            meanDivergence: mean, divergenceError: (variance / scored).squareRoot(), medianDivergence: quantile(0.5), divergence99: quantile(0.99),
            maximumDivergence: Double(sorted.last ?? 0), topTokenAgreementPercent: 100 * Double(sums.agreements) / scored, context: context, chunks: count,
            scoredTokens: divergences.count, seconds: (clock.now - start) / .seconds(1))
    }
}

/// Two rows of logits for one position.
package struct LogitPair {
    /// ln Σ exp of each row.
    package let totals: (parent: Double, model: Double)
    /// In nats, never negative.
    package let divergence: Double
    /// Whether the largest logits are at the same place; of equals the first counts.
    package let agrees: Bool

    /// Throws `SwiftletError.invalidGraph` where a logit is not a number.
    package init(_ parent: UnsafeBufferPointer<Float>, _ model: UnsafeBufferPointer<Float>) throws {
        var best = (0, 0)
        for index in parent.indices {
            if parent[index] > parent[best.0] { best.0 = index }
            if model[index] > model[best.1] { best.1 = index }
        }
        let largest = (Double(parent[best.0]), Double(model[best.1]))
        var (parentSum, modelSum, difference) = (0.0, 0.0, 0.0)
        for index in parent.indices {
            let (p, q) = (Double(parent[index]), Double(model[index]))
            let power = exp(p - largest.0)
            parentSum += power
            modelSum += exp(q - largest.1)
            // A token that the parent forbids has no share, whatever the other says.
            if power > 0 { difference += power * (p - q) }
        }
        totals = (largest.0 + log(parentSum), largest.1 + log(modelSum))
        divergence = max(0, difference / parentSum - (totals.parent - totals.model))
        agrees = best.0 == best.1
        guard !divergence.isNaN, !totals.parent.isNaN, !totals.model.isNaN else {
            throw SwiftletError.invalidGraph(
                node: "logits", reason: "a logit is not a number", remedy: "The model file or a kernel is broken: try --isa scalar.")
        }
    }
}
