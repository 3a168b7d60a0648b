import SwiftletGraph
import TestSupport
import Testing

@Suite struct DeadCodeEliminationTests {
    @Test func removesWhatNothingReads() throws {
        var b = GraphBuilder(name: "dead")
        let x = b.input("x", .f32, ["t", 4])
        let used = try b.unary(.tanh, x, name: "used")
        let dead = try b.unary(.relu, used, name: "dead")
        _ = try b.unary(.silu, dead, name: "dead too")
        b.output(try b.unary(.sigmoid, used, name: "result"))
        #expect(try checked(DeadCodeElimination(), b.graph).nodes.map(\.name) == ["used", "result"])
    }

    @Test func keepsWritesToStatesAndWhatTheyNeed() throws {
        var b = GraphBuilder(name: "write")
        let rows = try b.unary(.tanh, b.input("rows", .f32, ["t", 2, 4]), name: "rows of the cache")
        let (positions, slots) = (b.input("positions", .i32, ["t"]), b.input("slots", .i32, ["t"]))
        let state = b.state("cache", StateSpec(shape: [1, 2, 8, 4], format: .dense(.f32)))
        _ = try b.cacheWrite(state, rows, positions: positions, slots: slots, name: "write")
        #expect(try DeadCodeElimination().run(b.graph).nodes.count == 2)
    }

    @Test func aNodeWithOneUsedResultStays() throws {
        var b = GraphBuilder(name: "half")
        let x = b.input("x", .f32, ["t", 4])
        let results = try b.node(.linear(Linear(weightCount: 2)), [x, b.weight("a", [2, 4]), b.weight("b", [3, 4])], name: "two")
        b.output(results[1])
        #expect(try checked(DeadCodeElimination(), b.graph).nodes.count == 1)
    }
}

@Suite struct ConstantFoldingTests {
    private let folding = ConstantFolding { try NaiveEvaluator.fold($0, $1) }

    @Test func foldsChainsOfWeights() throws {
        var b = GraphBuilder(name: "fold")
        let x = b.input("x", .f32, ["t", 4])
        // Numbers that f32 holds exactly, so that folding through f32 weights changes nothing.
        let table = try WeightStore([1, -2, 4, -8] as [Float])
        let weight = b.weight("w", try Weight(name: "w", shape: [4], format: .dense(.f32), store: table))
        let doubled = try b.binary(.add, weight, weight, name: "doubled")
        let row = try b.reshape(b.unary(.relu, doubled, name: "relu"), [1, 4], name: "row")
        b.output(try b.binary(.multiply, x, row, name: "result"))
        let folded = try checked(folding, b.graph)
        #expect(folded.nodes.map(\.name) == ["result"])
        #expect(try NaiveTensor(try #require(folded[row].weight)).values == [2, 0, 8, 0])
    }

    @Test func leavesInputsOutputsAndSymbolicOrLargeResults() throws {
        var b = GraphBuilder(name: "stay")
        let weight = try b.weight("w", [4, 1])
        b.output(try b.unary(.relu, weight, name: "output"))
        let large = try b.binary(.multiply, weight, b.weight("v", [1, 64]), name: "large")
        b.output(try b.binary(.add, large, b.input("x", .f32, [4, 64]), name: "sum"))
        let graph = b.graph
        #expect(try ConstantFolding(maximumBytes: 4 * 64 * 4 - 1, evaluator: NaiveEvaluator.fold).run(graph).nodes.count == 3)
        #expect(try ConstantFolding(maximumBytes: 4 * 64 * 4, evaluator: NaiveEvaluator.fold).run(graph).nodes.count == 2)
    }

    @Test func anEvaluatorThatReturnsAnotherTypeIsNamed() throws {
        var b = GraphBuilder(name: "wrong")
        let folded = try b.unary(.relu, b.weight("w", [4]), name: "relu")
        b.output(try b.binary(.add, folded, b.input("x", .f32, [4]), name: "sum"))
        let wrong = ConstantFolding { node, graph in graph[node.inputs[0]].weight.map { [$0, $0] } ?? [] }
        let error = try #require(throws: SwiftletError.self) { try wrong.run(b.graph) }
        guard case .invalidGraph("relu", _, _) = error else { Issue.record("\(error)"); return }
    }
}

@Suite struct PassPipelineTests {
    /// Logits of a prompt, then of single tokens, in two slots: caches must carry over and stay apart.
    private func logits(_ graph: Graph) throws -> [NaiveTensor] {
        let prompt = LlamaFixture.step([3, 1, 4, 1, 5], start: 0)
        var evaluator = try NaiveEvaluator(graph, binding: prompt.binding)
        return try [
            prompt, LlamaFixture.step([9, 2, 6], start: 0, slot: 1), LlamaFixture.step([7], start: 5),
            LlamaFixture.step([7], start: 3, slot: 1),
        ].flatMap { try evaluator.run($0.inputs, binding: $0.binding) }
    }

    @Test(arguments: [false, true]) func aLlamaComputesTheSameWithFewerNodes(hasBias: Bool) throws {
        let graph = try LlamaFixture.graph(layers: 2, hasBias: hasBias)
        let fused = try PassPipeline.language.run(graph)
        // Of 24 nodes a layer go 2 scales, 2 projections, 3 of the gate, 2 residual additions; of the 6 others the last scale.
        #expect(graph.nodes.count == 2 * 24 + 6)
        #expect(fused.nodes.count == 2 * 15 + 5)
        #expect(fused.ops.contains(.linear(Linear(weightCount: 3, hasBias: hasBias))))
        #expect(fused.ops.contains(.linear(Linear(weightCount: 2, hasBias: hasBias, epilogue: .gated(.silu)))))
        #expect(fused.ops.filter { $0 == .linear(Linear(hasBias: hasBias, epilogue: .residual)) }.count == 4)
        #expect(fused.states == graph.states)
        #expect(fused.inputs == graph.inputs && fused.outputs == graph.outputs)
        let (before, after) = (try logits(graph), try logits(fused))
        expectClose(before, after)
        // The prompt matters: the same token at the same place after another prompt has other logits.
        #expect(before[2] != before[3])
    }

    /// One run over the prompt and one token at a time agree: positions, caches and masks of the naive evaluator are right.
    @Test func tokenByTokenEqualsThePrompt() throws {
        let graph = try LlamaFixture.graph()
        let ids = [3, 1, 4, 1, 5]
        let prompt = LlamaFixture.step(ids, start: 0)
        var (whole, single) = (try NaiveEvaluator(graph, binding: prompt.binding), try NaiveEvaluator(graph, binding: prompt.binding))
        let expected = try whole.run(prompt.inputs, binding: prompt.binding)[0]
        let rows = try ids.enumerated().flatMap { position, id in
            let step = LlamaFixture.step([id], start: position)
            return try single.run(step.inputs, binding: step.binding)[0].values
        }
        expectClose([expected], [NaiveTensor(expected.shape, rows)])
    }

    @Test func runningItAgainChangesNothing() throws {
        let once = try PassPipeline.language.run(try LlamaFixture.graph())
        let twice = try PassPipeline.language.run(once)
        #expect(try once.summary() == twice.summary())
    }

    private struct Breaking: GraphPass {
        let name = "breaking"
        func run(_ graph: Graph) throws -> Graph {
            var result = graph
            result.nodes.removeFirst()
            return result
        }
    }

    @Test func aPassThatBreaksTheGraphIsNamed() throws {
        let graph = try LlamaFixture.graph()
        let error = try #require(throws: SwiftletError.self) { try PassPipeline(name: "test", [Breaking()]).run(graph) }
        #expect("\(error)".contains("after the pass breaking"))
    }
}
