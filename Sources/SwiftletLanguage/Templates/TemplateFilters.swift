// Filters that work on one value: text, numbers, defaults. Those that work on sequences are in TemplateSequenceFilters.swift.
// Source: the list of built-in filters in the Jinja 3.1 template documentation; `tojson` as Hugging Face redefines it (TemplateJSONWriter.swift).

import Foundation
import SwiftletTensor

enum TemplateFilter: String {
    // Text
    case capitalize, center, escape, e, forceescape, format, indent, lower, replace, safe, string, title, trim, truncate, upper, urlencode, wordcount
    // Numbers
    case abs, float, int, round
    // Any value
    case attr, `default`, d, tojson
    // Sequences and mappings
    case batch, count, dictsort, first, groupby, items, join, last, length, list, map, max, min, reject, rejectattr, reverse, select, selectattr
    case slice, sort, sum, unique
}

extension TemplateEvaluator {
    /// Applies the filter `name`.
    func filter(_ name: String, _ value: RuntimeValue, _ arguments: CallArguments) throws -> RuntimeValue {
        guard let filter = TemplateFilter(rawValue: name) else {
            throw failure("no filter named '\(name.prefix(40))'", remedy: "Use one of Jinja's filters.")
        }
        return switch filter {
        case .abs, .float, .int, .round: try numberFilter(filter, value, arguments)
        case .attr, .default, .d, .tojson: try valueFilter(filter, value, arguments)
        case .first, .last, .length, .count, .list, .reverse, .items, .dictsort, .join, .batch, .slice:
            try sequenceFilter(filter, value, arguments)
        case .map, .select, .reject, .selectattr, .rejectattr: try selectionFilter(filter, value, arguments)
        case .sort, .unique, .min, .max, .sum, .groupby: try orderFilter(filter, value, arguments)
        case .capitalize, .center, .escape, .e, .forceescape, .format, .indent, .lower, .replace, .safe, .string, .title, .trim, .truncate, .upper,
            .urlencode, .wordcount:
            try textFilter(filter, value, arguments)
        }
    }

    // MARK: Arguments

    func integerArgument(_ value: RuntimeValue?, default fallback: Int, of function: String) throws -> Int {
        guard let value else { return fallback }
        guard let number = integer(value) else { throw failure("\(function) takes an integer, not '\(value.typeName)'") }
        return number
    }

    func stringArgument(_ value: RuntimeValue?, default fallback: String, of function: String) throws -> String {
        guard let value else { return fallback }
        guard case .string(let text) = value else { throw failure("\(function) takes a string, not '\(value.typeName)'") }
        return text
    }

    func flagArgument(_ value: RuntimeValue?, default fallback: Bool) throws -> Bool {
        guard let value else { return fallback }
        return try isTrue(value)
    }

    private func refuseArguments(_ arguments: CallArguments, of filter: TemplateFilter) throws {
        _ = try bind(arguments, to: [], of: filter.rawValue)
    }

    // MARK: Any value

    private func valueFilter(_ filter: TemplateFilter, _ value: RuntimeValue, _ arguments: CallArguments) throws -> RuntimeValue {
        switch filter {
        case .tojson: return .string(try json(value, arguments))
        case .attr:
            let name = try stringArgument(bind(arguments, to: ["name"], required: 1, of: "attr")[0], default: "", of: "attr")
            return try attribute(name, of: value)
        default:
            let values = try bind(arguments, to: ["default_value", "boolean"], of: "default")
            let isMissing = try value.isUndefined || (flagArgument(values[1], default: false) && !isTrue(value))
            return isMissing ? values[0] ?? .string("") : value
        }
    }

    // MARK: Text

    private func textFilter(_ filter: TemplateFilter, _ value: RuntimeValue, _ arguments: CallArguments) throws -> RuntimeValue {
        let text = try self.text(of: value)
        try charge(text.utf8.count)
        switch filter {
        case .indent:
            guard case .string = value else { throw failure("indent takes a string, not '\(value.typeName)'") }
            return try makeString(indented(text, arguments))
        case .replace:
            let values = try bind(arguments, to: ["old", "new", "count"], required: 2, of: "replace")
            let count = try integerArgument(values[2].flatMap { $0.isNone ? nil : $0 }, default: -1, of: "replace")
            return .string(try replaced(text, try self.text(of: values[0] ?? .none), with: try self.text(of: values[1] ?? .none), count: count))
        case .trim:
            let characters = try bind(arguments, to: ["chars"], of: "trim")[0]
            return .string(try stripped(text, characters))
        case .center:
            let width = try integerArgument(bind(arguments, to: ["width"], of: "center")[0], default: 80, of: "center")
            return .string(try padded(text, to: width, with: " ", .center))
        case .truncate: return try makeString(truncated(text, arguments))
        case .format:
            if !arguments.named.isEmpty {
                let mapping = try makeDictionary()
                for (name, value) in arguments.named { mapping.set(name, to: value) }
                guard arguments.positional.isEmpty else { throw failure("format takes arguments with names or without, not both") }
                return try percentFormat(text, .dictionary(mapping))
            }
            return try percentFormat(text, makeList(arguments.positional, kind: .tuple))
        default: break
        }
        try refuseArguments(arguments, of: filter)
        switch filter {
        case .lower: return try makeString(text.lowercased())
        case .upper: return try makeString(text.uppercased())
        case .capitalize: return try makeString(PythonText.capitalized(text))
        case .title: return try makeString(titledWords(text))
        case .escape, .e, .forceescape:
            let entities: [Unicode.Scalar: String] = ["&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&#39;", "\"": "&#34;"]
            return try makeString(text.unicodeScalars.map { entities[$0] ?? String($0) }.joined())
        case .urlencode:
            let isKept: (UInt8) -> Bool = { Character(Unicode.Scalar($0)).isLetter && $0 < 0x80 || ($0 >= 0x30 && $0 <= 0x39) || "_.-~/".utf8.contains($0) }
            return try makeString(
                text.utf8.map { isKept($0) ? String(Unicode.Scalar($0)) : ($0 < 16 ? "%0" : "%") + String($0, radix: 16, uppercase: true) }.joined())
        case .wordcount:
            var (words, isInWord) = (0, false)
            for scalar in text.unicodeScalars {
                let isPart = scalar == "_" || scalar.properties.isAlphabetic || scalar.properties.numericType != nil
                if isPart, !isInWord { words += 1 }
                isInWord = isPart
            }
            return .int(words)
        default: return .string(text)
        }
    }

    /// Jinja's `title`: words begin after white space, a hyphen or an opening bracket only, so "it's" stays one word.
    private func titledWords(_ text: String) -> String {
        var result = ""
        var startsWord = true
        for scalar in text.unicodeScalars {
            let isBreak = PythonText.isSpace(scalar) || ["-", "(", "{", "[", "<"].contains(scalar)
            result += startsWord ? scalar.properties.uppercaseMapping : scalar.properties.lowercaseMapping
            startsWord = isBreak
        }
        return result
    }

    private func indented(_ text: String, _ arguments: CallArguments) throws -> String {
        let values = try bind(arguments, to: ["width", "first", "blank"], of: "indent")
        let indentation: String
        if case .string(let text) = values[0] {
            indentation = text
        } else {
            indentation = try repeated(" ", integerArgument(values[0], default: 4, of: "indent"))
        }
        let (indentsFirst, indentsBlank) = (try flagArgument(values[1], default: false), try flagArgument(values[2], default: false))
        let lines = PythonText.lines(text + "\n")
        try charge(lines.count, times: indentation.utf8.count + 16)
        var result = ""
        for (index, line) in lines.enumerated() {
            if index > 0 { result += "\n" }
            if index == 0 ? indentsFirst : (indentsBlank || !line.isEmpty) { result += indentation }
            result += line
        }
        return result
    }

    private func truncated(_ text: String, _ arguments: CallArguments) throws -> String {
        let values = try bind(arguments, to: ["length", "killwords", "end", "leeway"], of: "truncate")
        let length = try integerArgument(values[0], default: 255, of: "truncate")
        let cutsWords = try flagArgument(values[1], default: false)
        let ending = try stringArgument(values[2], default: "...", of: "truncate")
        let leeway = try integerArgument(values[3].flatMap { $0.isNone ? nil : $0 }, default: 5, of: "truncate")
        let room = length - min(ending.unicodeScalars.count, length)
        guard ending.unicodeScalars.count <= length, leeway >= 0 else { throw failure("truncate's length is shorter than its ending") }
        let scalars = text.unicodeScalars
        let (longest, overflow) = length.addingReportingOverflow(leeway)
        if overflow || scalars.count <= longest { return text }
        var cut = scalars.prefix(room)
        if !cutsWords, let space = cut.lastIndex(of: " ") { cut = cut[..<space] }
        return String(cut) + ending
    }

    // MARK: Numbers

    private func numberFilter(_ filter: TemplateFilter, _ value: RuntimeValue, _ arguments: CallArguments) throws -> RuntimeValue {
        if case .undefined(let reason) = value { throw failure(reason, remedy: "Give it a value with the filter 'default' first.") }
        switch filter {
        case .int:
            let values = try bind(arguments, to: ["default", "base"], of: "int")
            let base = try integerArgument(values[1], default: 10, of: "int")
            return try parsedInteger(value, base: base) ?? values[0] ?? .int(0)
        case .float:
            let fallback = try bind(arguments, to: ["default"], of: "float")[0]
            if let number = double(value) { return .double(number) }
            if case .string(let text) = value, let number = parsedDouble(text) { return .double(number) }
            return fallback ?? .double(0)
        case .abs:
            try refuseArguments(arguments, of: filter)
            if let number = integer(value) {
                guard number != Int.min else { throw failure("the result does not fit 64 bits") }
                return .int(Swift.abs(number))
            }
            guard let number = double(value) else { throw failure("abs takes a number, not '\(value.typeName)'") }
            return .double(number.magnitude)
        default: return try rounded(value, arguments)
        }
    }

    private func parsedInteger(_ value: RuntimeValue, base: Int) throws -> RuntimeValue? {
        if let number = integer(value) { return .int(number) }
        if case .double(let number) = value { return try truncatedToInteger(number) }
        guard case .string(let text) = value else { return nil }
        guard base == 0 || (2...36).contains(base) else { throw failure("int's base is 0 or 2 to 36") }
        try charge(text.utf8.count)
        if let digits = integerDigits(text, base: base) {
            // Digits alone that do not parse are too many for 64 bits.
            guard let number = Int(digits.text, radix: digits.base) else {
                if digits.isWellFormed { throw failure("the integer \(text.prefix(40)) does not fit 64 bits") }
                return try parsedDouble(text).flatMap { try truncatedToInteger($0) }
            }
            return .int(number)
        }
        return try parsedDouble(text).flatMap { try truncatedToInteger($0) }
    }

    /// The digits of Python's `int(text, base)`: without surrounding space, underscores and base prefix. Nil for nothing.
    private func integerDigits(_ text: String, base: Int) -> (text: String, base: Int, isWellFormed: Bool)? {
        var rest = PythonText.stripped(text, where: PythonText.isSpace)[...]
        var sign = ""
        if let first = rest.first, first == "-" || first == "+" {
            sign = first == "-" ? "-" : ""
            rest.removeFirst()
        }
        var actualBase = base == 0 ? 10 : base
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] where (base == 0 || base == radix) && rest.lowercased().hasPrefix(prefix) {
            actualBase = radix
            rest.removeFirst(2)
            if rest.first == "_" { rest.removeFirst() }
            break
        }
        let groups = rest.split(separator: "_", omittingEmptySubsequences: false)
        guard !rest.isEmpty, groups.allSatisfy({ !$0.isEmpty }) else { return nil }
        let digits = groups.joined()
        let isWellFormed = digits.allSatisfy { $0.hexDigitValue.map { $0 < actualBase } ?? (actualBase > 16 && $0.isASCII && $0.isLetter) }
        guard digits.first != "-", digits.first != "+" else { return nil }
        return (sign + digits, actualBase, isWellFormed)
    }

    /// Python's `float(text)`, or nil when it is no number.
    private func parsedDouble(_ text: String) -> Double? {
        let trimmed = PythonText.stripped(text, where: PythonText.isSpace)
        let lowered = trimmed.lowercased()
        let unsigned = lowered.hasPrefix("-") || lowered.hasPrefix("+") ? String(lowered.dropFirst()) : lowered
        if ["inf", "infinity", "nan"].contains(unsigned) { return Double(lowered) }
        // Swift would also take hexadecimal numbers, which Python's float does not.
        guard !unsigned.isEmpty, unsigned.allSatisfy({ ("0"..."9").contains($0) || ".e+-_".contains($0) }) else { return nil }
        guard !unsigned.hasPrefix("_"), !unsigned.hasSuffix("_"), !unsigned.contains("__") else { return nil }
        return Double(trimmed.replacing("_", with: ""))
    }

    private func truncatedToInteger(_ number: Double) throws -> RuntimeValue? {
        guard number.isFinite else { return nil }
        guard let whole = Int(exactly: number.rounded(.towardZero)) else { throw failure("the number does not fit 64 bits") }
        return .int(whole)
    }

    private func rounded(_ value: RuntimeValue, _ arguments: CallArguments) throws -> RuntimeValue {
        let values = try bind(arguments, to: ["precision", "method"], of: "round")
        let precision = try integerArgument(values[0], default: 0, of: "round")
        let method = try stringArgument(values[1], default: "common", of: "round")
        guard let number = double(value) else { throw failure("round takes a number, not '\(value.typeName)'") }
        switch method {
        case "common":
            // Python rounds an integer to an integer, unless digits are cut before the point, which chat templates do not do.
            if let whole = integer(value), precision >= 0 { return .int(whole) }
            // The decimal expansion of a Double has at most 1074 digits after the point; half-even on the exact value, as Python rounds.
            if precision >= 0 {
                guard number.isFinite, precision <= 1074 else { return .double(number) }
                return .double(Double(String(format: "%.\(precision)f", number)) ?? number)
            }
            guard precision >= -308 else { return .double(0) }
            let scale = pow(10, Double(-precision))
            let result = (number / scale).rounded(.toNearestOrEven) * scale
            return integer(value) == nil ? .double(result) : Int(exactly: result).map { .int($0) } ?? .double(result)
        case "ceil", "floor":
            let scale = pow(10, Double(precision))
            let scaled = number * scale
            guard scale.isFinite, scale > 0, scaled.isFinite else { throw failure("round's precision is out of range") }
            return .double(scaled.rounded(method == "ceil" ? .up : .down) / scale)
        default: throw failure("round's method is common, ceil or floor")
        }
    }
}
