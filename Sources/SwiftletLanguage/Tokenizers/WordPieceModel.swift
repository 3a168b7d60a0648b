// WordPiece ("bert" in GGUF): text is cleaned and cut into words, a word is cut greedily into the longest tokens.
//
// GGUF stores tokens that begin a word with a space (U+2581) before them and the others, "##ing" in BERT's own files, bare: so " " + word
// is searched. Cleaning follows BERT's BasicTokenizer: controls are dropped, ideographs and punctuation stand alone, accents (nonspacing
// marks of the canonical decomposition) go, capitals become small. Source: Devlin et al., 2018, github.com/google-research/bert.
import SwiftletTensor

struct WordPieceModel: Sendable {
    private let table: TokenTable
    private let unknown: Int32
    private let lowercase: Bool
    private let stripAccents: Bool
    /// Longer words are unknown.
    private let maximumWordScalars: Int
    /// Lengths in bytes that tokens have, longest first.
    private let lengths: [Int]

    /// Throws `SwiftletError.malformed` when the vocabulary has no unknown token: a word that cannot be cut needs one.
    init(_ vocabulary: TokenizerVocabulary, table: TokenTable, types: [TokenType], unknown: Int32?) throws {
        guard let unknown else { throw vocabulary.malformed("unknown_token_id", "a bert tokenizer needs an unknown token") }
        self.table = table
        self.unknown = unknown
        lowercase = vocabulary.lowercase ?? true
        stripAccents = vocabulary.stripAccents ?? lowercase
        maximumWordScalars = vocabulary.maximumWordScalars ?? .max
        var seen: Set<Int> = []
        for id in 0..<table.count where types[id] != .control { seen.insert(table.bytes(of: id).count) }
        lengths = seen.sorted(by: >)
    }

    /// Appends the tokens of the text `start..<end`.
    func encode(_ base: UnsafePointer<UInt8>, from start: Int, to end: Int, into output: inout [Int32]) {
        let classes = UnicodeClassTable.shared
        var word: [UInt8] = []
        var index = start
        while index < end {
            let (scalar, length) = UTF8Reader.scalar(base, at: index, end: end)
            index += length
            let found = classes.classes(of: scalar)
            if scalar == 0xFFFD || found.contains(.other) || isControl(scalar) {
                continue
            } else if found.contains(.whitespace) {
                flush(&word, &output)
            } else if isIdeograph(scalar) {
                flush(&word, &output)
                append(scalar, found, &word, &output, classes)
                flush(&word, &output)
            } else {
                append(scalar, found, &word, &output, classes)
            }
        }
        flush(&word, &output)
    }

    /// Control characters, which include some white space: only tab and line ends separate words.
    @inline(__always)
    private func isControl(_ scalar: UInt32) -> Bool {
        scalar < 0x20 ? scalar != 0x09 && scalar != 0x0A && scalar != 0x0D : scalar >= 0x7F && scalar <= 0x9F
    }

    /// Appends a scalar to the word: decomposed, without accents, small.
    private func append(
        _ scalar: UInt32, _ found: UnicodeClasses, _ word: inout [UInt8], _ output: inout [Int32], _ classes: UnicodeClassTable
    ) {
        if scalar < 0x80 {
            let isCapital = scalar >= 0x41 && scalar <= 0x5A
            appendSmall(lowercase && isCapital ? scalar | 0x20 : scalar, found, &word, &output)
            return
        }
        guard stripAccents else { return appendFolded(scalar, &word, &output, classes) }
        if found.contains(.nonspacingMark) { return }
        guard let parts = Unaccented.parts(of: scalar) else { return appendFolded(scalar, &word, &output, classes) }
        for part in [parts.0, parts.1, parts.2] where part != 0 { appendFolded(part, &word, &output, classes) }
    }

    private func appendFolded(_ scalar: UInt32, _ word: inout [UInt8], _ output: inout [Int32], _ classes: UnicodeClassTable) {
        guard lowercase, let value = Unicode.Scalar(scalar) else {
            return appendSmall(scalar, classes.classes(of: scalar), &word, &output)
        }
        for small in value.properties.lowercaseMapping.unicodeScalars {
            appendSmall(small.value, classes.classes(of: small.value), &word, &output)
        }
    }

    private func appendSmall(_ scalar: UInt32, _ found: UnicodeClasses, _ word: inout [UInt8], _ output: inout [Int32]) {
        guard found.contains(.punctuation) || (scalar < 0x80 && found.contains(.symbol)) else {
            return UTF8Reader.append(scalar, to: &word)
        }
        flush(&word, &output)
        UTF8Reader.append(scalar, to: &word)
        flush(&word, &output)
    }

    /// The scalars that BERT takes for Chinese characters; one range starts at 0x2B920 in all published tokenizers.
    private func isIdeograph(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F, 0x2B920...0x2CEAF, 0xF900...0xFAFF,
            0x2F800...0x2FA1F:
            true
        default: false
        }
    }

    /// Cuts the word into tokens, or into the unknown token when some part of it is none.
    private func flush(_ word: inout [UInt8], _ output: inout [Int32]) {
        guard !word.isEmpty else { return }
        defer { word.removeAll(keepingCapacity: true) }
        if word.count > maximumWordScalars, word.lazy.filter({ $0 & 0xC0 != 0x80 }).count > maximumWordScalars {
            output.append(unknown)
            return
        }
        word.insert(0x20, at: 0)
        let before = output.count
        word.withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress else { return }
            var index = 0
            while index < bytes.count {
                var found: (id: Int32, count: Int)?
                for length in lengths where length <= bytes.count - index && length > 0 {
                    let id = table.id(of: base + index, count: length)
                    if id >= 0 {
                        found = (id, length)
                        break
                    }
                }
                guard let found else {
                    output.removeSubrange(before...)
                    output.append(unknown)
                    return
                }
                output.append(found.id)
                index += found.count
            }
        }
    }
}

/// Canonical decompositions without their nonspacing marks.
enum Unaccented {
    /// What stays of `scalar`, zeros filling up, or nil when it has no decomposition.
    static func parts(of scalar: UInt32) -> (UInt32, UInt32, UInt32)? {
        if scalar >= 0xAC00, scalar <= 0xD7A3 {
            // Hangul syllables decompose by arithmetic (The Unicode Standard, 3.12).
            let index = scalar - 0xAC00
            let trailing = index % 28
            return (0x1100 + index / 588, 0x1161 + index % 588 / 28, trailing == 0 ? 0 : 0x11A7 + trailing)
        }
        let table = UnicodeTables.unaccented
        var low = 0
        var high = table.count
        while low < high {
            let middle = (low + high) / 2
            if table[middle] >> 42 < UInt64(scalar) { low = middle + 1 } else { high = middle }
        }
        guard low < table.count, table[low] >> 42 == UInt64(scalar) else { return nil }
        return (UInt32(table[low] >> 21 & 0x1F_FFFF), UInt32(table[low] & 0x1F_FFFF), 0)
    }
}
