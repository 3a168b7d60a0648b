import Foundation
import SwiftletCompress
import SwiftletRuntime
import TestSupport
import Testing

@Suite struct SensitivityScanTests {
    private static func candidates(_ sparsities: [Double]) -> [SensitivityCandidate] {
        ["first.weight", "second.weight"].flatMap { name in
            sparsities.map { SensitivityCandidate(layer: name, label: "\($0)", step: PruneByMagnitude(sparsity: $0, scope: Scope(include: [name]))) }
        }
    }

    @Test func theErrorIsThatOfTheGraphWithOnlyThisLayerChanged() throws {
        let (graph, data) = try PruningFixture.layers(inputs: 16, hidden: 24)
        let first = TensorBatches([data.batches[0]])
        let context = try PruningFixture.context(first)
        let entries = try SensitivityScan().scan(graph, candidates: Self.candidates([0, 0.5, 0.9]), data: first, in: context)
        #expect(entries.map(\.layer) == Array(repeating: "first.weight", count: 3) + Array(repeating: "second.weight", count: 3))
        let parent = try PruningFixture.output(graph, first)
        for entry in entries {
            let step = PruneByMagnitude(sparsity: try #require(Double(entry.candidate)), scope: Scope(include: [entry.layer]))
            let other = try PruningFixture.output(step.run(graph, in: context).graph, first)
            let error = zip(parent, other).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) } / parent.reduce(0.0) { $0 + Double($1 * $1) }
            #expect(abs(entry.divergence - error) <= 1e-3 * error + 1e-6)
        }
        #expect(entries[0].divergence < 1e-9 && entries[1].divergence < entries[2].divergence)
    }

    @Test(arguments: [Divergence.logits, .probabilities]) func rowsAreComparedAsDistributions(divergence: Divergence) throws {
        let (linear, data) = try PruningFixture.layers(inputs: 16, hidden: 24)
        var graph = linear
        if divergence == .probabilities {
            var fixture = PruningFixture()
            let x = fixture.builder.input("x", .f32, [24, 16])
            let h = try fixture.builder.unary(.silu, fixture.linear(x, "first", from: 16, to: 24, bias: true), name: "activation")
            fixture.builder.output(try fixture.builder.node(.softmax, [fixture.linear(h, "second", from: 24, to: 3)], name: "softmax")[0])
            graph = fixture.builder.graph
            #expect(Divergence(suiting: graph) == .probabilities)
        }
        let context = try PruningFixture.context(data)
        let entry = try SensitivityScan(divergence: divergence).scan(graph, candidates: [Self.candidates([0.7])[1]], data: data, in: context)[0]
        func distributions(_ graph: Graph) throws -> [[Double]] {
            try data.batches.flatMap { batch -> [[Double]] in
                let values = try PruningFixture.output(graph, TensorBatches([batch])).map { Double($0) }
                return stride(from: 0, to: values.count, by: 3).map { start in
                    let row = values[start..<start + 3]
                    if divergence == .probabilities { return Array(row) }
                    let sum = row.reduce(0) { $0 + exp($1) }
                    return row.map { exp($0) / sum }
                }
            }
        }
        let p = try distributions(graph)
        let q = try distributions(PruneByMagnitude(sparsity: 0.7, scope: Scope(include: ["second.weight"])).run(graph, in: context).graph)
        let expected = zip(p, q).reduce(0.0) { $0 + zip($1.0, $1.1).reduce(0) { $0 + $1.0 * log($1.0 / $1.1) } } / Double(p.count)
        #expect(expected > 1e-3 && abs(entry.divergence - expected) < 0.02 * expected)
    }

    /// y = b · (a · x) for single numbers: what each exchanged weight does can be written down.
    @Test func weightsOfACompressedGraphAreExchangedOneByOne() throws {
        var builder = GraphBuilder(name: "chain")
        let x = builder.input("x", .f32, [1, 1])
        let a = builder.weight("a", try Weight(name: "a", shape: [1, 1], floats: [2]))
        let b = builder.weight("b", try Weight(name: "b", shape: [1, 1], floats: [5]))
        let same = builder.weight("same", try Weight(name: "same", shape: [1, 1], floats: [1]))
        let first = try builder.linear(x, a, name: "first")
        builder.output(try builder.linear(builder.linear(first, b, name: "second"), same, name: "third"))
        var compressed = builder.graph
        let layers = compressed.layers()
        compressed.replaceWeight(layers[0].weightID, with: try Weight(name: "a", shape: [1, 1], floats: [3]))
        compressed.replaceWeight(layers[1].weightID, with: try Weight(name: "b", shape: [1, 1], floats: [4]))
        let data = TensorBatches(try [1, -2, 100].map { ["x": try Tensor([Float($0)], shape: [1, 1])] })
        let context = try CompressionContext(passes: PassPipeline(name: "none", []))
        let result = try SensitivityScan().scan(
            builder.graph, candidates: SensitivityCandidate.exchanges(parent: builder.graph, compressed: compressed), data: FirstBatches(data, limit: 2), in: context)
        #expect(result.map(\.layer) == ["a", "b"])
        #expect(abs(result[0].outputErrorPercent - 50) < 0.01 && abs(result[1].outputErrorPercent - 20) < 0.01)
        #expect(abs(result[0].divergence - 0.25) < 1e-4 && abs(result[1].divergence - 0.04) < 1e-4)
    }

    /// The integers of a quantised layer stand for what they are dequantised to.
    @Test func integersWithScalesAreExchangedAsFloats() throws {
        let graph = try SmallNetwork.mobile()
        let context = try graph.context(SmallNetwork.images(4))
        let quantised = try QuantizeStatic().run(graph, in: context).graph
        let entries = try SensitivityScan().scan(
            graph, candidates: SensitivityCandidate.exchanges(parent: graph, compressed: quantised), data: SmallNetwork.images(2), in: context)
        #expect(entries.count == 7 && entries.allSatisfy { $0.outputErrorPercent > 0 && $0.outputErrorPercent < 2 })
    }

    @Test func whatCannotBeComparedIsAnError() throws {
        let (graph, data) = try PruningFixture.layers(inputs: 8, hidden: 8)
        let context = try PruningFixture.context(data)
        #expect(throws: SwiftletError.self) { try SensitivityScan().scan(graph, candidates: [], data: TensorBatches([]), in: context) }
        #expect(throws: SwiftletError.self) { try SensitivityScan().scan(Graph(name: "nothing"), candidates: [], data: data, in: context) }
        #expect(try SensitivityScan().scan(graph, candidates: [], data: data, in: context).isEmpty)
    }
}
