import SwiftletRuntime
import TestSupport
import Testing

import SwiftletCompress

@Suite struct LayerSensitivityTests {
    /// y = b · (a · x) for single numbers: what each exchanged weight does can be written down.
    @Test func eachLayerIsExchangedAlone() throws {
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
        let result = try LayerSensitivity.measure(
            parent: builder.graph, compressed: compressed, data: data, batches: 2, in: CompressionContext(passes: PassPipeline(name: "none", [])))
        #expect(result.map(\.name) == ["a", "b"])
        #expect(abs(result[0].outputErrorPercent - 50) < 0.01 && abs(result[1].outputErrorPercent - 20) < 0.01)
    }
}
