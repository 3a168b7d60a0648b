// Texts, sequences and random numbers: what exists during the import only, and what is new in each run.
import SwiftletNetwork
import SwiftletTensor
import Testing
import TestSupport

@Suite struct TextTests {
    typealias R = RawONNX

    /// The outputs of one node for texts.
    private func outputs(_ op: String, count: Int = 1, domain: String = "", _ values: [String], _ attributes: [RawMessage]) throws -> [ModelValue] {
        let names = (0..<count).map { "y\($0)" }
        let model = try makeModel(
            R.graph(
                inputs: [R.value("x", type: Code.text, [nil])], outputs: names.map { R.untyped($0) },
                nodes: [R.node(op, ["x"], names, domain: domain, attributes)]), opset: 20)
        let results = try model.run(["x": .strings(StringTensor(shape: [values.count], values: values))])
        return try names.map { try #require(results[$0]) }
    }

    @Test func splitsLikePython() throws {
        func split(_ values: [String], _ delimiter: String? = nil, most: Int? = nil) throws -> [[String]] {
            let attributes = (delimiter.map { [text("delimiter", $0)] } ?? []) + (most.map { [int("maxsplit", $0)] } ?? [])
            let results = try outputs("StringSplit", count: 2, values, attributes)
            let (pieces, counts) = (try #require(results[0].texts), try results[1].integers)
            let width = values.isEmpty ? 0 : pieces.count / values.count
            return counts.enumerated().map { row, count in
                #expect(pieces[row * width + Int(count)..<(row + 1) * width].allSatisfy { $0.isEmpty })
                return Array(pieces[row * width..<row * width + Int(count)])
            }
        }
        #expect(try split([" a  b c ", "", " \t"]) == [["a", "b", "c"], [], []])
        #expect(try split([" a  b  c "], most: 1) == [["a", "b  c "]])
        #expect(try split([" a b "], most: 0) == [["a b "]])
        #expect(try split(["a,b,,c", "", ","], ",") == [["a", "b", "", "c"], [""], ["", ""]])
        #expect(try split(["a--b--c"], "--", most: 1) == [["a", "b--c"]])
        #expect(try split([], ",") == [])
    }

    @Test func normalises() throws {
        let days = ["Monday", "tuesday", "MONDAY", "Friday"]
        func normalised(_ attributes: [RawMessage]) throws -> [String]? { try outputs("StringNormalizer", days, attributes)[0].texts }
        #expect(try normalised([text("case_change_action", "LOWER"), texts("stopwords", ["monday"])]) == ["tuesday", "friday"])
        #expect(try normalised([text("case_change_action", "UPPER"), texts("stopwords", ["Monday"]), int("is_case_sensitive", 1)]) == ["TUESDAY", "MONDAY", "FRIDAY"])
        #expect(try normalised([texts("stopwords", days)]) == [""])
        #expect(throws: SwiftletError.self) { try normalised([text("case_change_action", "TITLE")]) }
    }

    @Test func joinsWithBroadcasting() throws {
        let model = try makeModel(
            R.graph(
                inputs: [R.value("x", type: Code.text, [2, 1])], outputs: [R.untyped("y")], nodes: [R.node("StringConcat", ["x", "k"], ["y"])],
                initializers: [words("k", [2], ["1", "2"])]), opset: 20)
        let results = try model.run(["x": .strings(StringTensor(shape: [2, 1], values: ["a", "b"]))])
        #expect(results["y"]?.texts == ["a1", "a2", "b1", "b2"])
    }

    /// Patterns with texts that match all of it, and texts that do not. What Python's `re.fullmatch` and RE2 agree on.
    static let patterns: [(String, matching: [String], others: [String])] = [
        (#"(\W|^)[\w.\-]{0,25}@(yahoo|gmail)\.com(\W|$)"#, ["account@gmail.com"], ["account@hotmail.com", "not email", "please@yahoo.com.au"]),
        (#"www.[\w.-]+\.\bcom\b"#, ["www.google.com", "www.a.b.com"], ["www.facebook.org", "ww.google.com"]),
        ("a*b+c?", ["b", "aab", "abbc"], ["", "ac", "abcc"]),
        ("(ab|a)(bc|c)?", ["a", "ab", "abc", "abbc", "ac"], ["b", "abbcc"]),
        ("[^a-c\\d]{2,3}", ["de", "xyz"], ["d", "ad", "d1", "wxyz"]),
        ("[[:alpha:]_-]+", ["ab_-C"], ["a1", ""]),
        ("(?i)straße|[k-m]", ["STRAßE", "L", "m"], ["N", "strasse"]),
        ("(?s:.)x.", ["\nxa"], ["\nx\n"]),
        (#"\pL+\p{Nd}?"#, ["éа", "é7"], ["7", "é77"]),
        (#"\x41\x{1F600}\Q.*\E"#, ["A😀.*"], ["A😀xx"]),
        ("", [""], ["a"]),
        ("(a*)*", ["", "aaa"], ["b"]),
        ("(?P<year>[0-9]{4})-(?:0[1-9]|1[0-2])", ["2024-12"], ["2024-13"]),
        ("a{,2}", ["a{,2}"], ["aa"]),
    ]

    @Test(arguments: patterns.indices) func matchesAllOfATextOrNot(_ index: Int) throws {
        let (pattern, matching, others) = Self.patterns[index]
        let results = try outputs("RegexFullMatch", matching + others, [text("pattern", pattern)])[0].tensor.elements(as: Bool.self)
        #expect(results == matching.map { _ in true } + others.map { _ in false }, "\(pattern)")
    }

    @Test func hostilePatternsEnd() throws {
        // Backtracking would take 2⁶⁰ steps.
        let long = String(repeating: "a", count: 60) + "b"
        #expect(try outputs("RegexFullMatch", [long], [text("pattern", "(a+)+$")])[0].tensor.elements(as: Bool.self) == [false])
        for pattern in ["(", ")", "[a", "a**", "*", #"\1"#, "a{2000}", "(((a{999}){999}){999})", "((){1000}){1000}", "[z-a]", #"\p{Nope}"#, "(?=a)", "\\"] {
            #expect(throws: SwiftletError.self, "\(pattern)") { try outputs("RegexFullMatch", ["a"], [text("pattern", pattern)]) }
        }
    }

    @Test func looksLabelsUp() throws {
        let numbers = try outputs(
            "LabelEncoder", domain: "ai.onnx.ml", ["b", "c", "a", "e\u{301}"],
            [texts("keys_strings", ["a", "b", "\u{E9}"]), ints("values_int64s", [0, 1, 2]), int("default_int64", 42)])
        // The last one looks like a key, but is another text.
        #expect(try numbers[0].integers == [1, 42, 0, 42])
        let model = try makeModel(
            R.graph(
                inputs: [R.value("x", [nil])], outputs: [R.untyped("y")],
                nodes: [R.node("LabelEncoder", ["x"], ["y"], domain: "ai.onnx.ml", [floats("keys_floats", [1, .nan]), texts("values_strings", ["one", "none"])])]))
        let results = try model.run(["x": .tensor(Tensor([1, .nan, 2] as [Float], shape: [3]))])
        #expect(results["y"]?.texts == ["one", "none", "_Unused"])
        let tensors = [
            RawONNX.attribute("keys_tensor", kind: 4) { $0.message(5, words("", [2], ["a", "b"])) },
            RawONNX.attribute("values_tensor", kind: 4) { $0.message(5, integers("", [2], [10, 20])) },
            RawONNX.attribute("default_tensor", kind: 4) { $0.message(5, integers("", [1], [-7])) },
        ]
        #expect(try outputs("LabelEncoder", domain: "ai.onnx.ml", ["b", "z", "a"], tensors)[0].integers == [20, -7, 10])
    }

    @Test func countsNGrams() throws {
        let attributes = [
            text("mode", "TF"), int("min_gram_length", 2), int("max_gram_length", 2), int("max_skip_count", 5), ints("ngram_counts", [0, 4]),
            ints("ngram_indexes", [0, 1, 2, 3, 4, 5, 6]), ints("pool_int64s", [2, 3, 5, 4, 5, 6, 7, 8, 6, 7]),
        ]
        let model = try makeModel(
            R.graph(inputs: [R.value("x", type: Code.i64, [nil])], outputs: [R.untyped("y")], nodes: [R.node("TfIdfVectorizer", ["x"], ["y"], attributes)]))
        // A published case: (5, 6), (7, 8) and (6, 7) are 2-grams, skips of up to five allowed.
        let x = try Tensor([1, 1, 3, 3, 3, 7, 8, 6, 7, 5, 6, 8] as [Int64], shape: [12])
        #expect(try #require(try model.run(["x": .tensor(x)])["y"]).numbers == ([7], [0, 0, 0, 0, 1, 3, 1]))
    }

    @Test func sequencesArePlaces() throws {
        func element(_ nodes: [RawMessage], _ initializers: [RawMessage] = []) throws -> ModelValue {
            let model = try makeModel(
                R.graph(
                    inputs: [R.value("a", []), R.value("b", [])], outputs: [R.untyped("y")],
                    nodes: [R.node("SequenceConstruct", ["a", "b"], ["s"])] + nodes, initializers: initializers))
            return try #require(try model.run(["a": .tensor(Tensor(scalar: Float(1))), "b": .tensor(Tensor(scalar: Float(2)))])["y"])
        }
        let at = R.node("SequenceAt", ["t", "p"], ["y"])
        #expect(try element([R.node("SequenceAt", ["s", "p"], ["y"])], [integers("p", [], [-1])]).numbers.values == [2])
        #expect(try element([R.node("SequenceErase", ["s", "p"], ["t"]), at], [integers("p", [], [0])]).numbers.values == [2])
        #expect(try element([R.node("SequenceErase", ["s"], ["t"]), at], [integers("p", [], [0])]).numbers.values == [1])
        #expect(try element([R.node("SequenceInsert", ["s", "b", "p"], ["t"]), at], [integers("p", [], [-2])]).numbers.values == [1])
        for place in [2, -3, Int64.max, Int64.min] {
            #expect(throws: SwiftletError.self) { try element([R.node("SequenceAt", ["s", "p"], ["y"])], [integers("p", [], [place])]) }
        }
    }

    @Test func splitsIntoSequences() throws {
        func pieces(_ split: RawMessage?, _ attributes: [RawMessage] = []) throws -> [[Int]] {
            let model = try makeModel(
                R.graph(
                    inputs: [R.value("x", [5, 2])], outputs: [R.untyped("y")],
                    nodes: [R.node("SplitToSequence", ["x"] + (split == nil ? [] : ["n"]), ["y"], attributes)], initializers: split.map { [$0] } ?? []))
            guard case .sequence(let elements) = try model.run(["x": .tensor(Tensor(zeros: .f32, shape: [5, 2]))])["y"] else { return [] }
            return try elements.map { try $0.tensor.shape.dimensions }
        }
        #expect(try pieces(integers("n", [], [2])) == [[2, 2], [2, 2], [1, 2]])
        #expect(try pieces(integers("n", [2], [4, 1])) == [[4, 2], [1, 2]])
        #expect(try pieces(nil, [int("axis", 1)]) == [[5, 1], [5, 1]])
        #expect(try pieces(nil, [int("axis", 1), int("keepdims", 0)]) == [[5], [5]])
        for wrong in [integers("n", [], [0]), integers("n", [2], [4, 2]), integers("n", [2], [.max, .min])] {
            #expect(throws: SwiftletError.self) { try pieces(wrong) }
        }
    }

    @Test func randomNumbersAreNewUnlessSeeded() throws {
        func model(_ attributes: [RawMessage]) throws -> Model {
            try makeModel(R.graph(outputs: [R.untyped("y")], nodes: [R.node("RandomNormal", [], ["y"], [ints("shape", [64, 64])] + attributes)]))
        }
        func draw(_ model: Model) throws -> [Float] { try #require(try model.run([String: ModelValue]())["y"]).numbers.values }
        let free = try model([float("mean", 3), float("scale", 2)])
        let (first, second) = (try draw(free), try draw(free))
        #expect(first != second)
        let mean = first.reduce(0, +) / 4096
        // Eight standard errors of the mean of 4096 numbers with a deviation of 2.
        #expect(abs(mean - 3) < 0.25)
        let seeded = try model([float("seed", 5)])
        #expect(try draw(seeded) == draw(seeded))
    }
}
