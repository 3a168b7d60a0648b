import Foundation
import SwiftletCompress
import SwiftletGraph
import TestSupport
import Testing

@Suite struct QuantizeWeightsTests {
    @Test func nearestIsTheFormatsOwnRounding() throws {
        let fixture = try FeedForwardFixture()
        let result = try QuantizeWeights(FormatPlan("q4_0"), scope: Scope(include: ["blk.*"]), searches: false).run(fixture.graph, in: fixture.context())
        for layer in fixture.graph.layers(in: Scope(include: ["blk.*"])) {
            let after = try #require(result.graph.layers().first { $0.name == layer.name }).weight
            #expect(after.format == .block(.q4_0))
            #expect(try after.floats() == BlockFormat.q4_0.dequantize(BlockFormat.q4_0.quantize(layer.weight.floats())))
        }
        #expect(result.graph.layers().first { $0.name == "output.weight" }?.weight.format == .dense(.f32))
        #expect(result.report.tensors.map(\.name) == ["blk.0.ffn_gate.weight", "blk.0.ffn_up.weight", "blk.0.ffn_down.weight"])
        #expect(result.report.before.weightBytes - result.report.after.weightBytes == 3 * 64 * 96 * 4 - 3 * 64 * 96 / 32 * 18)
    }

    @Test(arguments: BlockFormat.allCases) func everyFormatIsReached(_ format: BlockFormat) throws {
        var generator = SeededGenerator(seed: 9)
        var builder = GraphBuilder(name: "one")
        let x = builder.input("x", .f32, [4, 512])
        let weight = builder.weight("w", try Weight(name: "w", shape: [8, 512], floats: generator.floats(8 * 512)))
        builder.output(try builder.linear(x, weight, name: "y"))
        let result = try QuantizeWeights(FormatPlan(String(describing: format))).run(builder.graph, in: CompressionContext(passes: .language))
        let after = try #require(result.graph[weight].weight)
        #expect(after.format == .block(format))
        // Two bits and less keep little; all others most of the signal.
        let floor = [.tq1_0, .tq2_0].contains(format) ? 2.0 : format == .q2_K ? 9 : 14
        #expect(try #require(result.report.tensors[0].signalToNoise) > floor)
    }

    @Test func rowsThatAreNotWholeBlocksFallBack() throws {
        let plan = try FormatPlan("q4_k_m")
        func format(_ name: String, _ columns: Int, _ fallback: FormatPlan.Fallback = .sameBits, isHead: Bool = false) throws -> WeightFormat {
            try plan.format(of: name, columns: columns, isHead: isHead, layers: 30, fallback: fallback)
        }
        #expect(try format("blk.9.attn_q.weight", 512) == .block(.q4_K))
        #expect(try format("blk.9.attn_q.weight", 576) == .block(.iq4_nl))
        #expect(try format("blk.9.attn_q.weight", 576, .wider) == .block(.q5_0))
        #expect(try format("blk.0.ffn_down.weight", 1536) == .block(.q6_K))
        #expect(try format("blk.4.ffn_down.weight", 1536) == .block(.q4_K))
        #expect(try format("blk.0.ffn_down.weight", 1504) == .block(.q8_0))
        #expect(try format("output.weight", 512, isHead: true) == .block(.q6_K))
        #expect(try format("blk.1.ffn_down.weight", 172) == .dense(.f16))
        #expect(throws: SwiftletError.self) { try FormatPlan("q9_z") }
    }

    @Test func importanceLowersTheErrorOfWhatFlows() throws {
        let fixture = try FeedForwardFixture()
        let scope = Scope(include: ["blk.*", "output.weight"])
        let whole = try fixture.outputs(of: fixture.graph)
        func distance(_ usesImportance: Bool) throws -> Double {
            let step = try QuantizeWeights(FormatPlan("iq4_nl"), scope: scope, usesImportance: usesImportance)
            return FeedForwardFixture.distance(whole, try fixture.outputs(of: step.run(fixture.graph, in: fixture.context()).graph))
        }
        #expect(try distance(true) < 0.8 * distance(false))
    }

    @Test func importanceSurvivesItsFile() throws {
        let fixture = try FeedForwardFixture()
        let matrix = try ImportanceMatrix(fixture.graph, data: fixture.data, in: fixture.context())
        #expect(matrix.names == ["blk.0.ffn_down.weight", "blk.0.ffn_gate.weight", "blk.0.ffn_up.weight", "output.weight"])
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("importance-\(UUID()).gguf").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try matrix.write(to: path, dataset: "fixture", chunks: 4, chunk: 48)
        let read = try ImportanceMatrix(path: path)
        #expect(read.names == matrix.names)
        for name in matrix.names {
            for (a, b) in zip(try #require(matrix[name]), try #require(read[name])) { #expect(abs(a - b) <= 1e-6 * a) }
        }
        // The mean square of a column, by hand.
        let x = try fixture.data.batches.flatMap { try #require($0["x"]).elements(as: Float.self) }
        #expect(x.count == 4 * 48 * 64)
        #expect(throws: SwiftletError.self) { try ImportanceMatrix(path: "/nonexistent.gguf") }
    }

    @Test func importanceWithoutDataIsAnError() throws {
        let fixture = try FeedForwardFixture()
        #expect(throws: SwiftletError.self) {
            try QuantizeWeights(FormatPlan("q4_0"), usesImportance: true).run(fixture.graph, in: CompressionContext(passes: .language))
        }
    }

    @Test func fewBitsUseFewLevels() throws {
        let fixture = try FeedForwardFixture()
        for searches in [false, true] {
            let step = try QuantizeWeights(FormatPlan("q4_1"), scope: Scope(include: ["*gate*"]), searches: searches, bits: 3)
            let weight = try #require(step.run(fixture.graph, in: fixture.context()).graph.layers().first { $0.name.contains("gate") }).weight
            let row = try weight.row(0)
            for block in 0..<2 { #expect(Set(row[block * 32..<(block + 1) * 32]).count <= 8) }
        }
        #expect(throws: SwiftletError.self) {
            try QuantizeWeights(FormatPlan("q4_0"), bits: 3).run(fixture.graph, in: fixture.context())
        }
    }
}
