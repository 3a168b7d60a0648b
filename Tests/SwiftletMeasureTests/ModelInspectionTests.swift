import Foundation
import SwiftletFormats
import SwiftletGraph
import SwiftletMeasure
import SwiftletTensor
import TestSupport
import Testing

private let needsModel = "needs ../shared/data/models/stories260k-f32.gguf"

private func temporaryFile(_ name: String) -> String {
    FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString)-\(name)").path
}

@Suite struct ModelInspectionTests {
    @Test(.enabled(if: SharedData.storiesModel != nil, Comment(rawValue: needsModel)))
    func languageModelIsCountedAndCosted() throws {
        let path = try #require(SharedData.storiesModel)
        let file = try GGUFFile(path: path)
        let inspection = try ModelInspection(path: path)
        #expect(inspection.format == "gguf")
        #expect(inspection.architecture == "llama")
        #expect(inspection.parameters == file.tensors.reduce(0) { $0 + $1.shape.elementCount })
        #expect(inspection.formats.map(\.format) == ["F32"])
        #expect(inspection.tensorBytes == 4 * inspection.parameters)
        // 5 layers, keys and values, 4 heads of 8, two bytes each.
        #expect(inspection.cost?.cacheBytesPerToken == 5 * 2 * 4 * 8 * 2)
        // A token reads every matrix; of the embedding table it reads one row, and all of it once more as the head when that is tied.
        let weightBytes = try #require(inspection.cost?.weightBytesPerToken)
        #expect(weightBytes <= inspection.tensorBytes + 512 * 4)
        #expect(weightBytes >= inspection.tensorBytes - 512 * 64 * 4)
        let tokens = try #require(inspection.metadata.first { $0.key == "tokenizer.ggml.tokens" })
        guard case .array(let count, let first) = tokens.value else {
            Issue.record("the tokens are no array")
            return
        }
        #expect(count == 512)
        #expect(first.count == 6)
        #expect(try ModelInspection.graph(path: path).contains("attention"))
    }

    @Test func jsonSurvivesARoundTrip() throws {
        let values: [InspectedValue] = [
            .integer(-3), .number(0.5), .bool(true), .string("a\"b"),
            .array(count: 9, first: [.string("x"), .array(count: 1, first: [.bool(false)])]),
        ]
        let data = try JSONEncoder().encode(values)
        #expect(try JSONDecoder().decode([InspectedValue].self, from: data) == values)
    }

    @Test func safetensorsAreInspectedWithoutACost() throws {
        let path = temporaryFile("two.safetensors")
        defer { try? FileManager.default.removeItem(atPath: path) }
        var writer = SafetensorsWriter(metadata: [("format", "pt")])
        try writer.add(name: "a", shape: [2, 3], type: .f32, store: WeightStore([Float](repeating: 1, count: 6)))
        try writer.add(name: "b", shape: [4], type: .i8, store: WeightStore([Int8](repeating: 1, count: 4)))
        try writer.write(to: path)
        let inspection = try ModelInspection(path: path)
        #expect(inspection.format == "safetensors")
        #expect(inspection.parameters == 10)
        #expect(inspection.tensorBytes == 28)
        #expect(inspection.tensors.map(\.shape) == [[2, 3], [4]])
        #expect(inspection.cost == nil)
        #expect(inspection.metadata.map(\.value) == [.string("pt")])
        #expect(throws: SwiftletError.self) { try ModelInspection.graph(path: path) }
    }

    /// `[n, 4, 8, 8]` through a depthwise 3×3, ReLU and a pointwise convolution to 6 channels.
    private func writeSeparable(_ path: String, batch: SwiftletGraph.Dimension) throws {
        var builder = GraphBuilder(name: "separable")
        let x = builder.input("x", .f32, [batch, 4, 8, 8])
        func kernel(_ name: String, _ shape: [Int]) throws -> ValueID {
            let values = [Float](repeating: 0.5, count: shape.reduce(1, *))
            return builder.weight(name, try Weight(name: name, shape: Shape(shape), format: .dense(.f32), store: WeightStore(values)))
        }
        let (deep, flat) = (try kernel("deep", [4, 1, 3, 3]), try kernel("flat", [6, 4, 1, 1]))
        let window = Window(kernel: [3, 3], low: [1, 1], high: [1, 1])
        var y = try builder.node(.tensor(.convolution(Convolution(window: window, groups: 4))), [x, deep], name: "depthwise")[0]
        y = try builder.unary(.relu, y, name: "relu")
        builder.output(try builder.node(.tensor(.convolution(Convolution(window: Window(kernel: [1, 1])))), [y, flat], name: "pointwise")[0])
        try ONNXWriter(builder.graph).write(to: path)
    }

    @Test func networksAreCosted() throws {
        let path = temporaryFile("separable.onnx")
        defer { try? FileManager.default.removeItem(atPath: path) }
        try writeSeparable(path, batch: 1)
        let cost = try #require(try ModelInspection(path: path).networkCost)
        #expect(cost.multiplyAccumulates == 64 * (4 * 9 + 4 * 6))
        // One plain 3×3 convolution from 4 to 6 channels.
        #expect(cost.plainMultiplyAccumulates == 64 * 9 * 4 * 6)
        #expect(cost.plainParameters == 9 * 4 * 6)
        #expect(cost.depthwiseConvolutions == 1)
        // x, the depthwise convolution, its ReLU and the pointwise one.
        #expect(cost.activationBytes == 4 * 64 * (4 + 4 + 4 + 6))
        // Input and output at least; the ReLU rides on the convolution.
        #expect(cost.plannedActivationBytes >= 4 * 64 * (4 + 6))
    }

    @Test func openShapesAreAskedFor() throws {
        let path = temporaryFile("open.onnx")
        defer { try? FileManager.default.removeItem(atPath: path) }
        try writeSeparable(path, batch: "n")
        let open = try ModelInspection(path: path)
        #expect(open.networkCost == nil)
        #expect(open.costMissing?.contains("--shape x=") == true)
        let given = try ModelInspection(path: path, shapes: ["x": [3, 4, 8, 8]])
        #expect(given.networkCost?.multiplyAccumulates == 3 * 64 * (4 * 9 + 4 * 6))
        for wrong in [["x": [3, 5, 8, 8]], ["x": [3, 4, 8]], ["x": [-1, 4, 8, 8]], ["z": [1]]] {
            #expect(throws: SwiftletError.self) { try ModelInspection(path: path, shapes: wrong) }
        }
    }

    @Test func filesThatAreNoModelAreErrors() throws {
        let path = temporaryFile("none")
        defer { try? FileManager.default.removeItem(atPath: path) }
        try Data("not a model".utf8).write(to: URL(fileURLWithPath: path))
        #expect(throws: SwiftletError.self) { try ModelInspection(path: path) }
        #expect(throws: SwiftletError.self) { try ModelInspection(path: path + "-absent") }
    }
}
