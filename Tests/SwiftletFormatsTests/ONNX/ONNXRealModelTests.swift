// Real models, compared with what the Python package `onnx` 1.23.2 says of the same files: counts by walking its messages, checksums by
// zlib.crc32 over the bytes of each tensor. A model that is not on this machine is reported as skipped.
import Foundation
import SwiftletFormats
import SwiftletTensor
import TestSupport
import Testing

/// The CRC-32 of zlib (polynomial 0xEDB88320), bytes through a table.
private struct Checksum {
    private static let table: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? value >> 1 ^ 0xEDB8_8320 : value >> 1 }
    }

    static func of(_ bytes: some Sequence<UInt8>) -> String {
        let state = table.withUnsafeBufferPointer { table in
            bytes.reduce(UInt32.max) { table[Int(truncatingIfNeeded: $0 ^ UInt32($1)) & 0xFF] ^ $0 >> 8 }
        }
        return String(format: "%08x", ~state)
    }

    static func of(_ tensor: ONNXTensor) -> String {
        guard case .elements(let store) = tensor.content else { return "strings" }
        return store.withBytes { of($0) }
    }
}

/// A model by its file, and what is known of it.
struct RealONNX: Sendable, CustomTestStringConvertible {
    let file: String
    let irVersion: Int
    let operatorSet: Int
    let inputs: [String]
    let outputs: [String]
    /// Graphs, nodes, initialisers and constants of nodes, with those of graphs within nodes.
    let graphs, nodes, initializers, constants: Int
    /// Elements of initialisers and constants.
    let parameters: Int
    /// Of the lines `name:checksum` of all initialisers, sorted by name.
    let initializerChecksum: String
    /// Of the sorted lines `checksum` of all constants.
    let constantChecksum: String

    var testDescription: String { file }

    /// Beside the checkout, or in the model cache (`swiftlet pull silero-vad`); nil when it is in neither.
    var path: String? {
        let cached = CacheFolder.path + "/" + file
        return SharedData.path("models/" + file) ?? (FileManager.default.fileExists(atPath: cached) ? cached : nil)
    }

    static let all: [RealONNX] = [
        RealONNX(
            file: "efficientnet-lite0.onnx", irVersion: 8, operatorSet: 13, inputs: ["input: f32[N, 3, 224, 224]"], outputs: ["logits"],
            graphs: 1,
            nodes: 94, initializers: 102, constants: 0, parameters: 4_631_002, initializerChecksum: "20bb4c22", constantChecksum: "00000000"
        ),
        RealONNX(
            file: "silero-vad.onnx", irVersion: 8, operatorSet: 16, inputs: ["input: f32[?, ?]", "state: f32[2, ?, 128]", "sr: i64[]"],
            outputs: ["output", "stateN"], graphs: 51, nodes: 689, initializers: 0, constants: 345, parameters: 545_601,
            initializerChecksum: "00000000", constantChecksum: "bb135b71"),
        RealONNX(
            file: "ppocr-v4-detection.onnx", irVersion: 8, operatorSet: 12,
            inputs: ["x: f32[p2o.DynamicDimension.0, 3, p2o.DynamicDimension.1, p2o.DynamicDimension.2]"], outputs: ["sigmoid_0.tmp_0"],
            graphs: 1,
            nodes: 672, initializers: 0, constants: 342, parameters: 1_171_841, initializerChecksum: "00000000",
            constantChecksum: "7e636e88"),
        RealONNX(
            file: "ppocr-v4-recognition.onnx", irVersion: 8, operatorSet: 12,
            inputs: ["x: f32[p2o.DynamicDimension.0, 3, ?, p2o.DynamicDimension.1]"], outputs: ["softmax_11.tmp_0"], graphs: 1, nodes: 860,
            initializers: 0, constants: 420, parameters: 2_690_407, initializerChecksum: "00000000", constantChecksum: "3a7a5daa"),
        RealONNX(
            file: "ppocr-v2-direction.onnx", irVersion: 7, operatorSet: 11, inputs: ["x: f32[?, 3, ?, ?]"],
            outputs: ["save_infer_model/scale_0.tmp_1"], graphs: 1, nodes: 566, initializers: 0, constants: 308, parameters: 133_777,
            initializerChecksum: "00000000", constantChecksum: "5a736f9e"),
    ]
    static let present = all.filter { $0.path != nil }
}

@Suite struct ONNXRealModelTests {
    @Test(
        .enabled(if: !RealONNX.present.isEmpty, "needs ../shared/data/models/efficientnet-lite0.onnx, or: swiftlet pull silero-vad"),
        arguments: RealONNX.present)
    func structureAndEveryTensorAreThoseOfThePythonPackage(model: RealONNX) throws {
        let file = try ONNXFile(path: try #require(model.path))
        #expect(file.irVersion == model.irVersion && file.operatorSets == ["ai.onnx": model.operatorSet])
        #expect(file.graph.requiredInputs.map { "\($0.name): \($0.type?.description ?? "-")" } == model.inputs)
        #expect(file.graph.outputs.map(\.name) == model.outputs)

        var graphs = [file.graph]
        var next = 0
        while next < graphs.count {
            graphs += graphs[next].nodes.flatMap { $0.subgraphs.map(\.graph) }
            next += 1
        }
        let nodes = graphs.flatMap(\.nodes), initializers = graphs.flatMap(\.initializers)
        let constants = nodes.flatMap(\.attributes).compactMap { if case .tensor(let tensor) = $0.value { tensor } else { nil } }
        #expect(graphs.count == model.graphs)
        #expect(nodes.count == model.nodes)
        #expect(initializers.count == model.initializers)
        #expect(constants.count == model.constants)
        #expect((initializers + constants).reduce(0) { $0 + $1.shape.elementCount } == model.parameters)
        let lines = initializers.map { (name: $0.name, sum: Checksum.of($0)) }.sorted { $0.name < $1.name }
        #expect(Checksum.of(lines.map { "\($0.name):\($0.sum)\n" }.joined().utf8) == model.initializerChecksum)
        #expect(Checksum.of(constants.map { Checksum.of($0) + "\n" }.sorted().joined().utf8) == model.constantChecksum)
    }

    /// All 102 tensors of EfficientNet-Lite0 in file order.
    @Test(.enabled(if: SharedData.path("models/efficientnet-lite0.onnx") != nil, "needs ../shared/data/models/efficientnet-lite0.onnx"))
    func everyTensorOfEfficientNetStaysInTheFile() throws {
        let path = try #require(SharedData.path("models/efficientnet-lite0.onnx"))
        let file = try ONNXFile(path: path)
        #expect(file.graph.initializers.map { Checksum.of($0) } == Self.efficientNet.split(whereSeparator: \.isWhitespace).map(String.init))
        for tensor in file.graph.initializers {
            guard case .elements(let store) = tensor.content else { continue }
            #expect(store.source?.file.path == path && store.source?.range.lowerBound == tensor.place?.offset, "\(tensor.name)")
        }
        #expect(file.graph.nodes.filter { $0.op == "Conv" }.count == 49)
        #expect(file.graph.nodes.filter { $0.op == "Clip" }.count == 33)
        let values = try #require(file.graph.initializers.first?.elements(as: Float.self))
        #expect(values.allSatisfy { $0.isFinite && abs($0) < 100 })
    }

    private static let efficientNet = """
        2144df1c 9c6249c2 0cb52ec4 38c39ab6 2db30fbf 8adb9532 fe8fae32 776fa5c7 18086ec6 7fe7f808 7228c480 2ffa4204
        a81ab097 9c508faa 2e48118c 7225b439 9881200d ab576cd7 dd1d2e3b e681e3dc a5c9458a 624b2deb a998f7de 1f16fcb8
        ae7836da bf1ea67b 0611bc6f 830cbd6b 39433bd5 c41aa1b3 241c3c67 e155a545 1340d7c1 654d141d 09fae190 d88c573c
        1f3e6e52 e30e69a3 4507d186 78d0a36d 911af922 1e5a20e4 ac321b3a 2d92584d de092eeb 1ff87cdb 79eec311 fdc0ad5d
        5dec950a 7d356c2d 79db3bd9 ea7a2d00 6e62e1b1 495ce6f3 66e02bcc 973fd5b2 5fcdc7a8 4bb1a9e7 52968772 b8ffa64d
        e1e770fb 75c61159 cdb036f1 b824dc7e 74268376 00f2163a b61cf654 855d16c7 de1c5f51 06647133 598e24b0 11795859
        aa844068 a792a3b9 9f3c9e4c 9880fc8e f0153e5e 4d435318 468a344d 579bb52c 5816f3a1 2d72a437 d74a2ca9 29f7af06
        62caa4cc d32ba6cb 8de1d932 f39acaea 062b2771 5d6e8c9f 53aab0b0 2cfa3c13 cd5d4dda 818da3a9 e0934196 b3dde521
        329b5ab4 a7406565 53ff8df4 c3708a3f 01530465 332cf465
        """
}
