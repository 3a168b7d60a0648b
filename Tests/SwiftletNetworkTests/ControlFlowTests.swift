// Branches, loops, scans and functions: what they give, where they pause, and where they refuse.
import SwiftletNetwork
import SwiftletTensor
import Testing
import TestSupport

@Suite struct ControlFlowTests {
    typealias R = RawONNX

    /// A loop over `[i, c, a] → [c, a + x, a]`, x from outside: the condition passes through, the sums before each round are a scan.
    private func sums(limit: Int64) throws -> Model {
        let body = R.graph(
            inputs: [R.value("i", type: Code.i64, []), R.value("c", type: Code.bool, []), R.value("a", [2])],
            outputs: [R.value("c", type: Code.bool, []), R.value("b", [2]), R.value("s", [2])],
            nodes: [R.node("Add", ["a", "x"], ["b"]), R.node("Identity", ["a"], ["s"])])
        return try makeModel(
            R.graph(
                inputs: [R.value("x", [2])], outputs: [R.untyped("last"), R.untyped("all")],
                nodes: [R.node("Loop", ["n", "", "zero"], ["last", "all"], [R.graphAttribute("body", body)])],
                initializers: [integers("n", [], [limit]), R.tensor("zero", [2], raw: [0, 0])]))
    }

    @Test func loopPassesItsConditionThrough() throws {
        let results = try sums(limit: 3).run(["x": .tensor(Tensor([1, 10] as [Float], shape: [2]))])
        #expect(try #require(results["last"]).numbers == ([2], [3, 30]))
        #expect(try #require(results["all"]).numbers == ([3, 2], [0, 0, 1, 10, 2, 20]))
    }

    @Test func loopWithoutRoundsGivesEmptyScans() throws {
        let results = try sums(limit: 0).run(["x": .tensor(Tensor([1, 10] as [Float], shape: [2]))])
        #expect(try #require(results["last"]).numbers == ([2], [0, 0]))
        #expect(try #require(results["all"]).numbers == ([0, 2], []))
    }

    /// Doubles x while it is below 10: each run decides anew, and the rounds of one input are not those of another.
    @Test func loopEndsByData() throws {
        let body = R.graph(
            inputs: [R.value("i", type: Code.i64, []), R.value("c", type: Code.bool, []), R.value("a", [])],
            outputs: [R.untyped("next"), R.untyped("b")],
            nodes: [R.node("Add", ["a", "a"], ["b"]), R.node("Less", ["b", "ten"], ["next"])])
        let model = try makeModel(
            R.graph(
                inputs: [R.value("x", [])], outputs: [R.untyped("y")],
                nodes: [R.node("Loop", ["", "", "x"], ["y"], [R.graphAttribute("body", body)])], initializers: [R.tensor("ten", [], raw: [10])]))
        for (x, expected) in [(1, 16), (3, 12), (20, 40), (1, 16)] as [(Float, Float)] {
            #expect(try #require(try model.run(["x": .tensor(Tensor(scalar: x))])["y"]).numbers.values == [expected])
        }
    }

    @Test func loopWithoutNodesOrEndIsRefused() throws {
        let body = R.graph(
            inputs: [R.value("i", type: Code.i64, []), R.value("c", type: Code.bool, []), R.value("a", [])], outputs: [R.untyped("c"), R.untyped("a")])
        let model = try makeModel(
            R.graph(
                inputs: [R.value("x", [])], outputs: [R.untyped("y")], nodes: [R.node("Loop", ["", "", "x"], ["y"], [R.graphAttribute("body", body)])]))
        #expect(throws: SwiftletError.self) { try model.run(["x": .tensor(Tensor(scalar: Float(1)))]) }
    }

    /// A sequence grows by an element a round and is joined behind the loop.
    @Test func loopCarriesSequences() throws {
        let body = R.graph(
            inputs: [R.value("i", type: Code.i64, []), R.value("c", type: Code.bool, []), R.untyped("s")],
            outputs: [R.untyped("c"), R.untyped("t")],
            nodes: [R.node("Mul", ["x", "i32"], ["p"]), R.node("Cast", ["i"], ["i32"], [int("to", Code.f32)]), R.node("SequenceInsert", ["s", "p"], ["t"])])
        let model = try makeModel(
            R.graph(
                inputs: [R.value("x", [1])], outputs: [R.untyped("y"), R.untyped("n")],
                nodes: [
                    R.node("SequenceEmpty", [], ["none"]), R.node("Loop", ["rounds", "", "none"], ["all"], [R.graphAttribute("body", body)]),
                    R.node("ConcatFromSequence", ["all"], ["y"], [int("axis", 0)]), R.node("SequenceLength", ["all"], ["n"]),
                ], initializers: [integers("rounds", [], [3])]))
        let results = try model.run(["x": .tensor(Tensor([2] as [Float], shape: [1]))])
        #expect(try #require(results["y"]).numbers == ([3], [0, 2, 4]))
        #expect(try #require(results["n"]).integers == [3])
    }

    /// The innermost branch reads a name two graphs further out, and the branch is chosen by data.
    @Test func namesAreSeenThroughLevels() throws {
        func inner(_ op: String) -> RawMessage { R.graph(outputs: [R.untyped("r")], nodes: [R.node(op, ["x", "k"], ["r"])]) }
        let outer = R.graph(
            outputs: [R.untyped("q")],
            nodes: [R.node("If", ["c"], ["q"], [R.graphAttribute("then_branch", inner("Add")), R.graphAttribute("else_branch", inner("Mul"))])])
        let model = try makeModel(
            R.graph(
                inputs: [R.value("x", [2]), R.value("c", type: Code.bool, [])], outputs: [R.untyped("y")],
                nodes: [R.node("If", ["c"], ["y"], [R.graphAttribute("then_branch", outer), R.graphAttribute("else_branch", outer)])],
                initializers: [R.tensor("k", [], raw: [5])]))
        for (condition, expected) in [(true, [6, 7]), (false, [5, 10]), (true, [6, 7])] as [(Bool, [Float])] {
            let results = try model.run(["x": .tensor(Tensor([1, 2] as [Float], shape: [2])), "c": .tensor(Tensor(scalar: condition))])
            #expect(try #require(results["y"]).numbers.values == expected)
        }
    }

    @Test func scansGoBackwardsAndStackAlongAnyAxis() throws {
        func model(axis: Int) throws -> Model {
            let body = R.graph(
                inputs: [R.value("s", [2]), R.value("e", [2])], outputs: [R.untyped("t"), R.untyped("o")],
                nodes: [R.node("Add", ["s", "e"], ["t"]), R.node("Identity", ["t"], ["o"])])
            return try makeModel(
                R.graph(
                    inputs: [R.value("x", [3, 2])], outputs: [R.untyped("last"), R.untyped("all")],
                    nodes: [
                        R.node(
                            "Scan", ["zero", "x"], ["last", "all"],
                            [
                                R.graphAttribute("body", body), int("num_scan_inputs", 1), ints("scan_input_directions", [1]),
                                ints("scan_output_axes", [axis]),
                            ])
                    ], initializers: [R.tensor("zero", [2], raw: [0, 0])]))
        }
        let x = ["x": ModelValue.tensor(try Tensor([1, 2, 3, 4, 5, 6] as [Float], shape: [3, 2]))]
        let results = try model(axis: -1).run(x)
        #expect(try #require(results["last"]).numbers == ([2], [9, 12]))
        #expect(try #require(results["all"]).numbers == ([2, 3], [5, 8, 9, 6, 10, 12]))
        for axis in [2, -3, 1 << 40] { #expect(throws: SwiftletError.self) { try model(axis: axis).run(x) } }
    }

    @Test func mapsTakeExtraInputs() throws {
        let body = R.graph(inputs: [R.untyped("e"), R.untyped("k")], outputs: [R.untyped("r")], nodes: [R.node("Add", ["e", "k"], ["r"])])
        let model = try makeModel(
            R.graph(
                inputs: [R.value("x", [2]), R.value("k", [])], outputs: [R.untyped("y")],
                nodes: [
                    R.node("SequenceConstruct", ["x", "x", "x"], ["s"]), R.node("SequenceMap", ["s", "k"], ["t"], [R.graphAttribute("body", body)]),
                    R.node("ConcatFromSequence", ["t"], ["y"], [int("axis", 0), int("new_axis", 1)]),
                ]))
        let results = try model.run(["x": .tensor(Tensor([1, 2] as [Float], shape: [2])), "k": .tensor(Tensor(scalar: Float(10)))])
        #expect(try #require(results["y"]).numbers == ([3, 2], [11, 12, 11, 12, 11, 12]))
    }

    /// A function's input that the caller leaves out is left out for the nodes inside.
    @Test func functionsLeaveOutWhatTheirCallerDoes() throws {
        let function = R.function("Bound", inputs: ["a", "low", "high"], nodes: [R.node("Clip", ["a", "low", "high"], ["b"])])
        let model = try makeModel(
            R.graph(
                inputs: [R.value("x", [3])], outputs: [R.untyped("y")], nodes: [R.node("Bound", ["x", "", "high"], ["y"], domain: "local")],
                initializers: [R.tensor("high", [], raw: [1])]), opset: 17, functions: [function])
        let results = try model.run(["x": .tensor(Tensor([-5, 0.5, 5] as [Float], shape: [3]))])
        #expect(try #require(results["y"]).numbers.values == [-5, 0.5, 1])
    }
}
