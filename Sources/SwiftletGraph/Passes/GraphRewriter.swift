// What the fusions share: finding who computes and who reads a value, and replacing several nodes by one.
//
// A fused node computes the very values its parts left to the outside, so no reader changes. Indices are those of the original graph until
// `result()`: a match never shifts the ones after it.

struct GraphRewriter {
    private(set) var graph: Graph
    private let readers: [ValueID: Int]
    private var producers: [ValueID: Int]
    /// The nodes by their original index; nil for those that a fusion took.
    private var nodes: [Node?]

    init(_ graph: Graph) {
        self.graph = graph
        readers = graph.readerCounts()
        producers = graph.producers()
        nodes = graph.nodes
    }

    var indices: Range<Int> { nodes.indices }

    /// The node at an original index as it is now; nil once a fusion took it.
    subscript(index: Int) -> Node? { nodes[index] }

    func type(of id: ValueID) -> ValueType { graph[id].type }

    subscript(value id: ValueID) -> Value { graph[id] }

    /// A new f32 constant of the shape of another.
    mutating func constant(_ values: [Float], like other: ValueID) throws -> ValueID {
        try constant(values, shape: Shape(type(of: other).shape.compactMap(\.fixed)), name: graph[other].name)
    }

    /// A new f32 vector.
    mutating func constant(_ values: [Float], name: String) throws -> ValueID { try constant(values, shape: [values.count], name: name) }

    /// A new i32 vector.
    mutating func constant(_ values: [Int32], name: String) throws -> ValueID {
        constant(try Weight(name: name, shape: [values.count], format: .dense(.i32), store: WeightStore(values)), name: name)
    }

    /// A new constant.
    mutating func constant(_ weight: Weight, name: String) -> ValueID {
        graph.add(Value(name: name, type: weight.type, origin: .weight(weight)))
    }

    private mutating func constant(_ values: [Float], shape: Shape, name: String) throws -> ValueID {
        constant(try Weight(name: name, shape: shape, format: .dense(.f32), store: WeightStore(values)), name: name)
    }

    /// The index of the node that computes `id`, for values that nobody but one node reads (a graph output has a reader outside): a fusion
    /// may make such a value disappear.
    func soleProducer(of id: ValueID) -> Int? { readers[id] == 1 ? producers[id] : nil }

    /// The index of the node that computes `id`, however many read it.
    func producer(of id: ValueID) -> Int? { producers[id] }

    /// Whether `id` is known before the node at `index` runs.
    func isKnown(_ id: ValueID, before index: Int) -> Bool { producers[id].map { $0 < index } ?? true }

    /// Puts `node` in the place of the node at `index` and removes the other `parts`. Its operands must be known there, and everything that
    /// `parts` computed for others must be among its outputs.
    mutating func replace(_ parts: [Int], with node: Node, at index: Int) {
        for part in parts { nodes[part] = nil }
        nodes[index] = node
        for output in node.outputs { producers[output] = index }
    }

    /// The elements of an f32 constant.
    func floats(_ id: ValueID) -> [Float]? {
        guard let weight = self[value: id].weight, weight.format == .dense(.f32) else { return nil }
        return try? weight.floats()
    }

    /// The only element of an f32 constant.
    func number(_ id: ValueID) -> Float? {
        guard self[value: id].weight?.shape.elementCount == 1 else { return nil }
        return floats(id)?.first
    }

    func result() -> Graph {
        var result = graph
        result.nodes = nodes.compactMap { $0 }
        return result
    }
}

extension Node {
    /// The matrix product when the node is one that nothing has been fused into.
    var plainLinear: Linear? {
        guard case .linear(let linear) = op, linear.weightCount == 1, linear.epilogue == .none, !linear.isRanked else { return nil }
        return linear
    }

    /// The operands in both orders when the node is this function of two, which must commute.
    func operands(ofCommutative function: Binary) -> [(ValueID, ValueID)] {
        guard op == .binary(function) else { return [] }
        return [(inputs[0], inputs[1]), (inputs[1], inputs[0])]
    }
}
