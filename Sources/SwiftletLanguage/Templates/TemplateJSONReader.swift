// JSON (RFC 8259) into `TemplateValue`. Written here because Foundation's decoder loses the order of keys and the difference between
// 1 and 1.0, and a template prints both. The text may come from a request or a file: nesting is limited, every error has line and column.

import Foundation
import SwiftletTensor

extension TemplateValue {
    /// How deeply arrays and objects may nest in JSON text, and values in a template's context.
    package static let maximumNesting = 128

    /// Decodes JSON text, keeping the order of keys and integers apart from floating-point numbers.
    ///
    /// - Parameters:
    ///   - json: UTF-8 text holding exactly one JSON value.
    ///   - name: what to call the text in errors.
    /// - Throws: `SwiftletError.syntax` for text that is not JSON, for integers beyond 64 bits and for nesting deeper than 128.
    public init(json: Data, name: String = "JSON") throws {
        var reader = TemplateJSONReader(bytes: [UInt8](json), name: name)
        self = try reader.readDocument()
    }
}

private struct TemplateJSONReader {
    let bytes: [UInt8]
    let name: String
    var offset = 0
    var depth = 0

    init(bytes: [UInt8], name: String) {
        self.bytes = bytes
        self.name = name
    }

    mutating func readDocument() throws -> TemplateValue {
        skipSpace()
        let value = try readValue()
        skipSpace()
        guard offset == bytes.count else { throw failure("text after the end of the value") }
        return value
    }

    /// An error at the current offset. Line and column are computed only here, so reading stays linear.
    private func failure(_ reason: String) -> SwiftletError {
        var line = 1
        var column = 1
        for byte in bytes[..<min(offset, bytes.count)] {
            if byte == UInt8(ascii: "\n") {
                line += 1
                column = 1
            } else if byte & 0xC0 != 0x80 {
                column += 1
            }
        }
        return .syntax(source: name, line: line, column: column, reason: reason, remedy: "Correct the JSON text.")
    }

    private mutating func skipSpace() {
        while offset < bytes.count, [0x20, 0x0A, 0x0D, 0x09].contains(bytes[offset]) { offset += 1 }
    }

    private var next: UInt8? { offset < bytes.count ? bytes[offset] : nil }

    private mutating func skip(_ character: Character) -> Bool {
        guard next == character.asciiValue else { return false }
        offset += 1
        return true
    }

    private mutating func readValue() throws -> TemplateValue {
        guard let byte = next else { throw failure("the text ends where a value should be") }
        switch byte {
        case UInt8(ascii: "{"): return try nested { try $0.readObject() }
        case UInt8(ascii: "["): return try nested { try $0.readArray() }
        case UInt8(ascii: "\""): return .string(try readString())
        case UInt8(ascii: "t"): return try readWord("true", .bool(true))
        case UInt8(ascii: "f"): return try readWord("false", .bool(false))
        case UInt8(ascii: "n"): return try readWord("null", .none)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try readNumber()
        default: throw failure("a character that starts no JSON value")
        }
    }

    private mutating func nested(_ read: (inout Self) throws -> TemplateValue) throws -> TemplateValue {
        guard depth < TemplateValue.maximumNesting else { throw failure("nesting deeper than \(TemplateValue.maximumNesting)") }
        depth += 1
        defer { depth -= 1 }
        return try read(&self)
    }

    private mutating func readObject() throws -> TemplateValue {
        offset += 1
        var object = TemplateDictionary()
        skipSpace()
        if skip("}") { return .dictionary(object) }
        while true {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw failure("expected a key in double quotes") }
            let key = try readString()
            skipSpace()
            guard skip(":") else { throw failure("expected ':' after the key") }
            skipSpace()
            object[key] = try readValue()
            skipSpace()
            if skip("}") { return .dictionary(object) }
            guard skip(",") else { throw failure("expected ',' or '}' in an object") }
        }
    }

    private mutating func readArray() throws -> TemplateValue {
        offset += 1
        var elements: [TemplateValue] = []
        skipSpace()
        if skip("]") { return .list(elements) }
        while true {
            skipSpace()
            elements.append(try readValue())
            skipSpace()
            if skip("]") { return .list(elements) }
            guard skip(",") else { throw failure("expected ',' or ']' in an array") }
        }
    }

    private mutating func readWord(_ word: String, _ value: TemplateValue) throws -> TemplateValue {
        guard bytes[offset...].starts(with: word.utf8) else { throw failure("a word that is not true, false or null") }
        offset += word.utf8.count
        return value
    }

    private mutating func skipDigits() throws {
        let start = offset
        while let byte = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { offset += 1 }
        if start == offset { throw failure("expected a digit") }
    }

    private mutating func readNumber() throws -> TemplateValue {
        let start = offset
        var isInteger = true
        _ = skip("-")
        if !skip("0") { try skipDigits() }
        if skip(".") {
            isInteger = false
            try skipDigits()
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            isInteger = false
            offset += 1
            if !skip("+") { _ = skip("-") }
            try skipDigits()
        }
        let text = String(decoding: bytes[start..<offset], as: UTF8.self)
        if isInteger {
            guard let value = Int(text) else { throw failure("the integer \(text.prefix(40)) does not fit 64 bits") }
            return .int(value)
        }
        guard let value = Double(text), value.isFinite else { throw failure("the number \(text.prefix(40)) is out of range") }
        return .double(value)
    }

    private mutating func readString() throws -> String {
        offset += 1
        var scratch: [UInt8] = []
        while let byte = next {
            switch byte {
            case UInt8(ascii: "\""):
                offset += 1
                guard let text = String(validating: scratch, as: UTF8.self) else { throw failure("a string that is not UTF-8") }
                return text
            case UInt8(ascii: "\\"):
                offset += 1
                scratch.append(contentsOf: String(Character(try readEscape())).utf8)
            case 0..<0x20: throw failure("a control character in a string")
            default:
                scratch.append(byte)
                offset += 1
            }
        }
        throw failure("the text ends inside a string")
    }

    private mutating func readEscape() throws -> Unicode.Scalar {
        guard let byte = next else { throw failure("the text ends inside an escape") }
        offset += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"):
            let high = try readHex()
            if let scalar = Unicode.Scalar(high) { return scalar }
            // A character beyond U+FFFF is written as two surrogates; one alone is no character at all.
            guard (0xD800..<0xDC00).contains(high), skip("\\"), skip("u") else { throw failure("half of a surrogate pair") }
            let low = try readHex()
            guard (0xDC00..<0xE000).contains(low), let scalar = Unicode.Scalar(0x10000 + (high - 0xD800) << 10 + (low - 0xDC00)) else {
                throw failure("half of a surrogate pair")
            }
            return scalar
        default: throw failure("an unknown escape")
        }
    }

    private mutating func readHex() throws -> UInt32 {
        guard offset + 4 <= bytes.count else { throw failure("the text ends inside an escape") }
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = Character(Unicode.Scalar(bytes[offset])).hexDigitValue else { throw failure("expected four hexadecimal digits") }
            value = value << 4 | UInt32(digit)
            offset += 1
        }
        return value
    }
}
