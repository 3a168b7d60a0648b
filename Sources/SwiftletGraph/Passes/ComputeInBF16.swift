// Half the bytes of activations and weights, and twice the products a second where a machine multiplies bf16.

/// Lets convolutions compute in bf16: what they read and write is rounded to it, sums stay f32. What stands between them (activations, scales a channel,
/// sums, pools, joins) works on bf16 as well, so that images exist in bf16 alone; casts stand where others read them. Matrices of linear layers are
/// stored in bf16, their activations stay f32.
///
/// For networks whose user asks for it: results differ from f32 by the rounding, 8 bits of mantissa. Behind the fusions, which look for f32.
public struct ComputeInBF16: GraphPass {
    public let name = "bf16"
    private let excludes: @Sendable (Convolution, _ x: ValueType, _ result: ValueType) -> Bool

    /// - excludes: convolutions that stay as they are, by the types of their input and result, as where f32 has an algorithm that is faster still.
    public init(excluding excludes: @escaping @Sendable (Convolution, _ x: ValueType, _ result: ValueType) -> Bool = { _, _, _ in false }) {
        self.excludes = excludes
    }

    public func run(_ graph: Graph) throws -> Graph {
        var rounding = Rounding(graph)
        for node in graph.nodes {
            if let places = roundedOperands(of: node, rounding) { try rounding.take(node, places) } else { try rounding.keep(node) }
        }
        return rounding.finished()
    }

    /// The operands that a node reads in bf16 when it makes bf16; nil for a node that stays.
    private func roundedOperands(of node: Node, _ rounding: Rounding) -> [Int]? {
        let graph = rounding.graph
        guard let x = node.inputs.first, node.outputs.count == 1, graph[x].type.element == .f32, let result = graph[node.outputs[0]].type.shape.fixedSizes,
            result.count == 3 || result.count == 4
        else { return nil }
        switch node.op {
        case .tensor(.convolution(let convolution)):
            guard graph[x].type.shape.fixedSizes != nil, graph[x].weight == nil, graph[node.inputs[1]].weight?.format == .dense(.f32) else { return nil }
            // A single pixel is a row of numbers: casts would cost more than they save.
            guard result[2...].reduce(1, *) > 1, !excludes(convolution, graph[x].type, graph[node.outputs[0]].type) else { return nil }
            return [0] + (convolution.hasResidual ? [node.inputs.count - 1] : [])
        case .tensor(.pool(let pool)): return pool.kind == .maximum(indices: false) && rounding.has(x) ? [0] : nil
        case .tensor(.concat(axis: 1)): return node.inputs.allSatisfy(rounding.has) ? Array(node.inputs.indices) : nil
        case .tensor(.reduce(.mean, let axes, keepsAxes: true)):
            // Beside others that read bf16: alone it is better off with f32, which is what becomes of its result.
            return rounding.has(x) && rounding.readers(of: x) > 1 && axes == Array(2..<result.count) ? [0] : nil
        case .unary(let function): return rounding.has(x) && function.isActivation ? [0] : nil
        case .binary(let function):
            if rounding.has(x), rounding.has(node.inputs[1]), function == .add, graph[x].type == graph[node.inputs[1]].type { return [0, 1] }
            for (image, other) in [(0, 1), (1, 0)] where rounding.has(node.inputs[image]) && (image == 0 || function == .multiply || function == .add) {
                guard graph[node.inputs[image]].type == graph[node.outputs[0]].type else { continue }
                let isConstant = graph.channelConstant(node.inputs[other], of: node.outputs[0]) != nil
                let isVector = graph.isChannelVector(node.inputs[other], of: node.outputs[0])
                switch function {
                case .multiply where isConstant || isVector: return [image]
                case .add where isConstant, .subtract where isConstant, .divide where isConstant: return [image]
                default: continue
                }
            }
            return nil
        default: return nil
        }
    }
}

/// The graph on its way to bf16.
private struct Rounding {
    let graph: Graph
    private var result: Graph
    /// Values and constants that exist in bf16 too.
    private var narrow: [ValueID: ValueID] = [:]
    /// Values that taken nodes make, which exist in bf16 first, and in f32 once somebody has asked for it.
    private var made: Set<ValueID> = []
    private var widened: Set<ValueID> = []
    private let counts: [ValueID: Int]

    init(_ graph: Graph) {
        self.graph = graph
        result = graph
        result.nodes = []
        counts = graph.readerCounts()
    }

    /// Whether a taken node made the value.
    func has(_ value: ValueID) -> Bool { made.contains(value) }

    func readers(of value: ValueID) -> Int { counts[value] ?? 0 }

    /// Adds the node with operands at `places` in bf16, and constants of f32 that convolutions multiply with; it makes bf16.
    mutating func take(_ node: Node, _ places: [Int]) throws {
        var node = node
        for place in places { node.inputs[place] = rounded(node.inputs[place]) }
        for place in node.inputs.indices where !places.contains(place) { widen(node.inputs[place]) }
        if case .tensor(.convolution) = node.op { node.inputs[1] = try constant(node.inputs[1]) }
        // The image comes first.
        if case .binary = node.op, places == [1] { node.inputs.swapAt(0, 1) }
        let output = node.outputs[0]
        node.outputs = [narrowed(output)]
        made.insert(output)
        result.nodes.append(node)
    }

    /// Adds the node as it is, but for the matrices of linear layers.
    mutating func keep(_ node: Node) throws {
        var node = node
        if case .linear(let linear) = node.op {
            for place in 1...linear.weightCount where graph[node.inputs[place]].weight?.format == .dense(.f32) { node.inputs[place] = try constant(node.inputs[place]) }
        }
        for input in node.inputs { widen(input) }
        result.nodes.append(node)
    }

    mutating func finished() -> Graph {
        for output in graph.outputs { widen(output) }
        return result
    }

    private mutating func narrowed(_ value: ValueID) -> ValueID {
        let name = "\(graph[value].name).bf16"
        let id = result.add(Value(name: name, type: ValueType(.bf16, graph[value].type.shape), origin: .node))
        narrow[value] = id
        return id
    }

    /// The value in bf16, cast where it is not there yet.
    private mutating func rounded(_ value: ValueID) -> ValueID {
        if let id = narrow[value] { return id }
        let id = narrowed(value)
        result.nodes.append(Node(name: result[id].name, op: .tensor(.cast(.bf16, saturates: false)), inputs: [value], outputs: [id]))
        return id
    }

    /// Casts a value back that exists in bf16 alone so far.
    private mutating func widen(_ value: ValueID) {
        guard made.contains(value), widened.insert(value).inserted, let id = narrow[value] else { return }
        result.nodes.append(Node(name: "\(graph[value].name).f32", op: .tensor(.cast(.f32, saturates: false)), inputs: [id], outputs: [value]))
    }

    private mutating func constant(_ value: ValueID) throws -> ValueID {
        if let id = narrow[value] { return id }
        guard let weight = graph[value].weight else { return value }
        let rounded = try Weight(
            name: graph[value].name, shape: weight.shape, format: .dense(.bf16), store: WeightStore(weight.floats().map(\.brainFloatBits)))
        let id = result.add(Value(name: graph[value].name, type: rounded.type, origin: .weight(rounded)))
        narrow[value] = id
        return id
    }
}
