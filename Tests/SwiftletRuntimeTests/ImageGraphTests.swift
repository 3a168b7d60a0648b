// Networks on images put together at random: convolutions of all kinds, pools, sums, gates, joins, moves. What the CPU backend makes of them, with
// images channels last, steps that ride on others and memory used again, must be what the reference says.
import SwiftletRuntime
import TestSupport
import Testing

@Suite("Graphs on images")
struct ImageGraphTests {
    @Test("random networks, every instruction set", arguments: ISAPath.allCases)
    func random(_ path: ISAPath) throws {
        guard path.isHere else { try Test.cancel("This machine has no \(path).") }
        for seed in 0..<60 { try check(seed: UInt64(seed), isa: path.rawValue, pool: Pools.all[seed % 3]) }
    }

    /// The passes change what is computed by no more than rounding.
    private func check(seed: UInt64, isa: UInt32, pool: ThreadPool) throws {
        var network = RandomImageNetwork(seed: seed)
        let graph = try network.build(nodes: 6 + Int(seed % 14))
        let passes = PassPipeline(name: "images", [FuseGates(), FoldChannelScales(), FuseConvolution(), DeadCodeElimination()])
        let expected = try run(graph, network.input, BackendSet([ReferenceBackend(pool: pool)]))
        for (name, variant) in [("plain", graph), ("fused", try passes.run(graph))] {
            let results = try run(variant, network.input, BackendSet([CPUBackend(pool: pool, isa: isa), ReferenceBackend(pool: pool)]))
            for (index, pair) in zip(results, expected).enumerated() {
                let scale = pair.1.reduce(1) { max($0, abs($1)) }
                let worst = zip(pair.0, pair.1).reduce(0) { max($0, abs($1.0 - $1.1)) }
                let summary = try worst <= 1e-4 * scale ? "" : variant.summary()
                #expect(worst <= 1e-4 * scale, "seed \(seed), \(name), output \(index) of \(graph.outputs.count): \(worst) of \(scale)\n\(summary)")
            }
        }
    }

    /// In bf16 both round the same values, but a sum next to the middle between two of them goes either way, and steps that ride on others round once.
    @Test("random networks in bf16, every instruction set", arguments: ISAPath.allCases)
    func bf16(_ path: ISAPath) throws {
        guard path.isHere else { try Test.cancel("This machine has no \(path).") }
        var kinds: Set<String> = []
        for seed in 0..<60 {
            let pool = Pools.all[seed % 3]
            var network = RandomImageNetwork(seed: UInt64(seed))
            let graph = try network.build(nodes: 6 + seed % 14)
            let fused = try PassPipeline(name: "images", [FuseGates(), FoldChannelScales(), FuseConvolution(), DeadCodeElimination()]).run(graph)
            let excludes = seed % 2 == 0 ? ComputeInBF16() : ComputeInBF16(excluding: CPUBackend.isFastestInF32)
            let rounded = try PassPipeline(name: "bf16", [excludes, DeadCodeElimination()]).run(fused)
            for node in rounded.nodes where rounded[node.outputs[0]].type.element == .bf16 {
                kinds.insert("\(node.op)".prefix { $0.isLetter || $0 == "." }.description)
                // Nothing is left to the plain definitions that would be slow.
                #expect(CPUBackend(pool: pool, isa: path.rawValue).preference(for: node, in: rounded) > 0, "\(node.op)")
            }
            let expected = try run(rounded, network.input, BackendSet([ReferenceBackend(pool: pool)]))
            let results = try run(rounded, network.input, BackendSet([CPUBackend(pool: pool, isa: path.rawValue), ReferenceBackend(pool: pool)]))
            for (index, pair) in zip(results, expected).enumerated() {
                let scale = pair.1.reduce(1) { max($0, abs($1)) }
                let worst = zip(pair.0, pair.1).reduce(0) { max($0, abs($1.0 - $1.1)) }
                let summary = try worst <= 0.03 * scale ? "" : rounded.summary()
                #expect(worst <= 0.03 * scale, "seed \(seed), output \(index) of \(graph.outputs.count): \(worst) of \(scale)\n\(summary)")
            }
        }
        // Convolutions, pools, joins and casts are of one kind; functions of one and of two operands are the others.
        #expect(kinds.count >= 3, "\(kinds)")
    }

    private func run(_ graph: Graph, _ input: [Float], _ backends: BackendSet) throws -> [[Float]] {
        let plan = try ExecutionContext(CompiledGraph(graph, backends: backends), stateBinding: [:]).plan([:])
        // Twice: what a run leaves in memory must not matter to the next.
        for _ in 0..<2 {
            _ = try plan.elements(of: graph.inputs[0], as: Float.self).update(fromContentsOf: input)
            try plan.run()
        }
        func outputs() throws -> [[Float]] { try graph.outputs.map { Array(try plan.elements(of: $0, as: Float.self)) } }
        let results = try outputs()
        // Lent, the input is read where it lies, and afterwards in its own memory again.
        let sizes = graph[graph.inputs[0]].type.shape.compactMap(\.fixed)
        _ = try plan.elements(of: graph.inputs[0], as: Float.self).update(repeating: .nan)
        try plan.lend(Tensor(input, shape: Shape(sizes)), to: graph.inputs[0])
        try plan.run()
        #expect(try outputs() == results, "lent")
        plan.endLoans()
        _ = try plan.elements(of: graph.inputs[0], as: Float.self).update(fromContentsOf: input)
        try plan.run()
        #expect(try outputs() == results, "after the loan")
        return results
    }
}

/// Adds operations to images drawn at random from those there are.
private struct RandomImageNetwork {
    private var random: SeededGenerator
    private var builder: GraphBuilder
    private(set) var input: [Float] = []
    private var images: [ValueID] = []
    private var serial = 0

    init(seed: UInt64) {
        random = SeededGenerator(seed: seed)
        builder = GraphBuilder(name: "images \(seed)")
    }

    private mutating func pick(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }

    private mutating func name(_ kind: String) -> String {
        serial += 1
        return "\(kind)\(serial)"
    }

    private func shape(_ id: ValueID) -> [Int] { builder.type(of: id).shape.compactMap(\.fixed) }

    private mutating func weight(_ shape: [Int], scale: Float = 1) throws -> ValueID {
        let values = random.floats(shape.reduce(1, *), in: -scale...scale)
        let name = name("w")
        return builder.weight(name, try Weight(name: name, shape: Shape(shape), format: .dense(.f32), store: WeightStore(values)))
    }

    mutating func build(nodes: Int) throws -> Graph {
        let shape = [pick(1...2), [1, 3, 8, 16, 19].randomElement(using: &random) ?? 3, pick(1...13), pick(1...13)]
        input = random.floats(shape.reduce(1, *))
        images = [builder.input("x", .f32, shape.map { Dimension($0) })]
        for _ in 0..<nodes { try grow() }
        // The last one, and some on the way.
        for id in Set([images[images.count - 1], images[images.count / 2], images[pick(0...images.count - 1)]]).sorted(by: { $0.index < $1.index }) {
            builder.output(id)
        }
        return builder.graph
    }

    private mutating func grow() throws {
        let x = images[max(0, images.count - 1 - pick(0...min(2, images.count - 1)))]
        let s = shape(x)
        switch pick(0...13) {
        case 0...3: try convolution(x, s)
        case 4: try add(.tensor(.pool(Pool(kind: pick(0...1) == 0 ? .maximum(indices: false) : .average(countsPadding: pick(0...1) == 0), window: window(s), roundsUp: pick(0...1) == 0))), [x], "pool")
        case 5:
            let functions: [Unary] = [.relu, .clip(0, 6), .hardSwish, .hardSigmoid(alpha: 0.2, beta: 0.5), .sigmoid, .tanh, .leakyRelu(0.1), .negate, .gelu]
            try add(.unary(functions[pick(0...functions.count - 1)]), [x], "f")
        case 6:
            // A sum or product with an image of the same shape.
            let same = images.filter { shape($0) == s }
            try add(.binary(pick(0...2) == 0 ? .multiply : .add), [x, same[pick(0...same.count - 1)]], "both")
        case 7:
            let constant = try weight([[s[1], 1, 1], [1, s[1], 1, 1], [1]].randomElement(using: &random) ?? [1])
            let functions: [Binary] = [.add, .multiply, .subtract, .divide, .maximum]
            try add(.binary(functions[pick(0...4)]), pick(0...3) == 0 ? [constant, x] : [x, constant], "channel")
        case 8:
            // Squeeze and excite, by hand.
            let mean = try builder.node(.tensor(.reduce(.mean, axes: [2, 3], keepsAxes: true)), [x], name: name("mean"))[0]
            let gate = try builder.node(.unary(.sigmoid), [mean], name: name("gate"))[0]
            try add(.binary(.multiply), pick(0...1) == 0 ? [x, gate] : [gate, x], "excited")
            if pick(0...1) == 0 { try add(.binary(.add), [images[images.count - 1], x], "sum") }
        case 9:
            let others = images.filter { let o = shape($0); return o[0] == s[0] && o[2] == s[2] && o[3] == s[3] && o[1] + s[1] <= 64 }
            guard let other = others.randomElement(using: &random) else { return }
            try add(.tensor(.concat(axis: 1)), [x, other], "joined")
        case 10:
            guard s[2] * s[3] <= 400 else { return }
            let factor = pick(1...3)
            let modes: [(Resize.Interpolation, Resize.Coordinates)] = [(.nearest(.floor), .asymmetric), (.linear, .halfPixel), (.linear, .alignCorners)]
            let mode = modes[pick(0...2)]
            try add(
                .tensor(.resize(Resize(interpolation: mode.0, coordinates: mode.1, scales: [1, 1, Float(factor), 2], sizes: [s[0], s[1], s[2] * factor, s[3] * 2]))), [x], "resized")
        case 11:
            let features = pick(1...20)
            var convolution = TransposedConvolution(window: Window(kernel: [2, 2], strides: [2, 2]), hasBias: pick(0...1) == 0)
            if pick(0...1) == 0 { convolution.window = Window(kernel: [3, 2], strides: [2, 1], low: [1, 0], high: [0, 1]) }
            guard s[2] * s[3] <= 400 else { return }
            let kernel = try weight([s[1], features] + convolution.window.kernel, scale: 0.5)
            try add(.tensor(.transposedConvolution(convolution)), [x, kernel] + (convolution.hasBias ? [weight([features])] : []), "up")
            if pick(0...1) == 0 { try add(.unary(.relu), [images[images.count - 1]], "up.relu") }
        case 12:
            // There and back: the first may be what lies there already.
            let turned = try builder.node(.tensor(.transpose([0, 2, 3, 1])), [x], name: name("turned"))[0]
            let scaled = try builder.node(.unary(.scale(0.5)), [turned], name: name("scaled"))[0]
            try add(.tensor(.transpose([0, 3, 1, 2])), [scaled], "back")
        default:
            let axis = pick(0...3)
            guard s[axis] > 1 else { return }
            var slice = Slice(starts: [0, 0, 0, 0], sizes: s, steps: [1, 1, 1, 1])
            (slice.starts[axis], slice.sizes[axis]) = (1, s[axis] - 1)
            try add(.tensor(.slice(slice)), [x], "cut")
        }
    }

    private mutating func add(_ op: Op, _ operands: [ValueID], _ kind: String) throws {
        let result = try builder.node(op, operands, name: name(kind))[0]
        let sizes = shape(result)
        guard sizes.count == 4, sizes.allSatisfy({ $0 > 0 }), sizes.reduce(1, *) < 200_000 else { return }
        images.append(result)
    }

    private mutating func window(_ s: [Int]) -> Window {
        let kernel = [pick(1...min(5, s[2])), pick(1...min(5, s[3]))]
        return Window(kernel: kernel, strides: [pick(1...2), pick(1...2)], low: kernel.map { ($0 - 1) / 2 }, high: kernel.map { $0 / 2 })
    }

    private mutating func convolution(_ x: ValueID, _ s: [Int]) throws {
        let isDepthwise = pick(0...2) == 0
        let groups = isDepthwise ? s[1] : s[1] % 2 == 0 && pick(0...3) == 0 ? 2 : 1
        let features = isDepthwise ? s[1] : groups * pick(1...20)
        var window = window(s)
        // The kernel of Winograd, often enough.
        if pick(0...2) == 0, s[2] >= 3, s[3] >= 3 { window = Window(kernel: [3, 3], low: [1, 1], high: [1, 1]) }
        if pick(0...4) == 0 { window.dilations = [2, 1]; window.low[0] += window.kernel[0] - 1 }
        let hasBias = pick(0...1) == 0
        let kernel = try weight([features, s[1] / groups] + window.kernel, scale: 1 / Float(s[1] / groups * window.kernel.reduce(1, *)).squareRoot())
        try add(.tensor(.convolution(Convolution(window: window, groups: groups, hasBias: hasBias))), [x, kernel] + (hasBias ? [weight([features])] : []), "conv")
        let made = images[images.count - 1]
        switch pick(0...4) {
        case 0: try add(.unary(.relu), [made], "relu")
        case 1: try add(.unary(.hardSwish), [made], "swish")
        case 2: if shape(made) == s { try add(.binary(.add), [made, x], "residual") }
        default: break
        }
    }
}
