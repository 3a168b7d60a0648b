// Weights that are kept as integers and their scales become constants of floats that remember where they come from, as an import makes them: fusions of
// quantised networks look there, and what nothing fuses computes with the floats.

/// Takes the quantisation off constants: a dequantize node whose operands are all constants becomes a constant with `Value.quantized`.
///
/// Scales and zero points may be one number, or one an element of an axis.
public struct DequantizedConstants: GraphPass {
    public let name = "dequantised constants"

    public init() {}

    public func run(_ graph: Graph) throws -> Graph {
        var result = graph
        result.nodes = []
        let outputs = Set(graph.outputs)
        for node in graph.nodes {
            guard case .tensor(.dequantize(.f32)) = node.op, !outputs.contains(node.outputs[0]),
                let weight = try result.dequantized(node)
            else {
                result.nodes.append(node)
                continue
            }
            result[node.outputs[0]].origin = .weight(weight)
            result[node.outputs[0]].quantized = QuantizedSource(
                values: node.inputs[0], scale: node.inputs[1], zeroPoint: node.inputs.count > 2 ? node.inputs[2] : nil)
        }
        return result
    }
}

extension Graph {
    /// What a dequantize node computes; nil unless its operands are constants of the kinds the pass takes.
    fileprivate func dequantized(_ node: Node) throws -> Weight? {
        guard let values = self[node.inputs[0]].weight, let scale = self[node.inputs[1]].weight, scale.format == .dense(.f32),
            let spread = ConstantSpread(scale.shape.dimensions, over: values.shape.dimensions), let numbers = values.integers
        else { return nil }
        var zeros = [Int32(0)]
        if node.inputs.count > 2 {
            guard let zero = self[node.inputs[2]].weight, zero.shape == scale.shape, let numbers = zero.integers else { return nil }
            zeros = numbers
        }
        let scales = scale.store.withBytes { Array($0.bindMemory(to: Float.self)) }
        let store = try WeightStore(byteCount: numbers.count * 4) { target in
            let target = target.bindMemory(to: Float.self)
            for (index, number) in numbers.enumerated() {
                let place = spread.place(of: index)
                target[index] = Float(number - zeros[zeros.count == 1 ? 0 : place]) * scales[place]
            }
        }
        return try Weight(name: node.name, shape: values.shape, format: .dense(.f32), store: store)
    }
}

/// How numbers of a small tensor lie over a large one: one for all, or one an element of an axis.
struct ConstantSpread {
    private let inner: Int
    private let count: Int

    /// Nil when `small` has more than one axis that is longer than 1, or does not broadcast.
    init?(_ small: [Int], over large: [Int]) {
        guard small.count <= large.count else { return nil }
        let padded = [Int](repeating: 1, count: large.count - small.count) + small
        let long = padded.indices.filter { padded[$0] != 1 }
        guard long.count <= 1 else { return nil }
        guard let axis = long.first else {
            (inner, count) = (1, 1)
            return
        }
        guard padded[axis] == large[axis] else { return nil }
        inner = max(1, large[(axis + 1)...].reduce(1, *))
        count = large[axis]
    }

    func place(of index: Int) -> Int { count <= 1 ? 0 : index / inner % count }
}

extension Weight {
    /// The elements of a tensor of small integers; nil for other types.
    fileprivate var integers: [Int32]? {
        switch format {
        case .dense(.i8): store.withBytes { $0.map { Int32(Int8(bitPattern: $0)) } }
        case .dense(.u8): store.withBytes { $0.map { Int32($0) } }
        default: nil
        }
    }
}
