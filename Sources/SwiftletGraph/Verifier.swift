// The verifier: what every graph must satisfy before a pass, a planner or a backend may rely on it.
//
// One walk in node order. It keeps, for each value seen so far, who computed it, and for each state its latest version: a state is memory,
// and `cacheWrite` returns the same memory after the write, so reading an older version after a newer one exists would read wrong data.

extension Graph {
    /// Checks the whole graph: ids in range; names unique; inputs listed once; every operand defined before its use and every value computed
    /// once; stored types equal to the inferred ones; weights, inputs and states only where their role allows; outputs that exist.
    ///
    /// Throws `SwiftletError.invalidGraph` naming the offending node or value.
    public func verify() throws {
        try verifyIDs()
        try verifyInputs()
        var verifier = Verifier(graph: self)
        for node in nodes { try verifier.visit(node) }
        for output in outputs { try verifier.visit(output: output) }
    }

    /// Every id that anything mentions exists. Nothing else may look a value up before this has passed.
    private func verifyIDs() throws {
        func check(_ ids: [ValueID], _ place: String, _ role: String) throws {
            for id in ids where !values.indices.contains(id.index) {
                throw invalid(
                    place, "\(role) \(id) does not exist: the graph has \(values.count) values", "Use ids that this graph returned.")
            }
        }
        try check(inputs, name, "input")
        try check(outputs, name, "output")
        for node in nodes {
            try check(node.inputs, node.name, "operand")
            try check(node.outputs, node.name, "result")
        }
    }

    private func verifyInputs() throws {
        var names = Set<String>()
        for id in inputs {
            let value = self[id]
            guard case .input = value.origin else { throw invalid(value.name, "is listed as an input but is none", "List only inputs.") }
            guard names.insert(value.name).inserted else {
                throw invalid(value.name, "two inputs have this name, or one is listed twice", "Give every input a name of its own.")
            }
        }
    }
}

private func invalid(_ place: String, _ reason: String, _ remedy: String) -> SwiftletError {
    .invalidGraph(node: place, reason: reason, remedy: remedy)
}

private struct Verifier {
    let graph: Graph
    let inputs: Set<ValueID>
    /// The node that computes each value, for all nodes: to tell a wrong order from a value that nobody computes.
    let producers: [ValueID: Int]
    var nodeNames = Set<String>()
    var defined = Set<ValueID>()
    /// The state whose bytes a value is.
    var stateRoots: [ValueID: ValueID] = [:]
    /// The value that holds each state's newest content.
    var latestVersions: [ValueID: ValueID] = [:]

    init(graph: Graph) {
        self.graph = graph
        inputs = Set(graph.inputs)
        producers = graph.producers()
    }

    mutating func visit(_ node: Node) throws {
        guard !node.name.isEmpty, nodeNames.insert(node.name).inserted else {
            throw invalid(node.name, "the name is empty or used by another node", "Give every node a name of its own.")
        }
        for (position, operand) in node.inputs.enumerated() { try visit(operand, reader: node, position: position) }
        try checkTypes(of: node)
        for result in node.outputs {
            guard case .node = graph[result].origin else {
                throw invalid(
                    node.name, "computes '\(graph[result].name)', which is \(kind(of: result))", "Give the node a value of its own.")
            }
            guard defined.insert(result).inserted else {
                throw invalid(node.name, "computes '\(graph[result].name)' a second time", "Let one node compute each value.")
            }
        }
        if node.op.writesState, let root = stateRoots[node.inputs[0]] {
            stateRoots[node.outputs[0]] = root
            latestVersions[root] = node.outputs[0]
        }
    }

    func visit(output: ValueID) throws {
        try checkDefined(output, reader: graph.name, role: "output")
        guard stateRoots[output] == nil, graph[output].state == nil else {
            throw invalid(graph[output].name, "is a state and an output of the graph", "Read the state where the session holds it.")
        }
    }

    private mutating func visit(_ operand: ValueID, reader node: Node, position: Int) throws {
        let value = graph[operand]
        try checkDefined(operand, reader: node.name, role: "operand \(position)")
        switch value.origin {
        case .state(let state):
            guard value.type.shape == state.shape else {
                throw invalid(value.name, "has the type \(value.type), which is not the shape of the state", "Keep the two in step.")
            }
            stateRoots[operand] = operand
            if latestVersions[operand] == nil { latestVersions[operand] = operand }
        case .weight(let weight): try checkWeight(weight, value, reader: node, position: position)
        case .input, .node: break
        }
        let needsState = node.op.stateOperands.contains(position)
        if let root = stateRoots[operand] {
            guard needsState else {
                throw invalid(
                    node.name, "reads the state '\(graph[root].name)' as operand \(position)", "Only caches and attention read states.")
            }
            guard latestVersions[root] == operand else {
                throw invalid(
                    node.name, "reads the state '\(graph[root].name)' as it was before a write that has already happened",
                    "Take the result of the last cacheWrite before this node.")
            }
        } else if needsState {
            throw invalid(
                node.name, "operand \(position) ('\(value.name)') must be a state or the result of writing one", "Pass the state.")
        }
    }

    private func checkDefined(_ id: ValueID, reader: String, role: String) throws {
        let value = graph[id]
        switch value.origin {
        case .weight, .state: return
        case .input:
            if !inputs.contains(id) {
                throw invalid(reader, "\(role) '\(value.name)' is missing from the graph's inputs", "List the input.")
            }
        case .node:
            if defined.contains(id) { return }
            guard let producer = producers[id] else {
                throw invalid(reader, "\(role) '\(value.name)' is computed by no node", "Keep the node that computes it.")
            }
            throw invalid(
                reader,
                "\(role) '\(value.name)' is used before '\(graph.nodes[producer].name)' computes it: the order is wrong or there is a cycle",
                "Order the nodes so that operands come first.")
        }
    }

    private func checkWeight(_ weight: Weight, _ value: Value, reader node: Node, position: Int) throws {
        guard value.type == weight.type else {
            throw invalid(value.name, "has the type \(value.type) but its data is \(weight.type)", "Keep the two in step.")
        }
        if case .block = weight.format, !node.op.takesBlocks(at: position) {
            throw invalid(
                node.name,
                "operand \(position) ('\(value.name)') is stored in \(weight.format) blocks, which only linear and embedding read",
                "Dequantise the weight.")
        }
    }

    private func checkTypes(of node: Node) throws {
        let types = try node.op.outputTypes(for: node.inputs.map { graph[$0].type }, node: node.name)
        guard types.count == node.outputs.count else {
            throw invalid(node.name, "has \(node.outputs.count) results where \(types.count) are computed", "List every result once.")
        }
        for (result, type) in zip(node.outputs, types) where graph[result].type != type {
            throw invalid(
                node.name, "the result '\(graph[result].name)' is stored as \(graph[result].type) but computed as \(type)",
                "Infer the types again after changing operands.")
        }
    }

    private func kind(of id: ValueID) -> String {
        switch graph[id].origin {
        case .input: "an input"
        case .weight: "a weight"
        case .state: "a state"
        case .node: "computed"
        }
    }
}

extension Op {
    /// The operands that must be states (and the only ones that may be).
    fileprivate var stateOperands: Range<Int> {
        switch self {
        case .cacheWrite: 0..<1
        case .attention: 1..<3
        case .linear, .embedding, .gatherRows, .rmsNorm, .layerNorm, .softmax, .unary, .binary, .rotaryTable, .rotary, .reshape, .tensor: 0..<0
        }
    }

    /// Whether the operand may be a weight in quantised blocks.
    fileprivate func takesBlocks(at position: Int) -> Bool {
        switch self {
        case .linear(let linear): (1...max(1, linear.weightCount)).contains(position)
        case .embedding: position == 0
        case .gatherRows, .rmsNorm, .layerNorm, .softmax, .unary, .binary, .rotaryTable, .rotary, .cacheWrite, .attention, .reshape, .tensor: false
        }
    }
}
