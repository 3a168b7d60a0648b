// SentencePiece's BPE ("llama" in GGUF): characters are joined by the score of the token they make; what is no token becomes bytes.
//
// Spaces are part of tokens, stored as U+2581 "▁". The tables hold them as spaces, so text is searched as it is.
// Source: Kudo and Richardson, 2018, github.com/google/sentencepiece.
import SwiftletTensor

struct SentencePieceModel: MergeModel, Sendable {
    private let table: TokenTable
    private let ranks: Ranks
    private let byteTokens: ByteTokens
    private let unknown: Int32
    /// No token has a space behind another character, so no join crosses from a word to the space before the next one,
    /// and each word can be encoded by itself (and found in the cache).
    private let wordsAreIndependent: Bool

    /// Order-preserving ranks of the scores: the higher the score the lower the rank.
    ///
    /// `@unchecked Sendable`: the memory is written in `init` only.
    private final class Ranks: @unchecked Sendable {
        let values: UnsafeMutablePointer<UInt32>

        init(_ scores: [Float]) {
            values = .allocate(capacity: max(1, scores.count))
            for (index, score) in scores.enumerated() {
                // Adding zero makes -0 and 0 one.
                let bits = (score + 0).bitPattern
                let ascending = bits & 0x8000_0000 == 0 ? bits | 0x8000_0000 : ~bits
                (values + index).initialize(to: ~ascending)
            }
        }

        deinit { values.deallocate() }
    }

    /// Throws `SwiftletError.malformed` when the scores are missing, of another number than the tokens, or not numbers.
    init(_ vocabulary: TokenizerVocabulary, table: TokenTable, types: [TokenType], byteTokens: ByteTokens, unknown: Int32?) throws {
        guard let scores = vocabulary.scores else {
            throw vocabulary.malformed("scores", "a llama tokenizer needs scores, and the file has none")
        }
        guard scores.count == table.count else { throw vocabulary.malformed("scores", "\(scores.count) scores for \(table.count) tokens") }
        if let index = scores.firstIndex(where: \.isNaN) {
            throw vocabulary.malformed("scores", "the score of token \(index) is not a number")
        }
        self.table = table
        self.byteTokens = byteTokens
        self.unknown = unknown ?? TokenTable.missing
        ranks = Ranks(scores)
        wordsAreIndependent = !(0..<table.count).contains { id in
            switch types[id] {
            case .normal, .userDefined, .unused, .undefined: return Self.hasInnerSpace(table.bytes(of: id))
            case .unknown, .control, .byte: return false
            }
        }
    }

    private static func hasInnerSpace(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        guard bytes.count > 1 else { return false }
        for index in 1..<bytes.count where bytes[index] == 0x20 && bytes[index - 1] != 0x20 { return true }
        return false
    }

    /// Cuts the text `0..<end` where no token can lie across.
    @inline(__always)
    func split<Sink: PieceSink>(_ base: UnsafePointer<UInt8>, to end: Int, into sink: inout Sink) {
        guard end > 0 else { return }
        var start = 0
        if wordsAreIndependent {
            for index in 1..<max(1, end) where base[index] == 0x20 && base[index - 1] != 0x20 {
                sink.take(from: start, to: index)
                start = index
            }
        }
        sink.take(from: start, to: end)
    }

    @inline(__always)
    func begin(
        _ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int, ids: UnsafeMutablePointer<Int32>, starts: UnsafeMutablePointer<UInt32>
    ) -> Int {
        var index = start
        var count = 0
        while index < end {
            let length = UTF8Reader.scalar(base, at: index, end: end).length
            ids[count] = table.id(of: base + index, count: length)
            starts[count] = UInt32(truncatingIfNeeded: index)
            count += 1
            index += length
        }
        starts[count] = UInt32(truncatingIfNeeded: end)
        return count
    }

    @inline(__always)
    func rank(_ left: Int32, _ right: Int32, _ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> UInt32 {
        let id = table.id(of: base + start, count: end - start)
        return id < 0 ? MergeTable.noRank : ranks.values[Int(id)]
    }

    @inline(__always)
    func joined(_ rank: UInt32, _ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Int32 {
        table.id(of: base + start, count: end - start)
    }

    @inline(__always)
    func whole(_ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Int32 { TokenTable.missing }

    /// One byte token for each byte; where the vocabulary has none, the unknown token.
    func appendUnknown(_ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int, to output: inout [Int32]) {
        for index in start..<end {
            let id = byteTokens[base[index]]
            if id >= 0 {
                output.append(id)
            } else if unknown >= 0 {
                output.append(unknown)
            }
        }
    }
}
