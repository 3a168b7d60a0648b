// Convolutions that run as a chain, because what lies between them is large: the numbers of the single steps, whatever the threads.
import SwiftletRuntime
import TestSupport
import Testing

@Suite("Chains of convolutions")
struct WindowChainTests {
    /// An inverted residual on images of 56 × 56, 100 channels in the middle, and what is added in the end; `stride` of the depthwise convolution.
    private func block(images: Int, stride: Int) throws -> Graph {
        var (builder, random) = (GraphBuilder(name: "block"), SeededGenerator(seed: 11))
        func convolution(_ x: ValueID, _ name: String, outputs: Int, inputs: Int, kernel: Int, stride: Int = 1, groups: Int = 1, adding: ValueID? = nil) throws -> ValueID {
            let weights = random.floats(outputs * inputs * kernel * kernel, in: -0.3...0.3)
            let weight = builder.weight(
                "\(name).w", try Weight(name: name, shape: [outputs, inputs, kernel, kernel], format: .dense(.f32), store: WeightStore(weights)))
            let bias = builder.weight("\(name).b", try Weight(name: name, shape: [outputs], format: .dense(.f32), store: WeightStore(random.floats(outputs))))
            let pad = kernel / 2
            let window = Window(kernel: [kernel, kernel], strides: [stride, stride], low: [pad, pad], high: [pad, pad])
            let op = Convolution(window: window, groups: groups, hasBias: true, hasResidual: adding != nil, activation: adding == nil ? .relu : nil)
            return try builder.node(.tensor(.convolution(op)), [x, weight, bias] + (adding.map { [$0] } ?? []), name: name)[0]
        }
        let x = builder.input("x", .f32, [Dimension(images), 20, 56, 56])
        let first = try convolution(x, "before", outputs: 20, inputs: 20, kernel: 1)
        let wide = try convolution(first, "wide", outputs: 100, inputs: 20, kernel: 1)
        let deep = try convolution(wide, "deep", outputs: 100, inputs: 1, kernel: 5, stride: stride, groups: 100)
        let narrow = try convolution(deep, "narrow", outputs: 20, inputs: 100, kernel: 1, adding: stride == 1 ? first : nil)
        builder.output(try convolution(narrow, "after", outputs: 8, inputs: 20, kernel: 1))
        return builder.graph
    }

    private func run(_ graph: Graph, _ input: [Float], _ backends: BackendSet) throws -> (results: [Float], nodes: [String]) {
        let plan = try ExecutionContext(CompiledGraph(graph, backends: backends), stateBinding: [:]).plan([:])
        for _ in 0..<2 {
            _ = try plan.elements(of: graph.inputs[0], as: Float.self).update(fromContentsOf: input)
            try plan.run()
        }
        let results = Array(try plan.elements(of: graph.outputs[0], as: Float.self))
        return (results, try plan.profile().map(\.node))
    }

    @Test("an inverted residual, every instruction set, 1 to 3 threads", arguments: ISAPath.allCases, [1, 2])
    func chains(_ path: ISAPath, stride: Int) throws {
        guard path.isHere else { try Test.cancel("This machine has no \(path).") }
        for images in 1...2 {
            let graph = try block(images: images, stride: stride)
            var random = SeededGenerator(seed: 3)
            let input = random.floats(images * 20 * 56 * 56)
            for (kind, graph, tolerance) in [("f32", graph, 1e-4), ("bf16", try ComputeInBF16().run(graph), 0.03)] as [(String, Graph, Float)] {
                let expected = try run(graph, input, BackendSet([ReferenceBackend(pool: Pools.all[0])])).results
                let scale = expected.reduce(1) { max($0, abs($1)) }
                var first: [Float]?
                for pool in Pools.all {
                    let (results, nodes) = try run(graph, input, BackendSet([CPUBackend(pool: pool, isa: path.rawValue), ReferenceBackend(pool: pool)]))
                    let worst = zip(results, expected).reduce(0) { max($0, abs($1.0 - $1.1)) }
                    #expect(results.count == expected.count && worst <= tolerance * scale, "\(kind), \(images) images, \(pool.threadCount) threads: \(worst) of \(scale)")
                    // Behind stride 2 the image is small enough to be written.
                    #expect(nodes.contains(stride == 1 ? "wide → deep → narrow" : "wide → deep"), "\(nodes)")
                    if let first { #expect(results == first, "\(kind), \(pool.threadCount) threads") }
                    first = results
                }
            }
        }
    }
}
