// The graph: values and the nodes that compute them, in an order in which every operand comes before its use.

/// One operation with its operands and results.
public struct Node: Sendable {
    public var name: String
    public var op: Op
    public var inputs: [ValueID]
    public var outputs: [ValueID]

    public init(name: String, op: Op, inputs: [ValueID], outputs: [ValueID]) {
        self.name = name
        self.op = op
        self.inputs = inputs
        self.outputs = outputs
    }
}

/// A model: typed values, nodes in topological order, inputs and outputs. A value type: passes take one and return another.
public struct Graph: Sendable {
    public var name: String
    /// Every value ever made; unused ones cost nothing.
    public private(set) var values: [Value] = []
    public var nodes: [Node] = []
    public var inputs: [ValueID] = []
    public var outputs: [ValueID] = []

    public init(name: String) { self.name = name }

    public subscript(id: ValueID) -> Value {
        get { values[id.index] }
        set { values[id.index] = newValue }
    }

    /// Adds a value and returns its id; inputs are also listed in `inputs`.
    package mutating func add(_ value: Value) -> ValueID {
        values.append(value)
        let id = ValueID(values.count - 1)
        if case .input = value.origin { inputs.append(id) }
        return id
    }

    /// The input with this name.
    public func input(named name: String) -> ValueID? { inputs.first { self[$0].name == name } }

    /// All weights that a node reads, each once, in order of first use.
    public var weights: [(id: ValueID, weight: Weight)] {
        var seen = Set<ValueID>()
        return nodes.flatMap(\.inputs).compactMap { id in
            guard let weight = self[id].weight, seen.insert(id).inserted else { return nil }
            return (id, weight)
        }
    }

    /// All states that a node reads or writes, each once, in order of first use.
    public var states: [ValueID] {
        var seen = Set<ValueID>()
        return nodes.flatMap(\.inputs).filter { self[$0].state != nil && seen.insert($0).inserted }
    }

    /// How many nodes read each value; a graph output counts as one more reader.
    package func readerCounts() -> [ValueID: Int] {
        var counts: [ValueID: Int] = [:]
        for node in nodes { for input in node.inputs { counts[input, default: 0] += 1 } }
        for output in outputs { counts[output, default: 0] += 1 }
        return counts
    }

    /// The index in `nodes` of the node that produces each computed value.
    package func producers() -> [ValueID: Int] {
        var producers: [ValueID: Int] = [:]
        for (index, node) in nodes.enumerated() { for output in node.outputs { producers[output] = index } }
        return producers
    }

    /// Follows values that only rename another one's bytes (reshapes, a state after a write) to the value that owns the bytes.
    package func storageRoots() -> [ValueID: ValueID] {
        var roots: [ValueID: ValueID] = [:]
        for node in nodes where node.op.aliasesFirstInput {
            roots[node.outputs[0]] = roots[node.inputs[0]] ?? node.inputs[0]
        }
        return roots
    }
}

extension Op {
    /// Whether the first output is the first operand's bytes under another type or at a later time.
    package var aliasesFirstInput: Bool {
        switch self {
        case .reshape, .cacheWrite, .tensor(.bitcast): true
        case .linear, .embedding, .gatherRows, .rmsNorm, .layerNorm, .softmax, .unary, .binary, .rotaryTable, .rotary, .attention, .tensor: false
        }
    }

    /// Whether the node changes memory that outlives the run, so that it must stay even when nobody reads its output.
    package var writesState: Bool { self == .cacheWrite }
}
