// A step as it was written, and the checks that make a step of it: the technique is known, its parameters are, each has the right type and lies
// in its range, none is missing. What is wrong is said at its line and column, with what would be right.
import SwiftletRuntime

/// The words of one step.
struct RecipeStepSource {
    static let techniqueKey = "technique"
    static let includeKey = "include"
    static let excludeKey = "exclude"

    let place: RecipePlace
    let entries: [(key: RecipeWord, value: RecipeOperand)]

    /// The step. `techniques` are those there are.
    func step(_ techniques: [any RecipeTechnique.Type]) throws -> any CompressionStep {
        let technique = try self.technique(techniques)
        var scope = Scope()
        var values: [String: RecipeValue] = [:]
        for (key, operand) in entries where key.text != Self.techniqueKey {
            if key.text == Self.includeKey {
                scope.include = try patterns(operand, of: key)
            } else if key.text == Self.excludeKey {
                scope.exclude = try patterns(operand, of: key)
            } else {
                guard let parameter = technique.parameters.first(where: { $0.name == key.text }) else {
                    throw key.place.error("\(technique.technique) has no parameter '\(key.text)'", Self.parameterList(technique))
                }
                guard case .word(let word) = operand else {
                    var reason = "'\(key.text)' takes one value"
                    if case .list = operand { reason = "'\(key.text)' has several values, it takes one" }
                    throw operand.place.error(reason, "Give \(parameter.kind.description).")
                }
                values[parameter.name] = try parameter.value(of: word)
            }
        }
        for parameter in technique.parameters where values[parameter.name] == nil {
            guard let fallback = parameter.fallback else {
                throw place.error(
                    "\(technique.technique) needs '\(parameter.name)': \(parameter.help)", "Add \(parameter.name): \(parameter.kind.description).")
            }
            values[parameter.name] = fallback
        }
        do {
            return try technique.init(RecipeValues(scope: scope, values: values))
        } catch SwiftletError.invalidArgument(let name, let reason, let remedy) {
            let entry = entries.first { $0.key.text == name }
            throw (entry?.key.place ?? place).error("\(name): \(reason)", remedy)
        }
    }

    private func technique(_ techniques: [any RecipeTechnique.Type]) throws -> any RecipeTechnique.Type {
        let known = techniques.map { $0.technique }.joined(separator: ", ")
        guard let entry = entries.first(where: { $0.key.text == Self.techniqueKey }) else {
            throw place.error("the step names no technique", "Add technique: one of \(known).")
        }
        guard case .word(let word) = entry.value else {
            throw entry.value.place.error("a step has one technique", "Write technique: one of \(known); a step for each.")
        }
        guard let technique = techniques.first(where: { $0.technique == word.text }) else {
            throw word.place.error("there is no technique '\(word.text)'", "Choose one of \(known).")
        }
        return technique
    }

    private func patterns(_ operand: RecipeOperand, of key: RecipeWord) throws -> [String] {
        let words: [RecipeWord]
        switch operand {
        case .word(let word): words = [word]
        case .list(let list, _): words = list
        case .other(let place): throw place.error("'\(key.text)' takes patterns of names", "Write a pattern, or a list of them: [\"blk.*\", \"output.weight\"].")
        }
        if let empty = words.first(where: { $0.text.isEmpty }) {
            throw empty.place.error("an empty pattern matches no name", "Write a pattern: * stands for any run of characters, ? for one.")
        }
        guard !words.isEmpty || key.text == Self.excludeKey else {
            throw operand.place.error("'\(key.text)' has no pattern", "Leave it out to take every weight, or write a pattern.")
        }
        return words.map(\.text)
    }

    private static func parameterList(_ technique: any RecipeTechnique.Type) -> String {
        "It takes \((technique.parameters.map(\.name) + [includeKey, excludeKey]).joined(separator: ", "))."
    }
}

extension RecipeParameter {
    /// The value a word stands for. Throws `SwiftletError.syntax` where it is of another type or outside the range.
    func value(of word: RecipeWord) throws -> RecipeValue {
        func wrong(_ reason: String) -> SwiftletError { word.place.error("'\(name)' \(reason)", "Give \(kind.description): \(help).") }
        let shown = word.isQuoted ? "the text \"\(word.text)\"" : "'\(word.text)'"
        switch kind {
        case .number(let range):
            guard !word.isQuoted, let number = Double(word.text), number.isFinite else { throw wrong("is \(shown), not a number") }
            guard range.contains(number) else { throw wrong("is \(word.text), which is out of range") }
            return .number(number)
        case .integer(let range):
            guard !word.isQuoted, let number = Int(word.text) else { throw wrong("is \(shown), not a whole number") }
            guard range.contains(number) else { throw wrong("is \(word.text), which is out of range") }
            return .integer(number)
        case .flag:
            guard !word.isQuoted, let flag = Bool(word.text) else { throw wrong("is \(shown), neither true nor false") }
            return .flag(flag)
        case .choice(let words):
            guard words.contains(word.text) else { throw wrong("is \(shown), which is none of the choices") }
            return .text(word.text)
        case .text: return .text(word.text)
        }
    }
}

extension RecipeParameter.Kind: CustomStringConvertible {
    /// What may be given, as the end of a sentence that begins with "Give".
    package var description: String {
        switch self {
        case .number(let range): "a number \(Self.bounds(range.lowerBound, range.upperBound, largest: Double.greatestFiniteMagnitude))"
        case .integer(let range): "a whole number \(Self.bounds(range.lowerBound, range.upperBound, largest: Int.max))"
        case .flag: "true or false"
        case .choice(let words): words.count == 1 ? words[0] : "one of \(words.joined(separator: ", "))"
        case .text: "a text"
        }
    }

    private static func bounds<Number: Comparable>(_ low: Number, _ high: Number, largest: Number) -> String {
        high < largest ? "from \(low) to \(high)" : "of \(low) or more"
    }
}
