// Builds what a tokenizer looks things up in, from a vocabulary that is checked on the way, and runs the encoding.
import SwiftletFormats
import SwiftletTensor

/// The immutable inside of a `Tokenizer`, shared by its copies.
final class TokenizerTables: Sendable {
    private enum Algorithm: Sendable {
        case bytePair(PreTokenizer, BytePairModel)
        case sentencePiece(SentencePieceModel)
        case wordPiece(WordPieceModel)
    }

    let kind: Tokenizer.Kind
    /// Decoded: byte-level tokens are bytes, "▁" is a space, `<0x0A>` is one byte. Control and user-defined tokens are as they are written.
    let tokens: TokenTable
    let types: [TokenType]
    let special: SpecialTokens
    let added: AddedTokens
    let addsBos: Bool
    let addsEos: Bool
    let prefixesSpace: Bool
    private let algorithm: Algorithm

    /// Throws `SwiftletError.malformed` or `.unsupported`, naming the metadata key.
    init(_ vocabulary: TokenizerVocabulary) throws {
        guard let kind = Tokenizer.Kind(rawValue: vocabulary.model) else {
            throw vocabulary.unsupported("model", "the tokenizer '\(vocabulary.model)' is not implemented")
        }
        guard !vocabulary.tokens.isEmpty, vocabulary.tokens.count < Int(Int32.max) else {
            throw vocabulary.malformed("tokens", "the vocabulary has \(vocabulary.tokens.count) tokens")
        }
        let detector = try SpecialTokenDetector(vocabulary, defaults: Self.defaults(kind))
        let byteTokens = ByteTokens { _ in TokenTable.missing }
        tokens = try Self.tokenTable(vocabulary, kind, detector.types, byteTokens)
        types = detector.types
        special = detector.special
        added = Self.addedTokens(vocabulary, types)
        self.kind = kind
        var defaultBos = true
        switch kind {
        case .bytePair:
            let pre = try PreTokenizer.named(vocabulary.preTokenizer ?? "default", source: vocabulary.source)
            let model = try BytePairModel(vocabulary, table: tokens, takesWholePieces: pre.takesWholePieces)
            algorithm = .bytePair(pre, model)
            defaultBos = pre.addsBos
        case .sentencePiece:
            algorithm = .sentencePiece(
                try SentencePieceModel(vocabulary, table: tokens, types: types, byteTokens: byteTokens, unknown: special.unknown))
        case .wordPiece:
            algorithm = .wordPiece(try WordPieceModel(vocabulary, table: tokens, types: types, unknown: special.unknown))
        }
        // BERT models frame every text in [CLS] and [SEP].
        addsBos = kind == .wordPiece || (vocabulary.addBos ?? defaultBos)
        addsEos = kind == .wordPiece || (vocabulary.addEos ?? false)
        prefixesSpace = kind == .wordPiece || (kind == .sentencePiece && vocabulary.addSpacePrefix ?? true)
        if addsBos, special.bos == nil { throw vocabulary.malformed("add_bos_token", "the token to add, bos_token_id, is not set") }
        if addsEos, (kind == .wordPiece ? special.separator : special.eos) == nil {
            throw vocabulary.malformed(
                "add_eos_token", "the token to add, \(kind == .wordPiece ? "seperator" : "eos")_token_id, is not set")
        }
    }

    /// The special tokens of files that do not name them.
    private static func defaults(_ kind: Tokenizer.Kind) -> SpecialTokens {
        switch kind {
        case .bytePair: SpecialTokens()
        case .sentencePiece: SpecialTokens(bos: 1, eos: 2, unknown: 0)
        case .wordPiece: SpecialTokens(bos: 101, unknown: 100, separator: 102, padding: 0, mask: 103)
        }
    }

    // MARK: - Tables

    /// Decodes all tokens; fills `byteTokens` with those of type byte.
    private static func tokenTable(
        _ vocabulary: TokenizerVocabulary, _ kind: Tokenizer.Kind, _ types: [TokenType], _ byteTokens: ByteTokens
    ) throws -> TokenTable {
        let texts = vocabulary.tokens
        var capacity = 0
        for id in 0..<texts.count { capacity += texts.bytes(at: id).count }
        guard capacity < Int(UInt32.max) else { throw vocabulary.malformed("tokens", "\(capacity) bytes of tokens are too many") }
        let table = TokenTable(count: texts.count, byteCapacity: capacity)
        try ByteAlphabet.byteOfScalar.withUnsafeBufferPointer { alphabet in
            for id in 0..<texts.count {
                let text = texts.bytes(at: id)
                let output = table.nextBytes
                switch types[id] {
                case .control, .unknown, .userDefined:
                    // Found by AddedTokens. In some byte-level vocabularies merges make them too ("</s>" in Qwen's).
                    copy(text, to: output)
                    table.append(count: text.count, searchable: kind == .bytePair && isPrintableASCII(text))
                case .byte where kind != .bytePair:
                    guard let byte = byteValue(text) else {
                        throw vocabulary.malformed(
                            "tokens", "the byte token \(id) '\(texts.string(at: id).prefix(80))' is not <0x00> to <0xFF>")
                    }
                    output[0] = byte
                    byteTokens[byte] = Int32(id)
                    table.append(count: 1, searchable: false)
                case .normal, .unused, .undefined, .byte:
                    if kind == .bytePair {
                        if let count = ByteAlphabet.decode(text, alphabet, into: output) {
                            table.append(count: count, searchable: true)
                        } else {
                            // Characters outside the alphabet: no text is ever encoded as this token.
                            copy(text, to: output)
                            table.append(count: text.count, searchable: false)
                        }
                    } else {
                        table.append(count: copyUnescaping(text, to: output), searchable: true)
                    }
                }
            }
        }
        table.finish()
        return table
    }

    @inline(__always)
    private static func copy(_ text: UnsafeRawBufferPointer, to output: UnsafeMutablePointer<UInt8>) {
        guard let start = text.baseAddress else { return }
        UnsafeMutableRawPointer(output).copyMemory(from: start, byteCount: text.count)
    }

    /// Whether `text` reads the same in GPT-2's alphabet as in ASCII.
    private static func isPrintableASCII(_ text: UnsafeRawBufferPointer) -> Bool { text.allSatisfy { $0 > 0x20 && $0 < 0x7F } }

    /// Copies with "▁" as a space; returns the number of bytes written.
    @inline(__always)
    private static func copyUnescaping(_ text: UnsafeRawBufferPointer, to output: UnsafeMutablePointer<UInt8>) -> Int {
        var index = 0
        var written = 0
        while index < text.count {
            if text[index] == 0xE2, index + 2 < text.count, text[index + 1] == 0x96, text[index + 2] == 0x81 {
                output[written] = 0x20
                index += 3
            } else {
                output[written] = text[index]
                index += 1
            }
            written += 1
        }
        return written
    }

    /// The value of `<0x0A>`.
    private static func byteValue(_ text: UnsafeRawBufferPointer) -> UInt8? {
        guard text.count == 6, text[0] == 0x3C, text[1] == 0x30, text[2] == 0x78, text[5] == 0x3E else { return nil }
        guard let high = Character(Unicode.Scalar(text[3])).hexDigitValue, let low = Character(Unicode.Scalar(text[4])).hexDigitValue else {
            return nil
        }
        return UInt8(high << 4 | low)
    }

    private static func addedTokens(_ vocabulary: TokenizerVocabulary, _ types: [TokenType]) -> AddedTokens {
        let trims = SpecialTokenTrims(vocabulary)
        var added = AddedTokens()
        for id in 0..<vocabulary.tokens.count {
            switch types[id] {
            case .control, .unknown, .userDefined:
                let text = vocabulary.tokens.bytes(at: id)
                text.withMemoryRebound(to: UInt8.self) { bytes in
                    added.insert(bytes, id: Int32(id), isControl: types[id] != .userDefined, trim: trims.trim(of: bytes))
                }
            case .normal, .unused, .undefined, .byte: continue
            }
        }
        return added
    }

    // MARK: - Encoding

    /// Appends the tokens of the text of `count` bytes, more than 0, to `output`.
    func encode(_ base: UnsafePointer<UInt8>, count: Int, parseSpecial: Bool, output: [Int32]) -> [Int32] {
        switch algorithm {
        case .bytePair(let pre, let model):
            var session = MergeSession(model, base: base, textEnd: count, output: output)
            defer { session.deallocate() }
            let scanner = PieceScanner(base: base)
            forEachFragment(base, count: count, parseSpecial: parseSpecial) { start, end in
                pre.split(scanner, from: start, to: end, into: &session)
            } token: {
                session.append($0)
            }
            return session.output
        case .sentencePiece(let model):
            var output = output
            forEachFragment(base, count: count, parseSpecial: parseSpecial) { start, end in
                output = encode(model, base, start, end, output: output)
            } token: {
                output.append($0)
            }
            return output
        case .wordPiece(let model):
            var output = output
            forEachFragment(base, count: count, parseSpecial: parseSpecial) { start, end in
                model.encode(base, from: start, to: end, into: &output)
            } token: {
                output.append($0)
            }
            return output
        }
    }

    /// Encodes a fragment with SentencePiece: a space before it when the model wants one, and "▁" in the text taken for the space it stands for.
    private func encode(_ model: SentencePieceModel, _ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int, output: [Int32]) -> [Int32] {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: end - start + 1) { buffer in
            guard let text = buffer.baseAddress else { return output }
            if prefixesSpace { text[0] = 0x20 }
            let offset = prefixesSpace ? 1 : 0
            let written = Self.copyUnescaping(UnsafeRawBufferPointer(start: base + start, count: end - start), to: text + offset)
            var session = MergeSession(model, base: text, textEnd: written + offset, output: output)
            defer { session.deallocate() }
            model.split(text, to: written + offset, into: &session)
            return session.output
        }
    }

    /// Cuts the text at special tokens, in order. `text` gets each fragment between them: it is at the start or behind a special token.
    private func forEachFragment(
        _ base: UnsafePointer<UInt8>, count: Int, parseSpecial: Bool, text: (_ start: Int, _ end: Int) -> Void, token: (Int32) -> Void
    ) {
        var start = 0
        while start < count {
            guard let (matchStart, match) = added.first(base, from: start, to: count, parseSpecial: parseSpecial) else {
                text(start, count)
                return
            }
            var end = matchStart
            if match.trim.contains(.left) { while end > start, Self.isSpace(base[end - 1]) { end -= 1 } }
            if end > start { text(start, end) }
            token(match.id)
            start = match.end
            if match.trim.contains(.right) { while start < count, Self.isSpace(base[start]) { start += 1 } }
        }
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (byte >= 0x09 && byte <= 0x0D) }
}

/// White space that some models were trained to lose beside their special tokens. GGUF has no key for it, so it goes by names, as in llama.cpp.
struct SpecialTokenTrims {
    private enum Model { case phi3, trimsMask(StaticString), other }
    private let model: Model

    init(_ vocabulary: TokenizerVocabulary) {
        let pre = vocabulary.preTokenizer ?? ""
        let name = vocabulary.modelName?.lowercased() ?? ""
        let architecture = vocabulary.architecture ?? ""
        if pre.hasPrefix("jina-v2-") || architecture.hasPrefix("nomic-bert-moe") || architecture.hasPrefix("jina-bert-v3") {
            model = .trimsMask("<mask>")
        } else if name.contains("phi-3") || name.contains("phi3") {
            model = .phi3
        } else if name.contains("modern-bert") {
            model = .trimsMask("[MASK]")
        } else {
            model = .other
        }
    }

    func trim(of bytes: UnsafeBufferPointer<UInt8>) -> AddedTokens.Trim {
        switch model {
        case .other: return []
        case .trimsMask(let mask): return bytes.elementsEqual(mask.description.utf8) ? .left : []
        case .phi3:
            let kept: [StaticString] = ["<unk>", "<s>", "<|endoftext|>"]
            return kept.contains { bytes.elementsEqual($0.description.utf8) } ? [] : .right
        }
    }
}
