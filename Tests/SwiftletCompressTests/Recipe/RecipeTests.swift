// Recipes from text: what is read, and where errors are shown.
import Foundation
import SwiftletCompress
import SwiftletRuntime
import Testing

/// A technique with a parameter of every kind.
private struct Sample: RecipeTechnique {
    static let technique = "sample"
    static let summary = "keeps its values"
    static let parameters = [
        RecipeParameter("share", .number(0...1), "of all"), RecipeParameter("count", .integer(1...8), default: .integer(4), "how many"),
        RecipeParameter("global", .flag, default: .flag(false), "at once"),
        RecipeParameter("order", .choice(["rows", "columns"]), default: .text("rows"), "what first"),
        RecipeParameter("label", .text, default: .text(""), "anything"),
        RecipeParameter("limit", .number(0...Double.greatestFiniteMagnitude), default: .number(3), "the most"),
    ]

    let scope: Scope
    let values: RecipeValues

    init(_ values: RecipeValues) throws {
        guard try values.text("label") != "refused" else {
            throw SwiftletError.invalidArgument(name: "label", reason: "does not suit", remedy: "Take another.")
        }
        scope = values.scope
        self.values = values
    }

    func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult { try StepResult(technique: Self.technique, before: graph, after: graph, tensors: []) }
}

private let techniques: [any RecipeTechnique.Type] = [Sample.self, CastWeights.self]

private func recipe(_ yaml: String) throws -> Recipe { try Recipe(yaml: Array(yaml.utf8), name: "r.yaml", techniques: techniques) }

/// The error that `body` throws.
private func failure(_ body: () throws -> Void) throws -> (line: Int, column: Int, reason: String, remedy: String) {
    do {
        try body()
    } catch SwiftletError.syntax(let source, let line, let column, let reason, let remedy) {
        #expect(source == "r.yaml" || source == "--step")
        return (line, column, reason, remedy)
    }
    Issue.record("nothing was thrown")
    return (0, 0, "", "")
}

@Suite struct RecipeTests {
    @Test func everythingIsRead() throws {
        let recipe = try recipe(
            """
            # a comment
            name: small and fast
            seed: 18446744073709551615
            calibration: {windows: 3, length: 64, samples: 5}
            steps:
              - technique: sample
                share: 1
                count: 8
                global: true
                order: columns
                label: 'yes: no'
                include: ["blk.*", output.weight]
                exclude: blk.0.*
              - {technique: cast, format: f16}
            """)
        #expect(recipe.name == "small and fast" && recipe.seed == .max)
        #expect(recipe.calibration == Recipe.Calibration(windows: 3, length: 64, samples: 5))
        let first = try #require(recipe.steps.first as? Sample)
        #expect(first.scope == Scope(include: ["blk.*", "output.weight"], exclude: ["blk.0.*"]))
        #expect(try first.values.number("share") == 1 && first.values.integer("count") == 8 && first.values.flag("global"))
        #expect(try first.values.text("order") == "columns" && first.values.text("label") == "yes: no")
        #expect(try first.values.number("limit") == 3)
        let second = try #require(recipe.steps.last as? CastWeights)
        #expect(recipe.steps.count == 2 && second.format == .f16 && second.scope == .all)
    }

    /// The recipes of the documentation are read, and combine pruning, factoring and rounding.
    @Test func documentedRecipesAreRead() throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Documentation/recipes")
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil).filter { $0.pathExtension == "yaml" }
        #expect(files.count >= 2)
        for file in files {
            let recipe = try Recipe(path: file.path)
            #expect(recipe.name?.isEmpty == false && recipe.steps.count >= 3, "\(file.lastPathComponent)")
        }
    }

    @Test func whatIsLeftOutHasItsDefault() throws {
        let recipe = try recipe("steps: [{technique: sample, share: 0.25}]")
        #expect(recipe.name == nil && recipe.seed == nil && recipe.calibration == Recipe.Calibration())
        let step = try #require(recipe.steps.first as? Sample)
        #expect(try step.values.integer("count") == 4 && !step.values.flag("global") && step.values.text("order") == "rows")
    }

    @Test(arguments: [
        // The YAML itself.
        ("", 1, 1, "empty", "steps"), ("steps:\n\t- a", 2, 1, "cannot start any token", "Correct"), ("steps: [", 2, 1, "flow node", "Correct"),
        ("steps:\n  - technique: sample\n    include: *.weight", 3, 14, "alias", "quotes"), ("seed: 1\nsteps: []\nseed: 2", 1, 1, "'seed' comes twice", "one of them"),
        ("a: 1\n---\nb: 2", 2, 1, "another document", "Correct"), ("name: a\u{1}b", 1, 8, "control characters", "Remove"),
        // The whole.
        ("- a", 1, 1, "mapping", "steps"), ("name: x", 1, 1, "no steps", "steps"), ("step: []", 1, 1, "no key 'step'", "name, seed, calibration, steps"),
        ("steps: x", 1, 8, "no list", "technique"), ("steps: []", 1, 8, "no list", "--techniques"), ("steps:\n  - sample", 2, 5, "mapping", "technique"),
        ("seed: -1\nsteps: []", 1, 7, "'-1'", "64 bits"), ("seed: [1]\nsteps: []", 1, 7, "one value", "whole number"),
        ("name: {a: b}", 1, 7, "one value", "text"), ("? [a]\n: b", 1, 3, "a key is a word", "key: value"),
        ("calibration: 3", 1, 14, "mapping", "windows, length, samples"), ("calibration:\n  window: 3", 2, 3, "no key 'window'", "windows, length, samples"),
        ("calibration: {windows: 0}", 1, 24, "out of range", "from 1 to 1000000"), ("calibration: {length: '8'}", 1, 23, "the text \"8\"", "whole number"),
        // A step.
        ("steps:\n  - share: 1", 2, 5, "no technique", "sample, cast"), ("steps:\n  - technique: prune\n    x: 1", 2, 16, "no technique 'prune'", "sample, cast"),
        ("steps:\n  - technique: [sample]", 2, 16, "one technique", "a step for each"), ("steps:\n  - technique: sample", 2, 5, "needs 'share': of all", "share: a number from 0.0 to 1.0"),
        ("steps:\n  - technique: sample\n    share: 1\n    sparsity: 2", 4, 5, "no parameter 'sparsity'", "share, count, global, order, label, limit, include, exclude"),
        ("steps:\n  - technique: sample\n    share: 1.5", 3, 12, "out of range", "from 0.0 to 1.0: of all"),
        ("steps:\n  - technique: sample\n    share: half", 3, 12, "not a number", "a number from 0.0 to 1.0"),
        ("steps:\n  - technique: sample\n    share: '1'", 3, 12, "the text \"1\"", "a number"), ("steps:\n  - technique: sample\n    share: .nan", 3, 12, "not a number", "a number"),
        ("steps:\n  - technique: sample\n    share: nan", 3, 12, "not a number", "a number"),
        ("steps:\n  - technique: sample\n    share:", 3, 11, "one value", "a number"), ("steps:\n  - technique: sample\n    share: [1, 2]", 3, 12, "several values", "a number"),
        ("steps:\n  - {technique: sample, share: 1, count: 2.5}", 2, 42, "not a whole number", "from 1 to 8"),
        ("steps:\n  - {technique: sample, share: 1, count: 9}", 2, 42, "is 9, which is out of range", "from 1 to 8"),
        ("steps:\n  - {technique: sample, share: 1, global: yes}", 2, 43, "neither true nor false", "true or false"),
        ("steps:\n  - {technique: sample, share: 1, order: depth}", 2, 42, "none of the choices", "rows, columns"),
        ("steps:\n  - {technique: sample, share: 1, limit: -1}", 2, 42, "out of range", "of 0.0 or more"),
        ("steps:\n  - {technique: sample, share: 1, label: refused}", 2, 35, "label: does not suit", "another"),
        ("steps:\n  - {technique: sample, share: 1, include: []}", 2, 44, "no pattern", "Leave it out"), ("steps:\n  - {technique: sample, share: 1, include: [[a]]}", 2, 44, "patterns", "list"),
        ("steps:\n  - {technique: sample, share: 1, exclude: [a, \"\"]}", 2, 48, "empty pattern", "pattern"),
        ("steps:\n  - {technique: sample, share: 1}\n  - technique: cast\n    format: f8", 4, 13, "'f8'", "f32, f16, bf16"),
    ])
    func errorsPointAtTheirPlace(yaml: String, line: Int, column: Int, reason: String, remedy: String) throws {
        let failure = try failure { _ = try recipe(yaml) }
        #expect((failure.line, failure.column) == (line, column), "\(failure)")
        #expect(failure.reason.contains(reason) && failure.remedy.contains(remedy), "\(failure)")
        #expect(!failure.reason.contains("\n"))
    }

    @Test func hostileFilesAreErrors() throws {
        for text in [String(repeating: "[", count: 100_000), String(repeating: "- ", count: 100_000), String(repeating: "{a: ", count: 100_000)] {
            #expect(throws: SwiftletError.self) { try recipe(text) }
        }
        #expect(throws: SwiftletError.self) { try Recipe(yaml: [0x73, 0xFF], name: "r.yaml", techniques: techniques) }
        let long = try failure { _ = try Recipe(yaml: Array(repeating: 0x20, count: 1 << 20 + 1), name: "r.yaml", techniques: techniques) }
        #expect(long.reason.contains("1048576 bytes"))
        #expect(throws: SwiftletError.self) { try Recipe(path: "/absent/recipe.yaml") }
    }

    @Test func flagsAreSteps() throws {
        let recipe = try Recipe(
            flags: ["sample share=0.5 include=blk.*,out* 'exclude=a b,c' label=\"x = y\"", "  cast\tformat=bf16 "], name: "--step", techniques: techniques)
        let first = try #require(recipe.steps.first as? Sample)
        #expect(first.scope == Scope(include: ["blk.*", "out*"], exclude: ["a b", "c"]))
        #expect(try first.values.text("label") == "x = y" && first.values.number("share") == 0.5)
        #expect((recipe.steps.last as? CastWeights)?.format == .bf16)
    }

    @Test(arguments: [
        (["cast format=f16", ""], 2, 1, "empty", "wanda"), (["sample 0.5"], 1, 8, "'0.5' is no parameter", "name=value"), (["sample =5"], 1, 8, "no parameter", "name=value"),
        (["nothing"], 1, 1, "no technique 'nothing'", "sample, cast"), (["sample share=2"], 1, 14, "out of range", "from 0.0 to 1.0"),
        (["sample share=1 share=1"], 1, 16, "comes twice", "one"), (["sample share=1 technique=cast"], 1, 16, "comes twice", "first word"),
        (["sample share='1"], 1, 14, "not closed", "'"), (["sample share=1 include="], 1, 24, "empty pattern", "pattern"), (["sample share=1 size=3"], 1, 16, "no parameter 'size'", "count"),
    ])
    func errorsInFlagsPointAtTheirPlace(steps: [String], line: Int, column: Int, reason: String, remedy: String) throws {
        let failure = try failure { _ = try Recipe(flags: steps, name: "--step", techniques: techniques) }
        #expect((failure.line, failure.column) == (line, column), "\(failure)")
        #expect(failure.reason.contains(reason) && failure.remedy.contains(remedy), "\(failure)")
    }

    /// Rules that recipes rely on, for every technique there is.
    @Test func declarationsAreConsistent() throws {
        let names = Techniques.all.map { $0.technique }
        #expect(Set(names).count == names.count && !names.isEmpty)
        for technique in Techniques.all {
            let parameters = technique.parameters.map(\.name)
            #expect(Set(parameters + ["technique", "include", "exclude"]).count == parameters.count + 3, "\(technique.technique)")
            for parameter in technique.parameters {
                switch (parameter.kind, parameter.fallback) {
                case (_, nil), (.flag, .flag), (.text, .text): break
                case (.number(let range), .number(let value)): #expect(range.contains(value), "\(technique.technique) \(parameter.name)")
                case (.integer(let range), .integer(let value)): #expect(range.contains(value), "\(technique.technique) \(parameter.name)")
                case (.choice(let words), .text(let word)): #expect(words.contains(word), "\(technique.technique) \(parameter.name)")
                default: Issue.record("\(technique.technique) \(parameter.name): the default is of another type")
                }
            }
        }
    }

    @Test func listingSaysWhatThereIs() throws {
        let listings = TechniqueListing.all(techniques)
        let text = TechniqueListing.text(listings)
        for line in [
            "sample: keeps its values", "  share   of all; a number from 0.0 to 1.0 (required)", "  count   how many; a whole number from 1 to 8 (default 4)",
            "  order   what first; one of rows, columns (default rows)", "  limit   the most; a number of 0.0 or more (default 3.0)",
            "cast: stores weights as plain floats: f32, f16 or bf16",
        ] { #expect(text.contains(line + "\n"), "\(line)") }
        #expect(listings[0].parameters[1].minimum == 1 && listings[0].parameters[1].maximum == 8 && !listings[0].parameters[1].isRequired)
        #expect(listings[0].parameters[5].maximum == nil && listings[0].parameters[3].choices == ["rows", "columns"])
    }
}
