// The text of a chat template into tokens.
//
// Source: the template syntax documented by Jinja 3.1, with the settings Hugging Face renders chat templates with: `trim_blocks` (a newline
// directly after a block or comment is dropped), `lstrip_blocks` (spaces between the start of a line and a block or comment are dropped) and
// no `keep_trailing_newline` (one newline at the very end is dropped). `-` beside a delimiter strips all white space on that side, `+` keeps it.
//
// Works on bytes: every delimiter is ASCII, so cuts never split a character, and hostile input costs linear time.

import SwiftletTensor

/// A place in a template, counted from 1; columns count Unicode scalars.
struct SourcePosition: Sendable {
    var line = 1
    var column = 1
}

struct TemplateToken: Sendable {
    enum Kind: Sendable, Equatable {
        /// Literal output between tags.
        case text(String)
        case blockBegin, blockEnd, variableBegin, variableEnd
        case name(String)
        case string(String)
        case integer(Int)
        case float(Double)
        case symbol(String)
        case end
    }

    let kind: Kind
    let position: SourcePosition

    /// How errors name the token.
    var description: String {
        switch kind {
        case .text: "text"
        case .blockBegin: "'{%'"
        case .blockEnd: "'%}'"
        case .variableBegin: "'{{'"
        case .variableEnd: "'}}'"
        case .name(let name): "'\(name.prefix(40))'"
        case .string: "a string"
        case .integer, .float: "a number"
        case .symbol(let symbol): "'\(symbol)'"
        case .end: "the end of the template"
        }
    }
}

struct TemplateLexer {
    private let bytes: [UInt8]
    private let name: String
    private var offset = 0
    private var tokens: [TemplateToken] = []
    /// Whether the last byte consumed before the pending text ended a line: then leading spaces of the text are an indentation.
    private var atLineStart = true
    /// The position of `markedOffset`, moved forward only, so that finding all positions is linear.
    private var markedOffset = 0
    private var marked = SourcePosition()

    init(source: String, name: String) {
        var normal: [UInt8] = []
        normal.reserveCapacity(source.utf8.count)
        var afterReturn = false
        for byte in source.utf8 {
            if byte == UInt8(ascii: "\r") {
                normal.append(UInt8(ascii: "\n"))
            } else if !(afterReturn && byte == UInt8(ascii: "\n")) {
                normal.append(byte)
            }
            afterReturn = byte == UInt8(ascii: "\r")
        }
        if normal.last == UInt8(ascii: "\n") { normal.removeLast() }
        bytes = normal
        self.name = name
    }

    /// All tokens of the source, closed by `.end`.
    mutating func tokenize() throws -> [TemplateToken] {
        while offset < bytes.count {
            guard let tag = nextTag(from: offset) else {
                emitText(offset..<bytes.count, at: offset)
                offset = bytes.count
                break
            }
            try lexTag(at: tag)
        }
        emit(.end, at: bytes.count)
        return tokens
    }

    // MARK: Tags

    /// The offset of the next `{%`, `{{` or `{#`.
    private func nextTag(from start: Int) -> Int? {
        var index = start
        while index + 1 < bytes.count {
            if bytes[index] == UInt8(ascii: "{") {
                let second = bytes[index + 1]
                if second == UInt8(ascii: "%") || second == UInt8(ascii: "{") || second == UInt8(ascii: "#") { return index }
            }
            index += 1
        }
        return nil
    }

    private mutating func lexTag(at tag: Int) throws {
        let kind = bytes[tag + 1]
        let sign = byte(tag + 2).flatMap { $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "+") ? $0 : nil }
        let text = strippedText(offset..<tag, sign: sign, mayIndent: kind != UInt8(ascii: "{"))
        emitText(text, at: offset)
        let body = tag + (sign == nil ? 2 : 3)
        switch kind {
        case UInt8(ascii: "#"):
            offset = body
            try skipComment(openedAt: tag)
        case UInt8(ascii: "{"):
            emit(.variableBegin, at: tag)
            offset = body
            try lexExpression(closing: UInt8(ascii: "}"), end: .variableEnd, openedAt: tag)
        default:
            if let afterRaw = rawTagEnd(from: body, word: "raw", trimsNewline: false) {
                offset = afterRaw
                try lexRaw(openedAt: tag)
            } else {
                emit(.blockBegin, at: tag)
                offset = body
                try lexExpression(closing: UInt8(ascii: "%"), end: .blockEnd, openedAt: tag)
            }
        }
        atLineStart = offset > 0 && bytes[offset - 1] == UInt8(ascii: "\n")
    }

    /// `range` without what the tag after it strips: all trailing white space for `-`, the indentation of the tag's own line otherwise.
    private func strippedText(_ range: Range<Int>, sign: UInt8?, mayIndent: Bool) -> Range<Int> {
        if sign == UInt8(ascii: "-") { return range.lowerBound..<endWithoutSpace(range) }
        guard sign == nil, mayIndent else { return range }
        let lineStart = bytes[range].lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? range.lowerBound
        guard lineStart > range.lowerBound || atLineStart else { return range }
        return endWithoutSpace(lineStart..<range.upperBound) == lineStart ? range.lowerBound..<lineStart : range
    }

    /// The end of `range` once trailing white space is dropped.
    private func endWithoutSpace(_ range: Range<Int>) -> Int {
        var end = range.upperBound
        while end > range.lowerBound {
            var start = end - 1
            while start > range.lowerBound, bytes[start] & 0xC0 == 0x80 { start -= 1 }
            guard PythonText.isSpace(bytes[start..<end]) else { break }
            end = start
        }
        return end
    }

    private mutating func skipSpace() {
        while offset < bytes.count {
            let length = PythonText.scalarLength(bytes[offset])
            guard offset + length <= bytes.count, PythonText.isSpace(bytes[offset..<offset + length]) else { return }
            offset += length
        }
    }

    private func byte(_ index: Int) -> UInt8? { index < bytes.count ? bytes[index] : nil }

    private func matches(_ text: String, at index: Int) -> Bool { index <= bytes.count && bytes[index...].starts(with: text.utf8) }

    private mutating func skipComment(openedAt tag: Int) throws {
        let body = offset
        while offset < bytes.count {
            if matches("-#}", at: offset) {
                offset += 3
                skipSpace()
                return
            }
            if matches("#}", at: offset) {
                let keepsNewline = offset > body && bytes[offset - 1] == UInt8(ascii: "+")
                offset += 2
                if !keepsNewline, byte(offset) == UInt8(ascii: "\n") { offset += 1 }
                return
            }
            offset += 1
        }
        throw failure("this comment is never closed", at: tag, remedy: "Add '#}'.")
    }

    /// Where a `raw` or `endraw` tag ends whose inside starts at `start`, or nil when it is another tag.
    private func rawTagEnd(from start: Int, word: String, trimsNewline: Bool) -> Int? {
        var lexer = self
        lexer.offset = start
        lexer.skipSpace()
        guard lexer.matches(word, at: lexer.offset) else { return nil }
        lexer.offset += word.utf8.count
        lexer.skipSpace()
        if lexer.matches("-%}", at: lexer.offset) {
            lexer.offset += 3
            lexer.skipSpace()
        } else if trimsNewline, lexer.matches("+%}", at: lexer.offset) {
            lexer.offset += 3
        } else if lexer.matches("%}", at: lexer.offset) {
            lexer.offset += 2
            if trimsNewline, lexer.byte(lexer.offset) == UInt8(ascii: "\n") { lexer.offset += 1 }
        } else {
            return nil
        }
        return lexer.offset
    }

    private mutating func lexRaw(openedAt tag: Int) throws {
        atLineStart = bytes[offset - 1] == UInt8(ascii: "\n")
        var index = offset
        while index < bytes.count {
            guard matches("{%", at: index) else {
                index += 1
                continue
            }
            let sign = byte(index + 2).flatMap { $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "+") ? $0 : nil }
            if let end = rawTagEnd(from: index + (sign == nil ? 2 : 3), word: "endraw", trimsNewline: true) {
                emitText(strippedText(offset..<index, sign: sign, mayIndent: true), at: offset)
                offset = end
                return
            }
            index += 1
        }
        throw failure("this raw block is never closed", at: tag, remedy: "Add '{% endraw %}'.")
    }

    // MARK: Expressions

    private mutating func lexExpression(closing: UInt8, end: TemplateToken.Kind, openedAt tag: Int) throws {
        var open: [UInt8] = []
        while true {
            skipSpace()
            guard let first = byte(offset) else {
                throw failure("this tag is never closed", at: tag, remedy: closing == UInt8(ascii: "%") ? "Add '%}'." : "Add '}}'.")
            }
            // Inside brackets '}}' closes two dictionaries, not the tag.
            if open.isEmpty, closeTag(closing: closing, end: end) { return }
            let start = offset
            if first == UInt8(ascii: "'") || first == UInt8(ascii: "\"") {
                let text = try readString()
                emit(.string(text), at: start)
            } else if (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) {
                let number = try readNumber()
                emit(number, at: start)
            } else if let identifier = readName() {
                emit(.name(identifier), at: start)
            } else {
                let symbol = try readSymbol()
                switch symbol {
                case "(", "[", "{": open.append(first)
                case ")", "]", "}":
                    let partner: UInt8 = symbol == ")" ? UInt8(ascii: "(") : symbol == "]" ? UInt8(ascii: "[") : UInt8(ascii: "{")
                    guard open.popLast() == partner else { throw failure("'\(symbol)' closes nothing", at: start, remedy: "Balance the brackets.") }
                default: break
                }
                emit(.symbol(symbol), at: start)
            }
        }
    }

    /// Consumes the end of a tag, with the white space it strips.
    private mutating func closeTag(closing: UInt8, end: TemplateToken.Kind) -> Bool {
        let isBlock = closing == UInt8(ascii: "%")
        let start = offset
        var index = offset
        let sign = byte(index)
        let hasSign = sign == UInt8(ascii: "-") || (isBlock && sign == UInt8(ascii: "+"))
        if hasSign { index += 1 }
        guard byte(index) == closing, byte(index + 1) == UInt8(ascii: "}") else { return false }
        emit(end, at: start)
        offset = index + 2
        if hasSign {
            if sign == UInt8(ascii: "-") { skipSpace() }
        } else if isBlock, byte(offset) == UInt8(ascii: "\n") {
            offset += 1
        }
        return true
    }

    private mutating func readSymbol() throws -> String {
        for length in [2, 1] where offset + length <= bytes.count {
            let symbol = String(decoding: bytes[offset..<offset + length], as: UTF8.self)
            if Self.symbols.contains(symbol) {
                offset += length
                return symbol
            }
        }
        throw failure("a character that has no meaning here", at: offset, remedy: "Remove it or put it in quotes.")
    }

    private static let symbols: Set<String> = [
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",",
    ]

    private mutating func readName() -> String? {
        let rest = bytes[offset...]
        var end = offset
        while end < bytes.count {
            let length = PythonText.scalarLength(bytes[end])
            guard let scalar = String(decoding: rest[end..<min(end + length, bytes.count)], as: UTF8.self).unicodeScalars.first else { break }
            let isPart =
                scalar == "_" || (end == offset ? scalar.properties.isXIDStart : scalar.properties.isXIDContinue)
            guard isPart else { break }
            end += length
        }
        guard end > offset else { return nil }
        defer { offset = end }
        return String(decoding: bytes[offset..<end], as: UTF8.self)
    }

    private mutating func readNumber() throws -> TemplateToken.Kind {
        let start = offset
        if byte(offset) == UInt8(ascii: "0"), let mark = byte(offset + 1), let radix = [UInt8(ascii: "x"): 16, UInt8(ascii: "o"): 8, UInt8(ascii: "b"): 2][mark | 0x20] {
            offset += 2
            let digits = readDigits { $0.isHexDigit }
            guard let value = Int(digits, radix: radix) else { throw failure("a malformed or too large number", at: start, remedy: "Correct the number.") }
            return .integer(value)
        }
        // After a dot a number is an index (`rows.0.1`), never a fraction.
        let isIndex = start > 0 && bytes[start - 1] == UInt8(ascii: ".")
        var text = readDigits { $0.isASCII && $0.isNumber }
        var isFloat = false
        if !isIndex, byte(offset) == UInt8(ascii: "."), let digit = byte(offset + 1), (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) {
            offset += 1
            text += "." + readDigits { $0.isASCII && $0.isNumber }
            isFloat = true
        }
        if !isIndex, let mark = byte(offset), mark | 0x20 == UInt8(ascii: "e") {
            let sign = byte(offset + 1).flatMap { $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "+") ? $0 : nil }
            let firstDigit = offset + (sign == nil ? 1 : 2)
            if let digit = byte(firstDigit), (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) {
                offset = firstDigit
                text += "e" + (sign == UInt8(ascii: "-") ? "-" : "") + readDigits { $0.isASCII && $0.isNumber }
                isFloat = true
            }
        }
        if isFloat {
            guard let value = Double(text) else { throw failure("a malformed number", at: start, remedy: "Correct the number.") }
            return .float(value)
        }
        guard text.utf8.first != UInt8(ascii: "0") || text.utf8.allSatisfy({ $0 == UInt8(ascii: "0") }) else {
            throw failure("a number with a leading zero", at: start, remedy: "Remove the zero.")
        }
        guard let value = Int(text) else {
            throw failure("the integer \(text.prefix(40)) does not fit 64 bits", at: start, remedy: "Use a smaller number.")
        }
        return .integer(value)
    }

    /// Digits, with single underscores between them dropped.
    private mutating func readDigits(_ isDigit: (Character) -> Bool) -> String {
        var digits = ""
        while let first = byte(offset) {
            let character = Character(Unicode.Scalar(first))
            if isDigit(character) {
                digits.append(character)
            } else if first != UInt8(ascii: "_") || !(byte(offset + 1).map { isDigit(Character(Unicode.Scalar($0))) } ?? false) {
                break
            }
            offset += 1
        }
        return digits
    }

    private mutating func readString() throws -> String {
        let start = offset
        let quote = bytes[offset]
        offset += 1
        var text: [UInt8] = []
        while let first = byte(offset) {
            offset += 1
            if first == quote { return String(decoding: text, as: UTF8.self) }
            if first == UInt8(ascii: "\\") {
                try readEscape(into: &text)
            } else {
                text.append(first)
            }
        }
        throw failure("this string is never closed", at: start, remedy: "Add the closing quote.")
    }

    /// One escape, after its backslash, by Python's rules: an unknown one stays as it is written.
    private mutating func readEscape(into text: inout [UInt8]) throws {
        let start = offset - 1
        guard let mark = byte(offset) else { return }
        offset += 1
        switch mark {
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "v"): text.append(0x0B)
        case UInt8(ascii: "a"): text.append(0x07)
        case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""): text.append(mark)
        case UInt8(ascii: "\n"): break
        case UInt8(ascii: "x"): try appendScalar(digits: 2, radix: 16, at: start, to: &text)
        case UInt8(ascii: "u"): try appendScalar(digits: 4, radix: 16, at: start, to: &text)
        case UInt8(ascii: "U"): try appendScalar(digits: 8, radix: 16, at: start, to: &text)
        case UInt8(ascii: "0")...UInt8(ascii: "7"):
            offset -= 1
            var count = 1
            while count < 3, let digit = byte(offset + count), (UInt8(ascii: "0")...UInt8(ascii: "7")).contains(digit) { count += 1 }
            try appendScalar(digits: count, radix: 8, at: start, to: &text)
        default: text.append(contentsOf: [UInt8(ascii: "\\"), mark])
        }
    }

    private mutating func appendScalar(digits: Int, radix: Int, at start: Int, to text: inout [UInt8]) throws {
        let end = min(offset + digits, bytes.count)
        let written = String(decoding: bytes[offset..<end], as: UTF8.self)
        guard end - offset == digits, written.utf8.first != UInt8(ascii: "+"), written.utf8.first != UInt8(ascii: "-"),
            let value = UInt32(written, radix: radix), let scalar = Unicode.Scalar(value)
        else {
            throw failure("an escape that names no character", at: start, remedy: "Write the character itself, or double the backslash.")
        }
        text.append(contentsOf: String(Character(scalar)).utf8)
        offset = end
    }

    // MARK: Output

    private mutating func emit(_ kind: TemplateToken.Kind, at offset: Int) {
        tokens.append(TemplateToken(kind: kind, position: position(of: offset)))
    }

    private mutating func emitText(_ range: Range<Int>, at offset: Int) {
        guard !range.isEmpty else { return }
        emit(.text(String(decoding: bytes[range], as: UTF8.self)), at: offset)
    }

    private mutating func position(of offset: Int) -> SourcePosition {
        if offset < markedOffset {
            markedOffset = 0
            marked = SourcePosition()
        }
        for byte in bytes[markedOffset..<min(offset, bytes.count)] {
            if byte == UInt8(ascii: "\n") {
                marked.line += 1
                marked.column = 1
            } else if byte & 0xC0 != 0x80 {
                marked.column += 1
            }
        }
        markedOffset = min(offset, bytes.count)
        return marked
    }

    private func failure(_ reason: String, at offset: Int, remedy: String) -> SwiftletError {
        var lexer = self
        let place = lexer.position(of: offset)
        return .syntax(source: name, line: place.line, column: place.column, reason: reason, remedy: remedy)
    }
}
