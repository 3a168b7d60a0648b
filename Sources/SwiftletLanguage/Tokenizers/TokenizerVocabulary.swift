// Everything a model file says about its tokenizer, as plain values: what GGUF metadata holds under `tokenizer.ggml.*`
// (github.com/ggml-org/ggml, docs/gguf.md), still unchecked. `Tokenizer(_:)` checks it and builds the tables.
import SwiftletFormats
import SwiftletTensor

/// What a token is, numbered as in `tokenizer.ggml.token_type`.
public enum TokenType: UInt8, Sendable {
    case undefined = 0
    case normal = 1
    case unknown = 2
    /// Never in text: begin of sequence, end of turn ... Found only when special tokens are parsed.
    case control = 3
    /// Always one token wherever it stands in text.
    case userDefined = 4
    case unused = 5
    /// One byte of text, written `<0xNN>`.
    case byte = 6
}

/// A tokenizer's vocabulary and settings, as a file gives them. Nil or empty where the file says nothing.
package struct TokenizerVocabulary: Sendable {
    /// The file named in errors.
    package var source: String
    /// `tokenizer.ggml.model`: gpt2, llama, bert ...
    package var model: String
    /// `tokenizer.ggml.pre`
    package var preTokenizer: String?
    /// The text of each token; the index is its id.
    package var tokens: GGUFStrings
    /// The numbers of `TokenType`, one a token.
    package var types: [Int]?
    /// Log-probabilities or ranks of SentencePiece tokens, one a token.
    package var scores: [Float]?
    /// "left right", in order of rank.
    package var merges: GGUFStrings?

    package var bos: Int?
    package var eos: Int?
    package var eot: Int?
    package var eom: Int?
    package var unknown: Int?
    package var separator: Int?
    package var padding: Int?
    package var mask: Int?
    /// Padding, repository and file separator of fill-in-the-middle prompts: they end a generation.
    package var fillPadding: Int?
    package var fillRepository: Int?
    package var fillSeparator: Int?

    package var addBos: Bool?
    package var addEos: Bool?
    package var addSpacePrefix: Bool?
    package var lowercase: Bool?
    package var stripAccents: Bool?
    /// Unicode scalars a WordPiece word may have; a longer one is unknown (tokenizer.json alone has it); nil for no limit.
    package var maximumWordScalars: Int?

    /// `general.name` and `general.architecture`: a few models are known to trim white space beside their special tokens.
    package var modelName: String?
    package var architecture: String?

    package init(source: String, model: String, tokens: GGUFStrings) {
        self.source = source
        self.model = model
        self.tokens = tokens
    }

    /// Reads the tokenizer's metadata. Throws `SwiftletError.malformed` for a missing or mistyped key.
    package init(_ file: GGUFFile) throws {
        try self.init(file.metadata, source: file.path)
    }

    /// Reads the tokenizer's metadata; `source` is the file named in errors.
    package init(_ metadata: GGUFMetadata, source: String) throws {
        let prefix = "tokenizer.ggml."
        self.init(
            source: source, model: try metadata.requiredString(prefix + "model"), tokens: try metadata.requiredStrings(prefix + "tokens"))
        preTokenizer = try metadata.string(prefix + "pre")
        types = try metadata.ints(prefix + "token_type")
        scores = try metadata.floats(prefix + "scores")
        merges = try metadata.strings(prefix + "merges")
        bos = try metadata.int(prefix + "bos_token_id")
        eos = try metadata.int(prefix + "eos_token_id")
        eot = try metadata.int(prefix + "eot_token_id")
        eom = try metadata.int(prefix + "eom_token_id")
        unknown = try metadata.int(prefix + "unknown_token_id")
        // The specification's own spelling.
        separator = try metadata.int(prefix + "seperator_token_id")
        padding = try metadata.int(prefix + "padding_token_id")
        mask = try metadata.int(prefix + "mask_token_id")
        fillPadding = try metadata.int(prefix + "fim_pad_token_id")
        fillRepository = try metadata.int(prefix + "fim_rep_token_id")
        fillSeparator = try metadata.int(prefix + "fim_sep_token_id")
        addBos = try metadata.bool(prefix + "add_bos_token")
        addEos = try metadata.bool(prefix + "add_eos_token")
        addSpacePrefix = try metadata.bool(prefix + "add_space_prefix")
        lowercase = try metadata.bool(prefix + "normalizer.lowercase")
        stripAccents = try metadata.bool(prefix + "normalizer.strip_accents")
        modelName = try metadata.string("general.name")
        architecture = try metadata.string("general.architecture")
    }

    /// The error for metadata that contradicts itself; `key` follows `tokenizer.ggml.`.
    func malformed(_ key: String, _ reason: String) -> SwiftletError {
        .malformed(
            file: source, offset: 0, reason: "tokenizer.ggml.\(key): \(reason)",
            remedy: "Download the file again, or convert the model again with a current converter.")
    }

    /// The error for a tokenizer that this version does not implement.
    func unsupported(_ key: String, _ reason: String) -> SwiftletError {
        .unsupported(
            file: source, place: "tokenizer.ggml.\(key)", reason: reason,
            remedy: "Use a model with another tokenizer, or a newer version of Swiftlet.")
    }
}
