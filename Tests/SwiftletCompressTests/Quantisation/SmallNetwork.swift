// Networks of a few layers with weights from a seed, and running them.
import SwiftletCompress
import SwiftletNetwork
import SwiftletRuntime
import TestSupport

/// Builds networks on images.
struct SmallNetwork {
    var builder = GraphBuilder(name: "small")
    var generator: SeededGenerator

    init(seed: UInt64 = 1) { generator = SeededGenerator(seed: seed) }

    mutating func constant(_ name: String, _ shape: [Int], _ values: [Float]) throws -> ValueID {
        builder.weight(name, try Weight(name: name, shape: Shape(shape), floats: values))
    }

    mutating func constant(_ name: String, _ shape: [Int], in range: ClosedRange<Float> = -1...1) throws -> ValueID {
        try constant(name, shape, generator.floats(shape.reduce(1, *), in: range))
    }

    /// A convolution with its weight `<name>.weight` and bias `<name>.bias`.
    mutating func convolution(_ x: ValueID, _ name: String, outputs: Int, kernel: Int = 1, stride: Int = 1, groups: Int = 1, weight: [Float]? = nil) throws -> ValueID {
        let inputs = builder.type(of: x).shape[1].fixed! / groups
        let shape = [outputs, inputs, kernel, kernel]
        let w = try weight.map { try constant("\(name).weight", shape, $0) } ?? constant("\(name).weight", shape)
        let b = try constant("\(name).bias", [outputs])
        let window = Window(kernel: [kernel, kernel], strides: [stride, stride], low: [kernel / 2, kernel / 2], high: [kernel / 2, kernel / 2])
        return try builder.node(.tensor(.convolution(Convolution(window: window, groups: groups, hasBias: true))), [x, w, b], name: name)[0]
    }

    mutating func linear(_ x: ValueID, _ name: String, outputs: Int) throws -> ValueID {
        let inputs = builder.type(of: x).shape.last!.fixed!
        let (w, b) = (try constant("\(name).weight", [outputs, inputs]), try constant("\(name).bias", [outputs]))
        return try builder.linear(x, w, bias: b, name: name)
    }

    mutating func graph(_ outputs: ValueID...) -> Graph {
        for output in outputs { builder.output(output) }
        return builder.graph
    }

    /// What mobile networks are made of: a convolution, an inverted residual with a depthwise one, the mean, a linear layer.
    static func mobile(seed: UInt64 = 1) throws -> Graph {
        var network = SmallNetwork(seed: seed)
        let x = network.builder.input("image", .f32, [1, 3, 12, 12])
        var y = try network.convolution(x, "stem", outputs: 8, kernel: 3, stride: 2)
        y = try network.builder.unary(.clip(0, 6), y, name: "stem/relu6")
        let short = try network.convolution(y, "project0", outputs: 16)
        y = try network.builder.unary(.clip(0, 6), network.convolution(short, "expand", outputs: 32), name: "expand/relu6")
        y = try network.builder.unary(.relu, network.convolution(y, "depthwise", outputs: 32, kernel: 3, groups: 32), name: "depthwise/relu")
        y = try network.convolution(y, "project", outputs: 16)
        y = try network.builder.binary(.add, y, short, name: "residual")
        y = try network.builder.unary(.relu, network.convolution(y, "head", outputs: 32), name: "head/relu")
        y = try network.builder.node(.tensor(.reduce(.mean, axes: [2, 3], keepsAxes: true)), [y], name: "mean")[0]
        y = try network.builder.reshape(y, [1, 32], name: "flat")
        return network.graph(try network.linear(y, "classes", outputs: 10))
    }

    /// Batches of noise for the input `image` of `mobile`.
    static func images(_ count: Int, seed: UInt64 = 7) throws -> TensorBatches {
        var generator = SeededGenerator(seed: seed)
        return TensorBatches(try (0..<count).map { _ in ["image": try Tensor(generator.floats(3 * 12 * 12, in: -1...1), shape: [1, 3, 12, 12])] })
    }
}

extension Graph {
    /// The first output for these inputs, after the passes networks get, on the plain definitions of the operations or on the CPU's kernels.
    func run(_ inputs: [String: Tensor], onKernels: Bool = false) throws -> [Float] {
        let pool = try ThreadPool(threadCount: 1)
        let reference = ReferenceBackend(pool: pool)
        let backends = onKernels ? BackendSet([CPUBackend(pool: pool, isa: try InstructionSet.resolve(nil).usableMask), reference]) : BackendSet([reference])
        let compiled = try CompiledGraph(PassPipeline.network.run(self), backends: backends)
        let plan = try ExecutionContext(compiled, stateBinding: [:]).plan([:])
        for id in compiled.graph.inputs { if let tensor = inputs[compiled.graph[id].name], plan.holds(id) { try plan.write(tensor, to: id) } }
        try plan.run()
        return try plan.tensor(compiled.graph.outputs[0]).floats()
    }

    func context(_ data: (any CalibrationData)?) throws -> CompressionContext { try CompressionContext(passes: .network, calibration: data, threads: 1) }

    /// How many nodes of the graph, after the passes, satisfy a condition.
    func fusedCount(_ condition: (Op) -> Bool) throws -> Int { try PassPipeline.network.run(self).nodes.count { condition($0.op) } }
}

/// Σ(a − b)² / Σb².
func relativeError(_ a: [Float], _ b: [Float]) -> Float {
    zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) } / b.reduce(Float.leastNormalMagnitude) { $0 + $1 * $1 }
}
