// Norms, rotations and cache writes that attention of few tokens takes over: the numbers of the reference, and steps of their own where they cannot go along.
import SwiftletRuntime
import TestSupport
import Testing

@Suite("What attention of few tokens takes over")
struct AttentionPrologueTests {
    private static let (heads, shared, dimension, width) = (4, 2, 32, 48)
    private static let names = ["q norm", "k norm", "q rotary", "k rotary", "write keys", "write values"]

    private enum Twist: CaseIterable {
        case none
        /// Something else reads the turned queries, or the turned keys.
        case sharedQueries, sharedKeys
        /// A second attention reads the same cache.
        case sharedCache
    }

    /// `[tokens, width]` to queries, keys and values, through norms and rotations, into the cache and to attention.
    private func graph(_ layout: RotaryLayout, normalises: Bool, _ format: WeightFormat, _ twist: Twist, window: Int? = nil) throws -> Graph {
        var (builder, random) = (GraphBuilder(name: "heads"), SeededGenerator(seed: 5))
        let x = builder.input("x", .f32, ["tokens", Dimension(Self.width)])
        let positions = builder.input("positions", .i32, ["tokens"]), slots = builder.input("slots", .i32, ["tokens"])
        let table = try builder.rotaryTable(RotaryTable(dimensions: 24, base: 100), positions: positions, factors: nil, name: "angles")
        func projected(_ name: String, heads: Int) throws -> ValueID {
            let weights = random.floats(heads * Self.dimension * Self.width, in: -0.5...0.5)
            let weight = builder.weight(name, try Weight(name: name, shape: [heads * Self.dimension, Self.width], format: .dense(.f32), store: WeightStore(weights)))
            let y = try builder.linear(x, weight, name: name + " product")
            return try builder.reshape(y, ["tokens", Dimension(heads), Dimension(Self.dimension)], name: name + " heads")
        }
        func turned(_ name: String, heads: Int) throws -> ValueID {
            var y = try projected(name, heads: heads)
            if normalises {
                let scale = builder.weight(name + " scale", try random.vector(Self.dimension, in: 0.5...1.5))
                y = try builder.node(.rmsNorm(epsilon: 1e-6), [y, scale], name: name + " norm")[0]
            }
            return try builder.rotary(y, table: table, layout: layout, name: name + " rotary")
        }
        let (q, k, v) = (try turned("q", heads: Self.heads), try turned("k", heads: Self.shared), try projected("v", heads: Self.shared))
        let cache = StateSpec(shape: ["slots", Dimension(Self.shared), "context", Dimension(Self.dimension)], format: format)
        let keys = try builder.cacheWrite(builder.state("keys", cache), k, positions: positions, slots: slots, name: "write keys")
        let values = try builder.cacheWrite(builder.state("values", cache), v, positions: positions, slots: slots, name: "write values")
        let attention = Attention(heads: Self.heads, keyValueHeads: Self.shared, headDimension: Self.dimension, scale: 0.15, window: window)
        builder.output(try builder.attention(attention, query: q, keys: keys, values: values, positions: positions, slots: slots, name: "attention"))
        switch twist {
        case .none: break
        case .sharedQueries: builder.output(try builder.unary(.sigmoid, q, name: "other"))
        case .sharedKeys: builder.output(try builder.unary(.sigmoid, k, name: "other"))
        case .sharedCache:
            let other = try projected("other", heads: Self.heads)
            builder.output(try builder.attention(attention, query: other, keys: keys, values: values, positions: positions, slots: slots, name: "other attention"))
        }
        return builder.graph
    }

    private typealias Places = [(position: Int, slot: Int)]

    private func prompt(_ positions: Range<Int>, slot: Int = 0) -> Places { positions.map { ($0, slot) } }

    private func sample(_ graph: Graph, _ runs: [Places]) -> BuiltSample {
        var random = SeededGenerator(seed: 8)
        return BuiltSample(
            graph: graph, stateBinding: ["slots": 17, "context": 230],
            runs: runs.map { places in
                SampleRun(
                    inputs: [
                        "x": random.tensor([places.count, Self.width]), "positions": NaiveTensor(places.map(\.position)), "slots": NaiveTensor(places.map(\.slot)),
                    ], binding: ["tokens": places.count])
            }, bounds: { _, _, _ in [] })
    }

    /// A prompt; one token; a guess of three; sixteen; sequences together; one sequence's tokens apart and out of order; a position again; many again.
    private var runs: [Places] {
        [
            prompt(0..<150), prompt(150..<151), prompt(151..<154), prompt(154..<170), prompt(0..<2, slot: 1) + prompt(0..<3, slot: 2),
            (0..<8).map { (3 + $0 % 2, $0 + 1) }, (0..<16).map { (5, $0 + 1) }, [(171, 0), (6, 1), (170, 0)], [(9, 3), (7, 3), (8, 3), (6, 3)],
            prompt(171..<174), prompt(174..<191), [], prompt(191..<192),
        ]
    }

    private func check(_ graph: Graph, on path: ISAPath, tolerance: Double, _ comment: String) throws {
        let sample = sample(graph, runs)
        let expected = try execute(sample, on: [ReferenceBackend(pool: Pools.all[1])])
        for pool in Pools.all {
            let actual = try execute(sample, on: [CPUBackend(pool: pool, isa: path.rawValue)])
            for (run, outputs) in expected.outputs.enumerated() {
                for (index, output) in outputs.enumerated() {
                    let worst = zip(output, actual.outputs[run][index]).reduce(0) { max($0, abs($1.0 - $1.1)) }
                    #expect(actual.outputs[run][index].count == output.count && worst <= tolerance, "\(comment), \(pool.threadCount) threads, run \(run): \(worst)")
                }
            }
        }
    }

    @Test("every instruction set, rotation and cache format", arguments: ISAPath.allCases)
    func formats(_ path: ISAPath) throws {
        guard path.isHere else { try Test.cancel("This machine has no \(path).") }
        for (format, tolerance) in [(.dense(.f32), 2e-5), (.dense(.f16), 2e-3), (.block(.q8_0), 0.02)] as [(WeightFormat, Double)] {
            for (layout, normalises) in [(.split, false), (.interleaved, true)] as [(RotaryLayout, Bool)] {
                try check(graph(layout, normalises: normalises, format, .none), on: path, tolerance: tolerance, "\(format), \(layout)")
            }
        }
        try check(graph(.split, normalises: true, .dense(.f32), .none, window: 7), on: path, tolerance: 2e-5, "a window")
    }

    @Test("what somebody else reads stays a step", arguments: [RotaryLayout.split, .interleaved])
    func shared(_ layout: RotaryLayout) throws {
        for twist in Twist.allCases {
            guard let path = ISAPath.allCases.last(where: { $0.isHere }) else { continue }
            try check(graph(layout, normalises: true, .dense(.f32), twist), on: path, tolerance: 2e-5, "\(twist)")
        }
    }

    /// Which of the steps before attention a run of `tokens` tokens has.
    private func steps(_ graph: Graph, tokens: Int) throws -> [String] {
        let sample = sample(graph, [prompt(0..<tokens)])
        let compiled = try CompiledGraph(graph, backends: BackendSet([CPUBackend(pool: Pools.all[0], isa: 0)]))
        let plan = try ExecutionContext(compiled, stateBinding: sample.stateBinding).plan(sample.runs[0].binding)
        try plan.write(sample.runs[0].inputs, of: graph)
        let nodes = try plan.profile().flatMap { $0.node.split(separator: " → ").map(String.init) }
        #expect(nodes.contains("attention"), "\(nodes)")
        return Self.names.filter(nodes.contains)
    }

    @Test("few tokens have no steps of their own before attention, many have")
    func leftOut() throws {
        func steps(_ twist: Twist, _ tokens: Int) throws -> [String] { try self.steps(graph(.split, normalises: true, .dense(.f16), twist), tokens: tokens) }
        for tokens in [1, 2, 16] {
            #expect(try steps(.none, tokens) == [])
            #expect(try steps(.sharedQueries, tokens) == ["q norm", "q rotary"])
            #expect(try steps(.sharedKeys, tokens) == ["k norm", "k rotary"])
            #expect(try steps(.sharedCache, tokens) == ["k norm", "k rotary", "write keys", "write values"])
        }
        #expect(try steps(.none, 17) == Self.names)
    }
}
