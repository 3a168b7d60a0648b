// Recipes in YAML files. The document is read as nodes with their places, not decoded: an error of meaning is shown where it stands, like one of
// the language.
import Foundation
import SwiftletRuntime
import Yams

extension Recipe {
    /// Longer files are no recipes.
    private static let byteLimit = 1 << 20

    /// Reads a YAML file.
    ///
    /// Throws `SwiftletError.io` when it cannot be read, and `.syntax` with line and column for everything that is wrong in it.
    public init(path: String) throws {
        let file = try MappedFile(path: path)
        try self.init(yaml: withExtendedLifetime(file) { Array(file.bytes.prefix(Self.byteLimit + 1)) }, name: path, techniques: Techniques.all)
    }

    /// Reads YAML text; `name` is what errors call it.
    public init(yaml: String, name: String) throws { try self.init(yaml: Array(yaml.utf8), name: name, techniques: Techniques.all) }

    package init(yaml bytes: [UInt8], name: String, techniques: [any RecipeTechnique.Type]) throws {
        let start = RecipePlace(source: name, line: 1, column: 1)
        guard bytes.count <= Self.byteLimit else { throw start.error("the file has more than \(Self.byteLimit) bytes", "A recipe is a short YAML text.") }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw start.error("the file is not UTF-8 text", "Save it as UTF-8.") }
        self = try RecipeReader(name: name, techniques: techniques).recipe(text)
    }
}

/// Graphs have nodes as well.
private typealias YAMLNode = Yams.Node

/// Reads one recipe.
private struct RecipeReader {
    let name: String
    let techniques: [any RecipeTechnique.Type]

    private static let keys = ["name", "seed", "calibration", "steps"]
    private static let calibrationKeys = [
        RecipeParameter("windows", .integer(1...1_000_000), "windows of text"),
        RecipeParameter("length", .integer(2...1_000_000), "tokens of a window"),
        RecipeParameter("samples", .integer(1...1_000_000), "pictures or arrays"),
    ]

    func recipe(_ text: String) throws -> Recipe {
        guard let root = try node(text), !isNull(root) else {
            throw RecipePlace(source: name, line: 1, column: 1).error("the recipe is empty", "Write steps: and a list of steps.")
        }
        guard case .mapping(let mapping) = root else {
            throw place(root).error("a recipe is a mapping", "Write \(Self.keys.joined(separator: ", ")) as keys, steps: a list of steps.")
        }
        var recipe = Recipe(steps: [])
        var hasSteps = false
        for (keyNode, value) in mapping {
            let key = try key(keyNode)
            switch key.text {
            case "name": recipe.name = try word(value, of: key, "a text").text
            case "seed":
                let word = try word(value, of: key, "a whole number from 0")
                guard !word.isQuoted, let seed = UInt64(word.text) else {
                    throw word.place.error("'seed' is '\(word.text)', not a whole number from 0 on", "Give a whole number of at most 64 bits.")
                }
                recipe.seed = seed
            case "calibration": recipe.calibration = try calibration(value)
            case "steps":
                hasSteps = true
                recipe.steps = try steps(value)
            default: throw key.place.error("a recipe has no key '\(key.text)'", "Its keys are \(Self.keys.joined(separator: ", ")).")
            }
        }
        guard hasSteps else { throw place(root).error("the recipe has no steps", "Add steps: and a list of steps.") }
        return recipe
    }

    private func steps(_ node: YAMLNode) throws -> [any CompressionStep] {
        guard case .sequence(let sequence) = node, !sequence.isEmpty else {
            throw place(node).error("'steps' is no list of steps", "Write a line '- technique: …' for each step; swiftlet compress --techniques lists them.")
        }
        return try sequence.map { node in
            guard case .mapping(let mapping) = node else {
                throw place(node).error("a step is a mapping", "Write technique: and its parameters; swiftlet compress --techniques lists them.")
            }
            return try RecipeStepSource(place: place(node), entries: mapping.map { (try key($0.key), operand($0.value)) }).step(techniques)
        }
    }

    private func calibration(_ node: YAMLNode) throws -> Recipe.Calibration {
        let known = Self.calibrationKeys.map(\.name).joined(separator: ", ")
        guard case .mapping(let mapping) = node else { throw place(node).error("'calibration' is a mapping", "Its keys are \(known).") }
        var calibration = Recipe.Calibration()
        for (keyNode, value) in mapping {
            let key = try key(keyNode)
            guard let parameter = Self.calibrationKeys.first(where: { $0.name == key.text }) else {
                throw key.place.error("'calibration' has no key '\(key.text)'", "Its keys are \(known).")
            }
            guard case .integer(let number) = try parameter.value(of: word(value, of: key, parameter.kind.description)) else { continue }
            switch parameter.name {
            case "windows": calibration.windows = number
            case "length": calibration.length = number
            default: calibration.samples = number
            }
        }
        return calibration
    }

    // MARK: Nodes

    private func place(_ node: YAMLNode) -> RecipePlace {
        RecipePlace(source: name, line: node.mark?.line ?? 1, column: node.mark?.column ?? 1)
    }

    private func isNull(_ node: YAMLNode) -> Bool {
        if case .scalar(let scalar) = node { scalar.style == .plain && ["", "~", "null"].contains(scalar.string) } else { false }
    }

    private func word(_ node: YAMLNode) -> RecipeWord? {
        guard case .scalar(let scalar) = node, !isNull(node) else { return nil }
        return RecipeWord(text: scalar.string, isQuoted: scalar.style != .plain && scalar.style != .any, place: place(node))
    }

    private func word(_ node: YAMLNode, of key: RecipeWord, _ allowed: String) throws -> RecipeWord {
        guard let word = word(node) else { throw place(node).error("'\(key.text)' takes one value", "Give \(allowed).") }
        return word
    }

    private func key(_ node: YAMLNode) throws -> RecipeWord {
        guard let word = word(node) else { throw place(node).error("a key is a word", "Write key: value.") }
        return word
    }

    private func operand(_ node: YAMLNode) -> RecipeOperand {
        if let word = word(node) { return .word(word) }
        if case .sequence(let sequence) = node {
            let words = sequence.compactMap { word($0) }
            if words.count == sequence.count { return .list(words, place(node)) }
        }
        return .other(place(node))
    }

    /// The document's root. Errors of the language become ours.
    private func node(_ text: String) throws -> YAMLNode? {
        do {
            return try Yams.Parser(yaml: text, encoding: .utf8).singleRoot()
        } catch let error as YamlError {
            throw self.error(error, in: text)
        }
    }

    private func error(_ error: YamlError, in text: String) -> SwiftletError {
        func place(_ mark: Mark) -> RecipePlace { RecipePlace(source: name, line: mark.line, column: mark.column) }
        switch error {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _), .composer(let context, let problem, let mark, _):
            let around = context.map { "\($0.text.trimmingCharacters(in: .whitespaces)): " } ?? ""
            // A star begins an alias in YAML; a pattern that begins with one is taken for that.
            let pattern = context.flatMap { $0.text.contains("alias") ? $0.mark : nil } ?? (problem.contains("alias") ? mark : nil)
            return place(pattern ?? mark).error(
                "\(around)\(problem)", pattern != nil ? "Put patterns that begin with * in quotes." : "Correct the YAML: keys and values are written key: value, lists with dashes.")
        case .duplicatedKeysInMapping(let duplicates, let context):
            return place(context.mark).error("the key '\(duplicates.first ?? "")' comes twice", "Keep one of them.")
        case .reader(let problem, let offset, _, _):
            let before = text.prefix(offset ?? 0)
            let line = before.filter(\.isNewline).count + 1
            let column = (before.lastIndex(where: \.isNewline).map { before[before.index(after: $0)...] } ?? before).unicodeScalars.count + 1
            return RecipePlace(source: name, line: line, column: column).error(problem, "Remove control characters.")
        default: return RecipePlace(source: name, line: 1, column: 1).error("\(error)", "Correct the YAML.")
        }
    }
}
