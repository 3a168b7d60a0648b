// Turns tokens into text one at a time. A token may end in the middle of a character; those bytes wait for the next token.

/// Decodes a stream of tokens and never splits a character.
///
/// The strings it returns, put together, are exactly what `Tokenizer.decode` gives for all tokens at once.
public struct StreamingDecoder: Sendable {
    private let tokenizer: Tokenizer
    private let skipsSpecial: Bool
    private var dropsSpace: Bool
    /// The bytes of a character that is not complete: at most three.
    private var held: [UInt8] = []

    /// A decoder for the tokens of `tokenizer`. `skippingSpecial` leaves out control tokens. `droppingLeadingSpace` leaves out the space that
    /// SentencePiece and WordPiece models put before the first word; leave it false to continue a prompt.
    public init(_ tokenizer: Tokenizer, skippingSpecial: Bool = true, droppingLeadingSpace: Bool = false) {
        self.tokenizer = tokenizer
        skipsSpecial = skippingSpecial
        dropsSpace = droppingLeadingSpace && tokenizer.prefixesSpace
    }

    /// The text that `token` completes; empty while a character waits for more bytes.
    /// Bytes that cannot become a character read as U+FFFD at once.
    public mutating func append(_ token: Int32) -> String {
        let type = tokenizer.type(of: token)
        if type == .control || type == .unknown {
            if skipsSpecial { return "" }
        }
        return tokenizer.withBytes(of: token) { bytes in
            var bytes = bytes[...]
            if dropsSpace, let first = bytes.first, type != .control {
                if first == 0x20 { bytes = bytes.dropFirst() }
                dropsSpace = false
            }
            held.append(contentsOf: bytes)
            let complete = held.count - Self.unfinishedCount(held)
            guard complete > 0 else { return "" }
            let text = String(decoding: held[..<complete], as: UTF8.self)
            held.removeSubrange(..<complete)
            return text
        }
    }

    /// The end of the stream: a character that was never completed reads as U+FFFD.
    public mutating func finish() -> String {
        let text = String(decoding: held, as: UTF8.self)
        held.removeAll()
        return text
    }

    /// How many bytes at the end of `bytes` begin a character that more bytes may complete: 0 to 3.
    static func unfinishedCount(_ bytes: [UInt8]) -> Int {
        for count in 1...3 where count <= bytes.count {
            let lead = bytes[bytes.count - count]
            if lead & 0xC0 == 0x80 { continue }
            let length = lead >= 0xC2 && lead < 0xE0 ? 2 : lead >= 0xE0 && lead < 0xF0 ? 3 : lead >= 0xF0 && lead < 0xF5 ? 4 : 1
            guard count < length else { return 0 }
            guard count > 1 else { return 1 }
            // The second byte decides whether the sequence is overlong, a surrogate or beyond U+10FFFF.
            let second = bytes[bytes.count - count + 1]
            let allowed: ClosedRange<UInt8> =
                switch lead {
                case 0xE0: 0xA0...0xBF
                case 0xED: 0x80...0x9F
                case 0xF0: 0x90...0xBF
                case 0xF4: 0x80...0x8F
                default: 0x80...0xBF
                }
            return allowed.contains(second) ? count : 0
        }
        return 0
    }
}
