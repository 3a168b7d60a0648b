// Mixed precision of networks: what cannot bear 8 bits stays in floats, and budgets are kept.
import Foundation
import SwiftletFormats
import SwiftletRuntime
import TestSupport
import Testing

import SwiftletCompress

@Suite struct MixedNetworkTests {
    /// The mobile network with one more convolution, whose rows have one weight that is a thousand times the others, for a channel that is always 0.
    private static func fragile() throws -> Graph {
        var network = SmallNetwork(seed: 5)
        let x = network.builder.input("image", .f32, [1, 3, 12, 12])
        var y = try network.convolution(x, "stem", outputs: 8, kernel: 3, stride: 2)
        let bias = try network.constant("mask", [1, 8, 1, 1], [-1000, 0, 0, 0, 0, 0, 0, 0])
        y = try network.builder.unary(.clip(0, 6), network.builder.binary(.add, y, bias, name: "masked"), name: "stem/relu6")
        var rows = network.generator.floats(8 * 8, in: -1...1)
        for row in 0..<8 { rows[row * 8] = 1000 }
        y = try network.builder.unary(.relu, network.convolution(y, "fragile", outputs: 8, weight: rows), name: "fragile/relu")
        y = try network.builder.unary(.relu, network.convolution(y, "robust", outputs: 32, kernel: 3), name: "robust/relu")
        y = try network.builder.node(.tensor(.reduce(.mean, axes: [2, 3], keepsAxes: true)), [y], name: "mean")[0]
        return network.graph(try network.linear(network.builder.reshape(y, [1, 32], name: "flat"), "classes", outputs: 10))
    }

    private static func mixed(_ graph: Graph, _ budget: MixedPrecision.Budget, _ precisions: [LayerPrecision]? = nil) throws -> StepResult {
        try MixedPrecision(choices: precisions.map { .precisions($0) }, budget: budget).run(graph, in: graph.context(SmallNetwork.images(8)))
    }

    private static func loss(_ graph: Graph, _ other: Graph) throws -> Double {
        let data = try SmallNetwork.images(6, seed: 31)
        return try ParentAnswers(graph, divergence: .logits, data: data, in: graph.context(data)).difference(to: other, name: "other").divergence
    }

    /// Names of layers whose weights are floats.
    private static func floats(_ graph: Graph) -> [String] { graph.layers().filter { $0.weight.format == .dense(.f32) }.map(\.name) }

    @Test func whatCannotBearEightBitsStaysInFloats() throws {
        let graph = try Self.fragile()
        let integers = try QuantizeStatic().run(graph, in: graph.context(SmallNetwork.images(8))).graph
        // Room for it and for the layer before it: alone between integers it would be rounded by who runs it.
        let limit = integers.weightBytes + 3 * (64 + 216)
        let result = try Self.mixed(graph, .bytes(limit))
        #expect(Self.floats(result.graph) == ["stem.weight", "fragile.weight"] && result.graph.weightBytes <= limit)
        try result.graph.verify()
        #expect(try Self.loss(graph, result.graph) < 0.2 * Self.loss(graph, integers))
        // Weights and values were tried one by one; no other weight loses as much.
        let weights = result.report.sensitivities.filter { $0.candidate == "weight" }
        #expect(weights.map(\.layer).sorted() == ["classes.weight", "fragile.weight", "robust.weight", "stem.weight"])
        #expect(weights.max { $0.divergence < $1.divergence }?.layer == "fragile.weight")
        #expect(result.report.choices.count { $0.kind == .chosen } == 1 && result.report.choices.contains { $0.kind == .expected })
        // The float layer keeps its very weight.
        let (old, new) = (graph.layers().first { $0.name == "fragile.weight" }, result.graph.layers().first { $0.name == "fragile.weight" })
        #expect(try old?.weight.floats() == new?.weight.floats())
    }

    @Test func moreBytesLoseLess() throws {
        let graph = try SmallNetwork.mobile()
        let integers = try QuantizeStatic().run(graph, in: graph.context(SmallNetwork.images(8))).graph.weightBytes
        let budgets = [integers, integers + 1500, graph.weightBytes + 4000]
        let results = try budgets.map { try Self.mixed(graph, .bytes($0)) }
        #expect(zip(results, budgets).allSatisfy { $0.graph.weightBytes <= $1 })
        #expect(results[0].graph.weightBytes < results[1].graph.weightBytes && results[1].graph.weightBytes < results[2].graph.weightBytes)
        // In the last there was room for all floats.
        let losses = try results.map { try Self.loss(graph, $0.graph) }
        #expect(losses[2] < 1e-6 && losses[0] > losses[2], "\(losses)")
    }

    /// Rounded weights under float activations take the bytes of integers.
    @Test func floatActivationsCostNoBytes() throws {
        let graph = try SmallNetwork.mobile()
        let integers = try QuantizeStatic().run(graph, in: graph.context(SmallNetwork.images(8))).graph.weightBytes
        let result = try Self.mixed(graph, .bytes(integers), [.int8, .int8Weights])
        #expect(result.graph.weightBytes <= integers && Self.floats(result.graph).isEmpty)
        #expect(!result.graph.nodes.contains { if case .tensor(.quantize) = $0.op { true } else { false } })
        #expect(try Self.loss(graph, result.graph) < 0.01)
    }

    @Test func theFileGivesTheSameAnswers() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let floatPath = folder.appending(path: "f.onnx").path, path = folder.appending(path: "m.onnx").path
        try ONNXWriter(Self.fragile()).write(to: floatPath)
        let model = try ONNXModel(path: floatPath)
        let bytes = try QuantizeStatic().run(model.graph, in: model.graph.context(SmallNetwork.images(8))).graph.weightBytes + 3 * (64 + 216)
        let result = try Self.mixed(model.graph, .bytes(bytes)).graph
        try model.write(result, to: path)
        let read = try ONNXModel(path: path).graph
        let image = try #require(SmallNetwork.images(1, seed: 3).batches.first)
        #expect(try read.run(image) == result.run(image))
        #expect(try relativeError(read.run(image, onKernels: true), result.run(image)) < 1e-3)
        #expect(try read.fusedCount { if case .tensor(.quantizedConvolution) = $0 { true } else { false } } == 1)
        #expect(try read.fusedCount { if case .tensor(.convolution) = $0 { true } else { false } } == 2)
    }

    @Test func aSumBesideAFloatLayerIsOneOfFloats() throws {
        let graph = try SmallNetwork.mobile()
        let context = try graph.context(SmallNetwork.images(8))
        let quantisation = try StaticQuantisation(graph, QuantizeStatic(), data: SmallNetwork.images(8), technique: "test", in: context)
        let project = try #require(quantisation.layers.first { $0.value.name == "project.weight" }?.key)
        let mixed = try quantisation.graph([project: .float]).graph
        try mixed.verify()
        #expect(try mixed.fusedCount { if case .tensor(.quantizedSum) = $0 { true } else { false } } == 0)
        #expect(try mixed.fusedCount { if case .tensor(.quantizedConvolution) = $0 { true } else { false } } == 5)
        let image = try #require(SmallNetwork.images(1, seed: 3).batches.first)
        #expect(try relativeError(mixed.run(image), graph.run(image)) < 3e-3)
        #expect(try relativeError(mixed.run(image, onKernels: true), mixed.run(image)) < 1e-3)
    }

    /// A float layer between two integer ones is found, beside others it is not.
    @Test func floatsBetweenIntegersAreFound() throws {
        let graph = try SmallNetwork.mobile()
        let quantisation = try StaticQuantisation(
            graph, QuantizeStatic(), data: SmallNetwork.images(2), technique: "test", in: graph.context(SmallNetwork.images(2)))
        func node(_ name: String) throws -> Int { try #require(quantisation.layers.first { $0.value.name == name + ".weight" }?.key) }
        let (stem, expand, depthwise, classes) = (try node("stem"), try node("expand"), try node("depthwise"), try node("classes"))
        #expect(quantisation.betweenIntegers([depthwise: .float]) == [depthwise])
        #expect(quantisation.betweenIntegers([expand: .float, depthwise: .float]).isEmpty)
        #expect(quantisation.betweenIntegers([stem: .float, classes: .float]).isEmpty)
        #expect(quantisation.betweenIntegers([:]).isEmpty)
    }

    @Test func timesAreMeasured() throws {
        let graph = try SmallNetwork.mobile()
        let context = try graph.context(SmallNetwork.images(8))
        let quantisation = try StaticQuantisation(graph, QuantizeStatic(), data: SmallNetwork.images(8), technique: "test", in: context)
        let timing = try NetworkTiming(quantisation, data: SmallNetwork.images(1), in: context)
        #expect(timing.integerRun > 0 && timing.floatTimes.count == 7 && timing.floatTimes.values.allSatisfy(\.isFinite))
        #expect(timing.borderTimes.count == quantisation.values.count && timing.borderTimes.values.contains { $0 > 0 })
        // Layers add up to what runs take.
        let longer = timing.floatTimes.values.reduce(0, +)
        if longer > 0, timing.floatRun > timing.integerRun { #expect(abs(timing.integerRun + longer - timing.floatRun) < 1e-6 * timing.floatRun) }
        // There is time for anything.
        #expect(try Self.loss(graph, Self.mixed(graph, .milliseconds(10_000)).graph) < 1e-9)
    }

    @Test(arguments: [
        (MixedPrecision.Budget.bytes(1000), "Raise the budget by"), (.bits(4), "Raise the budget by"), (.milliseconds(1e-6), "Raise the budget by"),
        (.loss(-1), "Raise the budget by"),
    ]) func budgetsThatCannotBeMetSayByHowMuch(budget: MixedPrecision.Budget, remedy: String) throws {
        do {
            _ = try Self.mixed(SmallNetwork.mobile(), budget)
            Issue.record("a budget that cannot be met was")
        } catch SwiftletError.invalidArgument(_, let reason, let text) {
            #expect(reason.contains("cannot be met") && text.contains(remedy), "\(reason) \(text)")
        }
    }

    @Test func anAccuracyBudgetTakesTheFewestBytes() throws {
        let graph = try Self.fragile()
        let loose = try Self.mixed(graph, .loss(10)), tight = try Self.mixed(graph, .loss(1e-5))
        #expect(Self.floats(loose.graph).isEmpty && Self.floats(tight.graph).contains("fragile.weight"))
        #expect(loose.graph.weightBytes < tight.graph.weightBytes)
    }
}
