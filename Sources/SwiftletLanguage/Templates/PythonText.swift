// Text as Python treats it, which is what templates were written against: Unicode scalars rather than graphemes, Python's idea of white
// space and line ends, its quoting of strings and its way of writing floating-point numbers.
// Source: the Python 3 language reference (`str` methods, `repr`, `float.__repr__`).

enum PythonText {
    /// The number of bytes of the UTF-8 sequence that starts with `byte`.
    static func scalarLength(_ byte: UInt8) -> Int {
        byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4
    }

    static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
        default: false
        }
    }

    /// Whether the UTF-8 sequence `bytes` is one white-space character.
    static func isSpace(_ bytes: ArraySlice<UInt8>) -> Bool {
        guard let first = bytes.first else { return false }
        if first < 0x80 { return isSpace(Unicode.Scalar(first)) }
        return String(decoding: bytes, as: UTF8.self).unicodeScalars.first.map(isSpace) ?? false
    }

    /// Whether `scalar` ends a line for `splitlines`.
    static func isLineEnd(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029: true
        default: false
        }
    }

    /// `text` without the scalars at its ends that `drops` names.
    static func stripped(_ text: String, leading: Bool = true, trailing: Bool = true, where drops: (Unicode.Scalar) -> Bool) -> String {
        let scalars = text.unicodeScalars
        var start = scalars.startIndex
        var end = scalars.endIndex
        if leading { while start < end, drops(scalars[start]) { start = scalars.index(after: start) } }
        if trailing {
            while start < end {
                let previous = scalars.index(before: end)
                guard drops(scalars[previous]) else { break }
                end = previous
            }
        }
        return String(scalars[start..<end])
    }

    /// The lines of `text`; with `keepsEnds`, each with the characters that end it. `\r\n` is one line end.
    static func lines(_ text: String, keepsEnds: Bool = false) -> [String] {
        var lines: [String] = []
        var line = String.UnicodeScalarView()
        var scalars = Array(text.unicodeScalars)[...]
        while let scalar = scalars.popFirst() {
            guard isLineEnd(scalar) else {
                line.append(scalar)
                continue
            }
            if keepsEnds { line.append(scalar) }
            if scalar == "\r", scalars.first == "\n" {
                scalars.removeFirst()
                if keepsEnds { line.append("\n") }
            }
            lines.append(String(line))
            line = String.UnicodeScalarView()
        }
        if !line.isEmpty { lines.append(String(line)) }
        return lines
    }

    /// First character in title case, the rest in lower case.
    static func capitalized(_ text: String) -> String {
        guard let first = text.unicodeScalars.first else { return text }
        return first.properties.titlecaseMapping + String(text.unicodeScalars.dropFirst()).lowercased()
    }

    /// `str.title`: every run of cased letters starts in title case and goes on in lower case.
    static func titled(_ text: String) -> String {
        var result = ""
        var afterCased = false
        for scalar in text.unicodeScalars {
            result += afterCased ? scalar.properties.lowercaseMapping : scalar.properties.titlecaseMapping
            afterCased = scalar.properties.isCased
        }
        return result
    }

    /// A string as Python's `repr` writes it.
    static func quoted(_ text: String) -> String {
        let quote: Unicode.Scalar = text.unicodeScalars.contains("'") && !text.unicodeScalars.contains("\"") ? "\"" : "'"
        var result = String.UnicodeScalarView()
        result.append(quote)
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n": result.append(contentsOf: "\\n".unicodeScalars)
            case "\r": result.append(contentsOf: "\\r".unicodeScalars)
            case "\t": result.append(contentsOf: "\\t".unicodeScalars)
            case quote, "\\":
                result.append("\\")
                result.append(scalar)
            default:
                if isPrintable(scalar) {
                    result.append(scalar)
                } else {
                    let (mark, digits) = scalar.value < 0x100 ? ("\\x", 2) : scalar.value < 0x10000 ? ("\\u", 4) : ("\\U", 8)
                    let hex = String(scalar.value, radix: 16)
                    result.append(contentsOf: (mark + String(repeating: "0", count: digits - hex.utf8.count) + hex).unicodeScalars)
                }
            }
        }
        result.append(quote)
        return String(result)
    }

    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        if scalar == " " { return true }
        return switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator, .spaceSeparator: false
        default: true
        }
    }

    /// A floating-point number as Python writes it: the shortest digits that read back the same, with an exponent below 1e-4 and from 1e16 on.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "nan" }
        let sign = value.sign == .minus ? "-" : ""
        if value.isInfinite { return sign + "inf" }
        if value == 0 { return sign + "0.0" }
        // Swift finds the shortest digits; only the layout differs.
        let parts = "\(value.magnitude)".split(separator: "e")
        let mantissa = parts[0].split(separator: ".", omittingEmptySubsequences: false)
        let fraction = mantissa.count > 1 ? mantissa[1] : ""
        let allDigits = mantissa[0] + fraction
        let leadingZeros = allDigits.prefix { $0 == "0" }.count
        var digits = String(allDigits.dropFirst(leadingZeros))
        while digits.count > 1, digits.hasSuffix("0") { digits.removeLast() }
        // The value is 0.digits × 10^point.
        let point = mantissa[0].count - leadingZeros + (parts.count > 1 ? Int(parts[1]) ?? 0 : 0)
        if point > 16 || point < -3 {
            let exponent = point - 1
            let rest = digits.dropFirst()
            let size = "\(abs(exponent))"
            return sign + digits.prefix(1) + (rest.isEmpty ? "" : ".\(rest)") + "e" + (exponent < 0 ? "-" : "+") + (size.count < 2 ? "0" : "") + size
        }
        if point <= 0 { return sign + "0." + String(repeating: "0", count: -point) + digits }
        if digits.count <= point { return sign + digits + String(repeating: "0", count: point - digits.count) + ".0" }
        return sign + digits.prefix(point) + "." + digits.dropFirst(point)
    }
}

extension TemplateEvaluator {
    /// What `{{ value }}` prints.
    func text(of value: RuntimeValue) throws -> String {
        if case .string(let text) = value { return text }
        if case .undefined = value { return "" }
        return try representation(of: value)
    }

    /// Python's `repr` of a value.
    func representation(of value: RuntimeValue) throws -> String {
        var text = ""
        try appendRepresentation(of: value, to: &text)
        return text
    }

    private func appendRepresentation(of value: RuntimeValue, to text: inout String) throws {
        try charge(16)
        switch value {
        case .undefined: text += "Undefined"
        case .none: text += "None"
        case .bool(let value): text += value ? "True" : "False"
        case .int(let value): text += "\(value)"
        case .double(let value): text += PythonText.number(value)
        case .string(let value):
            try charge(value.utf8.count, times: 4)
            text += PythonText.quoted(value)
        case .list(let list): try nested { try appendRepresentation(of: list, to: &text) }
        case .dictionary(let dictionary): try nested { try appendRepresentation(of: dictionary, to: &text) }
        case .namespace: text += "<Namespace>"
        case .loop(let loop): text += "<LoopContext \(loop.index + 1)/\(loop.items.count)>"
        case .callable: text += "<function>"
        }
    }

    private func appendRepresentation(of list: ListObject, to text: inout String) throws {
        text += list.kind == .tuple ? "(" : "["
        for (index, element) in list.elements.enumerated() {
            if index > 0 { text += ", " }
            try appendRepresentation(of: element, to: &text)
        }
        if list.kind == .tuple { text += list.elements.count == 1 ? ",)" : ")" } else { text += "]" }
    }

    private func appendRepresentation(of dictionary: DictionaryObject, to text: inout String) throws {
        text += "{"
        for (index, entry) in dictionary.entries.enumerated() {
            if index > 0 { text += ", " }
            try appendRepresentation(of: entry.key, to: &text)
            text += ": "
            try appendRepresentation(of: entry.value, to: &text)
        }
        text += "}"
    }

    // MARK: Searching

    /// The offset of `part` in `whole` at or after `start`, in bytes. Pays for every byte compared, so a contrived search ends in an error.
    func firstIndex(of part: [UInt8], in whole: [UInt8], from start: Int = 0) throws -> Int? {
        guard let first = part.first else { return start <= whole.count ? start : nil }
        var index = start
        var compared = 0
        while index + part.count <= whole.count {
            if whole[index] == first {
                var length = 1
                while length < part.count, whole[index + length] == part[length] { length += 1 }
                if length == part.count {
                    try charge(compared + index - start + length)
                    return index
                }
                compared += length
                if compared > 4096 {
                    try charge(compared)
                    compared = 0
                }
            }
            index += 1
        }
        try charge(compared + max(index - start, 0))
        return nil
    }

    /// The offset of the last `part` in `whole`, in bytes.
    func lastIndex(of part: [UInt8], in whole: [UInt8]) throws -> Int? {
        guard let reversed = try firstIndex(of: part.reversed(), in: whole.reversed()) else { return nil }
        return whole.count - reversed - part.count
    }
}
