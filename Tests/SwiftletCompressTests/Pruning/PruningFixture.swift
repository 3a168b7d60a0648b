import Foundation
import SwiftletCompress
import SwiftletRuntime
import TestSupport

/// Small graphs to prune, with data that flow through them.
struct PruningFixture {
    var builder = GraphBuilder(name: "fixture")
    private var generator: SeededGenerator

    init(seed: UInt64 = 1) { generator = SeededGenerator(seed: seed) }

    mutating func floats(_ count: Int) -> [Float] { generator.floats(count) }

    mutating func weight(_ name: String, _ dimensions: [Int], _ values: [Float]? = nil) throws -> ValueID {
        let shape = Shape(dimensions)
        return builder.weight(name, try Weight(name: name, shape: shape, floats: values ?? generator.floats(shape.elementCount)))
    }

    mutating func linear(_ x: ValueID, _ name: String, from width: Int, to rows: Int, bias: Bool = false) throws -> ValueID {
        let matrix = try weight("\(name).weight", [rows, width])
        let bias = bias ? try weight("\(name).bias", [rows]) : nil
        return try builder.linear(x, matrix, bias: bias, name: name)
    }

    mutating func convolution(
        _ x: ValueID, _ name: String, from channels: Int, to outputs: Int, kernel: Int = 3, stride: Int = 1, groups: Int = 1, bias: Bool = true
    ) throws -> ValueID {
        let matrix = try weight("\(name).weight", [outputs, channels / groups, kernel, kernel])
        let bias = bias ? [try weight("\(name).bias", [outputs])] : []
        let pad = [kernel / 2, kernel / 2]
        let window = Window(kernel: [kernel, kernel], strides: [stride, stride], low: pad, high: pad)
        let op = Op.tensor(.convolution(Convolution(window: window, groups: groups, hasBias: !bias.isEmpty)))
        return try builder.node(op, [x, matrix] + bias, name: name)[0]
    }

    /// Two linear layers with a non-linearity between them: `[rows, inputs]` to `[rows, 3]`.
    static func layers(inputs: Int, hidden: Int, rows: Int = 24, seed: UInt64 = 1) throws -> (graph: Graph, data: TensorBatches) {
        var fixture = PruningFixture(seed: seed)
        let x = fixture.builder.input("x", .f32, [Dimension(rows), Dimension(inputs)])
        let h = try fixture.builder.unary(.silu, fixture.linear(x, "first", from: inputs, to: hidden, bias: true), name: "activation")
        fixture.builder.output(try fixture.linear(h, "second", from: hidden, to: 3))
        let batches = try (0..<3).map { _ in ["x": try Tensor(fixture.floats(rows * inputs), shape: [rows, inputs])] }
        return (fixture.builder.graph, TensorBatches(batches))
    }

    static func context(_ data: TensorBatches? = nil) throws -> CompressionContext {
        try CompressionContext(passes: .network, calibration: data, threads: 2)
    }

    /// The first output for the first batch, in f32 by the plain loops of the reference.
    static func output(_ graph: Graph, _ data: TensorBatches) throws -> [Float] {
        let pool = try ThreadPool(threadCount: 1)
        let compiled = try CompiledGraph(graph, backends: BackendSet([ReferenceBackend(pool: pool)]))
        let plan = try ExecutionContext(compiled, stateBinding: [:]).plan([:])
        for id in graph.inputs { if let tensor = data.batches[0][graph[id].name] { try plan.write(tensor, to: id) } }
        try plan.run()
        return try plan.tensor(graph.outputs[0]).floats()
    }
}

extension Graph {
    /// The elements of a weight by name.
    func elements(_ name: String) throws -> [Float] {
        guard let weight = weights.first(where: { self[$0.id].name == name })?.weight else {
            throw SwiftletError.invalidGraph(node: name, reason: "no such weight", remedy: "Name one of the fixture's.")
        }
        return try weight.floats()
    }

    func shape(_ name: String) -> [Int]? { weights.first { self[$0.id].name == name }?.weight.shape.dimensions }
}

/// The largest difference, relative to the largest value.
func relativeDistance(_ a: [Float], _ b: [Float]) -> Float {
    guard a.count == b.count else { return .infinity }
    let scale = a.map { abs($0) }.max() ?? 0
    return zip(a, b).map { abs($0 - $1) }.max().map { $0 / max(scale, 1e-6) } ?? 0
}
