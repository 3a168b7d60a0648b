// Graphs written as ONNX, read and run again: what comes out is what the graph itself computes with the plain definitions of its operations.
// Here is what the importer never makes, and what the writer decides about; Tests/Conformance/written.py writes the published operator tests and
// runs them in onnxruntime.
import Foundation
import SwiftletFormats
import SwiftletNetwork
import SwiftletRuntime
import TestSupport
import Testing

@Suite("Graphs survive ONNX")
final class ONNXRoundTripTests {
    private static func temporaryFile() -> String { FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).onnx").path }

    /// Writes, reads and runs the graph, and compares with the graph itself under `binding`.
    private func expectRoundTrip(
        _ builder: GraphBuilder, _ outputs: [ValueID], _ inputs: [String: Tensor] = [:], binding: Binding = [:], options: ONNXWriter.Options = .init(),
        tolerance: Float = 1e-5, _ location: SourceLocation = #_sourceLocation
    ) throws {
        var builder = builder
        for output in outputs { builder.output(output) }
        let graph = builder.graph
        let path = Self.temporaryFile()
        defer { for file in [path, path + ".data"] { try? FileManager.default.removeItem(atPath: file) } }
        try ONNXWriter(graph, options: options).write(to: path)
        let model = try Model(path: path, options: NetworkOptions(threads: 1, usesReference: true))
        #expect(model.inputs.map(\.name) == graph.inputs.map { graph[$0].name }, sourceLocation: location)
        let results = try model.run(inputs)

        let context = try ExecutionContext(CompiledGraph(graph, backends: BackendSet([ReferenceBackend(pool: nil)])), stateBinding: [:])
        let plan = try context.plan(binding)
        for input in graph.inputs { if let tensor = inputs[graph[input].name], plan.holds(input) { try plan.write(tensor, to: input) } }
        try plan.run()
        for (name, output) in zip(model.outputNames, graph.outputs) {
            let result = try #require(results[name], sourceLocation: location)
            // A constant has no memory in a plan.
            let expected = try graph[output].weight.map { weight in
                try weight.store.withBytes { try Tensor(graph[output].type.element, shape: weight.shape, copying: $0) }
            } ?? plan.tensor(output)
            #expect(result.type == expected.type && result.shape == expected.shape, "\(result) instead of \(expected)", sourceLocation: location)
            let (a, b) = (try result.floats(), try expected.floats())
            let scale = b.reduce(1) { $1.isFinite ? max($0, abs($1)) : $0 }
            #expect(zip(a, b).allSatisfy { $0 == $1 || abs($0 - $1) <= tolerance * scale || ($0.isNaN && $1.isNaN) }, "\(a) instead of \(b)", sourceLocation: location)
        }
    }

    private var generator = SeededGenerator(seed: 21)

    private func tensor(_ shape: [Int], in range: ClosedRange<Float> = -1...1) throws -> Tensor {
        try Tensor(generator.floats(shape.reduce(1, *), in: range), shape: Shape(shape))
    }

    private func weight(_ builder: inout GraphBuilder, _ name: String, _ shape: [Int], in range: ClosedRange<Float> = -1...1) throws -> ValueID {
        let values = generator.floats(shape.reduce(1, *), in: range)
        return builder.weight(name, try Weight(name: name, shape: Shape(shape), format: .dense(.f32), store: WeightStore(values)))
    }

    // MARK: - Products with weights

    @Test("Every form of a product with weights, of matrices and of more axes", arguments: [[5, 8], [2, 3, 8], [8]])
    func linear(_ shape: [Int]) throws {
        let epilogues: [(Int, Linear.Epilogue)] = [(1, .none), (3, .none), (1, .activation(.silu)), (2, .activation(.hardSwish)), (2, .gated(.geluTanh)), (1, .residual)]
        for (count, epilogue) in epilogues {
            for hasBias in [false, true] {
                var builder = GraphBuilder(name: "linear")
                let x = builder.input("x", .f32, shape.map { Dimension($0) })
                var operands = [x]
                for index in 0..<count { operands.append(try weight(&builder, "w\(index)", [4, 8])) }
                if hasBias { for index in 0..<count { operands.append(try weight(&builder, "b\(index)", [4])) } }
                var inputs = ["x": try tensor(shape)]
                if epilogue == .residual {
                    operands.append(builder.input("r", .f32, (shape.dropLast() + [4]).map { Dimension($0) }))
                    inputs["r"] = try tensor(shape.dropLast() + [4])
                }
                let results = try builder.node(.linear(Linear(weightCount: count, hasBias: hasBias, epilogue: epilogue)), operands, name: "y")
                try expectRoundTrip(builder, results, inputs)
            }
        }
    }

    @Test("Weights of 16 bits are computed with as the engine does, in f32") func halfWeights() throws {
        var builder = GraphBuilder(name: "half")
        let x = builder.input("x", .f32, [2, 4])
        let bits: [UInt16] = [0x3F80, 0xBF00, 0x4000, 0x3E80, 0x3F80, 0, 0x3F00, 0xC000]
        let w = builder.weight("w", try Weight(name: "w", shape: [2, 4], format: .dense(.bf16), store: WeightStore(bits)))
        let y = try builder.linear(x, w, name: "y")
        try expectRoundTrip(builder, [y], ["x": tensor([2, 4])])
    }

    @Test("Blocks are an error, or are dequantised") func blocks() throws {
        var builder = GraphBuilder(name: "blocks")
        let x = builder.input("x", .f32, [3, 64])
        let blocks = try BlockFormat.q8_0.quantize(generator.floats(64 * 2))
        let w = builder.weight("w", try Weight(name: "w", shape: [2, 64], format: .block(.q8_0), store: WeightStore(blocks)))
        let y = try builder.linear(x, w, name: "product")
        var graph = builder.graph
        graph.outputs = [y]
        let error = #expect(throws: SwiftletError.self) { try ONNXWriter(graph) }
        #expect(error?.description.contains("product") == true && error?.description.contains("'w'") == true)
        try expectRoundTrip(builder, [y], ["x": tensor([3, 64])], options: ONNXWriter.Options(dequantisesBlocks: true), tolerance: 1e-4)
    }

    @Test("Caches are an error that names the node") func caches() throws {
        var builder = GraphBuilder(name: "cache")
        let state = builder.state("k", StateSpec(shape: [1, 2, 8, 4], format: .dense(.f32)))
        let x = builder.input("x", .f32, [3, 2, 4])
        let positions = builder.input("positions", .i32, [3]), slots = builder.input("slots", .i32, [3])
        let written = try builder.cacheWrite(state, x, positions: positions, slots: slots, name: "write keys")
        let y = try builder.attention(
            Attention(heads: 2, keyValueHeads: 2, headDimension: 4, scale: 1), query: x, keys: written, values: written, positions: positions, slots: slots,
            name: "attend")
        builder.output(y)
        let error = #expect(throws: SwiftletError.self) { try ONNXWriter(builder.graph) }
        #expect(error?.description.contains("write keys") == true)
    }

    // MARK: - Functions of elements

    static let functions: [Unary] = [
        .relu, .sigmoid, .tanh, .silu, .gelu, .geluTanh, .scale(-1.5), .softcap(2), .clip(-0.5, 0.75), .leakyRelu(0.1), .elu(1.5),
        .selu(alpha: 1.6, gamma: 1.05), .celu(2), .hardSigmoid(alpha: 0.3, beta: 0.4), .hardSwish, .softplus, .softsign, .mish, .swish(1.7),
        .thresholdedRelu(0.3), .shrink(lambda: 0.4, bias: 0.1), .affine(alpha: 2, beta: -3), .scaledTanh(alpha: 1.5, beta: 0.5), .absolute, .negate, .sign,
        .exp, .log, .squareRoot, .reciprocal, .errorFunction, .floor, .ceil, .round, .sin, .cos, .tan, .asin, .acos, .atan, .sinh, .cosh, .asinh, .acosh,
        .atanh, .isNaN, .isInfinite(positive: true, negative: false),
    ]

    @Test("Functions of one number, of f32 and f16", arguments: functions) func unary(_ function: Unary) throws {
        var values: [Float] = [-2, -1.5, -0.75, -0.25, 0, 0.25, 0.5, 1, 1.5, 2.5]
        if function.isTest { values += [.infinity, -.infinity, .nan] }
        var builder = GraphBuilder(name: "unary")
        let x = builder.input("x", .f32, [Dimension(values.count)])
        let y = try builder.unary(function, x, name: "y")
        let narrow = try builder.node(.tensor(.cast(.f16, saturates: true)), [x], name: "narrow")[0]
        let z = try builder.unary(function, narrow, name: "z")
        // Several operators in f16 round several times.
        try expectRoundTrip(builder, [y, z], ["x": Tensor(values, shape: [values.count])], tolerance: 4e-3)
        try expectRoundTrip(builder, [y], ["x": Tensor(values, shape: [values.count])])
    }

    @Test("Functions of two numbers", arguments: [Binary.add, .subtract, .multiply, .divide, .minimum, .maximum, .modulo, .remainder, .parametricRelu, .equal, .less, .lessOrEqual])
    func binary(_ function: Binary) throws {
        var builder = GraphBuilder(name: "binary")
        let a = builder.input("a", .f32, [3, 1]), b = builder.input("b", .f32, [2, 1, 4])
        let c = builder.input("c", .i32, [5]), d = builder.input("d", .i32, [5])
        var outputs = [try builder.binary(function, a, b, name: "y"), try builder.binary(function, b, a, name: "other way")]
        if function != .parametricRelu { outputs.append(try builder.binary(function, c, d, name: "integers")) }
        let inputs = try [
            "a": Tensor([1.5, -2, 0.5] as [Float], shape: [3, 1]), "b": tensor([2, 1, 4], in: 0.3...2), "c": Tensor([7, -7, 7, -7, 2] as [Int32], shape: [5]),
            "d": Tensor([3, 3, -3, -3, 2] as [Int32], shape: [5]),
        ]
        try expectRoundTrip(builder, outputs, inputs)
    }

    @Test("Shifts by the width and more") func shifts() throws {
        for function in [Binary.shiftLeft, .shiftRight] {
            var builder = GraphBuilder(name: "shift")
            let a = builder.input("a", .u8, [4]), b = builder.input("b", .u8, [4])
            let y = try builder.binary(function, a, b, name: "y")
            try expectRoundTrip(builder, [y], ["a": Tensor([129, 255, 3, 200] as [UInt8], shape: [4]), "b": Tensor([1, 8, 0, 200] as [UInt8], shape: [4])])
            var signed = GraphBuilder(name: "signed shift")
            let c = signed.input("c", .i8, [1])
            signed.output(try signed.binary(function, c, c, name: "y"))
            #expect(throws: SwiftletError.self) { try ONNXWriter(signed.graph) }
        }
    }

    // MARK: - Normalisation, rotation, tables

    @Test("Norms, softmax and tables") func norms() throws {
        var builder = GraphBuilder(name: "norms")
        let x = builder.input("x", .f32, [2, 3, 6])
        let scale = try weight(&builder, "scale", [6]), bias = try weight(&builder, "bias", [6])
        let ids = builder.input("ids", .i32, [2, 2])
        let table = try weight(&builder, "table", [5, 3])
        let rows = builder.input("rows", .i32, [3])
        let outputs = [
            try builder.node(.rmsNorm(epsilon: 1e-3), [x], name: "rms")[0], try builder.node(.rmsNorm(epsilon: 1e-3), [x, scale], name: "scaled")[0],
            try builder.node(.layerNorm(epsilon: 1e-3), [x, scale], name: "layer")[0],
            try builder.node(.layerNorm(epsilon: 1e-3), [x, scale, bias], name: "biased")[0], try builder.node(.softmax, [x], name: "softmax")[0],
            try builder.embedding(table, ids, name: "embedding"), try builder.gatherRows(table, rows, name: "rows of the table"),
        ]
        let inputs = try ["x": tensor([2, 3, 6]), "ids": Tensor([4, 0, 2, 2] as [Int32], shape: [2, 2]), "rows": Tensor([1, 0, 4] as [Int32], shape: [3])]
        try expectRoundTrip(builder, outputs, inputs)
    }

    @Test("Rotation of a part of each head, in both layouts", arguments: [RotaryLayout.split, .interleaved]) func rotary(_ layout: RotaryLayout) throws {
        var builder = GraphBuilder(name: "rotary")
        let x = builder.input("x", .f32, ["tokens", 2, 8]), positions = builder.input("positions", .i32, ["tokens"])
        let factors = try weight(&builder, "factors", [3], in: 1...4)
        var description = RotaryTable(dimensions: 6, base: 10_000, scaling: .linear(factor: 2), magnitude: 1.25)
        description.hasFactors = true
        let table = try builder.rotaryTable(description, positions: positions, factors: factors, name: "table")
        let y = try builder.rotary(x, table: table, layout: layout, name: "y")
        let inputs = try ["x": tensor([3, 2, 8]), "positions": Tensor([0, 7, 1000] as [Int32], shape: [3])]
        try expectRoundTrip(builder, [y, table], inputs, binding: ["tokens": 3], tolerance: 1e-4)
    }

    // MARK: - Windows

    @Test("A residual and a function ride on a convolution in either order, padding may cut") func convolutions() throws {
        for addsFirst in [false, true] {
            for activation in [nil, Unary.clip(0, 0.5)] {
                for low in [[1, 0], [-1, 2]] {
                    var builder = GraphBuilder(name: "convolution")
                    let x = builder.input("x", .f32, [1, 4, 6, 5])
                    let w = try weight(&builder, "w", [6, 2, 3, 2]), b = try weight(&builder, "b", [6])
                    let window = Window(kernel: [3, 2], strides: [1, 2], dilations: [1, 1], low: low, high: [1, 1])
                    let plain = try builder.node(.tensor(.convolution(Convolution(window: window, groups: 2, hasBias: true))), [x, w, b], name: "plain")[0]
                    let shape = builder.type(of: plain).shape.compactMap(\.fixed)
                    let r = builder.input("r", .f32, shape.map { Dimension($0) })
                    let convolution = Convolution(
                        window: window, groups: 2, hasBias: true, hasResidual: true, activation: activation, addsResidualFirst: addsFirst)
                    let y = try builder.node(.tensor(.convolution(convolution)), [x, w, b, r], name: "y")[0]
                    let pool = Pool(kind: .average(countsPadding: false), window: Window(kernel: [2, 2], low: [-1, 0]), roundsUp: true)
                    let z = try builder.node(.tensor(.pool(pool)), [x], name: "pool")[0]
                    try expectRoundTrip(builder, [plain, y, z], ["x": tensor([1, 4, 6, 5]), "r": tensor(shape)])
                }
            }
        }
    }

    // MARK: - Moves and open sizes

    @Test("Slices that walk back, start inside and are empty") func slices() throws {
        var builder = GraphBuilder(name: "slices")
        let x = builder.input("x", .f32, [5, 7])
        let slices = [
            Slice(starts: [4, 6], sizes: [5, 7], steps: [-1, -1]), Slice(starts: [3, 5], sizes: [2, 3], steps: [-3, -2]),
            Slice(starts: [1, 0], sizes: [2, 4], steps: [3, 2]), Slice(starts: [0, 0], sizes: [5, 0], steps: [1, 1]),
            Slice(starts: [0, 0], sizes: [5, 7], steps: [1, 1]), Slice(starts: [2, 2], sizes: [1, 1], steps: [-1, 1]),
        ]
        let outputs = try slices.enumerated().map { try builder.node(.tensor(.slice($1)), [x], name: "slice \($0)")[0] }
        try expectRoundTrip(builder, outputs, ["x": tensor([5, 7])])
    }

    @Test("Open sizes stay open", arguments: [1, 4]) func openSizes(_ tokens: Int) throws {
        var builder = GraphBuilder(name: "open")
        let x = builder.input("x", .f32, ["tokens", 6]), y = builder.input("y", .f32, ["others", 1, 3])
        let tokensByTwo = Dimension("tokens") * 2
        let outputs = [
            try builder.reshape(x, ["tokens", 2, 3], name: "kept"), try builder.reshape(x, [tokensByTwo, 3], name: "counted"),
            try builder.node(.tensor(.expand(["others", "tokens", 3])), [y], name: "expanded")[0],
            try builder.node(.tensor(.concat(axis: 0)), [x, x], name: "joined")[0],
            try builder.reshape(builder.reshape(x, [Dimension("tokens") * 6], name: "flat"), [2, "tokens", 3], name: "moved"),
        ]
        let path = Self.temporaryFile()
        defer { try? FileManager.default.removeItem(atPath: path) }
        var graph = builder.graph
        graph.outputs = outputs
        try ONNXWriter(graph).write(to: path)
        let file = try ONNXFile(path: path)
        #expect(file.graph.inputs.map(\.type) == [.tensor(.f32, shape: [.symbol("tokens"), .fixed(6)]), .tensor(.f32, shape: [.symbol("others"), .fixed(1), .fixed(3)])])
        try expectRoundTrip(builder, outputs, ["x": tensor([tokens, 6]), "y": tensor([2, 1, 3])], binding: ["tokens": tokens, "others": 2])
    }

    // MARK: - Quantisation

    @Test("Scales of one number, along an axis, and of any other shape") func quantisation() throws {
        for shape in [[], [1], [3, 1, 1], [4], [3, 4, 1], [1, 3, 1, 1]] {
            let x4 = shape.count == 4
            for element in [DType.u8, .i8, .u16, .i4] {
                for hasZero in [false, true] {
                    var builder = GraphBuilder(name: "quantisation")
                    let xShape = x4 ? [2, 3, 4, 2] : [3, 4, 4]
                    let x = builder.input("x", .f32, xShape.map { Dimension($0) })
                    let scale = try weight(&builder, "scale", shape, in: 0.02...0.1)
                    var operands = [x, scale]
                    if hasZero {
                        let count = shape.reduce(1, *)
                        let store = element == .u16 ? try WeightStore([UInt16](repeating: 7, count: count)) : try WeightStore([UInt8](repeating: 3, count: count))
                        operands.append(builder.weight("zero", try Weight(name: "zero", shape: Shape(shape), format: .dense(element), store: store)))
                    }
                    let q = try builder.node(.tensor(.quantize(element)), operands, name: "q")[0]
                    let y = try builder.node(.tensor(.dequantize(.f32)), [q] + operands.dropFirst(), name: "y")[0]
                    let wide = try builder.node(.tensor(.cast(.i32, saturates: true)), [q], name: "wide")[0]
                    try expectRoundTrip(builder, [wide, y], ["x": tensor(xShape, in: -3...3)])
                }
            }
        }
    }

    // MARK: - The file

    @Test("Weights in a file of their own are found again") func externalData() throws {
        var builder = GraphBuilder(name: "external")
        let x = builder.input("x", .f32, [2, 40])
        let w = try weight(&builder, "w", [30, 40]), b = try weight(&builder, "b", [30])
        let y = try builder.linear(x, w, bias: b, name: "y")
        try expectRoundTrip(builder, [y], ["x": tensor([2, 40])], options: ONNXWriter.Options(externalData: .always))
    }

    @Test("Outputs that are inputs, weights, or the same twice; equal names") func awkwardOutputs() throws {
        var builder = GraphBuilder(name: "")
        let x = builder.input("x", .f32, [3])
        let w = try weight(&builder, "x", [3])
        let y = try builder.binary(.add, x, w, name: "x")
        try expectRoundTrip(builder, [x, w, y, y], ["x": tensor([3])])
    }

    @Test("Only what needs a later operator set asks for it") func versions() throws {
        var builder = GraphBuilder(name: "versions")
        let x = builder.input("x", .f32, [3])
        builder.output(try builder.unary(.mish, x, name: "mish"))
        #expect(try ONNXWriter(builder.graph).operatorSetVersion == 21)
        builder.output(try builder.node(.tensor(.cumulative(Cumulative(isProduct: true, axis: 0))), [x], name: "products")[0])
        #expect(try ONNXWriter(builder.graph).operatorSetVersion == 26)
    }
}
