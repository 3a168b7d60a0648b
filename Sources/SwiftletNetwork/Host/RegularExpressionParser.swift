// The syntax of RE2 (github.com/google/re2, syntax.txt), without what it marks as not supported, and without scripts such as \p{Greek}.
import SwiftletTensor

/// Reads a pattern into its parts.
struct RegularExpressionParser {
    private let pattern: String
    private let scalars: [Unicode.Scalar]
    private var next = 0
    private var depth = 0
    private var flags = Flags()

    private struct Flags {
        var foldsCase = false
        /// `^` and `$` at lines.
        var isMultiline = false
        /// A dot takes newlines too.
        var dotTakesNewline = false
    }

    /// As in RE2.
    private static let mostRepetitions = 1000
    private static let mostDepth = 200

    init(_ pattern: String) {
        self.pattern = pattern
        scalars = Array(pattern.unicodeScalars)
    }

    mutating func parse() throws -> RegularExpressionNode {
        let node = try choice()
        if next < scalars.count { throw wrong("a ')' without its '('") }
        return node
    }

    // MARK: Structure

    private mutating func choice() throws -> RegularExpressionNode {
        var options = [try sequence()]
        while take("|") { options.append(try sequence()) }
        return options.count == 1 ? options[0] : .choice(options)
    }

    private mutating func sequence() throws -> RegularExpressionNode {
        var parts: [RegularExpressionNode] = []
        while let scalar = peek, scalar != "|", scalar != ")" {
            if take(text: "\\Q") {
                while next < scalars.count, !take(text: "\\E") { parts.append(.set(literal(scalars[advance()]))) }
                continue
            }
            parts.append(try repeated(atom()))
        }
        return parts.count == 1 ? parts[0] : .sequence(parts)
    }

    private mutating func repeated(_ atom: RegularExpressionNode) throws -> RegularExpressionNode {
        var node = atom
        var isRepeated = false
        while let scalar = peek {
            let bounds: (Int, Int?)
            switch scalar {
            case "*": bounds = (0, nil)
            case "+": bounds = (1, nil)
            case "?": bounds = (0, 1)
            case "{":
                guard let counts = try counts() else { return node }
                bounds = counts
            default: return node
            }
            if scalar != "{" { next += 1 }
            if isRepeated { throw wrong("a repetition of a repetition") }
            isRepeated = true
            _ = take("?")
            node = .repetition(node, least: bounds.0, most: bounds.1)
        }
        return node
    }

    /// `{n}`, `{n,}` or `{n,m}`; nil and nothing read when the brace stands for itself.
    private mutating func counts() throws -> (Int, Int?)? {
        let start = next
        next += 1
        guard let least = number() else {
            next = start
            return nil
        }
        var most: Int? = least
        if take(",") { most = number() }
        guard take("}") else {
            next = start
            return nil
        }
        guard least <= Self.mostRepetitions, most ?? 0 <= Self.mostRepetitions, least <= most ?? least else { throw wrong("a count that is too large") }
        return (least, most)
    }

    private mutating func number() -> Int? {
        var value: Int?
        while let scalar = peek, ScalarSet.digits.contains(scalar) {
            value = min(1_000_000, (value ?? 0) * 10 + Int(scalar.value) - 48)
            next += 1
        }
        return value
    }

    private mutating func atom() throws -> RegularExpressionNode {
        let scalar = scalars[advance()]
        switch scalar {
        case "(": return try group()
        case "[": return try .set(bracket())
        case ".":
            return .set(flags.dotTakesNewline ? ScalarSet(ranges: [0...0x10FFFF]) : ScalarSet(ranges: [ScalarSet.range("\n", "\n")], isNegated: true))
        case "^": return .check(flags.isMultiline ? .lineStart : .textStart)
        case "$": return .check(flags.isMultiline ? .lineEnd : .textEnd)
        case "*", "+", "?": throw wrong("nothing to repeat")
        case "\\": return try escape()
        default: return .set(literal(scalar))
        }
    }

    private mutating func group() throws -> RegularExpressionNode {
        depth += 1
        guard depth <= Self.mostDepth else { throw wrong("groups more than \(Self.mostDepth) deep") }
        defer { depth -= 1 }
        let outer = flags
        if take("?") {
            if take(text: "P<") || take("<") {
                while let scalar = peek, scalar != ">" {
                    guard ScalarSet.word.contains(scalar) else { throw wrong("a group whose name is no word") }
                    next += 1
                }
                guard take(">") else { throw wrong("a group without its name") }
            } else if try !readFlags() {
                // The flags hold up to the end of the group around them.
                return .empty
            }
        }
        let node = try choice()
        guard take(")") else { throw wrong("a '(' without its ')'") }
        flags = outer
        return node
    }

    /// The flags of `(?flags)` or `(?flags:`; whether a group follows.
    private mutating func readFlags() throws -> Bool {
        var value = true
        while let scalar = peek {
            next += 1
            switch scalar {
            case "i": flags.foldsCase = value
            case "m": flags.isMultiline = value
            case "s": flags.dotTakesNewline = value
            // Which of several matches is preferred does not matter here.
            case "U": break
            case "-": value = false
            case ":": return true
            case ")": return false
            default: throw wrong("an unknown kind of group")
            }
        }
        throw wrong("a '(' without its ')'")
    }

    // MARK: Sets

    private func literal(_ scalar: Unicode.Scalar) -> ScalarSet {
        ScalarSet(ranges: [ScalarSet.range(scalar, scalar)], foldsCase: flags.foldsCase)
    }

    private mutating func bracket() throws -> ScalarSet {
        var set = ScalarSet(isNegated: take("^"), foldsCase: flags.foldsCase)
        var isFirst = true
        while isFirst || peek != "]" {
            guard let scalar = peek else { throw wrong("a '[' without its ']'") }
            isFirst = false
            if try named(into: &set) || perl(into: &set) { continue }
            let first = try bound(scalar)
            // A minus in front of the end stands for itself.
            guard peek == "-", next + 1 < scalars.count, scalars[next + 1] != "]" else {
                set.ranges.append(ScalarSet.range(first, first))
                continue
            }
            next += 1
            guard let end = peek else { throw wrong("a '[' without its ']'") }
            let last = try bound(end)
            guard first <= last else { throw wrong("a range that ends before it begins") }
            set.ranges.append(ScalarSet.range(first, last))
        }
        next += 1
        return set
    }

    /// One end of a range.
    private mutating func bound(_ scalar: Unicode.Scalar) throws -> Unicode.Scalar {
        next += 1
        return scalar == "\\" ? try character() : scalar
    }

    /// `[:alpha:]` and its like.
    private mutating func named(into set: inout ScalarSet) throws -> Bool {
        guard take(text: "[:") else { return false }
        let isNegated = take("^")
        var name = ""
        while let scalar = peek, scalar != ":" {
            name.unicodeScalars.append(scalar)
            next += 1
        }
        guard take(text: ":]"), let ranges = Self.named[name] else { throw wrong("an unknown class '\(name)'") }
        if isNegated { set.excluding.append(ranges) } else { set.ranges += ranges }
        return true
    }

    private static let named: [String: [ClosedRange<UInt32>]] = {
        func range(_ first: Unicode.Scalar, _ last: Unicode.Scalar) -> ClosedRange<UInt32> { ScalarSet.range(first, last) }
        let (digit, upper, lower) = (range("0", "9"), range("A", "Z"), range("a", "z"))
        return [
            "alnum": [digit, upper, lower], "alpha": [upper, lower], "ascii": [0...0x7F], "blank": [range("\t", "\t"), range(" ", " ")],
            "cntrl": [0...0x1F, 0x7F...0x7F], "digit": [digit], "graph": [range("!", "~")], "lower": [lower], "print": [range(" ", "~")],
            "punct": [range("!", "/"), range(":", "@"), range("[", "`"), range("{", "~")], "space": [range("\t", "\r"), range(" ", " ")],
            "upper": [upper], "word": ScalarSet.word.ranges, "xdigit": [digit, range("A", "F"), range("a", "f")],
        ]
    }()

    /// `\d`, `\pL` and their like; false and nothing read for other escapes.
    private mutating func perl(into set: inout ScalarSet) throws -> Bool {
        guard peek == "\\", next + 1 < scalars.count else { return false }
        let sets: [Unicode.Scalar: ScalarSet] = ["d": .digits, "w": .word, "s": .space]
        let kind = scalars[next + 1]
        if let found = sets[kind] {
            set.ranges += found.ranges
        } else if let found = sets[kind.properties.lowercaseMapping.unicodeScalars.first ?? kind] {
            set.excluding.append(found.ranges)
        } else if kind == "p" || kind == "P" {
            next += 2
            try category(into: &set, isNegated: kind == "P")
            return true
        } else {
            return false
        }
        next += 2
        return true
    }

    private mutating func category(into set: inout ScalarSet, isNegated: Bool) throws {
        var (name, isNegated) = ("", isNegated)
        if take("{") {
            if take("^") { isNegated.toggle() }
            while let scalar = peek, scalar != "}" {
                name.unicodeScalars.append(scalar)
                next += 1
            }
            guard take("}") else { throw wrong("a '{' without its '}'") }
        } else if let scalar = peek {
            name.unicodeScalars.append(scalar)
            next += 1
        }
        guard name == "Any" || Self.categories.contains(name) else { throw wrong("the unknown category '\(name)'") }
        set.categories.append((name == "Any" ? "" : name, isNegated))
    }

    private static let categories: Set<String> = [
        "L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "Mc", "Me", "N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S", "Sm", "Sc",
        "Sk", "So", "Z", "Zs", "Zl", "Zp", "C", "Cc", "Cf", "Cs", "Co",
    ]

    // MARK: Escapes

    /// What follows a backslash outside of brackets.
    private mutating func escape() throws -> RegularExpressionNode {
        next -= 1
        var set = ScalarSet(foldsCase: flags.foldsCase)
        if try perl(into: &set) { return .set(set) }
        next += 1
        switch peek {
        case "A": next += 1; return .check(.textStart)
        case "z": next += 1; return .check(.textEnd)
        case "b": next += 1; return .check(.wordBoundary)
        case "B": next += 1; return .check(.noWordBoundary)
        default: return .set(literal(try character()))
        }
    }

    /// The scalar an escape stands for, the backslash having been read.
    private mutating func character() throws -> Unicode.Scalar {
        guard let scalar = peek else { throw wrong("a backslash at the end") }
        next += 1
        switch scalar {
        case "a": return "\u{7}"
        case "f": return "\u{C}"
        case "n": return "\n"
        case "r": return "\r"
        case "t": return "\t"
        case "v": return "\u{B}"
        case "x":
            var digits = ""
            if take("{") {
                while let digit = peek, digit != "}", digits.count < 8 {
                    digits.unicodeScalars.append(digit)
                    next += 1
                }
                guard take("}") else { throw wrong("a '{' without its '}'") }
            } else {
                while let digit = peek, digits.count < 2 {
                    digits.unicodeScalars.append(digit)
                    next += 1
                }
                guard digits.count == 2 else { throw wrong("an escape without two digits") }
            }
            guard let value = UInt32(digits, radix: 16), let scalar = Unicode.Scalar(value) else { throw wrong("'\(digits)' is no character") }
            return scalar
        case "0"..."7":
            // Octal: a leading zero, or two digits at least, for one alone would be a back-reference.
            var value = scalar.value - 48
            var count = 1
            while count < 3, let digit = peek, ("0"..."7").contains(digit) {
                value = value * 8 + digit.value - 48
                count += 1
                next += 1
            }
            guard scalar == "0" || count > 1, let character = Unicode.Scalar(value) else { throw wrong("references to groups are not in RE2") }
            return character
        default:
            guard scalar.isASCII, !ScalarSet.word.contains(scalar) else { throw wrong("the unknown escape '\\\(scalar)'") }
            return scalar
        }
    }

    // MARK: Reading

    private var peek: Unicode.Scalar? { next < scalars.count ? scalars[next] : nil }

    private mutating func advance() -> Int {
        next += 1
        return next - 1
    }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard peek == scalar else { return false }
        next += 1
        return true
    }

    private mutating func take(text: String) -> Bool {
        let wanted = Array(text.unicodeScalars)
        guard scalars[next...].starts(with: wanted) else { return false }
        next += wanted.count
        return true
    }

    private func wrong(_ reason: String) -> SwiftletError {
        .syntax(source: pattern, line: 1, column: next + 1, reason: "the pattern has \(reason)", remedy: "Write the pattern in the syntax of RE2.")
    }
}
