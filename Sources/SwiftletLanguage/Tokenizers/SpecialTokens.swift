// Which tokens mean something beyond text. Files name some of them by id; others are known by their text only, as llama.cpp knows them.

/// The special tokens of a vocabulary. Nil: the model has none.
public struct SpecialTokens: Sendable, Equatable {
    /// Begins a sequence; for BERT models `[CLS]`.
    public internal(set) var bos: Int32?
    /// Ends a sequence.
    public internal(set) var eos: Int32?
    /// Ends a turn of a conversation.
    public internal(set) var eot: Int32?
    /// Ends a message that awaits the answer of a tool.
    public internal(set) var eom: Int32?
    public internal(set) var unknown: Int32?
    public internal(set) var separator: Int32?
    public internal(set) var padding: Int32?
    public internal(set) var mask: Int32?
    /// All tokens after which a model has nothing more to say.
    public internal(set) var endOfGeneration: Set<Int32> = []
}

/// The special tokens as a file gives them, checked, and the types of all tokens with known mistakes of converters put right.
struct SpecialTokenDetector {
    private(set) var special = SpecialTokens()
    private(set) var types: [TokenType]

    /// Tokens that end a turn, the more specific ones first.
    private static let turnEnds: [StaticString] = [
        "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<end_of_utterance>", "<EOT>", "_<EOT>", "[EOT]", "<|endoftext|>",
        "<|end_of_text|>", "<｜end▁of▁sentence｜>",
    ]

    /// Tokens that end a generation, beside those that end a turn or a message.
    private static let otherEnds: [StaticString] = [
        "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "</s>", "<|eom_id|>", "[EOS]", "<eos>", "<turn|>", "<|tool_response>", "[e~[",
    ]

    /// Fill-in-the-middle padding, repository name and file separator: text after them is another file's.
    private static let fillEnds: [[StaticString]] = [
        ["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"],
        ["<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"],
        ["<|file_sep|>"],
    ]

    /// Tokens of the harmony format that are shown to the reader though files call them control tokens.
    private static let shown: [StaticString] = ["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"]

    private static let endOfMessage: StaticString = "<|eom_id|>"

    /// Throws `SwiftletError.malformed` for an id outside the vocabulary and for lists of the wrong length.
    init(_ vocabulary: TokenizerVocabulary, defaults: SpecialTokens) throws {
        types = try Self.types(vocabulary)
        func checked(_ id: Int?, _ key: String, _ fallback: Int32?) throws -> Int32? {
            guard let id else { return fallback.flatMap { Int($0) < vocabulary.tokens.count ? $0 : nil } }
            // 2^32 - 1 is how some converters write "none".
            if id == Int(UInt32.max) || id == -1 { return nil }
            guard id >= 0, id < vocabulary.tokens.count else {
                throw vocabulary.malformed(key, "id \(id) is not in the vocabulary of \(vocabulary.tokens.count) tokens")
            }
            return Int32(id)
        }
        special.bos = try checked(vocabulary.bos, "bos_token_id", defaults.bos)
        special.eos = try checked(vocabulary.eos, "eos_token_id", defaults.eos)
        special.eot = try checked(vocabulary.eot, "eot_token_id", nil)
        special.eom = try checked(vocabulary.eom, "eom_token_id", nil)
        special.unknown = try checked(vocabulary.unknown, "unknown_token_id", defaults.unknown)
        special.separator = try checked(vocabulary.separator, "seperator_token_id", defaults.separator)
        special.padding = try checked(vocabulary.padding, "padding_token_id", defaults.padding)
        special.mask = try checked(vocabulary.mask, "mask_token_id", defaults.mask)
        let fill = [
            try checked(vocabulary.fillPadding, "fim_pad_token_id", nil), try checked(vocabulary.fillRepository, "fim_rep_token_id", nil),
            try checked(vocabulary.fillSeparator, "fim_sep_token_id", nil),
        ]
        detect(vocabulary, fill: fill)
    }

    private static func types(_ vocabulary: TokenizerVocabulary) throws -> [TokenType] {
        guard let numbers = vocabulary.types else { return Array(repeating: .normal, count: vocabulary.tokens.count) }
        guard numbers.count == vocabulary.tokens.count else {
            throw vocabulary.malformed("token_type", "\(numbers.count) types for \(vocabulary.tokens.count) tokens")
        }
        return numbers.map { number in UInt8(exactly: number).flatMap(TokenType.init) ?? .undefined }
    }

    /// Finds the tokens that are known by their text. One pass: few tokens have the shape of a special one.
    private mutating func detect(_ vocabulary: TokenizerVocabulary, fill: [Int32?]) {
        var found: [String: Int32] = [:]
        let names = Self.turnEnds + Self.otherEnds + Self.fillEnds.flatMap { $0 } + Self.shown
        let wanted = Set(names.map(\.description))
        let longest = wanted.map(\.utf8.count).max() ?? 0
        let shortest = wanted.map(\.utf8.count).min() ?? 0
        for id in 0..<vocabulary.tokens.count {
            let bytes = vocabulary.tokens.bytes(at: id)
            guard bytes.count >= shortest, bytes.count <= longest, let first = bytes.first, first == 0x3C || first == 0x5B || first == 0x5F
            else { continue }
            let text = String(decoding: bytes, as: UTF8.self)
            if wanted.contains(text), found[text] == nil { found[text] = Int32(id) }
        }
        for name in Self.shown { if let id = found[name.description] { types[Int(id)] = .userDefined } }
        if special.eot == nil { special.eot = Self.turnEnds.lazy.compactMap { found[$0.description] }.first }
        if special.eom == nil { special.eom = found[Self.endOfMessage.description] }
        var ends: Set<Int32> = []
        for name in Self.turnEnds + Self.otherEnds { if let id = found[name.description] { ends.insert(id) } }
        for (given, names) in zip(fill, Self.fillEnds) {
            if let id = given ?? names.lazy.compactMap({ found[$0.description] }).first { ends.insert(id) }
        }
        // What looks like a control token is one, whatever the converter wrote: text must not be able to spell it.
        for id in ends { types[Int(id)] = .control }
        for id in [special.eos, special.eot, special.eom].compactMap({ $0 }) { ends.insert(id) }
        dropMessageEnd(&ends, found)
        special.endOfGeneration = ends
    }

    /// In the harmony format a message that `<|end|>` closes is followed by another one; and where tools answer inside the turn, `</s>` is text.
    private mutating func dropMessageEnd(_ ends: inout Set<Int32>, _ found: [String: Int32]) {
        let calls = found["<|call|>"] ?? found["<|calls|>"]
        if calls != nil, found["<|return|>"] ?? found["<|flush|>"] != nil, let end = found["<|end|>"] {
            ends.remove(end)
            types[Int(end)] = .userDefined
        }
        if found["<|tool_response>"] != nil, let end = found["</s>"] {
            ends.remove(end)
            types[Int(end)] = .normal
        }
    }
}
