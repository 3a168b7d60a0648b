// Regular expressions in the syntax of RE2, matched in time linear in the text: RegexFullMatch takes patterns from files, and a pattern must
// not be able to make the engine hang, as it can with one that backtracks.
//
// A pattern becomes a program of a few instructions (Thompson, 1968; Cox, "Regular Expression Matching Can Be Simple And Fast", 2007); a text
// is matched by following all threads through it at once, one Unicode scalar after the other.
import SwiftletTensor

/// A compiled pattern.
struct RegularExpression: Sendable {
    enum Instruction: Sendable {
        /// Consumes one scalar of a set.
        case consume(ScalarSet)
        case split(Int, Int)
        case jump(Int)
        case check(Condition)
        case match
    }

    /// What holds at a place between scalars.
    enum Condition: Sendable { case textStart, textEnd, lineStart, lineEnd, wordBoundary, noWordBoundary }

    private let program: [Instruction]

    /// Longer programs come from nested counts only.
    private static let mostInstructions = 1 << 16

    /// Throws `SwiftletError.syntax` with the column where the pattern is wrong, and for what RE2 has and this does not.
    init(_ pattern: String) throws {
        var parser = RegularExpressionParser(pattern)
        var compiler = Compiler(pattern: pattern)
        try compiler.add(parser.parse())
        compiler.program.append(.match)
        program = compiler.program
    }

    /// Whether the pattern matches all of a text.
    func matches(_ text: String) -> Bool {
        let scalars = Array(text.unicodeScalars)
        var threads = Threads(count: program.count)
        threads.add(0, program, scalars, 0)
        for (index, scalar) in scalars.enumerated() {
            if threads.list.isEmpty { return false }
            var next = Threads(count: program.count)
            for place in threads.list {
                if case .consume(let set) = program[place], set.contains(scalar) { next.add(place + 1, program, scalars, index + 1) }
            }
            threads = next
        }
        return threads.list.contains { if case .match = program[$0] { true } else { false } }
    }

    /// The places in the program where matching can go on, each once.
    private struct Threads {
        var list: [Int] = []
        private var isIn: [Bool]

        init(count: Int) { isIn = [Bool](repeating: false, count: count) }

        /// Adds a place and all that are reached from it without consuming anything.
        mutating func add(_ start: Int, _ program: [Instruction], _ text: [Unicode.Scalar], _ index: Int) {
            var pending = [start]
            while let place = pending.popLast() {
                if isIn[place] { continue }
                isIn[place] = true
                switch program[place] {
                case .consume, .match: list.append(place)
                case .jump(let target): pending.append(target)
                case .split(let a, let b): pending += [b, a]
                case .check(let condition): if condition.holds(in: text, at: index) { pending.append(place + 1) }
                }
            }
        }
    }

    /// Lays a syntax tree out as a program.
    private struct Compiler {
        let pattern: String
        var program: [Instruction] = []
        /// Parts laid out, those of repetitions each time.
        private var steps = 0

        init(pattern: String) { self.pattern = pattern }

        mutating func add(_ node: RegularExpressionNode) throws {
            steps += 1
            guard steps < RegularExpression.mostInstructions else {
                throw SwiftletError.syntax(
                    source: pattern, line: 1, column: 1, reason: "the repetitions of the pattern multiply to more than \(RegularExpression.mostInstructions) steps",
                    remedy: "Repeat less often.")
            }
            switch node {
            case .empty: break
            case .set(let set): program.append(.consume(set))
            case .check(let condition): program.append(.check(condition))
            case .sequence(let parts): for part in parts { try add(part) }
            case .choice(let options):
                var exits: [Int] = []
                for (index, option) in options.enumerated() {
                    guard index < options.count - 1 else {
                        try add(option)
                        continue
                    }
                    let fork = program.count
                    program.append(.match)
                    try add(option)
                    exits.append(program.count)
                    program.append(.match)
                    program[fork] = .split(fork + 1, program.count)
                }
                for exit in exits { program[exit] = .jump(program.count) }
            case .repetition(let part, let least, let most):
                for _ in 0..<least { try add(part) }
                if let most {
                    var forks: [Int] = []
                    for _ in least..<most {
                        forks.append(program.count)
                        program.append(.match)
                        try add(part)
                    }
                    for fork in forks { program[fork] = .split(fork + 1, program.count) }
                } else {
                    let fork = program.count
                    program.append(.match)
                    try add(part)
                    program.append(.jump(fork))
                    program[fork] = .split(fork + 1, program.count)
                }
            }
        }
    }
}

/// The parts of a pattern.
indirect enum RegularExpressionNode: Sendable {
    case empty
    case set(ScalarSet)
    case check(RegularExpression.Condition)
    case sequence([RegularExpressionNode])
    case choice([RegularExpressionNode])
    /// `most` is nil for no limit. Greedy or not makes no difference to whether all of a text matches.
    case repetition(RegularExpressionNode, least: Int, most: Int?)
}

extension RegularExpression.Condition {
    fileprivate func holds(in text: [Unicode.Scalar], at index: Int) -> Bool {
        func isWord(_ place: Int) -> Bool { text.indices.contains(place) && ScalarSet.word.contains(text[place]) }
        switch self {
        case .textStart: return index == 0
        case .textEnd: return index == text.count
        case .lineStart: return index == 0 || text[index - 1] == "\n"
        case .lineEnd: return index == text.count || text[index] == "\n"
        case .wordBoundary: return isWord(index - 1) != isWord(index)
        case .noWordBoundary: return isWord(index - 1) == isWord(index)
        }
    }
}

/// A set of Unicode scalars.
struct ScalarSet: Sendable {
    var ranges: [ClosedRange<UInt32>] = []
    /// General categories by their abbreviation, `L` or `Lu`, and whether the scalars outside of them are meant.
    var categories: [(name: String, isNegated: Bool)] = []
    /// Sets inside a class that are negated by themselves, such as `\D`.
    var excluding: [[ClosedRange<UInt32>]] = []
    var isNegated = false
    var foldsCase = false

    static let digits = ScalarSet(ranges: [range("0", "9")])
    static let word = ScalarSet(ranges: [range("0", "9"), range("A", "Z"), range("_", "_"), range("a", "z")])
    static let space = ScalarSet(ranges: [range("\t", "\n"), range("\u{C}", "\r"), range(" ", " ")])

    static func range(_ first: Unicode.Scalar, _ last: Unicode.Scalar) -> ClosedRange<UInt32> { first.value...last.value }

    func contains(_ scalar: Unicode.Scalar) -> Bool {
        if holds(scalar) { return !isNegated }
        if foldsCase {
            let properties = scalar.properties
            for form in [properties.lowercaseMapping, properties.uppercaseMapping] {
                if let other = form.unicodeScalars.first, form.unicodeScalars.count == 1, other != scalar, holds(other) { return !isNegated }
            }
        }
        return isNegated
    }

    private func holds(_ scalar: Unicode.Scalar) -> Bool {
        ranges.contains { $0.contains(scalar.value) }
            || excluding.contains { set in !set.contains { $0.contains(scalar.value) } }
            || categories.contains { category in scalar.properties.generalCategory.abbreviation.hasPrefix(category.name) != category.isNegated }
    }
}

extension Unicode.GeneralCategory {
    /// The two letters of the Unicode standard.
    fileprivate var abbreviation: String {
        switch self {
        case .uppercaseLetter: "Lu"
        case .lowercaseLetter: "Ll"
        case .titlecaseLetter: "Lt"
        case .modifierLetter: "Lm"
        case .otherLetter: "Lo"
        case .nonspacingMark: "Mn"
        case .spacingMark: "Mc"
        case .enclosingMark: "Me"
        case .decimalNumber: "Nd"
        case .letterNumber: "Nl"
        case .otherNumber: "No"
        case .connectorPunctuation: "Pc"
        case .dashPunctuation: "Pd"
        case .openPunctuation: "Ps"
        case .closePunctuation: "Pe"
        case .initialPunctuation: "Pi"
        case .finalPunctuation: "Pf"
        case .otherPunctuation: "Po"
        case .mathSymbol: "Sm"
        case .currencySymbol: "Sc"
        case .modifierSymbol: "Sk"
        case .otherSymbol: "So"
        case .spaceSeparator: "Zs"
        case .lineSeparator: "Zl"
        case .paragraphSeparator: "Zp"
        case .control: "Cc"
        case .format: "Cf"
        case .surrogate: "Cs"
        case .privateUse: "Co"
        case .unassigned: "Cn"
        @unknown default: "Cn"
        }
    }
}
