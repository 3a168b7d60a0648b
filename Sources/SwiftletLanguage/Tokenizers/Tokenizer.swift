// A model's tokenizer: text to token ids and back.
//
// A text goes through three steps: special tokens are cut out (AddedTokens), the rest is cut into pieces (PreTokenizer, or the words of
// SentencePiece), the pieces become tokens (MergeSession, WordPieceModel). Everything is built once and immutable, so one tokenizer
// serves any number of threads.
import SwiftletFormats
import SwiftletTensor

/// Turns text into the token ids of a model, and ids into text.
public struct Tokenizer: Sendable {
    /// The kind of tokenizer, as `tokenizer.ggml.model` names it.
    public enum Kind: String, Sendable {
        case bytePair = "gpt2"
        case sentencePiece = "llama"
        case wordPiece = "bert"
    }

    private let tables: TokenizerTables

    /// The tokenizer of a GGUF model.
    ///
    /// Throws `SwiftletError.malformed` when its metadata is missing or contradicts itself, and `.unsupported` for a tokenizer or
    /// pre-tokenizer that this version does not know.
    public static func load(from file: GGUFFile) throws -> Tokenizer { try Tokenizer(TokenizerVocabulary(file)) }

    /// Checks a vocabulary and builds the tables. Throws as `load(from:)` does.
    package init(_ vocabulary: TokenizerVocabulary) throws { tables = try TokenizerTables(vocabulary) }

    // MARK: - The vocabulary

    public var kind: Kind { tables.kind }

    /// The number of tokens; ids are below it.
    public var count: Int { tables.tokens.count }

    public var special: SpecialTokens { tables.special }
    public var bos: Int32? { special.bos }
    public var eos: Int32? { special.eos }
    public var eot: Int32? { special.eot }
    public var unknown: Int32? { special.unknown }
    public var padding: Int32? { special.padding }

    /// The tokens after which a model has nothing more to say: end of sequence, of turn, of message.
    public var endOfGeneration: Set<Int32> { special.endOfGeneration }

    /// Whether `encode` puts `bos` first when special tokens are added.
    public var addsBos: Bool { tables.addsBos }

    /// Whether `encode` puts `eos` (for BERT models the separator) last when special tokens are added.
    public var addsEos: Bool { tables.addsEos }

    /// Whether a space is put before the first word, so that it is encoded as it would be inside a sentence.
    public var prefixesSpace: Bool { tables.prefixesSpace }

    /// What `token` is; `.undefined` for an id outside the vocabulary.
    public func type(of token: Int32) -> TokenType {
        token >= 0 && token < count ? tables.types[Int(token)] : .undefined
    }

    /// The token whose text is exactly `text` (for a special token its name, such as `<|im_end|>`), or nil.
    public func token(for text: String) -> Int32? {
        var text = text
        return text.withUTF8 { bytes in
            guard let base = bytes.baseAddress, !bytes.isEmpty else { return nil }
            if let found = tables.added.first(base, from: 0, to: bytes.count, parseSpecial: true), found.start == 0,
                found.match.end == bytes.count
            {
                return found.match.id
            }
            let id = tables.tokens.id(of: base, count: bytes.count)
            return id < 0 ? nil : id
        }
    }

    // MARK: - Text to tokens

    /// The tokens of `text`.
    ///
    /// - Parameters:
    ///   - addSpecial: puts `bos` first and `eos` last where the model was trained with them.
    ///   - parseSpecial: the names of control tokens in the text (`<|im_start|>`) become those tokens. When false they are text, so what a
    ///     user types cannot start a turn; user-defined tokens are found either way.
    public func encode(_ text: String, addSpecial: Bool = true, parseSpecial: Bool = false) -> [Int32] {
        var text = text
        return text.withUTF8 { encode($0, addSpecial: addSpecial, parseSpecial: parseSpecial) }
    }

    /// The tokens of UTF-8 bytes, which need not be valid: bytes that are no character are tokens of their own in byte-level and
    /// SentencePiece vocabularies, and dropped by WordPiece. Parameters as for a string.
    public func encode(_ bytes: UnsafeBufferPointer<UInt8>, addSpecial: Bool = true, parseSpecial: Bool = false) -> [Int32] {
        var output: [Int32] = []
        if addSpecial, addsBos, let bos { output.append(bos) }
        if let base = bytes.baseAddress, !bytes.isEmpty {
            output.reserveCapacity(bytes.count / 4 + 8)
            output = tables.encode(base, count: bytes.count, parseSpecial: parseSpecial, output: output)
        }
        if addSpecial, addsEos, let last = kind == .wordPiece ? special.separator : eos { output.append(last) }
        return output
    }

    // MARK: - Tokens to text

    /// The bytes that `token` stands for: part of a character sometimes. None for an id outside the vocabulary.
    public func bytes(of token: Int32) -> [UInt8] { withBytes(of: token) { Array($0) } }

    /// Calls `body` with the bytes that `token` stands for; the pointer is valid during the call.
    package func withBytes<Result>(of token: Int32, _ body: (UnsafeBufferPointer<UInt8>) throws -> Result) rethrows -> Result {
        guard token >= 0, token < count else { return try body(UnsafeBufferPointer(start: nil, count: 0)) }
        return try withExtendedLifetime(tables) { try body(tables.tokens.bytes(of: Int(token))) }
    }

    /// The text of `token` for a reader. A token that is not whole characters shows its bytes as `<0xE2><0x96>`.
    public func piece(of token: Int32) -> String {
        withBytes(of: token) { bytes in
            let text = String(decoding: bytes, as: UTF8.self)
            if text.utf8.elementsEqual(bytes) { return text }
            return bytes.map { byte in
                let digits = String(byte, radix: 16, uppercase: true)
                return "<0x\(digits.count < 2 ? "0" : "")\(digits)>"
            }.joined()
        }
    }

    /// The text of `tokens`; bytes that form no character read as U+FFFD.
    ///
    /// The space that `encode` puts before the first word is taken away again. `skippingSpecial` leaves out control tokens.
    public func decode(_ tokens: some Sequence<Int32>, skippingSpecial: Bool = false) -> String {
        var decoder = StreamingDecoder(self, skippingSpecial: skippingSpecial, droppingLeadingSpace: true)
        var text = ""
        for token in tokens { text += decoder.append(token) }
        return text + decoder.finish()
    }
}
