// Byte-level byte-pair encoding ("gpt2" in GGUF): text is bytes, every byte is a token, merges join tokens in the order they were learned.
// Source: Radford et al., 2019, github.com/openai/gpt-2; Sennrich et al., 2016.
import SwiftletFormats
import SwiftletTensor

struct BytePairModel: MergeModel, Sendable {
    private let table: TokenTable
    private let merges: MergeTable
    /// The token of each byte, or `TokenTable.missing`.
    private let byteTokens: ByteTokens
    private let takesWholePieces: Bool

    /// Builds the merges of `vocabulary` over `table`. Throws `SwiftletError.malformed` when they are missing or name an unknown token.
    init(_ vocabulary: TokenizerVocabulary, table: TokenTable, takesWholePieces: Bool) throws {
        guard let lines = vocabulary.merges else {
            throw vocabulary.malformed("merges", "a gpt2 tokenizer needs merges, and the file has none")
        }
        guard lines.count < MergeTable.maximumMerges, table.count < MergeTable.maximumTokens else {
            throw vocabulary.unsupported("merges", "\(lines.count) merges of \(table.count) tokens are more than the table holds")
        }
        self.table = table
        self.takesWholePieces = takesWholePieces
        merges = MergeTable(count: lines.count)
        byteTokens = ByteTokens { byte in withUnsafePointer(to: byte) { table.id(of: $0, count: 1) } }
        try Self.read(lines, vocabulary, table, into: merges)
    }

    private static func read(_ lines: GGUFStrings, _ vocabulary: TokenizerVocabulary, _ table: TokenTable, into merges: MergeTable) throws {
        var capacity = 1024
        var buffer = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
        defer { buffer.deallocate() }
        try ByteAlphabet.byteOfScalar.withUnsafeBufferPointer { alphabet in
            for rank in 0..<lines.count {
                let line = lines.bytes(at: rank)
                if line.count > capacity {
                    buffer.deallocate()
                    capacity = line.count
                    buffer = .allocate(capacity: capacity)
                }
                // A space stands for itself in no token, so the first one, not at the start, parts the two.
                guard line.count > 2, let space = line.dropFirst().firstIndex(of: 0x20),
                    let left = ByteAlphabet.decode(UnsafeRawBufferPointer(rebasing: line[..<space]), alphabet, into: buffer), left > 0,
                    let right = ByteAlphabet.decode(UnsafeRawBufferPointer(rebasing: line[(space + 1)...]), alphabet, into: buffer + left),
                    right > 0
                else {
                    throw vocabulary.malformed("merges", "merge \(rank) '\(lines.string(at: rank).prefix(80))' is not a pair of tokens")
                }
                let leftID = table.id(of: buffer, count: left)
                let rightID = table.id(of: buffer + left, count: right)
                let made = table.id(of: buffer, count: left + right)
                guard leftID >= 0, rightID >= 0, made >= 0 else {
                    throw vocabulary.malformed(
                        "merges",
                        "merge \(rank) '\(lines.string(at: rank).prefix(80))' names or makes a token that is not in the vocabulary")
                }
                merges.insert(leftID, rightID, rank: rank, makes: made)
            }
        }
    }

    @inline(__always)
    func begin(
        _ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int, ids: UnsafeMutablePointer<Int32>, starts: UnsafeMutablePointer<UInt32>
    ) -> Int {
        for index in start..<end {
            ids[index - start] = byteTokens[base[index]]
            starts[index - start] = UInt32(truncatingIfNeeded: index)
        }
        starts[end - start] = UInt32(truncatingIfNeeded: end)
        return end - start
    }

    @inline(__always)
    func rank(_ left: Int32, _ right: Int32, _ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> UInt32 { merges.rank(left, right) }

    @inline(__always)
    func joined(_ rank: UInt32, _ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Int32 { merges.token(madeBy: rank) }

    @inline(__always)
    func whole(_ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Int32 {
        takesWholePieces ? table.id(of: base + start, count: end - start) : TokenTable.missing
    }

    /// A byte that is no token is left out, as in llama.cpp and Hugging Face: such a vocabulary has no way to write it.
    func appendUnknown(_ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int, to output: inout [Int32]) {}
}

/// A token for each of the 256 bytes.
///
/// `@unchecked Sendable`: the memory is written in `init` only.
final class ByteTokens: @unchecked Sendable {
    private let ids: UnsafeMutablePointer<Int32>

    /// Asks `id` for the token of each byte.
    init(_ id: (UInt8) -> Int32) {
        ids = .allocate(capacity: 256)
        for byte in 0..<256 { (ids + byte).initialize(to: id(UInt8(byte))) }
    }

    deinit { ids.deallocate() }

    @inline(__always)
    subscript(byte: UInt8) -> Int32 {
        get { ids[Int(byte)] }
        set { ids[Int(byte)] = newValue }
    }
}
