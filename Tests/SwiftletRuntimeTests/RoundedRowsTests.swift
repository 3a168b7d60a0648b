// Values that the step that makes them rounds for the products that read them: what comes of it is, to the bit, what comes of floats rounded afterwards.
import SwiftletRuntime
import TestSupport
import Testing

@Suite("Values rounded by the step that makes them")
struct RoundedRowsTests {
    enum Maker: CaseIterable {
        case product, activation
        /// Two matrices whose panels lie in turn, and two that cannot.
        case gate, gateOfTwoFormats
        case attention
        /// Heads that end within a block: nothing is rounded in parts.
        case attentionOfSmallHeads
    }

    private static let width = 64
    /// 18 panels: tasks of an odd number would end within a block.
    private static let features = 288

    /// `maker`, then a product with what it makes, of which the largest alone are wanted if it `isRanked`. `isShown`: what is made is an output of the
    /// graph too, so that it stays floats.
    private func graph(_ maker: Maker, isShown: Bool, isRanked: Bool = false) throws -> Graph {
        var (builder, random) = (GraphBuilder(name: "rounded"), SeededGenerator(seed: 3))
        func weight(_ rows: Int, _ columns: Int, _ format: BlockFormat) throws -> ValueID {
            builder.weight("weight \(random.next())", try random.matrix(rows, columns, .block(format)))
        }
        let x = builder.input("x", .f32, ["tokens", Dimension(Self.width)])
        let positions = builder.input("positions", .i32, ["tokens"]), slots = builder.input("slots", .i32, ["tokens"])
        let made: ValueID, width: Int
        switch maker {
        case .product, .activation:
            let linear = Linear(epilogue: maker == .activation ? .activation(.silu) : .none)
            (made, width) = (try builder.node(.linear(linear), [x, weight(Self.features, Self.width, .q5_0)], name: "maker")[0], Self.features)
        case .gate, .gateOfTwoFormats:
            let operands = [x, try weight(Self.features, Self.width, .q4_1), try weight(Self.features, Self.width, maker == .gate ? .q4_1 : .q8_0)]
            (made, width) = (try builder.node(.linear(Linear(weightCount: 2, epilogue: .gated(.silu))), operands, name: "maker")[0], Self.features)
        case .attention, .attentionOfSmallHeads:
            let (heads, shared, dimension) = (6, 2, maker == .attention ? 64 : 16)
            func split(_ heads: Int, _ name: String) throws -> ValueID {
                let flat = try builder.linear(x, try weight(heads * dimension, Self.width, .q8_0), name: name)
                return try builder.reshape(flat, ["tokens", Dimension(heads), Dimension(dimension)], name: name + " heads")
            }
            let cache = StateSpec(shape: ["slots", Dimension(shared), "context", Dimension(dimension)], format: .dense(.f16))
            let keys = try builder.cacheWrite(builder.state("keys", cache), split(shared, "k"), positions: positions, slots: slots, name: "write keys")
            let values = try builder.cacheWrite(builder.state("values", cache), split(shared, "v"), positions: positions, slots: slots, name: "write values")
            let attention = Attention(heads: heads, keyValueHeads: shared, headDimension: dimension, scale: 0.2)
            let mixed = try builder.attention(
                attention, query: split(heads, "q"), keys: keys, values: values, positions: positions, slots: slots, name: "maker")
            (made, width) = (try builder.reshape(mixed, ["tokens", Dimension(heads * dimension)], name: "flat"), heads * dimension)
        }
        let best = isRanked ? builder.input("best", .i32, [1]) : nil
        builder.output(try builder.linear(made, weight(isRanked ? 8_200 : 40, width, .q8_0), best: best, name: "reader"))
        if isShown { builder.output(made) }
        return builder.graph
    }

    /// One token, a few of one sequence, several sequences, more than a task takes, a prompt; and none.
    private static let runs: [[(position: Int, slot: Int)]] =
        [[(0, 0)], [(1, 0), (2, 0)], (0..<8).map { (0, $0 + 1) }, (0..<8).map { ($0, 9) }, (3..<20).map { ($0, 0) }, (20..<85).map { ($0, 0) }]
        + [(85..<215).map { ($0, 0) }, [], [(215, 0)], (0..<16).map { ($0 / 8 + 8, $0 % 8 + 1) }]

    private func sample(_ graph: Graph) -> BuiltSample {
        var random = SeededGenerator(seed: 4)
        return BuiltSample(
            graph: graph, stateBinding: ["slots": 10, "context": 216],
            runs: Self.runs.map { places in
                SampleRun(
                    inputs: [
                        "x": random.tensor([places.count, Self.width], in: -2...2), "positions": NaiveTensor(places.map(\.position)),
                        "slots": NaiveTensor(places.map(\.slot)), "best": NaiveTensor([3]),
                    ], binding: ["tokens": places.count])
            }, bounds: { _, _, _ in [] })
    }

    @Test("the same bits as from floats, on every instruction set", arguments: ISAPath.allCases)
    func sameBits(_ path: ISAPath) throws {
        guard path.isHere else { try Test.cancel("This machine has no \(path).") }
        for maker in Maker.allCases {
            for activation in [CPUBackend.ActivationPrecision.int8, .int15] {
                for pool in Pools.all {
                    func outputs(isShown: Bool) throws -> [[Float]] {
                        try execute(sample(graph(maker, isShown: isShown)), on: [CPUBackend(pool: pool, isa: path.rawValue, activation: activation)])
                            .outputs.map { $0[0].map { Float($0) } }
                    }
                    let (expected, actual) = (try outputs(isShown: true), try outputs(isShown: false))
                    for run in Self.runs.indices {
                        #expect(expected[run].count == 40 * Self.runs[run].count && expected[run].allSatisfy(\.isFinite))
                        #expect(
                            actual[run].map(\.bitPattern) == expected[run].map(\.bitPattern), "\(maker), \(activation), \(pool.threadCount) threads, run \(run)")
                    }
                }
            }
        }
    }

    @Test("a ranked product reads the floats as well", arguments: ISAPath.allCases)
    func ranked(_ path: ISAPath) throws {
        guard path.isHere else { try Test.cancel("This machine has no \(path).") }
        func outputs(isShown: Bool) throws -> [[Float]] {
            try execute(sample(graph(.product, isShown: isShown, isRanked: true)), on: [CPUBackend(pool: Pools.all[1], isa: path.rawValue)])
                .outputs.map { $0[0].map { Float($0) } }
        }
        #expect(try outputs(isShown: false).map { $0.map(\.bitPattern) } == outputs(isShown: true).map { $0.map(\.bitPattern) })
    }

    /// The steps a run of `tokens` tokens has for the product that reads what is made: itself, and the rounding of what it reads.
    private func readerSteps(_ graph: Graph, tokens: Int) throws -> Int {
        let places = Array(0..<tokens)
        let compiled = try CompiledGraph(graph, backends: BackendSet([CPUBackend(pool: Pools.all[0], isa: 0)]))
        let plan = try ExecutionContext(compiled, stateBinding: sample(graph).stateBinding).plan(["tokens": tokens])
        try plan.write(
            ["x": NaiveTensor([tokens, Self.width], Array(repeating: 0.5, count: tokens * Self.width)), "positions": NaiveTensor(places),
             "slots": NaiveTensor(places.map { _ in 0 })], of: graph)
        return try plan.profile().filter { $0.node.contains("reader") }.count
    }

    @Test("what nobody else reads needs no step that rounds it", arguments: Maker.allCases)
    func leftOut(_ maker: Maker) throws {
        for tokens in [1, 8, 200] {
            let isMany = tokens == 200
            #expect(try readerSteps(graph(maker, isShown: true), tokens: tokens) == (isMany ? 2 : 1))
            #expect(try readerSteps(graph(maker, isShown: false), tokens: tokens) == (isMany && maker == .attentionOfSmallHeads ? 2 : 1))
        }
    }
}
