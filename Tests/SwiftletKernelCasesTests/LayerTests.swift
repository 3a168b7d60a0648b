// Shape files: what they say, and every way they can be wrong.
import Foundation
import SwiftletKernelCases
import SwiftletTensor
import Testing

/// The shapes that come with the package.
let shapesFolder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Benchmarks/Shapes").path

@Suite struct LayerTests {
    @Test func readsEachKind() throws {
        let text = "# comment\n\nlinear Q4_1 1536 576 60 ffn_gate+ffn_up # more\nattention 9 3 64 30 attention\nvector 576 61 width\nconvolution 7 9 16 24 1 3 1 2 1 1 0 1 0 5 c\n"
        #expect(
            try Layer.parse(text, model: "m", source: "s") == [
                Layer(model: "m", name: "ffn_gate+ffn_up", count: 60, shape: .linear(format: .block(.q4_1), outputs: 1536, inputs: 576)),
                Layer(model: "m", name: "attention", count: 30, shape: .attention(heads: 9, keyValueHeads: 3, headDimension: 64)),
                Layer(model: "m", name: "width", count: 61, shape: .vector(elements: 576)),
                Layer(
                    model: "m", name: "c", count: 5,
                    shape: .convolution(try #require(ConvolutionShape([7, 9, 16, 24, 1, 3, 1, 2, 1, 1, 0, 1, 0])))),
            ])
        let shape = try #require(ConvolutionShape([7, 9, 16, 24, 1, 3, 1, 2, 1, 1, 0, 1, 0]))
        #expect(shape.outputHeight == 4 && shape.outputWidth == 9 && shape.operations == 2 * 4 * 9 * 24 * 16 * 3)
    }

    @Test(arguments: [
        "linear Q9_1 1 32 1 a", "linear Q4_1 0 32 1 a", "linear Q4_1 16 33 1 a", "linear F16 16 33 1 a", "linear Q4_K 16 576 1 a",
        "linear Q4_1 16 9999999999999999999999 1 a", "linear Q4_1 16 2097152 1 a", "linear Q4_1 16 32 1", "attention 9 2 64 1 a",
        "attention 9 3 60 1 a",
        "attention 9 3 512 1 a", "vector -1 1 a", "convolution 1 2 3", "convolution 7 9 16 24 2 3 3 1 1 1 1 1 1 1 a", "convolution 2 2 4 4 4 5 5 1 1 1 1 1 1 1 a",
        "convolution 7 9 16 0 1 3 3 1 1 1 1 1 1 1 a", "convolution 7 9 16 24 1 3 3 1 1 -1 1 1 1 1 a", "vector 1 1 a\nvector 2 1 a",
    ])
    func namesTheLineOfAMistake(text: String) {
        let line = 2 + text.split(separator: "\n").count - 1
        #expect {
            try Layer.parse("# head\n" + text, model: "m", source: "s.txt")
        } throws: { error in
            if case SwiftletError.syntax("s.txt", line, _, _, _) = error { true } else { false }
        }
    }

    @Test func readsTheShapesOfThePackage() throws {
        let layers = try Layer.read(folder: shapesFolder)
        // Parameters of the linear layers, the tied embedding once: what the models' names promise, less norms.
        for (model, parameters) in [("smollm2-135m", 134_479_872), ("gemma3-270m", 268_042_240)] {
            let sum = layers.filter { $0.model == model }.reduce(0) { sum, layer in
                if case .linear(_, let outputs, let inputs) = layer.shape { sum + layer.count * outputs * inputs } else { sum }
            }
            #expect(sum == parameters)
        }
        // Multiplications and additions of the convolutions, from the shapes the onnx package infers.
        let operations = layers.filter { $0.model == "efficientnet-lite0" }.reduce(0.0) { sum, layer in
            if case .convolution(let shape) = layer.shape { sum + Double(layer.count) * shape.operations } else { sum }
        }
        #expect(operations == 767_815_104)
        #expect(throws: SwiftletError.self) { try Layer.read(folder: "/nowhere") }
    }
}
