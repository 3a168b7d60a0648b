// Graphs split over two backends: the same answer, whatever crosses the border.
import CKernels
import SwiftletRuntime
import TestSupport
import Testing

@Suite("Graphs run over several backends")
struct PartitionerTests {
    private let cpu = CPUBackend(pool: Pools.all[1], isa: ck_isa_detect())
    private let reference = ReferenceBackend(pool: nil)

    /// A llama in two slots: a prompt each, then decoding. Caches, rotary table, reshapes and positions all cross borders.
    private func llama() throws -> BuiltSample {
        let steps = [
            LlamaFixture.step([3, 1, 4, 1, 5], start: 0), LlamaFixture.step([9, 2, 6], start: 0, slot: 1), LlamaFixture.step([5], start: 5),
            LlamaFixture.step([3], start: 3, slot: 1), LlamaFixture.step([5, 8], start: 6),
        ]
        return BuiltSample(
            graph: try LlamaFixture.graph(hasBias: true, headDimension: 8), stateBinding: ["slots": 2, "context": 16],
            runs: steps.map { SampleRun(inputs: $0.inputs, binding: $0.binding) }, bounds: { _, _, _ in [] })
    }

    private func check(_ sample: BuiltSample, on backends: [any Backend], stages: ClosedRange<Int>) throws {
        #expect(stages.contains(try CompiledGraph(sample.graph, backends: BackendSet(backends)).stages.count))
        let expected = try execute(sample, on: [reference])
        let actual = try execute(sample, on: backends)
        for (run, outputs) in expected.outputs.enumerated() {
            for (index, output) in outputs.enumerated() {
                expectClose(actual.outputs[run][index], output, within: output.map { 2e-3 * max(1, abs($0)) }, "run \(run), output \(index)")
            }
        }
    }

    @Test("One backend, one partition") func whole() throws {
        try check(try llama(), on: [cpu], stages: 1...1)
    }

    @Test("Every node on the other backend in turn") func alternating() throws {
        let sample = try llama()
        let order = Dictionary(uniqueKeysWithValues: sample.graph.nodes.enumerated().map { ($1.name, $0) })
        for period in [1, 2, 3, 5] {
            let split = SplitBackend(reference, name: "split") { (order[$0.name] ?? 0) / period % 2 == 0 }
            try check(sample, on: [split, cpu], stages: 4...sample.graph.nodes.count)
        }
    }

    @Test(
        "One kind of operation elsewhere",
        arguments: ["linear", "cacheWrite", "attention", "reshape", "rotary", "rotaryTable", "rmsNorm", "binary", "embedding", "gatherRows"])
    func oneKind(_ operation: String) throws {
        let elsewhere = SplitBackend(reference, name: "split") { $0.op.operationName == operation }
        try check(try llama(), on: [cpu, elsewhere], stages: 2...60)
        let others = SplitBackend(reference, name: "split") { $0.op.operationName != operation }
        try check(try llama(), on: [others, cpu], stages: 2...60)
    }

    @Test("A reshaped boundary value is read under both its shapes, and stays an output") func reshapedBoundary() throws {
        var builder = GraphBuilder(name: "reshaped")
        let x = builder.input("x", .f32, ["tokens", 4])
        let first = try builder.unary(.silu, x, name: "first")
        let flat = try builder.reshape(first, [Dimension("tokens") * 2, 2], name: "flat")
        let softmax = try builder.node(.softmax, [flat], name: "softmax")[0]
        let back = try builder.reshape(softmax, ["tokens", 4], name: "back")
        builder.output(try builder.binary(.add, back, first, name: "sum"))
        builder.output(flat)
        builder.output(try builder.reshape(x, [Dimension("tokens") * 4], name: "input again"))
        var generator = SeededGenerator(seed: 30)
        let sample = BuiltSample(
            graph: builder.graph, runs: [3, 7].map { SampleRun(inputs: ["x": generator.tensor([$0, 4])], binding: ["tokens": $0]) },
            bounds: { _, _, _ in [] })
        for names in [["first"], ["softmax"], ["first", "flat"], ["flat", "back"], ["first", "sum"], ["softmax", "back", "sum"]] {
            try check(sample, on: [SplitBackend(reference, name: "split") { names.contains($0.name) }, cpu], stages: 2...5)
        }
        let results = try execute(sample, on: [SplitBackend(reference, name: "split") { $0.name == "softmax" }, cpu])
        #expect(results.outputs[1][2] == sample.runs[1].inputs["x"]?.values)
    }

    @Test("A node that no backend runs is named") func nobody() throws {
        var builder = GraphBuilder(name: "broken")
        let x = builder.input("x", .f32, [3])
        let sum = try builder.binary(.add, x, x, name: "fine")
        builder.output(try builder.node(.tensor(.cumulative(Cumulative(axis: 0))), [sum], name: "the running sum")[0])
        let error = #expect(throws: SwiftletError.self) { try CompiledGraph(builder.graph, backends: BackendSet([cpu])) }
        guard case .unsupported(_, let place, _, let remedy) = error else { Issue.record("\(String(describing: error))"); return }
        #expect(place == "the running sum")
        #expect(remedy.contains("cpu"))
        #expect(throws: SwiftletError.self) { try CompiledGraph(builder.graph, backends: BackendSet([])) }
    }

    @Test("Of equal preferences the first wins") func equalPreferences() throws {
        var builder = GraphBuilder(name: "equal")
        let x = builder.input("x", .f32, [3])
        builder.output(try builder.binary(.add, x, x, name: "sum"))
        let (a, b) = (SplitBackend(cpu, name: "a") { _ in true }, SplitBackend(cpu, name: "b") { _ in true })
        #expect(try CompiledGraph(builder.graph, backends: BackendSet([a, b])).stages.map(\.backend) == ["a"])
        #expect(try CompiledGraph(builder.graph, backends: BackendSet([reference, cpu, b])).stages.map(\.backend) == ["b"])
    }

    @Test("A graph that breaks a rule is not compiled") func verified() throws {
        var builder = GraphBuilder(name: "wrong")
        let x = builder.input("x", .f32, [3])
        builder.output(try builder.binary(.add, x, x, name: "sum"))
        var graph = builder.graph
        graph.nodes.append(graph.nodes[0])
        #expect(throws: SwiftletError.self) { try CompiledGraph(graph, backends: BackendSet([cpu])) }
    }
}
