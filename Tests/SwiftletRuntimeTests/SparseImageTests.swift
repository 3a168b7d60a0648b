// 1×1 convolutions with many zeros run without them from the measured crossover on, dense below it, with the results of the reference either way.
import CKernels
import SwiftletRuntime
import TestSupport
import Testing

@Suite("Convolutions with many zeros")
struct SparseImageTests {
    private static let (inputs, outputs, height, width) = (40, 50, 9, 13)

    /// Two images through a 1×1 convolution, an activation, a sum, and numbers for each channel; the weights of input channel 3 are zero.
    private func run(zeros: Double, with input: [Float], passes: [any GraphPass], _ backends: BackendSet) throws -> [Float] {
        var random = SeededGenerator(seed: 11), builder = GraphBuilder(name: "pruned")
        func weight(_ name: String, _ shape: [Int], _ values: [Float]) throws -> ValueID {
            builder.weight(name, try Weight(name: name, shape: Shape(shape), format: .dense(.f32), store: WeightStore(values)))
        }
        let x = builder.input("x", .f32, [2, Self.inputs, Self.height, Self.width].map { Dimension($0) })
        func pruned(_ outputs: Int, _ inputs: Int) -> [Float] {
            var values = random.floats(outputs * inputs, in: -0.3...0.3)
            for index in values.indices where index % inputs == 3 || Double.random(in: 0..<1, using: &random) < zeros { values[index] = 0 }
            return values
        }
        let first = try weight("first", [Self.outputs, Self.inputs, 1, 1], pruned(Self.outputs, Self.inputs))
        let bias = try weight("bias", [Self.outputs], random.floats(Self.outputs))
        let second = try weight("second", [Self.outputs, Self.outputs, 1, 1], pruned(Self.outputs, Self.outputs))
        let factor = try weight("factor", [1, Self.outputs, 1, 1], random.floats(Self.outputs))
        let convolution = Convolution(window: Window(kernel: [1, 1]), hasBias: true), plain = Convolution(window: Window(kernel: [1, 1]))
        let a = try builder.node(.tensor(.convolution(convolution)), [x, first, bias], name: "a")[0]
        let b = try builder.node(.unary(.clip(0, 6)), [a], name: "b")[0]
        let c = try builder.node(.tensor(.convolution(plain)), [b, second], name: "c")[0]
        let d = try builder.node(.binary(.multiply), [c, factor], name: "d")[0]
        let e = try builder.node(.binary(.add), [d, b], name: "e")[0]
        builder.output(e)
        let graph = try PassPipeline(name: "images", passes).run(builder.graph)
        let plan = try ExecutionContext(CompiledGraph(graph, backends: backends), stateBinding: [:]).plan([:])
        _ = try plan.elements(of: graph.inputs[0], as: Float.self).update(fromContentsOf: input)
        try plan.run()
        return Array(try plan.elements(of: graph.outputs[0], as: Float.self))
    }

    private static var input: [Float] {
        var random = SeededGenerator(seed: 12)
        return random.floats(2 * inputs * height * width)
    }

    @Test("the reference's results at every part of zeros", arguments: ISAPath.allCases)
    func matchesTheReference(_ path: ISAPath) throws {
        guard path.isHere else { try Test.cancel("This machine has no \(path).") }
        let fusing: [any GraphPass] = [FoldChannelScales(), FuseConvolution(), DeadCodeElimination()]
        for zeros in [0, 0.5, 0.6, 0.9, 1] {
            let expected = try run(zeros: zeros, with: Self.input, passes: [], BackendSet([ReferenceBackend(pool: Pools.all[0])]))
            for pool in Pools.all {
                for passes in [[], fusing] {
                    let backends = BackendSet([CPUBackend(pool: pool, isa: path.rawValue), ReferenceBackend(pool: pool)])
                    let result = try run(zeros: zeros, with: Self.input, passes: passes, backends)
                    let worst = zip(result, expected).reduce(0) { max($0, abs($1.0 - $1.1)) }
                    #expect(worst <= 1e-5, "\(zeros) zeros, \(pool.threadCount) threads, \(passes.count) passes: \(worst)")
                }
            }
        }
    }

    /// What is left out cannot pass a NaN on, what is dense does: a channel of NaNs whose weights are zero shows which way the weights went.
    @Test("dense below the crossover, sparse above it", arguments: ISAPath.allCases)
    func choosesByTheCrossover(_ path: ISAPath) throws {
        guard path.isHere else { try Test.cancel("This machine has no \(path).") }
        let row = try #require(ck_sparse_conv_find(path.rawValue)).pointee
        var input = Self.input
        let plane = Self.height * Self.width
        for image in 0..<2 { for pixel in 0..<plane { input[(image * Self.inputs + 3) * plane + pixel] = .nan } }
        let backends = BackendSet([CPUBackend(pool: Pools.all[0], isa: path.rawValue), ReferenceBackend(pool: Pools.all[0])])
        for zeros in [0.3, 0.8] {
            let result = try run(zeros: zeros, with: input, passes: [], backends)
            #expect(result.contains(where: \.isNaN) == (zeros < Double(row.crossover)), "\(zeros) zeros")
        }
    }
}
