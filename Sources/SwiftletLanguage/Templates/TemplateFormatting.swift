// Python's two ways of formatting text: `"%s is %5.1f" % values` and `"{} is {name}".format(values)`.
// Source: the Python 3 standard library reference, printf-style formatting and the format string syntax (its plain replacement fields).

import Foundation
import SwiftletTensor

/// One conversion of a printf-style format.
private struct Conversion {
    var flags: Set<Unicode.Scalar> = []
    var width = 0
    var precision: Int?

    /// `body` with sign and padding.
    func laidOut(_ body: String, sign: String, isNumber: Bool, by evaluator: TemplateEvaluator) throws -> String {
        let whole = sign + body
        if flags.contains("-") { return try evaluator.padded(whole, to: width, with: " ", .left) }
        if flags.contains("0"), isNumber { return sign + (try evaluator.padded(body, to: width - sign.utf8.count, with: "0", .right)) }
        return try evaluator.padded(whole, to: width, with: " ", .right)
    }
}

extension TemplateEvaluator {
    /// The longest width or precision of a conversion.
    private static let maximumWidth = 1_000_000

    // MARK: printf style

    /// `format % value`.
    func percentFormat(_ format: String, _ value: RuntimeValue) throws -> RuntimeValue {
        try charge(format.utf8.count, times: 4)
        var arguments: [RuntimeValue] = [value]
        if case .list(let list) = value, list.kind == .tuple { arguments = list.elements }
        var (next, usesNames) = (0, false)
        func take() throws -> RuntimeValue {
            guard next < arguments.count else { throw failure("not enough arguments for the format string") }
            defer { next += 1 }
            return arguments[next]
        }
        var result = ""
        var scalars = format.unicodeScalars[...]
        while let scalar = scalars.popFirst() {
            guard scalar == "%" else {
                result.unicodeScalars.append(scalar)
                continue
            }
            var conversion = Conversion()
            var named: RuntimeValue?
            if scalars.first == "(" {
                guard let end = scalars.firstIndex(of: ")"), case .dictionary(let dictionary) = value else { throw failure("the format needs a mapping") }
                let name = String(scalars[scalars.index(after: scalars.startIndex)..<end])
                guard let found = dictionary.value(.text(ExactText(name))) else { throw failure("the format names '\(name.prefix(40))', which is absent") }
                (named, usesNames) = (found, true)
                scalars = scalars[scalars.index(after: end)...]
            }
            while let flag = scalars.first, "-+ 0#".unicodeScalars.contains(flag) { conversion.flags.insert(scalars.removeFirst()) }
            conversion.width = try width(&scalars, take: take) ?? 0
            if conversion.width < 0 {
                conversion.flags.insert("-")
                conversion.width = -conversion.width
            }
            if scalars.first == "." {
                scalars.removeFirst()
                conversion.precision = max(try width(&scalars, take: take) ?? 0, 0)
            }
            while let size = scalars.first, "hlL".unicodeScalars.contains(size) { scalars.removeFirst() }
            guard let code = scalars.popFirst() else { throw failure("the format string ends inside a conversion") }
            if code == "%" {
                result += "%"
                continue
            }
            let piece = try convert(code, conversion, try named ?? take())
            try charge(piece.utf8.count)
            result += piece
        }
        // A lone mapping, list or other object may go unused; the members of a tuple, and lone plain values, may not.
        if next < arguments.count, !usesNames {
            switch value {
            case .dictionary: break
            case .list(let list) where list.kind == .list: break
            default: throw failure("not all arguments of the format string were used")
            }
        }
        return .string(result)
    }

    /// A width or precision: digits, or `*` for the next argument.
    private func width(_ scalars: inout String.UnicodeScalarView.SubSequence, take: () throws -> RuntimeValue) throws -> Int? {
        if scalars.first == "*" {
            scalars.removeFirst()
            guard let number = integer(try take()), (-Self.maximumWidth...Self.maximumWidth).contains(number) else {
                throw failure("'*' in a format takes an integer of reasonable size")
            }
            return number
        }
        var number: Int?
        while let digit = scalars.first, ("0"..."9").contains(digit) {
            scalars.removeFirst()
            let value = (number ?? 0) * 10 + Int(digit.value - 48)
            guard value <= Self.maximumWidth else { throw failure("a width beyond \(Self.maximumWidth)") }
            number = value
        }
        return number
    }

    private func convert(_ code: Unicode.Scalar, _ conversion: Conversion, _ value: RuntimeValue) throws -> String {
        switch code {
        case "s", "r", "a":
            var text = code == "s" ? try self.text(of: value) : try representation(of: value)
            if let precision = conversion.precision { text = String(text.unicodeScalars.prefix(precision)) }
            return try conversion.laidOut(text, sign: "", isNumber: false, by: self)
        case "c":
            if case .string(let text) = value, text.unicodeScalars.count == 1 { return try conversion.laidOut(text, sign: "", isNumber: false, by: self) }
            guard let number = integer(value), let code = UInt32(exactly: number), let scalar = Unicode.Scalar(code) else {
                throw failure("%c takes one character or its number")
            }
            return try conversion.laidOut(String(scalar), sign: "", isNumber: false, by: self)
        case "d", "i", "u", "x", "X", "o":
            return try convertInteger(code, conversion, value)
        case "f", "F", "e", "E", "g", "G":
            guard let number = double(value) else { throw failure("%\(code) takes a number, not '\(value.typeName)'") }
            let sign = number.sign == .minus ? "-" : conversion.flags.contains("+") ? "+" : conversion.flags.contains(" ") ? " " : ""
            let precision = conversion.precision ?? 6
            try charge(precision + 320)
            if !number.isFinite {
                let name = number.isNaN ? "nan" : "inf"
                return try conversion.laidOut(code.properties.isUppercase ? name.uppercased() : name, sign: sign, isNumber: false, by: self)
            }
            let alternate = conversion.flags.contains("#") ? "#" : ""
            return try conversion.laidOut(String(format: "%\(alternate).\(precision)\(code)", number.magnitude), sign: sign, isNumber: true, by: self)
        default: throw failure("unknown conversion '%\(code)'")
        }
    }

    private func convertInteger(_ code: Unicode.Scalar, _ conversion: Conversion, _ value: RuntimeValue) throws -> String {
        var whole = integer(value)
        if whole == nil, "diu".unicodeScalars.contains(code), case .double(let number) = value { whole = Int(exactly: number.rounded(.towardZero)) }
        guard let number = whole else { throw failure("%\(code) takes an integer, not '\(value.typeName)'") }
        let radix = code == "x" || code == "X" ? 16 : code == "o" ? 8 : 10
        var digits = String(number.magnitude, radix: radix, uppercase: code == "X")
        if let precision = conversion.precision { digits = try padded(digits, to: precision, with: "0", .right) }
        var sign = number < 0 ? "-" : conversion.flags.contains("+") ? "+" : conversion.flags.contains(" ") ? " " : ""
        if conversion.flags.contains("#"), radix != 10 { sign += "0\(code)" }
        return try conversion.laidOut(digits, sign: sign, isNumber: true, by: self)
    }

    // MARK: Replacement fields

    /// `format.format(…)`: `{}`, `{0}`, `{name}`, `{name.attribute}`, `{name[key]}`, each with `!r` or `!s`. Format specifications are refused.
    func braceFormat(_ format: String, _ arguments: CallArguments) throws -> String {
        try charge(format.utf8.count, times: 4)
        var result = ""
        var next = 0
        var scalars = format.unicodeScalars[...]
        while let scalar = scalars.popFirst() {
            if scalar == "{" || scalar == "}", scalars.first == scalar {
                scalars.removeFirst()
                result.unicodeScalars.append(scalar)
            } else if scalar == "{" {
                guard let end = scalars.firstIndex(of: "}") else { throw failure("'{' is never closed in the format string") }
                let piece = try replacement(String(scalars[..<end]), arguments, next: &next)
                try charge(piece.utf8.count)
                result += piece
                scalars = scalars[scalars.index(after: end)...]
            } else if scalar == "}" {
                throw failure("'}' closes nothing in the format string")
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private func replacement(_ field: String, _ arguments: CallArguments, next: inout Int) throws -> String {
        guard !field.contains(":"), !field.contains("{") else {
            throw failure("the format specification of '{\(field.prefix(40))}' is not supported", remedy: "Format the value with a filter or with '%'.")
        }
        let parts = field.split(separator: "!", maxSplits: 1, omittingEmptySubsequences: false)
        let path = parts[0]
        let name = path.prefix { $0 != "." && $0 != "[" }
        var value: RuntimeValue
        if name.isEmpty || Int(name) != nil {
            let index = Int(name) ?? next
            if name.isEmpty { next += 1 }
            guard arguments.positional.indices.contains(index) else { throw failure("the format string asks for argument \(index), which is absent") }
            value = arguments.positional[index]
        } else {
            guard let named = arguments.named.first(where: { $0.name == name }) else { throw failure("the format string names '\(name.prefix(40))', which is absent") }
            value = named.value
        }
        var rest = path.dropFirst(name.count)
        while let mark = rest.popFirst() {
            if mark == "." {
                let attributeName = rest.prefix { $0 != "." && $0 != "[" }
                value = try attribute(String(attributeName), of: value)
                rest = rest.dropFirst(attributeName.count)
            } else if mark == "[", let end = rest.firstIndex(of: "]") {
                let key = String(rest[..<end])
                value = try item(Int(key).map { .int($0) } ?? .string(key), of: value)
                rest = rest[rest.index(after: end)...]
            } else {
                throw failure("'{\(field.prefix(40))}' is not a replacement field")
            }
        }
        guard parts.count == 2 else { return try text(of: value) }
        switch parts[1] {
        case "r": return try representation(of: value)
        case "s": return try text(of: value)
        default: throw failure("'!\(parts[1].prefix(10))' is not a conversion")
        }
    }
}
