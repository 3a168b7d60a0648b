import Foundation
import SwiftletRuntime
import TestSupport
import Testing

import SwiftletCompress

@Suite struct CastWeightsTests {
    private let graph = try? LlamaFixture.graph()

    private func weight(_ name: String, in graph: Graph) throws -> Weight { try #require(graph.weights.first { graph[$0.id].name == name }?.weight) }

    @Test(arguments: [(CastWeights.Format.f16, Float(0x1p-11)), (.bf16, 0x1p-8), (.f32, 0)])
    func elementsAreRoundedToTheFormat(format: CastWeights.Format, step: Float) throws {
        let graph = try #require(graph)
        let result = try CastWeights(format: format).run(graph, in: CompressionContext(passes: .language))
        try result.graph.verify()
        for (id, old) in graph.weights where old.shape.rank == 2 {
            let new = try weight(graph[id].name, in: result.graph)
            #expect(new.format.description == format.rawValue.uppercased())
            for (a, b) in zip(try old.floats(), try new.floats()) { #expect(abs(a - b) <= abs(a) * step * 1.0001) }
        }
        // Vectors stay as they are, and every matrix is reported once.
        for (id, old) in graph.weights where old.shape.rank == 1 { #expect(try weight(graph[id].name, in: result.graph).format == old.format) }
        let matrices = format == .f32 ? 0 : graph.weights.count { $0.weight.shape.rank == 2 }
        #expect(result.report.tensors.count == matrices)
        for tensor in result.report.tensors { #expect(tensor.bytesAfter * 2 == tensor.bytesBefore) }
    }

    @Test func thereAndBackIsTheRounding() throws {
        let context = try CompressionContext(passes: .language)
        let scope = Scope(include: ["*ffn_down*"])
        let result = try Compressor([CastWeights(format: .bf16, scope: scope), CastWeights(format: .f32, scope: scope)]).run(try #require(graph), in: context)
        #expect(result.steps.map(\.technique) == ["cast", "cast"] && result.steps.allSatisfy { $0.tensors.count == 2 })
        let before = try weight("blk.0/ffn_down.weight", in: try #require(graph)).floats()
        let after = try weight("blk.0/ffn_down.weight", in: result.graph).floats()
        // Nearest, ties to even, in bits.
        for (a, b) in zip(before, after) {
            let bits = a.bitPattern
            #expect(b.bitPattern == (bits &+ 0x7FFF &+ (bits >> 16 & 1)) & 0xFFFF_0000)
        }
    }

    @Test func convolutionsKeepTheTypeOfWhatFlows() throws {
        var builder = GraphBuilder(name: "network")
        let x = builder.input("x", .f32, [1, 1, 2, 2])
        let kernel = builder.weight("kernel", try Weight(name: "kernel", shape: [1, 1, 1, 1], floats: [2]))
        let window = Window(kernel: [1, 1])
        builder.output(try builder.node(.tensor(.convolution(Convolution(window: window))), [x, kernel], name: "y")[0])
        let result = try CastWeights(format: .f16).run(builder.graph, in: CompressionContext(passes: .network))
        try result.graph.verify()
        #expect(result.report.tensors.isEmpty && result.report.notes.count == 1)
    }

    @Test func whatDoesNotFitIsAnError() throws {
        var builder = GraphBuilder(name: "large")
        let x = builder.input("x", .f32, [1, 2])
        let weight = builder.weight("w", try Weight(name: "w", shape: [1, 2], floats: [1, 70000]))
        builder.output(try builder.linear(x, weight, name: "y"))
        let context = try CompressionContext(passes: .network)
        #expect(throws: SwiftletError.self) { try CastWeights(format: .f16).run(builder.graph, in: context) }
        #expect(try CastWeights(format: .bf16).run(builder.graph, in: context).report.tensors.count == 1)
    }
}
