// Graphs that say where they are quantised, with pairs of quantize and dequantize around float operations, become integer operations: exact sums of
// 8-bit numbers instead of floats that were rounded to them.

/// Makes signed 8-bit activations unsigned, by adding 128 to numbers and zero points: kernels take one kind.
public struct UnsignedActivations: GraphPass {
    public let name = "unsigned activations"

    public init() {}

    public func run(_ graph: Graph) throws -> Graph {
        var result = graph
        var readers: [ValueID: [Int]] = [:]
        for (index, node) in graph.nodes.enumerated() { for input in node.inputs { readers[input, default: []].append(index) } }
        let outputs = Set(graph.outputs)
        for (index, node) in graph.nodes.enumerated() {
            guard case .tensor(.quantize(.i8)) = node.op, !outputs.contains(node.outputs[0]), let users = readers[node.outputs[0]] else { continue }
            // Everything that reads it takes the quantisation off again.
            guard users.allSatisfy({ if case .tensor(.dequantize) = graph.nodes[$0].op { graph.nodes[$0].inputs[0] == node.outputs[0] } else { false } }) else { continue }
            guard let zeros = try ([index] + users).map({ try result.unsignedZero(of: result.nodes[$0]) }) as? [ValueID] else { continue }
            result.nodes[index].op = .tensor(.quantize(.u8))
            result[node.outputs[0]].type = ValueType(.u8, result[node.outputs[0]].type.shape)
            for (place, zero) in zip([index] + users, zeros) { result.nodes[place].inputs = Array(result.nodes[place].inputs.prefix(2)) + [zero] }
        }
        return result
    }
}

extension Graph {
    /// The zero point of a node as u8, 128 more than the one of i8 it has; nil when that is not constant.
    fileprivate mutating func unsignedZero(of node: Node) throws -> ValueID? {
        guard node.inputs.count == 3 else { return try constant([128], shape: [], name: "zero") }
        guard let weight = self[node.inputs[2]].weight, weight.format == .dense(.i8) else { return nil }
        let values = weight.store.withBytes { bytes in bytes.map { UInt8(truncatingIfNeeded: Int(Int8(bitPattern: $0)) + 128) } }
        return try constant(values, shape: weight.shape, name: "zero")
    }

    private mutating func constant(_ values: [UInt8], shape: Shape, name: String) throws -> ValueID {
        let weight = try Weight(name: name, shape: shape, format: .dense(.u8), store: WeightStore(values))
        return add(Value(name: name, type: weight.type, origin: .weight(weight)))
    }
}

/// Fuses convolutions, linear layers, means over space and sums between dequantize and quantize, and drops what only changes the shape between them.
public struct FuseQuantization: GraphPass {
    public let name = "quantisation"

    public init() {}

    public func run(_ graph: Graph) throws -> Graph {
        var rewriter = GraphRewriter(graph)
        for index in rewriter.indices {
            guard let node = rewriter[index], case .tensor(.quantize(.u8)) = node.op, let output = rewriter.scaleAndZero(node) else { continue }
            if let x = rewriter.sameLevels(node.inputs[0], output) {
                // The numbers are what they were: a change of shape at most.
                let shape = rewriter.type(of: node.outputs[0]).shape
                rewriter.replace([], with: Node(name: node.name, op: .reshape(shape), inputs: [x], outputs: node.outputs), at: index)
                continue
            }
            var parts: [Int] = []
            guard var producer = rewriter.soleProducer(of: node.inputs[0]), var made = rewriter[producer] else { continue }
            parts.append(producer)
            var range = 0...255
            // A function that only cuts becomes the range of the result.
            if case .unary(let function) = made.op, let cut = output.range(of: function) {
                guard let before = rewriter.soleProducer(of: made.inputs[0]), let node = rewriter[before] else { continue }
                (range, producer, made) = (cut, before, node)
                parts.append(before)
            }
            let fused: Fused? =
                switch made.op {
                case .tensor(.convolution(let convolution)): try fuse(convolution, made, output, range, &rewriter)
                case .linear: try linear(made, output, range, &rewriter)
                case .tensor(.reduce(.mean, let axes, keepsAxes: true)): mean(made, axes, output, range, rewriter)
                case .binary(.add): sum(made, output, range, rewriter)
                default: nil
                }
            if let fused {
                rewriter.replace(parts, with: Node(name: made.name, op: .tensor(fused.op), inputs: fused.operands, outputs: node.outputs), at: index)
            }
        }
        return rewriter.result()
    }

    private typealias Fused = (op: TensorOp, operands: [ValueID])

    private func fuse(
        _ convolution: Convolution, _ node: Node, _ output: ScaleAndZero, _ range: ClosedRange<Int>, _ rewriter: inout GraphRewriter
    ) throws -> Fused? {
        guard convolution.activation == nil, !convolution.hasResidual,
            let product = try product(node, bias: convolution.hasBias ? node.inputs[2] : nil, output, &rewriter)
        else { return nil }
        let quantized = QuantizedConvolution(
            window: convolution.window, groups: convolution.groups, inputZero: product.inputZero, outputZero: output.zero, range: range)
        return (.quantizedConvolution(quantized), product.operands)
    }

    private func linear(_ node: Node, _ output: ScaleAndZero, _ range: ClosedRange<Int>, _ rewriter: inout GraphRewriter) throws -> Fused? {
        guard let linear = node.plainLinear, let product = try product(node, bias: linear.hasBias ? node.inputs[2] : nil, output, &rewriter) else { return nil }
        return (.quantizedLinear(QuantizedLinear(inputZero: product.inputZero, outputZero: output.zero, range: range)), product.operands)
    }

    /// x, weight, bias and factor of a product of quantised numbers with a quantised weight `[features, …]`; nil when it is none.
    private func product(
        _ node: Node, bias: ValueID?, _ output: ScaleAndZero, _ rewriter: inout GraphRewriter
    ) throws -> (inputZero: Int, operands: [ValueID])? {
        guard let x = rewriter.dequantized(node.inputs[0]), let source = rewriter[value: node.inputs[1]].quantized,
            let weight = rewriter[value: source.values].weight, weight.format == .dense(.i8), rewriter.isZero(source.zeroPoint),
            let features = weight.shape.dimensions.first, var scales = rewriter.scales(source.scale, features: features, rank: weight.shape.rank)
        else { return nil }
        var sums = [Int32](repeating: 0, count: features)
        var values = source.values
        if let bias {
            guard let bias = rewriter.floats(bias), bias.count == features else { return nil }
            // A channel whose weights are next to nothing has a bias of very many of its units: it gets larger units, in which sums have room, and
            // weights that lose bits nobody could see beside such a bias.
            var shifts = [Int](repeating: 0, count: features)
            for feature in 0..<features {
                let unit = Double(bias[feature]) / (Double(x.scale) * Double(scales[feature]))
                guard unit.isFinite else { return nil }
                while abs(unit) * Double(sign: .plus, exponent: -shifts[feature], significand: 1) >= 0x1p29 { shifts[feature] += 1 }
                scales[feature] *= Float(sign: .plus, exponent: shifts[feature], significand: 1)
                sums[feature] = Int32((unit * Double(sign: .plus, exponent: -shifts[feature], significand: 1)).rounded(.toNearestOrEven))
            }
            if shifts.contains(where: { $0 > 0 }) { values = try rewriter.shifted(weight, by: shifts, name: node.name) }
        }
        let factors = scales.map { x.scale * $0 / output.scale }
        guard factors.allSatisfy({ $0.isFinite && $0 > 0 }) else { return nil }
        let constant = try rewriter.constant(sums, name: "\(node.name).bias"), factor = try rewriter.constant(factors, name: "\(node.name).factor")
        return (x.zero, [x.values, values, constant, factor])
    }

    private func mean(_ node: Node, _ axes: [Int], _ output: ScaleAndZero, _ range: ClosedRange<Int>, _ rewriter: GraphRewriter) -> Fused? {
        guard let x = rewriter.dequantized(node.inputs[0]) else { return nil }
        let shape = rewriter.type(of: x.values).shape
        let space = shape.dropFirst(2).compactMap(\.fixed)
        guard shape.count > 2, axes.sorted() == Array(2..<shape.count), space.count == shape.count - 2, space.allSatisfy({ $0 > 0 }),
            let count = Shape(space).checkedElementCount, count <= 1 << 23
        else { return nil }
        let factor = x.scale / (output.scale * Float(count))
        guard factor.isFinite, factor > 0 else { return nil }
        return (.quantizedMean(QuantizedMean(inputZero: x.zero, factor: factor, outputZero: output.zero, range: range)), [x.values])
    }

    private func sum(_ node: Node, _ output: ScaleAndZero, _ range: ClosedRange<Int>, _ rewriter: GraphRewriter) -> Fused? {
        guard let a = rewriter.dequantized(node.inputs[0]), let b = rewriter.dequantized(node.inputs[1]),
            rewriter.type(of: a.values) == rewriter.type(of: b.values)
        else { return nil }
        let sum = QuantizedSum(
            zeroA: a.zero, zeroB: b.zero, factorA: a.scale / output.scale, factorB: b.scale / output.scale, zero: output.zero, range: range)
        return (.quantizedSum(sum), [a.values, b.values])
    }
}

/// The scale and zero point of a whole tensor of u8.
private struct ScaleAndZero {
    let scale: Float
    let zero: Int

    /// What a function that only cuts leaves of the range of results; nil for others.
    func range(of function: Unary) -> ClosedRange<Int>? {
        func level(_ value: Float) -> Int { Int(min(max((value / scale).rounded(.toNearestOrEven) + Float(zero), 0), 255)) }
        switch function {
        case .relu: return min(max(zero, 0), 255)...255
        case .clip(let low, let high) where low <= high: return level(low)...level(high)
        default: return nil
        }
    }
}

extension GraphRewriter {
    /// The constants of a quantize or dequantize node of a whole u8 tensor.
    fileprivate func scaleAndZero(_ node: Node) -> ScaleAndZero? {
        guard let scale = number(node.inputs[1]), scale.isFinite, scale > 0 else { return nil }
        guard node.inputs.count == 3 else { return ScaleAndZero(scale: scale, zero: 0) }
        guard let zero = self[value: node.inputs[2]].weight, zero.format == .dense(.u8), zero.shape.elementCount == 1 else { return nil }
        return ScaleAndZero(scale: scale, zero: zero.store.withBytes { Int($0[0]) })
    }

    /// Weights `[features, …]` divided by powers of two, a shift a feature, rounded.
    fileprivate mutating func shifted(_ weight: Weight, by shifts: [Int], name: String) throws -> ValueID {
        let run = weight.shape.elementCount / max(1, shifts.count)
        let values = weight.store.withBytes { bytes in
            bytes.enumerated().map { place, byte in
                let value = Double(Int8(bitPattern: byte)) * Double(sign: .plus, exponent: -shifts[place / run], significand: 1)
                return Int8(value.rounded(.toNearestOrEven))
            }
        }
        return constant(try Weight(name: name, shape: weight.shape, format: .dense(.i8), store: WeightStore(values)), name: "\(name).weight")
    }

    /// The u8 tensor behind a value that takes its quantisation off.
    fileprivate func dequantized(_ id: ValueID) -> (values: ValueID, scale: Float, zero: Int)? {
        guard let producer = producer(of: id), let node = self[producer], case .tensor(.dequantize(.f32)) = node.op, type(of: node.inputs[0]).element == .u8,
            graph[node.inputs[0]].weight == nil, let constants = scaleAndZero(node)
        else { return nil }
        return (node.inputs[0], constants.scale, constants.zero)
    }

    /// The u8 tensor that `id` is with its quantisation taken off, in another shape perhaps, when it had the scale and zero point that it is to have.
    /// Rounding gives the very numbers: the errors of `(q − z)·s / s` are far below a half.
    fileprivate func sameLevels(_ id: ValueID, _ output: ScaleAndZero) -> ValueID? {
        var id = id
        if let producer = producer(of: id), let node = self[producer], case .reshape = node.op { id = node.inputs[0] }
        guard let x = dequantized(id), x.scale == output.scale, x.zero == output.zero, (0x1p-100...0x1p100).contains(x.scale) else { return nil }
        return x.values
    }

    /// The scales of a weight `[features, …]`, one a feature; nil when they are along another axis.
    fileprivate func scales(_ id: ValueID, features: Int, rank: Int) -> [Float]? {
        guard let scales = floats(id), let shape = self[value: id].weight?.shape.dimensions else { return nil }
        if scales.count == 1 { return [Float](repeating: scales[0], count: features) }
        return shape.count == rank && shape.first == features && scales.count == features ? scales : nil
    }

    /// Whether a zero point is missing or all zeros.
    fileprivate func isZero(_ id: ValueID?) -> Bool {
        guard let id else { return true }
        return self[value: id].weight?.store.withBytes { $0.allSatisfy { $0 == 0 } } ?? false
    }
}
