// Networks with pairs of quantize and dequantize around their operations: fused into integers they compute what they say, and the CPU computes the
// very numbers of the reference, on every instruction set.
import SwiftletRuntime
import TestSupport
import Testing

@Suite("Quantised graphs")
struct QuantizedGraphTests {
    /// Convolution and cut, depthwise convolution, sum with what came before.
    private struct Network {
        var builder = GraphBuilder(name: "quantised")
        var random: SeededGenerator
        let element: DType
        /// Constants that were made by taking a quantisation off, and from what.
        var sources: [ValueID: QuantizedSource] = [:]

        init(seed: UInt64, element: DType) {
            random = SeededGenerator(seed: seed)
            self.element = element
        }

        mutating func constant<Element: BitwiseCopyable>(_ values: [Element], _ shape: [Int], _ type: DType) throws -> ValueID {
            builder.weight("c", try Weight(name: "c", shape: Shape(shape), format: .dense(type), store: WeightStore(values)))
        }

        /// Rounded to 8 bits, and back.
        mutating func rounded(_ x: ValueID, scale: Float, zero: Int, _ name: String) throws -> ValueID {
            let s = try constant([scale], [], .f32)
            let z = try element == .u8 ? constant([UInt8(zero + 128)], [], .u8) : constant([Int8(zero)], [], .i8)
            let q = try builder.node(.tensor(.quantize(element)), [x, s, z], name: name + ".q")[0]
            return try builder.node(.tensor(.dequantize(.f32)), [q, s, z], name: name + ".dq")[0]
        }

        mutating func convolution(_ x: ValueID, channels: Int, features: Int, groups: Int, kernel: Int, stride: Int, tinyScale: Bool, _ name: String) throws -> ValueID {
            let shape = [features, channels / groups, kernel, kernel]
            let count = shape.reduce(1, *)
            let levels = (0..<count).map { _ in Int8.random(in: -127...127, using: &random) }
            // A channel whose weights are next to nothing beside its bias, as in trained networks.
            let scales = (0..<features).map { tinyScale && $0 == 1 ? Float(1e-9) : Float.random(in: 0.001...0.01, using: &random) }
            let run = count / features
            let w = try constant(levels.enumerated().map { Float($0.element) * scales[$0.offset / run] }, shape, .f32)
            sources[w] = QuantizedSource(values: try constant(levels, shape, .i8), scale: try constant(scales, [features, 1, 1, 1], .f32), zeroPoint: nil)
            let b = try constant(random.floats(features), [features], .f32)
            let window = Window(kernel: [kernel, kernel], strides: [stride, stride], low: [kernel / 2, kernel / 2], high: [kernel / 2, kernel / 2])
            return try builder.node(.tensor(.convolution(Convolution(window: window, groups: groups, hasBias: true))), [x, w, b], name: name)[0]
        }

        mutating func build(channels: Int, features: Int, size: Int, tinyScale: Bool) throws -> Graph {
            let x = builder.input("x", .f32, [2, channels, size, size + 1].map { Dimension($0) })
            let input = try rounded(x, scale: 0.02, zero: 5, "in")
            let first = try convolution(input, channels: channels, features: features, groups: 1, kernel: 3, stride: 1, tinyScale: tinyScale, "dense")
            let cut = try builder.unary(.clip(0, 6), first, name: "cut")
            let a = try rounded(cut, scale: 6 / 255, zero: -128, "a")
            let second = try convolution(a, channels: features, features: features, groups: features, kernel: 5, stride: 1, tinyScale: false, "depthwise")
            let b = try rounded(second, scale: 0.05, zero: 3, "b")
            let sum = try rounded(builder.binary(.add, a, b, name: "sum"), scale: 0.06, zero: -20, "s")
            let third = try convolution(sum, channels: features, features: 12, groups: 1, kernel: 1, stride: 2, tinyScale: false, "point")
            let pixels = try rounded(third, scale: 0.04, zero: 0, "pixels")
            let mean = try builder.node(.tensor(.reduce(.mean, axes: [2, 3], keepsAxes: true)), [pixels], name: "mean")[0]
            // The same scale on both sides of a change of shape.
            let vector = try rounded(
                builder.reshape(rounded(mean, scale: 0.03, zero: 10, "mean"), [2, 12], name: "flat"), scale: 0.03, zero: 10, "vector")
            let last = try linear(vector, columns: 12, features: 9, tinyScale: tinyScale, "linear")
            builder.output(pixels)
            builder.output(try rounded(last, scale: 0.04, zero: 0, "out"))
            return finished()
        }

        /// Rows of 16 numbers through a layer and a cut.
        mutating func buildRows(_ shape: [Int], features: Int) throws -> Graph {
            let x = builder.input("x", .f32, shape.map { Dimension($0) })
            let product = try linear(rounded(x, scale: 0.02, zero: 5, "in"), columns: shape.last ?? 0, features: features, tinyScale: false, "linear")
            builder.output(try rounded(builder.unary(.relu, product, name: "cut"), scale: 0.05, zero: -100, "out"))
            return finished()
        }

        mutating func linear(_ x: ValueID, columns: Int, features: Int, tinyScale: Bool, _ name: String) throws -> ValueID {
            let levels = (0..<columns * features).map { _ in Int8.random(in: -127...127, using: &random) }
            let scales = (0..<features).map { tinyScale && $0 == 1 ? Float(1e-9) : Float.random(in: 0.001...0.01, using: &random) }
            let w = try constant(levels.enumerated().map { Float($0.element) * scales[$0.offset / columns] }, [features, columns], .f32)
            sources[w] = QuantizedSource(
                values: try constant(levels, [features, columns], .i8), scale: try constant(scales, [features, 1], .f32), zeroPoint: nil)
            let b = try constant(random.floats(features), [features], .f32)
            return try builder.node(.linear(Linear(hasBias: true)), [x, w, b], name: name)[0]
        }

        private func finished() -> Graph {
            var graph = builder.graph
            for (id, source) in sources { graph[id].quantized = source }
            return graph
        }
    }

    private static let passes = PassPipeline(name: "quantised", [UnsignedActivations(), FuseQuantization(), DeadCodeElimination()])

    /// All outputs, one behind another.
    private func run(_ graph: Graph, _ input: [Float], _ backends: BackendSet) throws -> [Float] {
        let plan = try ExecutionContext(CompiledGraph(graph, backends: backends), stateBinding: [:]).plan([:])
        _ = try plan.elements(of: graph.inputs[0], as: Float.self).update(fromContentsOf: input)
        try plan.run()
        return try graph.outputs.flatMap { Array(try plan.elements(of: $0, as: Float.self)) }
    }

    @Test("fused to integers, the same on every instruction set", arguments: [DType.u8, .i8])
    func fused(_ element: DType) throws {
        for (seed, (channels, features, size)) in [(3, 8, 9), (4, 16, 6), (5, 17, 7), (16, 33, 5)].enumerated() {
            var network = Network(seed: UInt64(seed), element: element)
            let graph = try network.build(channels: channels, features: features, size: size, tinyScale: seed % 2 == 1)
            let fused = try Self.passes.run(graph)
            let summary = try fused.summary()
            #expect(fused.nodes.filter(\.op.isQuantized).count == 6, "\(summary)")
            // Only the ways in and out are left of the others.
            #expect(fused.nodes.count == 6 + 3 + 1, "\(summary)")
            let input = network.random.floats(2 * channels * size * (size + 1), in: -3...3)
            let expected = try run(fused, input, BackendSet([ReferenceBackend(pool: nil)]))

            // Sums that end near the middle of two levels may fall to the other side, and the layers behind carry that on: a few steps of 255, rarely.
            let floats = try run(graph, input, BackendSet([ReferenceBackend(pool: nil)]))
            let steps = zip(floats, expected).map { abs($0 - $1) / 0.04 }
            let (largest, mean) = (steps.max() ?? 0, steps.reduce(0, +) / Float(steps.count))
            #expect(largest < 8 && mean < 0.5, "\(largest) steps at most, \(mean) in the mean")

            for path in ISAPath.allCases where path.isHere {
                let cpu = CPUBackend(pool: Pools.all[seed % 3], isa: path.rawValue)
                #expect(try run(fused, input, BackendSet([cpu])) == expected, "\(path), \(channels) to \(features)")
            }
        }
    }

    @Test("linear layers of any number of rows")
    func rows() throws {
        for (seed, (shape, features)) in [([1, 16], 33), ([3, 16], 8), ([2, 5, 20], 17), ([2, 3, 15, 4], 40), ([3, 14], 5)].enumerated() {
            var network = Network(seed: UInt64(seed + 9), element: .u8)
            let fused = try Self.passes.run(network.buildRows(shape, features: features))
            let summary = try fused.summary()
            #expect(fused.nodes.count == 3 && fused.nodes[1].op.isQuantized, "\(summary)")
            let input = network.random.floats(shape.reduce(1, *), in: -3...3)
            let expected = try run(fused, input, BackendSet([ReferenceBackend(pool: nil)]))
            #expect(Set(expected).count > 3)
            for path in ISAPath.allCases where path.isHere {
                let cpu = CPUBackend(pool: Pools.all[seed % 3], isa: path.rawValue)
                #expect(try run(fused, input, BackendSet([cpu])) == expected, "\(path), \(shape) to \(features)")
            }
        }
    }
}

extension Op {
    fileprivate var isQuantized: Bool {
        switch self {
        case .tensor(.quantizedConvolution), .tensor(.quantizedSum), .tensor(.quantizedLinear), .tensor(.quantizedMean): true
        default: false
        }
    }
}
