// The methods of strings. Source: the Python 3 standard library reference, `str`. Indices count Unicode scalars.

import SwiftletTensor

enum TemplateStringMethod: String {
    case capitalize, center, count, endswith, expandtabs, find, format, index, isalnum, isalpha, isascii, isdecimal, isdigit, islower, isnumeric
    case isspace, istitle, isupper, join, ljust, lower, lstrip, partition, removeprefix, removesuffix, replace, rfind, rindex, rjust, rpartition, rsplit
    case rstrip, split, splitlines, startswith, strip, swapcase, title, upper, zfill
}

extension TemplateEvaluator {
    func call(_ method: TemplateStringMethod, on text: String, _ arguments: CallArguments) throws -> RuntimeValue {
        try charge(text.utf8.count)
        switch method {
        case .capitalize, .lower, .upper, .swapcase, .title, .isalnum, .isalpha, .isascii, .isdecimal, .isdigit, .islower, .isnumeric,
            .isspace, .istitle, .isupper:
            _ = try bind(arguments, to: [], of: method.rawValue)
            return try plainMethod(method, text)
        case .strip, .lstrip, .rstrip:
            let characters = try bind(arguments, to: ["chars"], of: method.rawValue)[0]
            return .string(try stripped(text, characters, leading: method != .rstrip, trailing: method != .lstrip))
        case .split, .rsplit: return try split(text, fromEnd: method == .rsplit, arguments)
        case .splitlines:
            let keepsEnds = try flagArgument(bind(arguments, to: ["keepends"], of: "splitlines")[0], default: false)
            return try makeStrings(PythonText.lines(text, keepsEnds: keepsEnds))
        case .startswith, .endswith: return try hasAffix(text, atEnd: method == .endswith, arguments)
        case .removeprefix, .removesuffix:
            let affix = try stringArgument(bind(arguments, to: ["affix"], required: 1, of: method.rawValue)[0], default: "", of: method.rawValue)
            let bytes = Array(text.utf8)
            if method == .removeprefix { return .string(bytes.starts(with: affix.utf8) ? String(decoding: bytes.dropFirst(affix.utf8.count), as: UTF8.self) : text) }
            return .string(hasSuffix(bytes, affix) ? String(decoding: bytes.dropLast(affix.utf8.count), as: UTF8.self) : text)
        case .replace:
            let values = try bind(arguments, to: ["old", "new", "count"], required: 2, of: "replace")
            let (old, new) = (try stringArgument(values[0], default: "", of: "replace"), try stringArgument(values[1], default: "", of: "replace"))
            return .string(try replaced(text, old, with: new, count: integerArgument(values[2], default: -1, of: "replace")))
        case .find, .rfind, .index, .rindex, .count: return try search(method, text, arguments)
        case .partition, .rpartition: return try partition(text, fromEnd: method == .rpartition, arguments)
        case .join: return try join(text, arguments)
        case .center, .ljust, .rjust, .zfill, .expandtabs: return try widen(method, text, arguments)
        case .format: return try makeString(braceFormat(text, arguments))
        }
    }

    private func makeStrings(_ strings: [String]) throws -> RuntimeValue {
        try makeList(strings.map { try makeString($0) })
    }

    private func hasSuffix(_ bytes: [UInt8], _ suffix: String) -> Bool {
        bytes.count >= suffix.utf8.count && bytes[(bytes.count - suffix.utf8.count)...].elementsEqual(suffix.utf8)
    }

    // MARK: Case and kind

    private func plainMethod(_ method: TemplateStringMethod, _ text: String) throws -> RuntimeValue {
        func all(_ holds: (Unicode.Scalar) -> Bool) -> RuntimeValue { .bool(!text.isEmpty && text.unicodeScalars.allSatisfy(holds)) }
        switch method {
        case .capitalize: return try makeString(PythonText.capitalized(text))
        case .lower: return try makeString(text.lowercased())
        case .upper: return try makeString(text.uppercased())
        case .title: return try makeString(PythonText.titled(text))
        case .swapcase:
            return try makeString(
                text.unicodeScalars.map { $0.properties.isUppercase ? $0.properties.lowercaseMapping : $0.properties.uppercaseMapping }.joined())
        case .isalpha: return all(isLetter)
        case .isalnum: return all { isLetter($0) || $0.properties.numericType != nil }
        case .isdigit: return all { $0.properties.numericType == .decimal || $0.properties.numericType == .digit }
        case .isdecimal: return all { $0.properties.numericType == .decimal }
        case .isnumeric: return all { $0.properties.numericType != nil }
        case .isspace: return all(PythonText.isSpace)
        case .isascii: return .bool(text.utf8.allSatisfy { $0 < 0x80 })
        case .islower: return .bool(isCased(text, upper: false))
        case .isupper: return .bool(isCased(text, upper: true))
        default: return .bool(isTitled(text))
        }
    }

    private func isLetter(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
        default: false
        }
    }

    private func isTitled(_ text: String) -> Bool {
        var (afterCased, hasCase) = (false, false)
        for scalar in text.unicodeScalars {
            let isHigh = scalar.properties.isUppercase || scalar.properties.generalCategory == .titlecaseLetter
            if isHigh ? afterCased : (scalar.properties.isLowercase && !afterCased) { return false }
            afterCased = isHigh || scalar.properties.isLowercase
            hasCase = hasCase || afterCased
        }
        return hasCase
    }

    // MARK: Cutting

    /// `text` without the characters of `characters` (white space when absent or None) at its ends.
    func stripped(_ text: String, _ characters: RuntimeValue?, leading: Bool = true, trailing: Bool = true) throws -> String {
        guard let characters, !characters.isNone else {
            return PythonText.stripped(text, leading: leading, trailing: trailing, where: PythonText.isSpace)
        }
        let set = Set(try stringArgument(characters, default: "", of: "strip").unicodeScalars)
        return PythonText.stripped(text, leading: leading, trailing: trailing, where: set.contains)
    }

    private func split(_ text: String, fromEnd: Bool, _ arguments: CallArguments) throws -> RuntimeValue {
        let values = try bind(arguments, to: ["sep", "maxsplit"], of: "split")
        let limit = try integerArgument(values[1], default: -1, of: "split")
        guard let separator = values[0], !separator.isNone else { return try makeStrings(words(text, fromEnd: fromEnd, limit: limit)) }
        let part = Array(try stringArgument(separator, default: "", of: "split").utf8)
        guard !part.isEmpty else { throw failure("split needs a separator that is not empty") }
        // From the end: split the reversed bytes, then turn everything round again.
        let bytes = fromEnd ? Array(text.utf8.reversed()) : Array(text.utf8)
        let needle = fromEnd ? Array(part.reversed()) : part
        var pieces: [[UInt8]] = []
        var start = 0
        while limit < 0 || pieces.count < limit, let found = try firstIndex(of: needle, in: bytes, from: start) {
            try charge(32)
            pieces.append(Array(bytes[start..<found]))
            start = found + needle.count
        }
        pieces.append(Array(bytes[start...]))
        return try makeStrings(fromEnd ? pieces.reversed().map { String(decoding: $0.reversed(), as: UTF8.self) } : pieces.map { String(decoding: $0, as: UTF8.self) })
    }

    /// The words between white space; after `limit` cuts the rest stays whole.
    private func words(_ text: String, fromEnd: Bool, limit: Int) throws -> [String] {
        try charge(text.utf8.count, times: 16)
        var rest = (fromEnd ? text.unicodeScalars.reversed() : Array(text.unicodeScalars))[...]
        func turned(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
            var view = String.UnicodeScalarView()
            if fromEnd { view.append(contentsOf: scalars.reversed()) } else { view.append(contentsOf: scalars) }
            return String(view)
        }
        var words: [String] = []
        while true {
            rest = rest.drop(while: PythonText.isSpace)
            if rest.isEmpty { break }
            if limit >= 0, words.count >= limit {
                words.append(turned(rest))
                break
            }
            let word = rest.prefix { !PythonText.isSpace($0) }
            words.append(turned(word))
            rest = rest[word.endIndex...]
        }
        return fromEnd ? words.reversed() : words
    }

    private func partition(_ text: String, fromEnd: Bool, _ arguments: CallArguments) throws -> RuntimeValue {
        let separator = try stringArgument(bind(arguments, to: ["sep"], required: 1, of: "partition")[0], default: "", of: "partition")
        guard !separator.isEmpty else { throw failure("partition needs a separator that is not empty") }
        let (bytes, part) = (Array(text.utf8), Array(separator.utf8))
        let found = fromEnd ? try lastIndex(of: part, in: bytes) : try firstIndex(of: part, in: bytes)
        let pieces: [String]
        if let found {
            pieces = [String(decoding: bytes[..<found], as: UTF8.self), separator, String(decoding: bytes[(found + part.count)...], as: UTF8.self)]
        } else {
            pieces = fromEnd ? ["", "", text] : [text, "", ""]
        }
        return try makeList(pieces.map { .string($0) }, kind: .tuple)
    }

    /// `text` with `old` replaced by `new`, at most `count` times when `count` is not negative.
    func replaced(_ text: String, _ old: String, with new: String, count: Int) throws -> String {
        let (bytes, part) = (Array(text.utf8), Array(old.utf8))
        var result: [UInt8] = []
        var (start, replacements) = (0, 0)
        if part.isEmpty {
            // Between all characters, and at both ends.
            for scalar in text.unicodeScalars {
                if count < 0 || replacements < count {
                    try charge(new.utf8.count)
                    result.append(contentsOf: new.utf8)
                    replacements += 1
                }
                result.append(contentsOf: String(scalar).utf8)
            }
            if count < 0 || replacements < count { result.append(contentsOf: new.utf8) }
            return String(decoding: result, as: UTF8.self)
        }
        while count < 0 || replacements < count, let found = try firstIndex(of: part, in: bytes, from: start) {
            try charge(new.utf8.count + found - start)
            result.append(contentsOf: bytes[start..<found])
            result.append(contentsOf: new.utf8)
            start = found + part.count
            replacements += 1
        }
        result.append(contentsOf: bytes[start...])
        return String(decoding: result, as: UTF8.self)
    }

    // MARK: Searching

    private func hasAffix(_ text: String, atEnd: Bool, _ arguments: CallArguments) throws -> RuntimeValue {
        let name = atEnd ? "endswith" : "startswith"
        let values = try bind(arguments, to: ["affix", "start", "end"], required: 1, of: name)
        let part = Array(try range(of: text, values[1], values[2], of: name).text.utf8)
        var candidates = [values[0] ?? .none]
        if case .list(let list)? = values[0], list.kind == .tuple { candidates = list.elements }
        for candidate in candidates {
            let affix = try stringArgument(candidate, default: "", of: name)
            if atEnd ? hasSuffix(part, affix) : part.starts(with: affix.utf8) { return .bool(true) }
        }
        return .bool(false)
    }

    /// The part of `text` between two optional Python indices, and where it starts.
    private func range(of text: String, _ start: RuntimeValue?, _ end: RuntimeValue?, of name: String) throws -> (text: String, start: Int) {
        let absent = { (value: RuntimeValue?) in value.map(\.isNone) ?? true }
        if absent(start), absent(end) { return (text, 0) }
        let scalars = Array(text.unicodeScalars)
        try charge(scalars.count, times: 4)
        func place(_ value: RuntimeValue?, _ fallback: Int) throws -> Int {
            if absent(value) { return fallback }
            let index = try integerArgument(value, default: fallback, of: name)
            return min(max(index < 0 ? index + scalars.count : index, 0), scalars.count)
        }
        let (low, high) = (try place(start, 0), try place(end, scalars.count))
        var view = String.UnicodeScalarView()
        if low < high { view.append(contentsOf: scalars[low..<high]) }
        return (String(view), low)
    }

    private func search(_ method: TemplateStringMethod, _ text: String, _ arguments: CallArguments) throws -> RuntimeValue {
        let values = try bind(arguments, to: ["sub", "start", "end"], required: 1, of: method.rawValue)
        let part = Array(try stringArgument(values[0], default: "", of: method.rawValue).utf8)
        let (searched, start) = try range(of: text, values[1], values[2], of: method.rawValue)
        let bytes = Array(searched.utf8)
        if method == .count {
            if part.isEmpty { return .int(searched.unicodeScalars.count + 1) }
            var (count, offset) = (0, 0)
            while let found = try firstIndex(of: part, in: bytes, from: offset) {
                count += 1
                offset = found + part.count
            }
            return .int(count)
        }
        let found = method == .rfind || method == .rindex ? try lastIndex(of: part, in: bytes) : try firstIndex(of: part, in: bytes)
        if let found { return .int(start + bytes[..<found].count { $0 & 0xC0 != 0x80 }) }
        guard method == .find || method == .rfind else { throw failure("the substring was not found") }
        return .int(-1)
    }

    // MARK: Building

    private func join(_ separator: String, _ arguments: CallArguments) throws -> RuntimeValue {
        let parts = try elements(of: bind(arguments, to: ["iterable"], required: 1, of: "join")[0] ?? .none)
        var result = ""
        for (index, part) in parts.enumerated() {
            guard case .string(let piece) = part else { throw failure("join takes strings, not '\(part.typeName)'") }
            try charge(piece.utf8.count + separator.utf8.count)
            if index > 0 { result += separator }
            result += piece
        }
        return .string(result)
    }

    enum Alignment {
        case left, right, center
    }

    /// `text` padded to `width` scalars.
    func padded(_ text: String, to width: Int, with fill: String, _ alignment: Alignment) throws -> String {
        let count = text.unicodeScalars.count
        guard width > count else { return text }
        let missing = width - count
        // Where Python puts the odd space when centring.
        let left = alignment == .left ? 0 : alignment == .right ? missing : missing / 2 + (missing & width & 1)
        try charge(text.utf8.count)
        return try repeated(fill, left) + text + repeated(fill, missing - left)
    }

    private func widen(_ method: TemplateStringMethod, _ text: String, _ arguments: CallArguments) throws -> RuntimeValue {
        if method == .expandtabs {
            return .string(try expandedTabs(text, integerArgument(bind(arguments, to: ["tabsize"], of: "expandtabs")[0], default: 8, of: "expandtabs")))
        }
        let values = try bind(arguments, to: ["width", "fillchar"], required: 1, of: method.rawValue)
        let width = try integerArgument(values[0], default: 0, of: method.rawValue)
        let fill = try stringArgument(values[1], default: " ", of: method.rawValue)
        guard fill.unicodeScalars.count == 1 else { throw failure("\(method.rawValue) pads with exactly one character") }
        switch method {
        case .ljust: return .string(try padded(text, to: width, with: fill, .left))
        case .rjust: return .string(try padded(text, to: width, with: fill, .right))
        case .center: return .string(try padded(text, to: width, with: fill, .center))
        default:
            let sign = text.unicodeScalars.first.flatMap { $0 == "-" || $0 == "+" ? String($0) : nil } ?? ""
            return .string(sign + (try padded(String(text.unicodeScalars.dropFirst(sign.unicodeScalars.count)), to: max(width, 0) - sign.utf8.count, with: "0", .right)))
        }
    }

    private func expandedTabs(_ text: String, _ size: Int) throws -> String {
        var result = ""
        var column = 0
        for scalar in text.unicodeScalars {
            if scalar == "\t" {
                let count = size > 0 ? size - column % size : 0
                result += try repeated(" ", count)
                column += count
            } else {
                result.unicodeScalars.append(scalar)
                column = scalar == "\n" || scalar == "\r" ? 0 : column + 1
            }
        }
        return result
    }
}
