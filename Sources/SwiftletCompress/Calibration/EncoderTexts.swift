// Texts for calibration of an encoder, as the inputs of its graph.
import Foundation
import SwiftletLanguage
import SwiftletRuntime

/// Texts behind one another, some to a batch: what `EncoderModel.graph` computes the vectors of.
public struct EncoderTexts: CalibrationData {
    private let batches: [[[Int32]]]
    public let stateBinding: Binding

    /// - tokens: of each text, framed, as `TextEncoder.tokens(of:)` gives them.
    /// - textsPerBatch: how many are computed together.
    ///
    /// Throws `SwiftletError.invalidArgument` when there are none, or one has no tokens.
    public init(tokens: [[Int32]], textsPerBatch: Int = 8) throws {
        guard !tokens.isEmpty, textsPerBatch > 0, let longest = tokens.map(\.count).max(), !tokens.contains(where: \.isEmpty) else {
            throw SwiftletError.invalidArgument(
                name: "tokens", reason: "\(tokens.count) texts, \(tokens.count(where: \.isEmpty)) of them without tokens, \(textsPerBatch) to a batch",
                remedy: "Give at least one text, and each at least one token.")
        }
        batches = stride(from: 0, to: tokens.count, by: textsPerBatch).map { Array(tokens[$0..<min($0 + textsPerBatch, tokens.count)]) }
        stateBinding = [BERTGraph.texts: min(textsPerBatch, tokens.count), BERTGraph.context: longest]
    }

    /// Texts for `model`, a line each: `limit` of those that are not empty, evenly spread; nil for all.
    ///
    /// Throws `SwiftletError.invalidArgument` when there are none, and what reading the model's tokenizer throws.
    public init(text: [UInt8], model: EncoderModel, limit: Int? = nil) throws {
        try self.init(tokens: Self.tokens(of: text, tokenizer: TextEncoder.texts(path: model.path), limit: limit))
    }

    /// The tokens of such texts.
    package static func tokens(of text: [UInt8], tokenizer: EncoderTokenizer, limit: Int?) -> [[Int32]] {
        let lines = text.split { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") }
            .map { String(decoding: $0, as: UTF8.self).trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
        let taken = min(limit ?? .max, lines.count)
        return (0..<taken).map { tokenizer.tokens(of: lines[$0 * lines.count / taken]) }
    }

    /// How many texts there are.
    public var count: Int { batches.reduce(0) { $0 + $1.count } }
    public var batchCount: Int { batches.count }

    public func batch(_ index: Int) throws -> CalibrationBatch {
        let texts = batches[index]
        func rows(_ values: ([Int32], Int) -> [Int32]) -> [Int32] { texts.enumerated().flatMap { values($1, $0) } }
        let count = texts.reduce(0) { $0 + $1.count }
        let inputs: [(String, [Int32])] = [
            (BERTGraph.tokens, rows { text, _ in text }),
            (BERTGraph.positions, rows { text, _ in text.indices.map { Int32(truncatingIfNeeded: $0) } }),
            (BERTGraph.ends, rows { text, _ in text.map { _ in Int32(truncatingIfNeeded: text.count - 1) } }),
            (BERTGraph.slots, rows { text, slot in text.map { _ in Int32(truncatingIfNeeded: slot) } }),
        ]
        return CalibrationBatch(
            binding: [BERTGraph.count: count],
            inputs: try Dictionary(uniqueKeysWithValues: inputs.map { ($0.0, try Tensor($0.1, shape: [count])) }))
    }
}
