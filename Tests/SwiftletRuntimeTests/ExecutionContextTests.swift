// One session's memory: plans remembered and forgotten, the arena grown, indices checked, two sessions of one model at once.
import CKernels
import Dispatch
import SwiftletRuntime
import TestSupport
import Testing

@Suite("Sessions run compiled graphs")
struct ExecutionContextTests {
    private static let backends: [any Backend] = [ReferenceBackend(pool: nil), CPUBackend(pool: Pools.all[1], isa: ck_isa_detect())]

    private func llama(_ backend: any Backend) throws -> CompiledGraph {
        try CompiledGraph(try LlamaFixture.graph(headDimension: 8), backends: BackendSet([backend]))
    }

    private func context(_ compiled: CompiledGraph) throws -> ExecutionContext {
        try ExecutionContext(compiled, stateBinding: ["slots": 2, "context": 16])
    }

    private func run(_ context: ExecutionContext, _ step: (inputs: [String: NaiveTensor], binding: Binding)) throws -> [Double] {
        let graph = context.compiled.graph
        let plan = try context.plan(step.binding)
        try plan.write(step.inputs, of: graph)
        try plan.run()
        return try plan.numbers(of: graph.outputs[0], in: graph)
    }

    // MARK: Plans and the arena

    @Test("A binding is planned once, and forgotten after eight others", arguments: [0, 1]) func plansAreCached(_ backend: Int) throws {
        let context = try context(try llama(Self.backends[backend]))
        func plan(_ tokens: Int) throws -> BoundGraph { try context.plan(LlamaFixture.step(Array(0..<tokens), start: 0).binding) }
        // The largest first, so that the arena never grows again.
        let (large, one) = (try plan(12), try plan(1))
        #expect(try plan(12) === large)
        #expect(try plan(1) === one)
        for tokens in 2...8 {
            _ = try plan(tokens)
            #expect(try plan(1) === one, "the plan used all the time stays")
        }
        #expect(try plan(12) !== large, "the plan not used for eight others is gone")
        #expect(try plan(1) === one)
    }

    @Test("Results lie in the memory of results nobody holds any more, and what is held stays as it is", arguments: [0, 1]) func resultMemory(_ backend: Int) throws {
        var builder = GraphBuilder(name: "twice")
        let x = builder.input("x", .f32, [3, 700])
        let twice = try builder.binary(.add, x, x, name: "twice")
        builder.output(twice)
        let context = try ExecutionContext(try CompiledGraph(builder.graph, backends: BackendSet([Self.backends[backend]])), stateBinding: [:])
        let plan = try context.plan([:])
        func result(_ number: Float) throws -> Tensor {
            try plan.write(try Tensor([Float](repeating: number, count: 2100), shape: [3, 700]), to: x)
            try plan.run()
            return try plan.tensor(twice)
        }
        func address(_ tensor: Tensor) -> UnsafeRawPointer? { tensor.withBytes { $0.baseAddress } }
        // Held one and all, each is its own.
        let held = try (0..<5).map { try result(Float($0)) }
        #expect(Set(held.map(address)).count == 5)
        #expect(try held.enumerated().allSatisfy { try $1.floats() == [Float](repeating: 2 * Float($0), count: 2100) })
        // A caller that keeps the last result while the next is made goes on with two pieces.
        var last = try result(10), places: Set<UnsafeRawPointer?> = [address(last)]
        for number in 11..<20 {
            let next = try result(Float(number))
            #expect(try last.floats().allSatisfy { $0 == 2 * Float(number - 1) } && next.floats().allSatisfy { $0 == 2 * Float(number) })
            places.insert(address(next))
            last = next
        }
        #expect(places.count == 2)
        // Writing a result never writes into what another may be given.
        var changed = try result(30)
        try changed.withMutableElements(as: Float.self) { $0[0] = 1 }
        let after = try result(31)
        #expect(try after.floats().allSatisfy { $0 == 62 } && changed.floats()[0] == 1 && changed.floats()[1] == 60)
    }

    @Test("The arena grows with the batch, and what came before stays right", arguments: [0, 1]) func arenaGrows(_ backend: Int) throws {
        let compiled = try llama(Self.backends[backend])
        let (growing, large) = (try context(compiled), try context(compiled))
        let prompt = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
        let small = LlamaFixture.step(Array(prompt[..<1]), start: 0)
        let oldPlan = try growing.plan(small.binding)
        let first = try run(growing, small)
        let bytes = growing.arenaBytes
        #expect(bytes > 0)
        #expect(growing.stateBytes == 4 * (2 * 2 * 16 * 8) * 2, "four caches [2, 2, 16, 8] of f16")
        let rest = try run(growing, LlamaFixture.step(Array(prompt[1...]), start: 1))
        #expect(growing.arenaBytes > bytes)
        // All at once in another session: the states survived the change of arenas.
        let whole = try run(large, LlamaFixture.step(prompt, start: 0))
        expectClose(first + rest, whole, within: whole.map { 1e-3 * max(1, abs($0)) }, "in two parts")
        // A plan from before points into memory that it keeps.
        try oldPlan.write(small.inputs, of: compiled.graph)
        try oldPlan.run()
        #expect(try oldPlan.numbers(of: compiled.graph.outputs[0], in: compiled.graph) == first)
        #expect(try run(growing, small) == first)
    }

    @Test("A plan outlives its context") func planOutlives() throws {
        let step = LlamaFixture.step([1, 2, 3], start: 0)
        func orphan() throws -> (BoundGraph, Graph) {
            let compiled = try llama(Self.backends[1])
            return (try context(compiled).plan(step.binding), compiled.graph)
        }
        let (plan, graph) = try orphan()
        try plan.write(step.inputs, of: graph)
        try plan.run()
        #expect(try plan.numbers(of: graph.outputs[0], in: graph) == run(try context(try llama(Self.backends[1])), step))
    }

    @Test("Boundary tensors are given out in their own type only") func elementTypes() throws {
        let compiled = try llama(Self.backends[0])
        let plan = try context(compiled).plan(LlamaFixture.step([1, 2], start: 0).binding)
        let output = compiled.graph.outputs[0]
        #expect(try plan.elements(of: output, as: Float.self).count == 2 * LlamaFixture.vocabulary)
        #expect(throws: SwiftletError.self) { try plan.elements(of: output, as: Double.self) }
        let inner = try #require(compiled.graph.nodes.first?.outputs.first)
        #expect(throws: SwiftletError.self) { try plan.elements(of: inner, as: Float.self) }
    }

    // MARK: Sizes

    @Test("Sizes that are missing, contradict the states or do not fit memory are errors", arguments: [0, 1]) func sizes(_ backend: Int) throws {
        let compiled = try llama(Self.backends[backend])
        #expect(throws: SwiftletError.self) { try ExecutionContext(compiled, stateBinding: ["slots": 2]) }
        #expect(throws: SwiftletError.self) { try ExecutionContext(compiled, stateBinding: ["slots": .max, "context": 16]) }
        #expect(throws: SwiftletError.self) { try ExecutionContext(compiled, stateBinding: ["slots": -1, "context": 16]) }
        let context = try context(compiled)
        #expect(throws: SwiftletError.self) { try context.plan(["tokens": 1]) }
        #expect(throws: SwiftletError.self) { try context.plan(["tokens": -1, "rows": 1]) }
        #expect(throws: SwiftletError.self) { try context.plan(["tokens": 1, "rows": 1, "context": 17]) }
        #expect(throws: SwiftletError.self) { try context.plan(["tokens": 1, "rows": 1, "slots": 3]) }
        for huge in [Int.max, .max / 2, .max / 16, .max / 64, .max / 128, .max / 1024, 1 << 56, 1 << 52] {
            #expect(throws: SwiftletError.self, "\(huge)") { try context.plan(["tokens": huge, "rows": 1]) }
            #expect(throws: SwiftletError.self, "\(huge)") { try context.plan(["tokens": huge, "rows": huge]) }
        }
        #expect(try run(context, LlamaFixture.step([1], start: 0)).count == LlamaFixture.vocabulary, "and the context still works")
    }

    // MARK: Indices

    @Test("Indices outside what they select from are errors that name the node", arguments: [0, 1]) func indices(_ backend: Int) throws {
        let context = try context(try llama(Self.backends[backend]))
        let good = LlamaFixture.step([1, 2, 3], start: 0)
        let expected = try run(context, good)
        let wrong: [(input: String, values: [Int])] = [
            ("tokens", [1, LlamaFixture.vocabulary, 3]), ("tokens", [1, 2, -1]), ("tokens", [Int(Int32.max), 2, 3]), ("tokens", [Int(Int32.min), 2, 3]),
            ("positions", [0, 1, 16]), ("positions", [-1, 1, 2]), ("positions", [Int(Int32.max), 1, 2]), ("slots", [0, 0, 2]), ("slots", [0, -1, 0]),
            ("rows", [0, 1, 3]), ("rows", [0, -1, 2]),
        ]
        for (input, values) in wrong {
            var step = good
            step.inputs[input] = NaiveTensor(values)
            let error = #expect(throws: SwiftletError.self, "\(input) \(values)") { try run(context, step) }
            guard case .invalidArgument(let name, let reason, _) = error else { Issue.record("\(String(describing: error))"); continue }
            #expect(context.compiled.graph.nodes.contains { $0.name == name }, "\(name)")
            #expect(reason.contains("outside"))
        }
        #expect(try run(context, good) == expected, "and the context still works")
    }

    @Test("Indices of any shape are checked to the last", arguments: [0, 1]) func indicesOfAnyShape(_ backend: Int) throws {
        var generator = SeededGenerator(seed: 41)
        for (shape, good, bad) in [([2, 3], [0, 1, 2, 3, 0, 3], [0, 1, 2, 3, 0, 4]), ([], [3], [4]), ([1, 1, 2], [3, 0], [3, -1])] {
            var builder = GraphBuilder(name: "ids")
            let table = builder.weight("table", try generator.matrix(4, 5, .dense(.f32)))
            builder.output(try builder.embedding(table, builder.input("ids", .i32, shape.map { Dimension($0) }), name: "embedding"))
            func run(_ ids: [Int]) throws -> SampleResults {
                let inputs = ["ids": NaiveTensor(shape, ids.map(Double.init))]
                return try execute(
                    BuiltSample(graph: builder.graph, runs: [SampleRun(inputs: inputs)], bounds: { _, _, _ in [] }), on: [Self.backends[backend]])
            }
            #expect(try run(good).outputs[0][0].count == 5 * good.count)
            #expect(throws: SwiftletError.self, "\(shape)") { try run(bad) }
        }
    }

    // MARK: Side by side

    @Test("Two sessions of one model at once compute what each computes alone", arguments: [0, 1]) func sideBySide(_ backend: Int) throws {
        let compiled = try llama(Self.backends[backend])
        @Sendable func session(_ seed: Int) throws -> [[Double]] {
            let context = try ExecutionContext(compiled, stateBinding: ["slots": 2, "context": 16])
            var results = [try run(context, LlamaFixture.step([seed, seed + 1, 7], start: 0, slot: seed % 2))]
            for position in 3..<14 {
                results.append(try run(context, LlamaFixture.step([(seed * 5 + position) % LlamaFixture.vocabulary], start: position, slot: seed % 2)))
            }
            return results
        }
        let alone = try (0..<4).map(session)
        let together = Locked<[Int: [[Double]]]>([:])
        DispatchQueue.concurrentPerform(iterations: 4) { index in
            let results = try? session(index)
            together.withLock { $0[index] = results }
        }
        for index in 0..<4 { #expect(together.withLock { $0[index] } == alone[index], "session \(index)") }
    }
}
