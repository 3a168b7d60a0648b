import SwiftletGraph
import TestSupport
import Testing

@Suite struct PrinterTests {
    private func graph() throws -> Graph {
        var b = GraphBuilder(name: "tiny")
        let ids = b.input("ids", .i32, ["t"])
        let store = try WeightStore([UInt8](repeating: 0, count: 4 * 34))
        let table = b.weight("table", try Weight(name: "table", shape: [4, 32], format: .block(.q8_0), store: store))
        let x = try b.embedding(table, ids, name: "rows")
        let scaled = try b.rmsNorm(x, scale: b.weight("scale", [32]), epsilon: 0.5, name: "norm")
        b.output(try b.linear(scaled, table, name: "head"))
        return try FuseNormScale().run(b.graph)
    }

    @Test func everyNodeIsALine() throws {
        let expected = """
            graph tiny
            input ids: i32[t]
            rows: f32[t, 32] = embedding table{Q8_0 [4, 32], 136 bytes}, ids
            norm → norm.scale: f32[t, 32] = rmsNorm(epsilon: 0.5) rows, scale{F32 [32], 128 bytes}
            head: f32[t, 4] = linear norm.scale, table{Q8_0 [4, 32], 136 bytes}
            output head
            nodes: 3
            parameters: 160
            weight bytes: 264
            weight bytes read per token: 298
            multiply-accumulates: 128·t

            """
        #expect(try graph().summary() == expected)
    }

    @Test func statesAndAttributesAreShown() throws {
        let text = try PassPipeline.language.run(try LlamaFixture.graph(layers: 1)).summary()
        #expect(text.contains("state blk.0/cache_k: F16[slots, 2, context, 4]"))
        #expect(text.contains("= attention(heads: 4/2, scale: 0.5) blk.0/q.rotary, blk.0/k.write, blk.0/v.write, positions, slots"))
        #expect(text.contains("= linear(weights: 2, gated silu) blk.0/ffn_norm.scale, blk.0/ffn_gate.weight{"))
        #expect(text == (try PassPipeline.language.run(try LlamaFixture.graph(layers: 1)).summary()))
    }
}

@Suite struct CostTests {
    @Test func multiplyAccumulatesOfALlama() throws {
        let graph = try LlamaFixture.graph(layers: 2)
        // A layer: q 16·16, k and v 16·8, output 16·16, three feed-forward matrices 16·24; attention 2·16 for each row of the context.
        let perToken = 2 * (2 * 16 * 16 + 2 * 16 * 8 + 3 * 16 * 24)
        let (tokens, context, rows) = (5, 12, 1)
        let binding: Binding = ["tokens": tokens, "context": context, "rows": rows, "slots": 1]
        let expected = tokens * perToken + 2 * 2 * 16 * context * tokens + rows * 16 * 32
        #expect(try graph.multiplyAccumulates(under: binding) == expected)
        // Fusing changes none of it.
        let fused = try PassPipeline.language.run(graph)
        #expect(try fused.multiplyAccumulates(under: binding) == expected)
        #expect(fused.weightBytesPerToken == graph.weightBytesPerToken)
        #expect(fused.parameterCount == graph.parameterCount)
        #expect(throws: SwiftletError.self) { try graph.multiplyAccumulates(under: ["tokens": 5]) }
        #expect(throws: SwiftletError.self) { try graph.multiplyAccumulates(under: ["tokens": Int.max, "context": 9, "rows": 1]) }
    }

    @Test func aTiedTableIsReadInFullByTheHeadAndOneRowByTheEmbedding() throws {
        let graph = try LlamaFixture.graph(layers: 0)
        #expect(graph.weightBytes == 4 * (32 * 16 + 16))
        #expect(graph.weightBytesPerToken == graph.weightBytes + 4 * 16)
    }

    @Test func aWindowBoundsAttention() throws {
        for (context, window, expected) in [("c", 4, 4), (3, 4, 3), (9, 4, 4)] as [(Dimension, Int, Int)] {
            var b = GraphBuilder(name: "window")
            let shape: [Dimension] = [1, 1, context, 8]
            let states = ["k", "v"].map { b.state($0, StateSpec(shape: shape, format: .dense(.f32))) }
            let (positions, slots) = (b.input("p", .i32, ["t"]), b.input("s", .i32, ["t"]))
            let attention = Attention(heads: 1, keyValueHeads: 1, headDimension: 8, scale: 1, window: window)
            b.output(
                try b.attention(
                    attention, query: b.input("q", .f32, ["t", 1, 8]), keys: states[0], values: states[1], positions: positions,
                    slots: slots,
                    name: "attention"))
            #expect(try b.graph.multiplyAccumulates(under: ["t": 10]) == 2 * 8 * 10 * expected)
        }
    }
}
