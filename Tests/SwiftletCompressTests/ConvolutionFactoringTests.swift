import Foundation
import SwiftletCompress
import SwiftletFormats
import SwiftletNetwork
import SwiftletRuntime
import TestSupport
import Testing


@Suite struct ConvolutionFactoringTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var kernel = [3, 3]
        var strides = [1, 1]
        var dilations = [1, 1]
        var low = [1, 1]
        var high = [1, 1]
        var size = [9, 8]
        var hasBias = true
        var activation: Unary?

        var window: Window { Window(kernel: kernel, strides: strides, dilations: dilations, low: low, high: high) }
        var testDescription: String { "\(kernel) strides \(strides) dilations \(dilations) pads \(low) \(high)" }

        static let all = [
            Case(), Case(strides: [2, 2]), Case(strides: [2, 1], low: [0, 1], high: [1, 0]), Case(kernel: [5, 3], low: [2, 1], high: [2, 1]),
            Case(dilations: [2, 1], low: [2, 0], high: [0, 3]), Case(kernel: [2, 4], strides: [1, 3], low: [0, 0], high: [1, 2], hasBias: false),
            Case(low: [-1, 0], high: [0, -1]), Case(hasBias: false, activation: .relu),
        ]
    }

    private static let (inputs, outputs) = (12, 16)

    private static func graph(_ example: Case, kernel: [Float], groups: Int = 1) throws -> Graph {
        var generator = SeededGenerator(seed: 12)
        var builder = GraphBuilder(name: "convolution")
        let x = builder.input("x", .f32, [2, Dimension(inputs)] + example.size.map { Dimension($0) })
        let shape = Shape([outputs, inputs / groups] + example.kernel)
        let weight = builder.weight("kernel", try Weight(name: "kernel", shape: shape, floats: kernel))
        let bias = builder.weight("bias", try Weight(name: "bias", shape: [outputs], floats: generator.floats(outputs)))
        let convolution = Convolution(window: example.window, groups: groups, hasBias: example.hasBias, activation: example.activation)
        builder.output(try builder.node(.tensor(.convolution(convolution)), [x, weight] + (example.hasBias ? [bias] : []), name: "layer")[0])
        return builder.graph
    }

    private static func run(_ graph: Graph, on x: Tensor) throws -> Tensor {
        let context = try ExecutionContext(CompiledGraph(graph, backends: BackendSet([ReferenceBackend(pool: nil)])), stateBinding: [:])
        let plan = try context.plan([:])
        try plan.write(x, to: graph.inputs[0])
        try plan.run()
        return try plan.tensor(graph.outputs[0])
    }

    /// The largest difference of the outputs of two graphs on random data, as a share of the largest output.
    private static func difference(_ a: Graph, _ b: Graph, _ example: Case) throws -> Float {
        var generator = SeededGenerator(seed: 77)
        let shape = Shape([2, inputs] + example.size)
        let x = try Tensor(generator.floats(shape.elementCount), shape: shape)
        let (left, right) = (try run(a, on: x), try run(b, on: x))
        guard left.shape == right.shape else { return .infinity }
        let (p, q) = (try left.floats(), try right.floats())
        return (zip(p, q).map { abs($0 - $1) }.max() ?? .infinity) / (p.map(abs).max() ?? 1)
    }

    private static func context(_ data: (any CalibrationData)? = nil) throws -> CompressionContext {
        try CompressionContext(passes: PassPipeline(name: "none", []), calibration: data, threads: 1)
    }

    /// A kernel whose channels have the ranks `inner` (inputs) and `outer` (outputs).
    private static func tuckerKernel(_ example: Case, inner: Int, outer: Int) -> [Float] {
        var generator = SeededGenerator(seed: 21)
        let taps = example.kernel.reduce(1, *)
        let (p, q, core) = (generator.floats(outputs * outer), generator.floats(inputs * inner), generator.floats(outer * inner * taps))
        return (0..<outputs * inputs * taps).map { index in
            let (m, c, tap) = (index / (inputs * taps), index / taps % inputs, index % taps)
            var sum: Float = 0
            for o in 0..<outer { for i in 0..<inner { sum += p[m * outer + o] * core[(o * inner + i) * taps + tap] * q[c * inner + i] } }
            return sum
        }
    }

    /// A kernel that is a sum of `rank` columns times rows.
    private static func separableKernel(_ example: Case, rank: Int) -> [Float] {
        var generator = SeededGenerator(seed: 22)
        let (height, width) = (example.kernel[0], example.kernel[1])
        let (column, row) = (generator.floats(rank * inputs * height), generator.floats(rank * outputs * width))
        return (0..<outputs * inputs * height * width).map { index in
            let (m, c, y, x) = (index / (inputs * height * width), index / (height * width) % inputs, index / width % height, index % width)
            return (0..<rank).reduce(0) { $0 + column[($1 * inputs + c) * height + y] * row[($1 * outputs + m) * width + x] }
        }
    }

    @Test(arguments: Case.all) func tuckerOfTheKernelsRankIsTheConvolution(example: Case) throws {
        let graph = try Self.graph(example, kernel: Self.tuckerKernel(example, inner: 3, outer: 4))
        let result = try FactoriseByTucker(rank: .energy(1), multiple: 1).run(graph, in: Self.context())
        try result.graph.verify()
        #expect(result.report.tensors.first?.shapeAfter == [Self.outputs, 4, 3, Self.inputs] + example.kernel)
        #expect(result.graph.nodes.count == 3)
        #expect(try Self.difference(graph, result.graph, example) < 1e-5)
        #expect(result.report.after.multiplyAccumulates < result.report.before.multiplyAccumulates)
    }

    @Test(arguments: Case.all) func columnsAndRowsOfTheKernelsRankAreTheConvolution(example: Case) throws {
        let graph = try Self.graph(example, kernel: Self.separableKernel(example, rank: 4))
        let result = try FactoriseSpatially(rank: .energy(1), multiple: 2).run(graph, in: Self.context())
        try result.graph.verify()
        #expect(result.report.tensors.first?.shapeAfter == [Self.outputs, 4, Self.inputs] + example.kernel)
        #expect(result.graph.nodes.count == 2)
        #expect(try Self.difference(graph, result.graph, example) < 1e-5)
    }

    @Test(arguments: Case.all + [Case(kernel: [1, 1], strides: [2, 2], low: [0, 0], high: [0, 0])])
    func svdOfTheKernelsRankIsTheConvolution(example: Case) throws {
        let columns = Self.inputs * example.kernel.reduce(1, *)
        var generator = SeededGenerator(seed: 23)
        let (p, q) = (generator.floats(Self.outputs * 3), generator.floats(3 * columns))
        let kernel = (0..<Self.outputs * columns).map { index in (0..<3).reduce(Float(0)) { $0 + p[index / columns * 3 + $1] * q[$1 * columns + index % columns] } }
        let graph = try Self.graph(example, kernel: kernel)
        let x = try Tensor(generator.floats(2 * Self.inputs * example.size.reduce(1, *)), shape: Shape([2, Self.inputs] + example.size))
        let steps: [any CompressionStep] = [FactoriseBySVD(rank: .energy(1), multiple: 3), FactoriseByWhitenedSVD(rank: .energy(1), multiple: 3)]
        for step in steps {
            let result = try step.run(graph, in: Self.context(TensorBatches([["x": x]])))
            #expect(result.graph.nodes.count == 2 && result.report.tensors.first?.shapeAfter.prefix(2) == [Self.outputs, 3])
            #expect(try Self.difference(graph, result.graph, example) < 1e-5)
        }
    }

    /// The error on the data is least for the step that knows them.
    @Test func whitenedConvolutionsAreNearerOnTheData() throws {
        let example = Case()
        var generator = SeededGenerator(seed: 31)
        let graph = try Self.graph(example, kernel: generator.floats(Self.outputs * Self.inputs * 9))
        let plane = example.size.reduce(1, *)
        // Channels of different loudness that follow each other.
        let images = generator.floats(2 * plane).enumerated().map { ($0.offset, $0.element) }
        var values: [Float] = []
        for image in 0..<2 {
            for channel in 0..<Self.inputs {
                values += images[image * plane..<(image + 1) * plane].map { $0.1 * Float(channel % 4) + generator.floats(1)[0] * 0.3 }
            }
        }
        let x = try Tensor(values, shape: Shape([2, Self.inputs] + example.size))
        let context = try Self.context(TensorBatches([["x": x]]))
        let expected = try Self.run(graph, on: x).floats()
        func error(_ step: any CompressionStep) throws -> Double {
            let actual = try Self.run(step.run(graph, in: context).graph, on: x).floats()
            return zip(expected, actual).reduce(0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
        }
        let (whitened, plain) = (try error(FactoriseByWhitenedSVD(rank: .ratio(0.5), multiple: 1, prior: 0)), try error(FactoriseBySVD(rank: .ratio(0.5), multiple: 1)))
        #expect(whitened < plain)
    }

    @Test func sweepsOnlyImprove() throws {
        var generator = SeededGenerator(seed: 41)
        let kernel = generator.floats(20 * 18 * 9)
        let tensor = try TuckerDecomposition(kernel, outputs: 20, inputs: 18, taps: 9)
        for (inner, outer) in [(1, 1), (5, 7), (12, 4)] {
            let errors = try (0...3).map { try tensor.factors(inputRank: inner, outputRank: outer, sweeps: $0).error }
            #expect(zip(errors, errors.dropFirst()).allSatisfy { $1 <= $0 + 1e-12 })
            #expect(errors[0] <= tensor.errorBound(inputRank: inner, outputRank: outer) + 1e-12)
        }
        #expect(try tensor.factors(inputRank: 18, outputRank: 20, sweeps: 1).error < 1e-12)
    }

    @Test func convolutionsThatCannotBeSplitAreLeftAlone() throws {
        var generator = SeededGenerator(seed: 51)
        let point = Case(kernel: [1, 1], low: [0, 0], high: [0, 0])
        let pointGraph = try Self.graph(point, kernel: generator.floats(Self.outputs * Self.inputs))
        let grouped = try Self.graph(Case(), kernel: generator.floats(Self.outputs * 3 * 9), groups: 4)
        let zero = try Self.graph(Case(), kernel: [Float](repeating: 0, count: Self.outputs * Self.inputs * 9))
        let steps: [any CompressionStep] = [
            FactoriseByTucker(rank: .ratio(0.5), multiple: 2), FactoriseSpatially(rank: .ratio(0.5), multiple: 2),
        ]
        for step in steps {
            for graph in [pointGraph, grouped] {
                let result = try step.run(graph, in: Self.context())
                #expect(result.graph.nodes.map(\.name) == graph.nodes.map(\.name) && result.report.notes.count == 1)
            }
            let zeros = try step.run(zero, in: Self.context())
            #expect(try Self.difference(zero, zeros.graph, Case()) == 0)
        }
        let tooLarge = try FactoriseByTucker(rank: .ratio(0.9), multiple: 64).run(Self.graph(Case(), kernel: Self.tuckerKernel(Case(), inner: 2, outer: 2)), in: Self.context())
        #expect(tooLarge.report.tensors.isEmpty)
    }

    /// Factored networks are plain ONNX.
    @Test func filesHoldFactors() throws {
        let example = Case(strides: [2, 1], low: [0, 1], high: [1, 0])
        var generator = SeededGenerator(seed: 61)
        let graph = try Self.graph(example, kernel: generator.floats(Self.outputs * Self.inputs * 9))
        let x = try Tensor(generator.floats(2 * Self.inputs * example.size.reduce(1, *)), shape: Shape([2, Self.inputs] + example.size))
        let steps: [any CompressionStep] = [
            FactoriseByTucker(rank: .ratio(0.6), multiple: 2), FactoriseSpatially(rank: .ratio(0.6), multiple: 2), FactoriseBySVD(rank: .ratio(0.6), multiple: 2),
        ]
        for step in steps {
            let factored = try step.run(graph, in: Self.context()).graph
            let path = FileManager.default.temporaryDirectory.appending(path: "swiftlet-\(UUID().uuidString).onnx").path
            defer { try? FileManager.default.removeItem(atPath: path) }
            try ONNXWriter(factored).write(to: path)
            let model = try Model(path: path, options: NetworkOptions(threads: 1, usesReference: true))
            let output = try #require(model.run(["x": x])[model.outputNames[0]]).floats()
            let expected = try Self.run(factored, on: x).floats()
            #expect(factored.nodes.count > 1 && zip(output, expected).allSatisfy { abs($0 - $1) < 1e-5 } && output.count == expected.count)
        }
    }
}
