// Tokens as text or JSON, written byte by byte: a book has a million tokens, which a general JSON encoder takes its time over.
import SwiftletLanguage

enum TokenListing {
    /// `id piece`, one a line; control characters of the piece escaped.
    static func lines(_ tokens: [Int32], _ tokenizer: Tokenizer) -> [UInt8] {
        var output: [UInt8] = []
        for token in tokens {
            output += "\(token)".utf8
            output.append(UInt8(ascii: "\t"))
            appendQuoted(tokenizer.piece(of: token), to: &output)
            output.append(UInt8(ascii: "\n"))
        }
        return output
    }

    /// One object: `count`, `pieces`, `tokens`.
    static func json(_ tokens: [Int32], _ tokenizer: Tokenizer) -> [UInt8] {
        var output = Array("{\"count\":\(tokens.count),\"pieces\":[".utf8)
        for (index, token) in tokens.enumerated() {
            if index > 0 { output.append(UInt8(ascii: ",")) }
            appendQuoted(tokenizer.piece(of: token), to: &output)
        }
        output += "],\"tokens\":[".utf8
        for (index, token) in tokens.enumerated() {
            if index > 0 { output.append(UInt8(ascii: ",")) }
            output += "\(token)".utf8
        }
        output += "]}\n".utf8
        return output
    }

    /// A JSON string (RFC 8259): quotes, backslashes and control characters escaped, everything else as it is.
    private static func appendQuoted(_ text: String, to output: inout [UInt8]) {
        output.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): output += [UInt8(ascii: "\\"), byte]
            case UInt8(ascii: "\n"): output += "\\n".utf8
            case UInt8(ascii: "\t"): output += "\\t".utf8
            case UInt8(ascii: "\r"): output += "\\r".utf8
            case 0..<0x20, 0x7F:
                let digits = String(byte, radix: 16)
                output += "\\u00\(digits.count == 1 ? "0" : "")\(digits)".utf8
            default: output.append(byte)
            }
        }
        output.append(UInt8(ascii: "\""))
    }
}
