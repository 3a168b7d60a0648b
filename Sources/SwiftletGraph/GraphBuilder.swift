// Building a graph by hand: each method adds a node, infers its types at once and returns the value it computes.

/// Builds a graph node by node. Shape errors surface at the call that makes them.
public struct GraphBuilder {
    public private(set) var graph: Graph
    private var scope: [String] = []

    public init(name: String) { graph = Graph(name: name) }

    /// From here on `name` stands in front of the names of all nodes (`blk.3/attention`), until `leave`.
    public mutating func enter(_ name: String) { scope.append(name) }

    /// Ends the innermost scope.
    public mutating func leave() { if !scope.isEmpty { scope.removeLast() } }

    /// Runs `body` with `name` in front of the names of all nodes it adds.
    public mutating func scoped<Result>(_ name: String, _ body: (inout GraphBuilder) throws -> Result) rethrows -> Result {
        enter(name)
        defer { leave() }
        return try body(&self)
    }

    /// Runs `body` outside all scopes: for nodes that several scopes share.
    public mutating func atRoot<Result>(_ body: (inout GraphBuilder) throws -> Result) rethrows -> Result {
        let outer = scope
        scope = []
        defer { scope = outer }
        return try body(&self)
    }

    private func qualified(_ name: String) -> String { (scope + [name]).joined(separator: "/") }

    public mutating func input(_ name: String, _ element: DType, _ shape: [Dimension]) -> ValueID {
        graph.add(Value(name: name, type: ValueType(element, shape), origin: .input))
    }

    public mutating func weight(_ name: String, _ weight: Weight) -> ValueID {
        graph.add(Value(name: name, type: weight.type, origin: .weight(weight)))
    }

    public mutating func state(_ name: String, _ state: StateSpec) -> ValueID {
        graph.add(Value(name: qualified(name), type: ValueType(.f32, state.shape), origin: .state(state)))
    }

    public mutating func output(_ value: ValueID) { graph.outputs.append(value) }

    /// Adds a node and returns its outputs.
    public mutating func node(_ op: Op, _ inputs: [ValueID], name: String) throws -> [ValueID] {
        let name = qualified(name)
        let types = try op.outputTypes(for: inputs.map { graph[$0].type }, node: name)
        let outputs = types.enumerated().map { index, type in
            graph.add(Value(name: types.count == 1 ? name : "\(name).\(index)", type: type, origin: .node))
        }
        graph.nodes.append(Node(name: name, op: op, inputs: inputs, outputs: outputs))
        return outputs
    }

    private mutating func single(_ op: Op, _ inputs: [ValueID], _ name: String) throws -> ValueID { try node(op, inputs, name: name)[0] }

    /// `x·Wᵀ (+ bias)`; `best`: an i32 of how many of the largest elements of each row are wanted.
    public mutating func linear(_ x: ValueID, _ weight: ValueID, bias: ValueID? = nil, best: ValueID? = nil, name: String) throws -> ValueID {
        try single(.linear(Linear(hasBias: bias != nil, isRanked: best != nil)), [x, weight] + [bias, best].compactMap { $0 }, name)
    }

    public mutating func embedding(_ table: ValueID, _ ids: ValueID, name: String) throws -> ValueID { try single(.embedding, [table, ids], name) }

    public mutating func gatherRows(_ x: ValueID, _ indices: ValueID, name: String) throws -> ValueID { try single(.gatherRows, [x, indices], name) }

    /// Normalisation, then the product with `scale` as a node of its own: the passes fuse them.
    public mutating func rmsNorm(_ x: ValueID, scale: ValueID, epsilon: Float, name: String) throws -> ValueID {
        let normalised = try single(.rmsNorm(epsilon: epsilon), [x], name)
        return try single(.binary(.multiply), [normalised, scale], name + ".scale")
    }

    public mutating func unary(_ function: Unary, _ x: ValueID, name: String) throws -> ValueID { try single(.unary(function), [x], name) }

    public mutating func binary(_ function: Binary, _ a: ValueID, _ b: ValueID, name: String) throws -> ValueID {
        try single(.binary(function), [a, b], name)
    }

    public mutating func rotaryTable(_ table: RotaryTable, positions: ValueID, factors: ValueID?, name: String) throws -> ValueID {
        try single(.rotaryTable(table), [positions] + (factors.map { [$0] } ?? []), name)
    }

    public mutating func rotary(_ x: ValueID, table: ValueID, layout: RotaryLayout, name: String) throws -> ValueID {
        try single(.rotary(layout), [x, table], name)
    }

    public mutating func cacheWrite(_ state: ValueID, _ x: ValueID, positions: ValueID, slots: ValueID, name: String) throws -> ValueID {
        try single(.cacheWrite, [state, x, positions, slots], name)
    }

    public mutating func attention(
        _ attention: Attention, query: ValueID, keys: ValueID, values: ValueID, positions: ValueID, slots: ValueID, name: String
    ) throws -> ValueID {
        try single(.attention(attention), [query, keys, values, positions, slots], name)
    }

    public mutating func reshape(_ x: ValueID, _ shape: [Dimension], name: String) throws -> ValueID { try single(.reshape(shape), [x], name) }

    /// The type of a value built so far.
    public func type(of value: ValueID) -> ValueType { graph[value].type }
}
