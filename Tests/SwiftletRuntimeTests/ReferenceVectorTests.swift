// Sampling, recurrent layers and convolutions against the reference evaluator of the onnx package (Tests/Vectors/make_reference_vectors.py).
import Foundation
import SwiftletRuntime
import Testing

private struct VectorTensor: Decodable {
    var shape: [Int]
    var values: [Double]

    func weight(_ element: DType = .f32) throws -> Weight {
        let store = element == .i64 ? try WeightStore(values.map { Int64($0) }) : try WeightStore(values.map { Float($0) })
        return try Weight(name: "operand", shape: Shape(shape), format: .dense(element), store: store)
    }
}

private struct VectorCase: Decodable {
    var name: String
    var operands: [VectorTensor]
    var results: [VectorTensor]

    static func all() throws -> [VectorCase] {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        return try JSONDecoder().decode([VectorCase].self, from: Data(contentsOf: folder.appendingPathComponent("Vectors/reference/sampling.json")))
    }

    /// What the generating script asked of the operator of this name.
    func operation() throws -> TensorOp {
        let words = name.split(separator: "-").map(String.init)
        switch words[0] {
        case "resize":
            let scales = operands[1].values.map { Float($0) }
            let coordinates: [String: Resize.Coordinates] = ["symmetric": .halfPixelSymmetric, "corners": .alignCorners, "exclude": .asymmetric]
            return .resize(
                Resize(
                    interpolation: words[1] == "cubic" ? .cubic(coefficient: -0.75) : .linear, coordinates: coordinates[words.last ?? ""] ?? .halfPixel,
                    scales: scales, sizes: results[0].shape, antialiases: words.last == "antialias", excludesOutside: words.last == "exclude"))
        case "grid":
            return .gridSample(
                GridSample(
                    interpolation: try #require(.init(rawValue: words[1])), padding: try #require(.init(rawValue: words[2])), alignsCorners: words[3] == "1"))
        case "grid3d": return .gridSample(GridSample(interpolation: .linear, padding: .zeros, alignsCorners: false))
        case "roi":
            return .roiAlign(
                RoiAlign(height: 2, width: 3, samples: words[1] == "avg" ? 0 : 2, scale: 0.9, takesMaximum: words[1] == "max", isHalfPixel: words[2] == "half_pixel"))
        case "lstm":
            return .recurrent(
                Recurrent(
                    cell: .lstm(couplesInputAndForget: false), hidden: 3, direction: .bidirectional, activations: [.sigmoid, .tanh, .tanh, .sigmoid, .tanh, .tanh],
                    hasBias: true, hasInitialHidden: true, hasInitialCell: true, hasPeepholes: true))
        case "gru": return .recurrent(Recurrent(cell: .gru(resetsAfter: words[1] == "1"), hidden: 3, activations: [.sigmoid, .tanh], hasBias: true))
        case "deform":
            return .deformableConvolution(DeformableConvolution(window: Window(kernel: [2, 2]), groups: 2, offsetGroups: 2, hasBias: true, hasMask: true))
        case "transposed":
            return .transposedConvolution(
                TransposedConvolution(
                    window: Window(kernel: [3, 2], strides: [2, 3], low: [1, 0], high: [0, 1]), hasBias: true, outputPadding: [1, 1]))
        default:
            return .convolution(
                Convolution(window: Window(kernel: [3, 2], strides: [2, 1], dilations: [1, 2], low: [1, 0], high: [2, 1]), groups: 2, hasBias: true))
        }
    }
}

@Suite("The reference agrees with the onnx package")
struct ReferenceVectorTests {
    @Test("Sampling, recurrent layers, convolutions") func vectors() throws {
        let cases = try VectorCase.all()
        #expect(cases.count == 35)
        for vector in cases {
            var builder = GraphBuilder(name: vector.name)
            let count = vector.name.hasPrefix("resize") ? 1 : vector.operands.count
            let inputs = try vector.operands.prefix(count).enumerated().map { index, operand in
                builder.weight("x\(index)", try operand.weight(vector.name.hasPrefix("roi") && index == 2 ? .i64 : .f32))
            }
            _ = try builder.node(.tensor(vector.operation()), inputs, name: vector.name)
            let node = try #require(builder.graph.nodes.first)
            for (weight, expected) in zip(try Evaluator.evaluate(node, in: builder.graph), vector.results) {
                #expect(weight.shape.dimensions == expected.shape, "\(vector.name)")
                let values = weight.store.withBytes { Array($0.bindMemory(to: Float.self)) }
                let worst = zip(values, expected.values).map { abs(Double($0) - $1) }.max() ?? 0
                #expect(worst < 2e-5, "\(vector.name): \(worst)")
            }
        }
    }
}
