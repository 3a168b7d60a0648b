import Foundation
import SwiftletCompress
import SwiftletFormats
import SwiftletNetwork
import SwiftletRuntime
import TestSupport
import Testing

@Suite struct QuantizeStaticTests {
    private static func quantised(_ graph: Graph, _ step: QuantizeStatic = QuantizeStatic(), seed: UInt64 = 7) throws -> StepResult {
        try Compressor([step]).run(graph, in: graph.context(SmallNetwork.images(8, seed: seed))).onlyStep
    }

    @Test(arguments: [
        QuantizeStatic(), QuantizeStatic(range: .mse), QuantizeStatic(range: .percentile(99.9)), QuantizeStatic(range: .entropy),
        QuantizeStatic(activations: QuantizedType(isSigned: true)), QuantizeStatic(activations: QuantizedType(isSymmetric: true)),
        QuantizeStatic(activations: QuantizedType(isSigned: true, isSymmetric: true)), QuantizeStatic(isPerChannel: false),
    ])
    func computesNearlyTheSame(_ step: QuantizeStatic) throws {
        let graph = try SmallNetwork.mobile()
        let result = try Self.quantised(graph, step).graph
        let image = try #require(SmallNetwork.images(1, seed: 99).batches.first)
        let (exact, rounded) = (try graph.run(image), try result.run(image))
        // Entropy cuts more than it rounds on values without tails.
        let limit: Float = step.range == .entropy || !step.isPerChannel || step.activations.isSymmetric ? 3e-2 : 3e-3
        #expect(relativeError(rounded, exact) < limit)
        #expect(rounded != exact)
        // Kernels compute what the plain definitions do, but for ties of floats.
        #expect(relativeError(try result.run(image, onKernels: true), rounded) < 1e-3)
    }

    @Test func everyConvolutionAndSumBecomesIntegers() throws {
        let result = try Self.quantised(try SmallNetwork.mobile()).graph
        #expect(try result.fusedCount { if case .tensor(.quantizedConvolution) = $0 { true } else { false } } == 6)
        #expect(try result.fusedCount { if case .tensor(.quantizedSum) = $0 { true } else { false } } == 1)
        #expect(try result.fusedCount { if case .tensor(.convolution) = $0 { true } else { false } } == 0)
        // The last layer, whose results are floats, runs on blocks of the same bytes.
        #expect(try PassPipeline.network.run(result).layers().map(\.weight.format) == [.block(.q8_0)])
        // The result leaves the network as it was computed.
        #expect(!result.nodes.contains { if case .tensor(.quantize) = $0.op { $0.inputs[0] == result.outputs[0] } else { false } })
    }

    @Test func levelsAreThoseOfTheCalibration() throws {
        let graph = try SmallNetwork.mobile()
        let data = try SmallNetwork.images(8)
        let result = try Self.quantised(graph).graph
        let node = try #require(result.nodes.first { if case .tensor(.quantize) = $0.op { $0.inputs[0] == graph.inputs[0] } else { false } })
        let all = try data.batches.flatMap { try #require($0["image"]).floats() }
        let (low, high) = (all.min() ?? 0, all.max() ?? 0)
        let scale = try #require(result[node.inputs[1]].weight?.floats().first)
        #expect(abs(scale - (high - low) / 255) < 1e-6)
        // A rectifier's values begin at 0.
        let relu = try #require(result.nodes.first { if case .tensor(.quantize) = $0.op { $0.name == "head/relu.quantize" } else { false } })
        #expect(try result[relu.inputs[2]].weight?.floats() == [0])
        // Mean and reshape: a move has the levels of what it moves.
        let (mean, flat) = (try #require(result.nodes.first { $0.name == "mean.quantize" }), try #require(result.nodes.first { $0.name == "flat.quantize" }))
        #expect(try result[mean.inputs[1]].weight?.floats() == result[flat.inputs[1]].weight?.floats())
    }

    @Test func theFileIsReadAsTheSameNetwork() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (floatPath, path, again) = (folder.path + "/f.onnx", folder.path + "/q.onnx", folder.path + "/again.onnx")
        let graph = try SmallNetwork.mobile()
        try ONNXWriter(graph).write(to: floatPath)
        let model = try ONNXModel(path: floatPath)
        let result = try Compressor([QuantizeStatic()]).run(model.graph, in: model.graph.context(SmallNetwork.images(8))).graph
        try model.write(result, to: path)
        let read = try ONNXModel(path: path)
        let image = try #require(SmallNetwork.images(1, seed: 3).batches.first)
        #expect(try read.graph.run(image) == result.run(image))
        #expect(try read.graph.fusedCount { if case .tensor(.quantizedConvolution) = $0 { true } else { false } } == 6)
        // Weights are bytes in the file, and stay so when a file that was read is written.
        try read.write(read.graph, to: again)
        #expect(try ONNXModel(path: again).graph.run(image) == result.run(image))
        for path in [path, again] {
            let bytes = try ONNXFile(path: path).graph.initializers.filter { $0.shape.rank > 1 && $0.shape.elementCount > 16 }
            #expect(bytes.count == 7)
            #expect(bytes.allSatisfy { $0.type == .i8 })
        }
    }

    @Test func weightsOutsideTheScopeStayFloats() throws {
        let graph = try SmallNetwork.mobile()
        let result = try Self.quantised(graph, QuantizeStatic(scope: Scope(exclude: ["head.weight", "classes.weight"])))
        #expect(result.report.tensors.map(\.name).sorted() == ["depthwise.weight", "expand.weight", "project.weight", "project0.weight", "stem.weight"])
        #expect(Set(result.graph.layers().map(\.name)) == ["head.weight", "classes.weight"])
        #expect(result.report.after.weightBytes < result.report.before.weightBytes)
    }

    @Test func reportsSayHowFarWeightsMoved() throws {
        let result = try Self.quantised(try SmallNetwork.mobile())
        #expect(result.report.tensors.count == 7)
        for tensor in result.report.tensors {
            #expect(tensor.formatAfter == "i8")
            #expect(tensor.bytesAfter < tensor.bytesBefore)
            #expect((35..<70).contains(try #require(tensor.signalToNoise)))
        }
    }

    @Test func batchNormalisationIsFoldedFirst() throws {
        var network = SmallNetwork()
        let x = network.builder.input("image", .f32, [1, 3, 12, 12])
        var y = try network.convolution(x, "first", outputs: 4, kernel: 3)
        y = try network.builder.binary(.multiply, y, try network.constant("scale", [1, 4, 1, 1], in: 0.5...2), name: "scaled")
        y = try network.builder.binary(.add, y, try network.constant("shift", [1, 4, 1, 1]), name: "shifted")
        let graph = network.graph(try network.convolution(y, "second", outputs: 4))
        let result = try Self.quantised(graph).graph
        let image = try #require(SmallNetwork.images(1, seed: 5).batches.first)
        #expect(try relativeError(result.run(image), graph.run(image)) < 3e-3)
        #expect(try result.fusedCount { if case .tensor(.quantizedConvolution) = $0 { true } else { false } } >= 1)
        #expect(!result.nodes.contains { $0.op == .binary(.multiply) })
    }

    // MARK: Edges

    @Test func channelsOfZerosKeepTheirBias() throws {
        var network = SmallNetwork()
        let x = network.builder.input("image", .f32, [1, 3, 12, 12])
        var weight = network.generator.floats(4 * 3)
        for place in 3..<6 { weight[place] = 0 }
        for place in 6..<9 { weight[place] *= 1e-9 }
        let y = try network.convolution(x, "first", outputs: 4, weight: weight)
        let graph = network.graph(try network.convolution(try network.builder.unary(.relu, y, name: "relu"), "second", outputs: 4))
        let result = try Self.quantised(graph).graph
        let image = try #require(SmallNetwork.images(1, seed: 5).batches.first)
        #expect(try relativeError(result.run(image), graph.run(image)) < 3e-3)
        #expect(try relativeError(result.run(image, onKernels: true), graph.run(image)) < 3e-3)
    }

    @Test(arguments: [Float(0), 3, -3])
    func activationsThatAreConstant(_ value: Float) throws {
        let graph = try SmallNetwork.mobile()
        let image = ["image": try Tensor([Float](repeating: value, count: 3 * 144), shape: [1, 3, 12, 12])]
        let result = try Compressor([QuantizeStatic(range: .mse)]).run(graph, in: graph.context(TensorBatches([image, image]))).graph
        #expect(try relativeError(result.run(image), graph.run(image)) < 3e-3)
    }

    @Test func imagesOfOneElement() throws {
        var network = SmallNetwork()
        let x = network.builder.input("image", .f32, [1, 1, 1, 1])
        let graph = network.graph(try network.convolution(x, "only", outputs: 1))
        let image = ["image": try Tensor([Float(0.7)], shape: [1, 1, 1, 1])]
        let result = try Compressor([QuantizeStatic()]).run(graph, in: graph.context(TensorBatches([image]))).graph
        #expect(try abs(result.run(image)[0] - graph.run(image)[0]) < 0.02)
    }

    @Test func dataThatCannotServeAreErrors() throws {
        let graph = try SmallNetwork.mobile()
        func failure(_ data: (any CalibrationData)?, _ step: QuantizeStatic = QuantizeStatic()) -> SwiftletError? {
            do {
                _ = try Compressor([step]).run(graph, in: graph.context(data))
                return nil
            } catch { return error as? SwiftletError }
        }
        guard case .invalidArgument("calibration", _, _) = failure(nil) else { return #expect(Bool(false), "no data") }
        guard case .invalidArgument("calibration", _, _) = failure(TensorBatches([])) else { return #expect(Bool(false), "no batches") }
        guard case .invalidArgument("image", _, _) = failure(TensorBatches([[:]])) else { return #expect(Bool(false), "no input") }
        let notNumbers = try TensorBatches([["image": Tensor([Float](repeating: .nan, count: 432), shape: [1, 3, 12, 12])]])
        guard case .numerical = failure(notNumbers) else { return #expect(Bool(false), "no numbers") }
        let infinite = try TensorBatches([["image": Tensor([Float](repeating: .infinity, count: 432), shape: [1, 3, 12, 12])]])
        guard case .numerical = failure(infinite) else { return #expect(Bool(false), "infinite") }
        guard case .invalidArgument("scope", _, _) = failure(try SmallNetwork.images(1), QuantizeStatic(scope: Scope(include: ["none"]))) else {
            return #expect(Bool(false), "no layers")
        }
    }
}

extension CompressionResult {
    /// The result of a recipe of one step.
    fileprivate var onlyStep: StepResult { StepResult(graph: graph, report: steps[0]) }
}
