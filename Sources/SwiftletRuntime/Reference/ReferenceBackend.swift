// The reference backend: what every operation means, in plain Swift. Other backends are compared with it, never with themselves.
//
// The rules of the specification, the same for every operation:
// - operands are read as they are stored: weights dequantised bit for bit as their format defines, caches decoded from theirs;
// - everything in between is computed in Double, sums in the order of the index; whole numbers are exact and wrap to their width;
// - a result is rounded once, when it is stored in its declared element type (to nearest even, a cache in its own format);
// - an index outside what it selects from is an error.
// Speed comes last: it is only fast enough to run a small model on a short prompt.

/// Runs every operation slowly and exactly.
package struct ReferenceBackend: Backend {
    package let name = "reference"
    private let pool: ThreadPool?

    /// `pool` shares out the rows of matrix products and the tokens of attention; nil computes on the caller's thread. The result is the same.
    package init(pool: ThreadPool?) { self.pool = pool }

    /// 1 for every operation on every element type: any backend with a kernel goes first. 0 where a cache has a format it does not store, or
    /// where a tensor operation would read one whose elements are not what the value's type says.
    package func preference(for node: Node, in graph: Graph) -> Int {
        let roots = graph.storageRoots()
        func isStored(_ id: ValueID) -> Bool {
            let value = graph[roots[id] ?? id]
            guard let state = value.state else { return true }
            if case .tensor = node.op { return state.format == .dense(value.type.element) }
            return ReferenceTensor.storesCache(in: state.format)
        }
        return (node.inputs + node.outputs).allSatisfy(isStored) ? 1 : 0
    }

    package func compile(_ partition: Partition) throws -> any Program { ReferenceProgram(partition, pool: pool) }
}

/// A partition as it is: nothing is prepared, so that nothing can differ from the graph.
private struct ReferenceProgram: Program {
    let partition: Partition
    let pool: ThreadPool?

    init(_ partition: Partition, pool: ThreadPool?) {
        self.partition = partition
        self.pool = pool
    }

    func workspaceBytes(under binding: Binding) throws -> Int { try layout(under: binding).byteCount }

    /// Offsets of the values that do not leave the partition; each has its own place while some node still reads it.
    private func layout(under binding: Binding) throws -> (offsets: [ValueID: Int], byteCount: Int) {
        let outputs = Set(partition.outputs)
        var lifetimes: [ValueID: ClosedRange<Int>] = [:]
        var order: [ValueID] = []
        for index in partition.nodes {
            let node = partition.graph.nodes[index]
            for input in node.inputs.map(partition.root) {
                if let lifetime = lifetimes[input] { lifetimes[input] = lifetime.lowerBound...index }
            }
            for output in node.outputs where !node.op.aliasesFirstInput && !outputs.contains(output) {
                lifetimes[output] = index...index
                order.append(output)
            }
        }
        let uses = try order.map { value in
            let lifetime = lifetimes[value] ?? partition.nodes.lowerBound...partition.nodes.upperBound
            return BufferUse(bytes: try partition.graph[value].type.byteCount(under: binding), first: lifetime.lowerBound, last: lifetime.upperBound)
        }
        let plan = try MemoryPlan(uses: uses)
        return (Dictionary(uniqueKeysWithValues: zip(order, plan.offsets)), plan.peakBytes)
    }

    func bind(_ memory: BoundMemory) throws -> any BoundProgram {
        let graph = partition.graph
        let offsets = try layout(under: memory.binding).offsets
        func tensor(_ id: ValueID) throws -> ReferenceTensor {
            let root = partition.root(of: id)
            let shape = try graph[id].type.shape(under: memory.binding).dimensions
            if let weight = graph[root].weight {
                return ReferenceTensor(shape: shape, format: weight.format, bytes: weight.store.bytes.baseAddress.map { UnsafeMutableRawPointer(mutating: $0) })
            }
            let address = try offsets[root].map { memory.workspace + $0 } ?? memory.address(of: root)
            let format = graph[root].state?.format ?? .dense(graph[id].type.element)
            return ReferenceTensor(shape: shape, format: format, bytes: address)
        }
        let steps = try graph.nodes[partition.nodes].map { node in
            ReferenceStep(node: node, inputs: try node.inputs.map(tensor), outputs: try node.outputs.map(tensor), pool: pool)
        }
        return ReferenceBoundProgram(program: self, steps: steps)
    }
}

private final class ReferenceBoundProgram: BoundProgram {
    /// Keeps the weights that the steps point to.
    private let program: ReferenceProgram
    private let steps: [ReferenceStep]

    init(program: ReferenceProgram, steps: [ReferenceStep]) {
        self.program = program
        self.steps = steps
    }

    func run() throws { for step in steps { try step.run() } }

    func profile() throws -> [NodeTiming] {
        let clock = ContinuousClock()
        return try steps.map { step in
            let time = try clock.measure { try step.run() }
            let bytes = step.outputs.reduce(0) { $0 + ($1.format.rowBytes(elements: $1.count) ?? 0) }
            return NodeTiming(node: step.node.name, operation: "\(step.node.op)", backend: "reference", nanoseconds: Int(time / .nanoseconds(1)), outputBytes: bytes)
        }
    }
}
