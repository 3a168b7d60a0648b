// Layers and bytes that are read off a graph, against figures worked out by hand.
import CKernels
import SwiftletGraph
import SwiftletKernelCases
import SwiftletMeasure
import SwiftletRuntime
import SwiftletTensor
import TestSupport
import Testing

@Suite struct ModelLayerTests {
    @Test(.enabled(if: SharedData.storiesModel != nil, "needs ../shared/data/models/stories260k-f32.gguf"))
    func layersOfARealModel() throws {
        // stories260k: width 64, 8 heads of 8 with 4 key/value heads, hidden 172, 5 layers, 512 tokens, f32.
        let layers = try Layer.layers(ofModel: SharedData.storiesModel ?? "")
        func linear(_ outputs: Int, _ inputs: Int) -> Layer? { layers.first { $0.shape == .linear(format: .dense(.f32), outputs: outputs, inputs: inputs) } }
        #expect(linear(64, 64)?.count == 10 && linear(64, 64)?.name == "attn_q+attn_output")
        #expect(linear(32, 64)?.count == 10 && linear(172, 64)?.count == 10 && linear(512, 64)?.count == 1)
        // ffn_down reads rows of 172, which kernels do not take; heads of 8 neither.
        #expect(linear(64, 172) == nil && layers.allSatisfy { if case .attention = $0.shape { false } else { true } })
        #expect(layers.contains { $0.shape == .vector(elements: 64) } && layers.contains { $0.shape == .vector(elements: 172) })
        #expect(Set(layers.map(\.name)).count == layers.count && layers.allSatisfy { $0.model == "stories260k-f32" })
        #expect(!KernelCatalog(layers: layers, options: KernelCatalog.Options(streamedBytes: 1 << 16)).cases.isEmpty)
    }

    @Test(.enabled(if: SharedData.storiesModel != nil, "needs ../shared/data/models/stories260k-f32.gguf"))
    func bytesOfAToken() throws {
        let model = try storiesModel()
        let traffic = DecodeTraffic(model.graph)
        // Panels of 16 rows over k rounded up to 32, f32: q, k, v, o, gate, up, down of 5 layers, and the head; then one row of the embedding and norms.
        func panels(_ rows: Int, _ k: Int) -> Int { (rows + 15) / 16 * 16 * ((k + 31) / 32 * 32) * 4 }
        let layer = 2 * panels(64, 64) + 2 * panels(32, 64) + 2 * panels(172, 64) + panels(64, 172)
        #expect(traffic.weightBytes == 5 * layer + panels(512, 64) + 64 * 4 + 11 * 64 * 4)
        // Keys and values of 4 heads of 8 in f16, in 5 layers; a token sees itself and all before.
        let row = 5 * 2 * 4 * 8 * 2
        #expect(traffic.cacheBytes(positions: 0..<1) == row && traffic.cacheBytes(positions: 10..<13) == 12 * row)
        #expect(traffic.cacheBytes(positions: 5..<5) == 0)
    }
}
