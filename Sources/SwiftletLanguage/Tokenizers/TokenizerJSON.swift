// tokenizer.json, as the `tokenizers` library of Hugging Face writes it: a pipeline of normaliser, pre-tokenizer, model and post-processor, each an
// object with a `type`. Read here is the pipeline of BERT models: BertNormalizer, BertPreTokenizer, WordPiece, and a template or BertProcessing that
// frames a text in two tokens. Source: github.com/huggingface/tokenizers.
//
// The file marks tokens inside a word ("##ing"); the WordPiece model here wants those bare and a space before the others, as GGUF has them.
import Foundation
import SwiftletFormats
import SwiftletTensor

/// What a tokenizer.json describes.
package struct TokenizerJSON: Sendable {
    package let tokenizer: Tokenizer
    /// The most tokens of a text, those that frame it included; nil where the file does not cut texts.
    package let maximumTokens: Int?

    /// Reads a file. Throws `SwiftletError.io` when it cannot be opened, `.syntax` when it is no JSON, `.malformed` naming the member that is missing
    /// or wrong, and `.unsupported` naming the part of the pipeline that this version does not implement.
    package init(path: String) throws {
        let file = try MappedFile(path: path)
        try self.init(json: withExtendedLifetime(file) { Data(file.bytes) }, name: path)
    }

    /// Reads text in memory; `name` stands for the path in errors.
    package init(json: Data, name: String) throws {
        let root = JSONPlace(file: name, path: "", value: try TemplateValue(json: json, name: name))
        let model = try root.member("model")
        try model.requireType("WordPiece")
        var vocabulary = try Self.vocabulary(model, added: try root.optional("added_tokens")?.elements() ?? [], file: name)
        try Self.readNormalizer(try root.member("normalizer"), into: &vocabulary)
        try root.member("pre_tokenizer").requireType("BertPreTokenizer")
        (vocabulary.bos, vocabulary.separator) = try Self.frame(try root.member("post_processor"))
        vocabulary.maximumWordScalars = try model.optional("max_input_chars_per_word")?.count() ?? 100
        tokenizer = try Tokenizer(vocabulary)
        maximumTokens = try root.optional("truncation").map(Self.maximumTokens)
    }

    // MARK: The vocabulary

    private static func vocabulary(_ model: JSONPlace, added: [JSONPlace], file: String) throws -> TokenizerVocabulary {
        let prefix = try model.optional("continuing_subword_prefix")?.string() ?? "##"
        guard !prefix.isEmpty else { throw model.unsupported("tokens inside a word have no prefix") }
        let place = try model.member("vocab")
        let entries = try place.entries()
        var texts = [String?](repeating: nil, count: entries.count)
        for (text, id) in entries {
            guard case .int(let id) = id, texts.indices.contains(id), texts[id] == nil else {
                throw place.malformed("the ids are not 0 to \(entries.count - 1), each once")
            }
            texts[id] = text
        }
        var types = [Int](repeating: Int(TokenType.normal.rawValue), count: texts.count)
        for token in added {
            let (text, id) = (try token.member("content").string(), try token.member("id").count())
            // Tokens beyond the vocabulary come behind it, in order.
            if id == texts.count {
                texts.append(text)
                types.append(0)
            }
            guard id < texts.count, texts[id].map(ExactText.init) == ExactText(text) else {
                throw token.malformed("'\(text.prefix(80))' is not the token \(id)")
            }
            for flag in ["single_word", "lstrip", "rstrip", "normalized"] where try token.optional(flag)?.bool() == true {
                throw token.unsupported("an added token is found in the text as it stands, not with \(flag)")
            }
            let isSpecial = try token.optional("special")?.bool() ?? false
            types[id] = Int((isSpecial ? TokenType.control : .userDefined).rawValue)
        }
        let unknown = try model.member("unk_token").string()
        guard let unknownID = texts.firstIndex(where: { $0.map(ExactText.init) == ExactText(unknown) }) else {
            throw model.malformed("the unknown token '\(unknown.prefix(80))' is not in the vocabulary")
        }
        let marked = zip(texts, types).map { text, type in
            let text = text ?? ""
            guard type == Int(TokenType.normal.rawValue) else { return text }
            return text.utf8.starts(with: prefix.utf8) && text.utf8.count > prefix.utf8.count
                ? String(decoding: text.utf8.dropFirst(prefix.utf8.count), as: UTF8.self) : "\u{2581}" + text
        }
        var vocabulary = TokenizerVocabulary(source: file, model: Tokenizer.Kind.wordPiece.rawValue, tokens: GGUFStrings(marked))
        vocabulary.types = types
        vocabulary.unknown = unknownID
        // Ids that GGUF files leave out are BERT's own; a file that frames texts by name has them, or has none.
        func id(_ text: String) -> Int { texts.firstIndex { $0 == text } ?? -1 }
        (vocabulary.padding, vocabulary.mask) = (id("[PAD]"), id("[MASK]"))
        return vocabulary
    }

    // MARK: The pipeline

    private static func readNormalizer(_ place: JSONPlace, into vocabulary: inout TokenizerVocabulary) throws {
        try place.requireType("BertNormalizer")
        for member in ["clean_text", "handle_chinese_chars"] where try place.optional(member)?.bool() == false {
            throw place.unsupported("\(member) is off")
        }
        vocabulary.lowercase = try place.optional("lowercase")?.bool() ?? true
        vocabulary.stripAccents = try place.optional("strip_accents")?.bool()
    }

    /// The ids before and after a text.
    private static func frame(_ place: JSONPlace) throws -> (first: Int, last: Int) {
        let type = try place.member("type").string()
        switch type {
        case "BertProcessing":
            func id(_ name: String) throws -> Int {
                let pair = try place.member(name).elements()
                guard pair.count == 2 else { throw place.malformed("\(name) is not a pair of text and id") }
                return try pair[1].count()
            }
            return (try id("cls"), try id("sep"))
        case "TemplateProcessing":
            let parts = try place.member("single").elements()
            guard parts.count == 3, let text = try parts[1].optional("Sequence"), try text.member("id").string() == "A" else {
                throw place.unsupported("the template is not one token, the text, one token")
            }
            let tokens = try place.member("special_tokens")
            func id(_ part: JSONPlace) throws -> Int {
                guard let special = try part.optional("SpecialToken") else {
                    throw place.unsupported("the template is not one token, the text, one token")
                }
                let ids = try tokens.member(special.member("id").string()).member("ids").elements()
                guard ids.count == 1 else { throw place.unsupported("a token of the template stands for \(ids.count) tokens") }
                return try ids[0].count()
            }
            for part in parts {
                let inner = try part.optional("SpecialToken") ?? part.member("Sequence")
                guard try inner.optional("type_id")?.count() ?? 0 == 0 else { throw part.unsupported("tokens of a single text have types other than 0") }
            }
            return (try id(parts[0]), try id(parts[2]))
        default: throw place.unsupported("'\(type)' is not implemented")
        }
    }

    private static func maximumTokens(_ place: JSONPlace) throws -> Int {
        if let direction = try place.optional("direction")?.string(), direction != "Right" { throw place.unsupported("texts are cut on the \(direction) side") }
        let most = try place.member("max_length").count()
        guard most > 2 else { throw place.malformed("max_length \(most) leaves no room for text") }
        return most
    }
}

extension Tokenizer {
    /// The tokenizer in a tokenizer.json.
    ///
    /// Throws `SwiftletError.io`, `.syntax` and `.malformed` for a file that cannot be read, and `.unsupported` for one that is not of the WordPiece kind.
    public static func load(tokenizerJSON path: String) throws -> Tokenizer { try TokenizerJSON(path: path).tokenizer }
}

/// A value of a JSON file and its place, for errors.
private struct JSONPlace {
    let file: String
    /// Names and indices from the root on, each behind a dot.
    let path: String
    let value: TemplateValue

    func malformed(_ reason: String) -> SwiftletError {
        .malformed(file: file, offset: 0, reason: "\(place): \(reason)", remedy: "Download the file again.")
    }

    func unsupported(_ reason: String) -> SwiftletError {
        .unsupported(file: file, place: place, reason: reason, remedy: "Use a model with a tokenizer of the WordPiece kind, as BERT has.")
    }

    private var place: String { path.isEmpty ? "the root" : String(path.dropFirst()) }

    private func inner(_ name: String, _ value: TemplateValue) -> JSONPlace { JSONPlace(file: file, path: "\(path).\(name)", value: value) }

    /// The member of an object; nil where it is missing or null.
    func optional(_ name: String) throws -> JSONPlace? {
        guard case .dictionary(let members) = value else { throw malformed("is not an object") }
        switch members[name] {
        case nil, .undefined?, TemplateValue.none?: return nil
        case let found?: return inner(name, found)
        }
    }

    func member(_ name: String) throws -> JSONPlace {
        guard let found = try optional(name) else { throw malformed("has no '\(name.prefix(80))'") }
        return found
    }

    func requireType(_ type: String) throws {
        let found = try member("type").string()
        guard found == type else { throw unsupported("'\(found.prefix(80))' is not implemented") }
    }

    func entries() throws -> [(key: String, value: TemplateValue)] {
        guard case .dictionary(let members) = value else { throw malformed("is not an object") }
        return members.entries
    }

    func elements() throws -> [JSONPlace] {
        guard case .list(let elements) = value else { throw malformed("is not an array") }
        return elements.enumerated().map { inner("\($0)", $1) }
    }

    func string() throws -> String {
        guard case .string(let text) = value else { throw malformed("is not a text") }
        return text
    }

    func bool() throws -> Bool {
        guard case .bool(let truth) = value else { throw malformed("is not true or false") }
        return truth
    }

    /// A number that is not negative.
    func count() throws -> Int {
        guard case .int(let number) = value, number >= 0 else { throw malformed("is not a whole number from 0 on") }
        return number
    }
}
