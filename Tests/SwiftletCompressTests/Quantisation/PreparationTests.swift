import Foundation
import SwiftletCompress
import SwiftletFormats
import SwiftletNetwork
import SwiftletRuntime
import TestSupport
import Testing

@Suite struct CrossLayerEqualisationTests {
    private static func largest(_ weight: Weight, channels: Int) throws -> [Float] {
        let values = try weight.floats()
        let run = values.count / channels
        return (0..<channels).map { channel in values[channel * run..<(channel + 1) * run].reduce(0) { max($0, abs($1)) } }
    }

    /// A convolution whose channels differ by up to a thousand times, a depthwise one and a pointwise one.
    private static func chain(_ function: Unary) throws -> Graph {
        var network = SmallNetwork()
        let x = network.builder.input("image", .f32, [1, 3, 12, 12])
        let factors: [Float] = [0.01, 10, 1, 0.1, 3, 1]
        let weight = network.generator.floats(6 * 3).enumerated().map { $1 * factors[$0 / 3] }
        var y = try network.builder.unary(function, network.convolution(x, "wide", outputs: 6, weight: weight), name: "f")
        y = try network.builder.unary(.relu, network.convolution(y, "depthwise", outputs: 6, kernel: 3, groups: 6), name: "g")
        return network.graph(try network.convolution(y, "pointwise", outputs: 5))
    }

    @Test(arguments: [Unary.relu, .leakyRelu(0.2)])
    func theNetworkComputesTheSameWithEqualRanges(_ function: Unary) throws {
        let graph = try Self.chain(function)
        let result = try Compressor([CrossLayerEqualisation(rounds: 200)]).run(graph, in: graph.context(nil))
        let image = try #require(SmallNetwork.images(1).batches.first)
        let (before, after) = (try graph.run(image), try result.graph.run(image))
        #expect(relativeError(after, before).squareRoot() < 1e-5)
        let layers = Dictionary(uniqueKeysWithValues: result.graph.layers().map { ($0.name, $0.weight) })
        let (wide, depthwise) = (try #require(layers["wide.weight"]), try #require(layers["depthwise.weight"]))
        for (a, b) in zip(try Self.largest(wide, channels: 6), try Self.largest(depthwise, channels: 6)) { #expect(abs(a / b - 1) < 0.01) }
        // The inputs of the pointwise layer have the range of the depthwise one's outputs.
        let pointwise = try #require(layers["pointwise.weight"]).floats()
        for (channel, range) in try Self.largest(depthwise, channels: 6).enumerated() {
            let input = (0..<5).reduce(Float(0)) { max($0, abs(pointwise[$1 * 6 + channel])) }
            #expect(abs(range / input - 1) < 0.01)
        }
    }

    @Test func grouped() throws {
        var network = SmallNetwork()
        let x = network.builder.input("image", .f32, [1, 3, 12, 12])
        let y = try network.builder.unary(.relu, network.convolution(x, "first", outputs: 6), name: "relu")
        let graph = network.graph(try network.convolution(y, "grouped", outputs: 4, kernel: 3, groups: 2))
        let result = try Compressor([CrossLayerEqualisation()]).run(graph, in: graph.context(nil)).graph
        let image = try #require(SmallNetwork.images(1).batches.first)
        #expect(try relativeError(result.run(image), graph.run(image)).squareRoot() < 1e-5)
        #expect(try result.layers()[0].weight.floats() != graph.layers()[0].weight.floats())
    }

    @Test func valuesThatOthersReadAndUpperCutsAreLeftAlone() throws {
        let residual = try SmallNetwork.mobile()
        let image = try #require(SmallNetwork.images(1).batches.first)
        let result = try Compressor([CrossLayerEqualisation()]).run(residual, in: residual.context(nil))
        #expect(try relativeError(result.graph.run(image), residual.run(image)).squareRoot() < 1e-5)
        #expect(result.steps[0].tensors.map(\.name).sorted() == ["depthwise.weight", "project.weight"])

        let clipped = try Self.chain(.clip(0, 6))
        let dropped = try Compressor([CrossLayerEqualisation(dropsUpperCuts: true)]).run(clipped, in: clipped.context(nil))
        #expect(dropped.steps[0].tensors.count == 3)
        #expect(!dropped.graph.nodes.contains { $0.op == .unary(.clip(0, 6)) })
        #expect(try relativeError(dropped.graph.run(image), Self.chain(.relu).run(image)).squareRoot() < 1e-5)
    }

    @Test func channelsOfZerosStay() throws {
        var network = SmallNetwork()
        let x = network.builder.input("image", .f32, [1, 3, 12, 12])
        let y = try network.convolution(x, "first", outputs: 2, weight: [0, 0, 0, 1, 2, 3])
        let graph = network.graph(try network.convolution(y, "second", outputs: 1, weight: [5, 0]))
        let result = try Compressor([CrossLayerEqualisation()]).run(graph, in: graph.context(nil)).graph
        #expect(try result.layers().map { try $0.weight.floats() } == [[0, 0, 0, 1, 2, 3], [5, 0]])
    }
}

@Suite struct BiasCorrectionTests {
    /// Adds a number a channel to the biases of some layers, as a quantiser that rounds badly would.
    private struct Shift: CompressionStep {
        static let technique = "shift"
        let scope = Scope.all
        let shifts: [String: Float]

        func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
            var result = graph
            for layer in graph.layers() {
                guard let shift = shifts[layer.name] else { continue }
                let id = graph.nodes[layer.node].inputs[2]
                let old = try #require(graph[id].weight)
                result.replaceWeight(
                    id, with: try Weight(name: "b", shape: old.shape, floats: old.floats().enumerated().map { $1 + shift * Float($0 + 1) }))
            }
            return try StepResult(technique: Self.technique, before: graph, after: result, tensors: [])
        }
    }

    @Test func knownShiftsAreTakenBack() throws {
        let graph = try SmallNetwork.mobile()
        let shift = Shift(shifts: ["stem.weight": 0.03, "depthwise.weight": -0.02, "head.weight": 0.05, "classes.weight": 0.1])
        let context = try graph.context(SmallNetwork.images(6))
        let image = try #require(SmallNetwork.images(1, seed: 77).batches.first)
        let broken = try Compressor([shift]).run(graph, in: context).graph
        #expect(try relativeError(broken.run(image), graph.run(image)) > 1e-3)
        let result = try Compressor([shift, BiasCorrection()]).run(graph, in: context).graph
        #expect(try relativeError(result.run(image), graph.run(image)).squareRoot() < 1e-4)
        for layer in graph.layers() {
            let (old, new) = (graph.nodes[layer.node].inputs[2], try #require(result.nodes.first { $0.name == graph.nodes[layer.node].name }).inputs[2])
            let (a, b) = (try #require(graph[old].weight).floats(), try #require(result[new].weight).floats())
            #expect(zip(a, b).allSatisfy { abs($0 - $1) < 1e-4 }, "\(layer.name)")
        }
    }

    @Test func meansOfAQuantisedNetworkAreThoseOfItsParent() throws {
        let graph = try SmallNetwork.mobile()
        let data = try SmallNetwork.images(6)
        let context = try graph.context(data)
        let coarse = QuantizeStatic(isPerChannel: false)
        let plain = try Compressor([coarse]).run(graph, in: context).graph
        let corrected = try Compressor([coarse, BiasCorrection()]).run(graph, in: context).graph
        func meanError(_ other: Graph) throws -> Float {
            var sums = [Float](repeating: 0, count: 10)
            for batch in data.batches { for (place, pair) in zip(try other.run(batch), try graph.run(batch)).enumerated() { sums[place] += pair.0 - pair.1 } }
            return sums.reduce(0) { $0 + abs($1) }
        }
        #expect(try meanError(corrected) < 0.05 * meanError(plain))
    }

    /// Scales that somebody got wrong by some per cent come back, and nothing else moves.
    @Test func knownStretchesAreTakenBack() throws {
        struct Stretch: CompressionStep {
            static let technique = "stretch"
            let scope = Scope.all

            func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
                var result = graph
                for (id, weight) in graph.weights where ["stem.weight.scale", "head.weight.scale", "classes.weight.scale"].contains(graph[id].name) {
                    result.replaceWeight(id, with: try Weight(name: graph[id].name, shape: weight.shape, floats: weight.floats().map { $0 * 1.0625 }))
                }
                return try StepResult(technique: Self.technique, before: graph, after: result, tensors: [])
            }
        }
        let graph = try SmallNetwork.mobile()
        let context = try graph.context(SmallNetwork.images(8))
        let image = try #require(SmallNetwork.images(1, seed: 77).batches.first)
        let quantised = try QuantizeStatic().run(graph, in: context).graph
        let wanted = try quantised.run(image)
        func error(_ steps: [any CompressionStep]) throws -> Float { try relativeError(Compressor(steps).run(quantised, in: context).graph.run(image), wanted).squareRoot() }
        let (broken, biases, both) = (try error([Stretch()]), try error([Stretch(), BiasCorrection(correctsScales: false)]), try error([Stretch(), BiasCorrection()]))
        #expect(broken > 0.05 && both < 0.02 && both < 0.5 * biases, "\(broken) \(biases) \(both)")
    }

    /// Rows of floats that lost a fifth of their size get it back; layers that are the parent's are left alone.
    @Test func spreadsOfFloatWeightsAreTakenBack() throws {
        struct Shrink: CompressionStep {
            static let technique = "shrink"
            let scope = Scope.all
            let names: Set<String>

            func run(_ graph: Graph, in context: CompressionContext) throws -> StepResult {
                var result = graph
                for layer in graph.layers() where names.contains(layer.name) {
                    result.replaceWeight(layer.weightID, with: try Weight(name: layer.name, shape: layer.weight.shape, floats: layer.weight.floats().map { $0 * 0.8 }))
                }
                return try StepResult(technique: Self.technique, before: graph, after: result, tensors: [])
            }
        }
        let graph = try SmallNetwork.mobile()
        let context = try graph.context(SmallNetwork.images(8))
        let image = try #require(SmallNetwork.images(1, seed: 77).batches.first)
        let shrink = Shrink(names: ["stem.weight", "depthwise.weight", "project.weight", "classes.weight"])
        func error(_ steps: [any CompressionStep]) throws -> Float { try relativeError(Compressor(steps).run(graph, in: context).graph.run(image), graph.run(image)).squareRoot() }
        let (broken, biases, both) = (try error([shrink]), try error([shrink, BiasCorrection(correctsScales: false)]), try error([shrink, BiasCorrection()]))
        #expect(broken > 0.2 && biases > 0.02 && both < 1e-3, "\(broken) \(biases) \(both)")
        let result = try Compressor([shrink, BiasCorrection()]).run(graph, in: context).graph
        for layer in graph.layers() {
            let new = try #require(result.layers().first { $0.name == layer.name })
            #expect((new.weight.store.bytes.baseAddress == layer.weight.store.bytes.baseAddress) == !shrink.names.contains(layer.name), "\(layer.name)")
        }
    }

    /// What pruning leaves keeps its zeros and comes nearer to the parent.
    @Test func prunedNetworksComeNearer() throws {
        let graph = try SmallNetwork.mobile()
        let data = try SmallNetwork.images(24), context = try graph.context(data)
        let prune = PruneByMagnitude(sparsity: 0.5)
        func error(_ steps: [any CompressionStep]) throws -> Float {
            let other = try Compressor(steps).run(graph, in: context).graph
            let pairs = try SmallNetwork.images(8, seed: 77).batches.map { (try other.run($0), try graph.run($0)) }
            return relativeError(pairs.flatMap(\.0), pairs.flatMap(\.1)).squareRoot()
        }
        #expect(try error([prune, BiasCorrection()]) < 0.8 * error([prune]))
        let result = try Compressor([prune, BiasCorrection()]).run(graph, in: context).graph
        for layer in result.layers() { #expect(try Double(layer.weight.nonzeroCount()) <= 0.51 * Double(layer.weight.shape.elementCount) + 1, "\(layer.name)") }
    }

    @Test func withoutAStepBeforeOrDataItIsAnError() throws {
        let graph = try SmallNetwork.mobile()
        #expect(throws: SwiftletError.self) { _ = try Compressor([BiasCorrection()]).run(graph, in: graph.context(SmallNetwork.images(1))) }
        #expect(throws: SwiftletError.self) { _ = try Compressor([Shift(shifts: [:]), BiasCorrection()]).run(graph, in: graph.context(nil)) }
        #expect(throws: SwiftletError.self) { _ = try Compressor([Shift(shifts: [:]), BiasCorrection()]).run(graph, in: graph.context(TensorBatches([]))) }
    }
}

@Suite struct SmoothQuantTests {
    /// A normalisation with a few large channels in front of two linear layers, and one of them behind another one.
    private static func network(isShared: Bool, rms: Bool = false) throws -> Graph {
        var network = SmallNetwork(seed: 11)
        let x = network.builder.input("x", .f32, [4, 32])
        var scale = network.generator.floats(32, in: 0.5...1)
        for place in stride(from: 0, to: 32, by: 9) { scale[place] *= 50 }
        let vector = try network.constant("norm.weight", [32], scale)
        let y: ValueID
        if rms {
            y = try network.builder.rmsNorm(x, scale: vector, epsilon: 1e-5, name: "norm")
        } else {
            y = try network.builder.node(.layerNorm(epsilon: 1e-5), [x, vector, try network.constant("norm.bias", [32])], name: "norm")[0]
        }
        let (a, b) = (try network.linear(y, "a", outputs: 16), try network.linear(y, "b", outputs: 16))
        var z = try network.builder.binary(.add, a, b, name: "sum")
        if isShared { z = try network.linear(try network.builder.binary(.add, y, try network.linear(z, "c", outputs: 32), name: "residual"), "d", outputs: 4) }
        return network.graph(z)
    }

    private static func data() throws -> TensorBatches {
        var generator = SeededGenerator(seed: 4)
        return TensorBatches(try (0..<3).map { _ in ["x": try Tensor(generator.floats(4 * 32), shape: [4, 32])] })
    }

    @Test(arguments: [false, true], [false, true])
    func theNetworkComputesTheSame(isShared: Bool, rms: Bool) throws {
        let graph = try Self.network(isShared: isShared, rms: rms)
        let result = try Compressor([SmoothQuant(inserts: isShared)]).run(graph, in: graph.context(Self.data()))
        let input = try Self.data().batches[0]
        #expect(try relativeError(result.graph.run(input), graph.run(input)).squareRoot() < 1e-5)
        #expect(result.steps[0].tensors.map(\.name) == ["a.weight", "b.weight"])
        #expect(result.graph.nodes.count == graph.nodes.count + (isShared ? 1 : 0))
        // α = ½: both sides have one range in every channel.
        let layer = try #require(result.graph.layers().first { $0.name == "a.weight" })
        var seen = result.graph
        seen.outputs = [layer.input]
        var peaks = [Float](repeating: 0, count: 32), columns = peaks
        for batch in try Self.data().batches { for (place, value) in try seen.run(batch).enumerated() { peaks[place % 32] = max(peaks[place % 32], abs(value)) } }
        for layer in result.graph.layers() where ["a.weight", "b.weight"].contains(layer.name) {
            for (place, value) in try layer.weight.floats().enumerated() { columns[place % 32] = max(columns[place % 32], abs(value)) }
        }
        for (peak, column) in zip(peaks, columns) { #expect(abs(peak / column - 1) < 1e-4) }
    }

    /// Tokens of a small llama, whose heads of queries share heads of keys and values in pairs.
    private struct Tokens: CalibrationData {
        let batchCount = 2
        let stateBinding: Binding = LlamaFixture.step([0], start: 0).binding

        func batch(_ index: Int) throws -> CalibrationBatch {
            let tokens = (0..<6).map { Int32(truncatingIfNeeded: ($0 * 7 + index * 3) % LlamaFixture.vocabulary) }
            let count = tokens.count
            return CalibrationBatch(
                binding: LlamaFixture.step(tokens.map(Int.init), start: 0).binding,
                inputs: [
                    "tokens": try Tensor(tokens, shape: [count]), "positions": try Tensor(Array(0..<Int32(count)), shape: [count]),
                    "slots": try Tensor(zeros: .i32, shape: [count]), "rows": try Tensor(Array(0..<Int32(count)), shape: [count]),
                ])
        }
    }

    @Test(arguments: [false, true])
    func valuesOfAttentionAreDividedInTheirRows(hasBias: Bool) throws {
        var graph = try LlamaFixture.graph(layers: 2, hasBias: hasBias, seed: 5, headDimension: 8)
        // Some columns of the attention's output meet large weights, others large values.
        for layer in graph.layers(in: Scope(include: ["*/v.weight", "*/attn_output.weight"])) {
            var floats = try layer.weight.floats()
            let columns = layer.weight.columnCount
            for index in floats.indices where layer.name.contains("/v.") ? index / columns % 5 == 0 : index % columns % 7 == 0 { floats[index] *= 20 }
            graph.replaceWeight(layer.weightID, with: try Weight(name: layer.name, shape: layer.weight.shape, floats: floats))
        }
        let context = try CompressionContext(passes: .language, calibration: Tokens(), threads: 1)
        func outputs(_ graph: Graph, _ value: ValueID) throws -> [Float] {
            var all: [Float] = []
            try GraphRun(graph, values: [value], in: context).forEachBatch(of: Tokens()) { _, values in all += try values.floats(value) }
            return all
        }
        let scope = Scope(include: ["*/attn_output.weight"])
        let result = try Compressor([SmoothQuant(scope: scope)]).run(graph, in: context)
        #expect(result.steps[0].tensors.map(\.name) == (0..<2).flatMap { ["blk.\($0)/attn_output.weight", "blk.\($0)/v.weight"] })
        #expect(result.graph.nodes.map(\.op) == graph.nodes.map(\.op))
        // Caches hold halves, so values are rounded in another place.
        #expect(try relativeError(outputs(result.graph, result.graph.outputs[0]), outputs(graph, graph.outputs[0])).squareRoot() < 2e-3)
        // Both sides have one range in each channel, that of the two heads that share it.
        let layer = try #require(result.graph.layers(in: scope).first)
        var peaks = [Float](repeating: 0, count: 16), columns = peaks
        for (place, value) in try outputs(result.graph, layer.input).enumerated() {
            let channel = place % 32 / 16 * 8 + place % 8
            peaks[channel] = max(peaks[channel], abs(value))
        }
        for (place, value) in try layer.weight.floats().enumerated() {
            let channel = place % 32 / 16 * 8 + place % 8
            columns[channel] = max(columns[channel], abs(value))
        }
        for (peak, column) in zip(peaks, columns) { #expect(abs(peak / column - 1) < 5e-3) }
        // A row may be in another site as well: with the normalisations, and all of the layers, the network stays the same.
        let whole = try Compressor([SmoothQuant()]).run(graph, in: context)
        #expect(Set(whole.steps[0].tensors.map(\.name)).count == whole.steps[0].tensors.count && whole.steps[0].tensors.count > 4)
        #expect(try relativeError(outputs(whole.graph, whole.graph.outputs[0]), outputs(graph, graph.outputs[0])).squareRoot() < 2e-3)
    }

    @Test func withoutASuitableLayerItIsAnError() throws {
        let graph = try Self.network(isShared: true)
        #expect(throws: SwiftletError.self) { _ = try Compressor([SmoothQuant()]).run(graph, in: graph.context(Self.data())) }
        #expect(throws: SwiftletError.self) { _ = try Compressor([SmoothQuant(inserts: true)]).run(graph, in: graph.context(TensorBatches([]))) }
    }
}

@Suite struct QuantizeDynamicTests {
    @Test func linearLayersRunOnBlocksOfTheSameWeights() throws {
        var network = SmallNetwork(seed: 2)
        let x = network.builder.input("x", .f32, [5, 64])
        let y = try network.builder.unary(.gelu, network.linear(x, "up", outputs: 96), name: "gelu")
        let graph = network.graph(try network.linear(y, "down", outputs: 33))
        let result = try Compressor([QuantizeDynamic()]).run(graph, in: graph.context(nil))
        #expect(result.steps[0].tensors.map(\.formatAfter) == ["i8", "i8"])
        #expect(Double(result.steps[0].after.weightBytes) < 0.3 * Double(result.steps[0].before.weightBytes))
        let fused = try PassPipeline.network.run(result.graph)
        #expect(fused.layers().map(\.weight.format) == [.block(.q8_0), .block(.q8_0)])
        var generator = SeededGenerator(seed: 9)
        let input = ["x": try Tensor(generator.floats(5 * 64), shape: [5, 64])]
        // The very weights that the graph says, as blocks: only sums differ.
        for (layer, source) in zip(fused.layers(), result.steps[0].tensors) {
            let original = try #require(graph.layers().first { $0.name == source.name }).weight.floats()
            let blocks = try layer.weight.floats()
            let columns = layer.weight.columnCount
            for row in 0..<layer.weight.rowCount {
                let part = original[row * columns..<(row + 1) * columns]
                let step = part.reduce(0) { max($0, abs($1)) } / 127
                for (a, b) in zip(part, blocks[row * columns..<(row + 1) * columns]) { #expect(abs(a - b) <= 0.502 * step) }
            }
        }
        #expect(try relativeError(result.graph.run(input), graph.run(input)).squareRoot() < 1e-2)
        #expect(try relativeError(result.graph.run(input, onKernels: true), graph.run(input)).squareRoot() < 1.5e-2)
    }

    @Test(arguments: [[5, 64], [2, 3, 64]])
    func theFileIsReadAsTheSameNetwork(_ shape: [Int]) throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).onnx").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        var network = SmallNetwork(seed: 2)
        let x = network.builder.input("x", .f32, shape.map { Dimension($0) })
        let graph = network.graph(try network.linear(x, "up", outputs: 96))
        let result = try Compressor([QuantizeDynamic()]).run(graph, in: graph.context(nil)).graph
        try ONNXWriter(result).write(to: path)
        let read = try ONNXModel(path: path).graph
        var generator = SeededGenerator(seed: 9)
        let input = ["x": try Tensor(generator.floats(shape.reduce(1, *)), shape: Shape(shape))]
        #expect(try relativeError(read.run(input), result.run(input)).squareRoot() < 1e-5)
        let weights = try ONNXFile(path: path).graph.initializers.filter { $0.shape.rank == 2 && $0.shape.elementCount > 96 }
        #expect(weights.map(\.type) == [.i8])
        // A product of matrices takes the weight as it lies.
        if shape.count == 2 { #expect(try PassPipeline.network.run(read).layers().map(\.weight.format) == [.block(.q8_0)]) }
    }

    @Test func widthsThatAreNoWholeBlocksStayFloats() throws {
        var network = SmallNetwork(seed: 2)
        let x = network.builder.input("x", .f32, [2, 20])
        let graph = network.graph(try network.linear(x, "odd", outputs: 3))
        let result = try Compressor([QuantizeDynamic()]).run(graph, in: graph.context(nil)).graph
        let fused = try PassPipeline.network.run(result)
        #expect(fused.layers().map(\.weight.format) == [.dense(.f32)])
        var generator = SeededGenerator(seed: 9)
        let input = ["x": try Tensor(generator.floats(40), shape: [2, 20])]
        #expect(try relativeError(result.run(input, onKernels: true), graph.run(input)).squareRoot() < 1e-2)
    }

    @Test func aScopeWithoutLinearLayersIsAnError() throws {
        let graph = try SmallNetwork.mobile()
        #expect(throws: SwiftletError.self) { _ = try Compressor([QuantizeDynamic(scope: Scope(include: ["stem.*"]))]).run(graph, in: graph.context(nil)) }
    }
}
