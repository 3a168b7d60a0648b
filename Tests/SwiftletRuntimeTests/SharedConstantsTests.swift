// Graphs compiled by one backend share packed weights: the same bytes packed for another size are found again, packed for another layer, or beside
// another bias, they are not.
import SwiftletRuntime
import TestSupport
import Testing

@Suite("Packed weights that graphs share")
struct SharedConstantsTests {
    /// A layer with constant weights, for images of a size; the graph has one input and one output.
    private typealias Layer = (_ size: Int) throws -> Graph

    @Test("the same bytes for other sizes, layers and zero points", arguments: ISAPath.allCases)
    func sameBytes(_ path: ISAPath) throws {
        guard path.isHere else { try Test.cancel("This machine has no \(path).") }
        let backend = CPUBackend(pool: Pools.all[1], isa: path.rawValue)
        var random = SeededGenerator(seed: 5)
        // Everything compiled stays alive, and with it what it has packed.
        var alive: [CompiledGraph] = []
        for size in [6, 9, 24] {
            for (index, layer) in try Self.floatLayers().enumerated() {
                let graph = try layer(size)
                let input = random.floats(Self.count(graph, graph.inputs[0]))
                let compiled = try CompiledGraph(graph, backends: BackendSet([backend]))
                alive.append(compiled)
                let result: [Float] = try Self.run(compiled, input)
                let expected: [Float] = try Self.run(CompiledGraph(graph, backends: BackendSet([ReferenceBackend(pool: nil)])), input)
                let worst = zip(result, expected).reduce(0) { max($0, abs($1.0 - $1.1)) }
                #expect(worst < 1e-4, "layer \(index), size \(size): \(worst)")
            }
            for (index, layer) in try Self.integerLayers().enumerated() {
                let graph = try layer(size)
                let input = (0..<Self.count(graph, graph.inputs[0])).map { _ in UInt8.random(in: 0...255, using: &random) }
                let compiled = try CompiledGraph(graph, backends: BackendSet([backend]))
                alive.append(compiled)
                let result: [UInt8] = try Self.run(compiled, input)
                #expect(try result == Self.run(CompiledGraph(graph, backends: BackendSet([ReferenceBackend(pool: nil)])), input), "integers \(index), size \(size)")
            }
        }
        #expect(alive.count == 3 * 11)
    }

    /// One table of floats as the weights of layers that all read it differently.
    private static func floatLayers() throws -> [Layer] {
        var random = SeededGenerator(seed: 1)
        let values = random.floats(16 * 8 * 9, in: -0.2...0.2)
        func layer(_ op: TensorOp, _ channels: Int, _ shape: [Int]) -> Layer {
            { size in
                var builder = GraphBuilder(name: "floats")
                let x = builder.input("x", .f32, [1, channels, size, size].map { Dimension($0) })
                let weight = builder.weight("w", try Weight(name: "w", shape: Shape(shape), format: .dense(.f32), store: WeightStore(values)))
                builder.output(try builder.node(.tensor(op), [x, weight], name: "layer")[0])
                return builder.graph
            }
        }
        let window = Window(kernel: [3, 3], low: [1, 1], high: [1, 1])
        let steps = Window(kernel: [3, 3], strides: [3, 3])
        return [
            // Large images with steps of one go another way than small ones.
            layer(.convolution(Convolution(window: window)), 8, [16, 8, 3, 3]),
            layer(.convolution(Convolution(window: steps)), 8, [16, 8, 3, 3]),
            layer(.convolution(Convolution(window: window)), 16, [8, 16, 3, 3]),
            layer(.convolution(Convolution(window: window, groups: 2)), 16, [16, 8, 3, 3]),
            layer(.convolution(Convolution(window: window, groups: 128)), 128, [128, 1, 3, 3]),
            layer(.transposedConvolution(TransposedConvolution(window: steps)), 16, [16, 8, 3, 3]),
            layer(.transposedConvolution(TransposedConvolution(window: steps)), 8, [8, 16, 3, 3]),
        ]
    }

    /// One table of integers, with two biases, two zero points and two kinds of groups.
    private static func integerLayers() throws -> [Layer] {
        var random = SeededGenerator(seed: 2)
        let levels = (0..<16 * 8 * 9).map { _ in Int8.random(in: -127...127, using: &random) }
        func layer(_ channels: Int, _ shape: [Int], zero: Int, bias: Int32) -> Layer {
            { size in
                var builder = GraphBuilder(name: "integers")
                let x = builder.input("x", .u8, [1, channels, size, size].map { Dimension($0) })
                func constant<Element: BitwiseCopyable>(_ name: String, _ values: [Element], _ shape: [Int], _ type: DType) throws -> ValueID {
                    builder.weight(name, try Weight(name: name, shape: Shape(shape), format: .dense(type), store: WeightStore(values)))
                }
                let features = shape[0]
                let operands = [
                    x, try constant("w", levels, shape, .i8), try constant("b", (0..<features).map { Int32($0) * bias }, [features], .i32),
                    try constant("f", [Float](repeating: 0.001, count: features), [features], .f32),
                ]
                let window = Window(kernel: [3, 3], low: [1, 1], high: [1, 1])
                let op = QuantizedConvolution(window: window, groups: channels / shape[1], inputZero: zero, outputZero: 100, range: 0...255)
                builder.output(try builder.node(.tensor(.quantizedConvolution(op)), operands, name: "layer")[0])
                return builder.graph
            }
        }
        return [
            layer(8, [16, 8, 3, 3], zero: 0, bias: 100), layer(8, [16, 8, 3, 3], zero: 0, bias: -700), layer(8, [16, 8, 3, 3], zero: 77, bias: 100),
            layer(128, [128, 1, 3, 3], zero: 0, bias: 100),
        ]
    }

    private static func count(_ graph: Graph, _ value: ValueID) -> Int { graph[value].type.shape.compactMap(\.fixed).reduce(1, *) }

    private static func run<Element: TensorElement>(_ compiled: CompiledGraph, _ input: [Element]) throws -> [Element] {
        let plan = try ExecutionContext(compiled, stateBinding: [:]).plan([:])
        _ = try plan.elements(of: compiled.graph.inputs[0], as: Element.self).update(fromContentsOf: input)
        try plan.run()
        return Array(try plan.elements(of: compiled.graph.outputs[0], as: Element.self))
    }
}
