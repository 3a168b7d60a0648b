// One session's memory: states, one arena, and the plans made so far. Running is: write the inputs, run, read the outputs.
//
// Arena layout: the values that cross partitions (planned together by lifetime), then the workspace the partitions take turns to use.

/// Runs a compiled graph. Not thread-safe: one context belongs to one session; contexts of one model run side by side.
package final class ExecutionContext {
    package let compiled: CompiledGraph
    /// The memory of each state, by value.
    private let states: [ValueID: AlignedMemory]
    private let stateBinding: Binding
    private var arena: AlignedMemory
    /// Counts the arenas: another number means that plans made before lie in memory only they still use.
    package private(set) var arenaGeneration = 0
    private var plans: [(binding: Binding, plan: BoundGraph)] = []

    /// Bindings remembered at once: decoding alternates between very few; prompts of many lengths push each other out.
    private static let rememberedPlans = 8

    /// Allocates the states. `stateBinding` binds the symbols in their shapes (slots, context) for the life of the context.
    package init(_ compiled: CompiledGraph, stateBinding: Binding) throws {
        self.compiled = compiled
        self.stateBinding = stateBinding
        var states: [ValueID: AlignedMemory] = [:]
        for id in compiled.graph.states {
            guard let spec = compiled.graph[id].state else { continue }
            states[id] = try AlignedMemory(byteCount: try spec.byteCount(under: stateBinding, name: compiled.graph[id].name), purpose: "state")
        }
        self.states = states
        arena = try AlignedMemory(byteCount: 0, purpose: "activations")
    }

    /// Bytes held by states and by the arena.
    package var stateBytes: Int { states.values.reduce(0) { $0 + $1.bytes.count } }
    package var arenaBytes: Int { arena.bytes.count }

    /// The memory of a state, for saving, restoring or clearing it between runs.
    package func stateMemory(_ id: ValueID) -> UnsafeMutableRawBufferPointer? { states[id]?.bytes }

    /// The plan for `binding`: made once, then remembered.
    package func plan(_ binding: Binding) throws -> BoundGraph {
        if let index = plans.firstIndex(where: { $0.binding == binding }) {
            if index != 0 { plans.insert(plans.remove(at: index), at: 0) }
            return plans[0].plan
        }
        let full = try withStateSizes(binding)
        let layout = try ArenaLayout(compiled, binding: full)
        if layout.byteCount > arena.bytes.count {
            // Every remembered plan points into the old arena, and would keep it.
            plans.removeAll()
            arenaGeneration += 1
            arena = try AlignedMemory(byteCount: layout.byteCount, purpose: "activations")
        }
        var addresses = states.mapValues { $0.base }
        for (value, offset) in layout.offsets { addresses[value] = arena.base + offset }
        let memory = BoundMemory(binding: full, addresses: addresses, workspace: arena.base + layout.workspaceOffset)
        let plan = BoundGraph(
            graph: compiled.graph, roots: layout.roots, addresses: addresses, binding: full,
            programs: try compiled.stages.map { try $0.program.bind(memory) }, memory: [arena] + states.values)
        plans.insert((binding, plan), at: 0)
        if plans.count > Self.rememberedPlans { plans.removeLast() }
        return plan
    }

    /// `binding` with the sizes the states were allocated with. Throws when it names other ones: checks against them would let indices out
    /// of the memory there is.
    private func withStateSizes(_ binding: Binding) throws -> Binding {
        var full = binding
        for symbol in stateSymbols {
            if let size = full[symbol], size != stateBinding[symbol] {
                throw SwiftletError.invalidArgument(
                    name: symbol.name, reason: "is \(size), but the session's states have \(stateBinding[symbol].map(String.init) ?? "no") of it",
                    remedy: "Leave it out, or start a session with that size.")
            }
            full[symbol] = stateBinding[symbol]
        }
        return full
    }

    private var stateSymbols: Set<Symbol> {
        Set(compiled.graph.states.compactMap { compiled.graph[$0].state }.flatMap { $0.shape.flatMap { $0.terms.map(\.symbol) } })
    }
}

/// A graph with every address fixed for one binding.
package final class BoundGraph {
    private let graph: Graph
    private let roots: [ValueID: ValueID]
    private let addresses: [ValueID: UnsafeMutableRawPointer]
    private let programs: [any BoundProgram]
    /// The arena and the states, which the addresses point into: a plan stays usable when its context has grown a new arena, or is gone.
    private let memory: [AlignedMemory]
    private var results: [ValueID: ResultMemory] = [:]
    /// What the program reads in place of its own memory, by storage root.
    private var loans: [ValueID: Tensor] = [:]
    package let binding: Binding

    fileprivate init(
        graph: Graph, roots: [ValueID: ValueID], addresses: [ValueID: UnsafeMutableRawPointer], binding: Binding, programs: [any BoundProgram],
        memory: [AlignedMemory]
    ) {
        self.graph = graph
        self.roots = roots
        self.addresses = addresses
        self.binding = binding
        self.programs = programs
        self.memory = memory
    }

    /// The elements of an input or output. Outputs are valid until the next run of the same context.
    package func elements<Element: BitwiseCopyable>(of value: ValueID, as type: Element.Type) throws -> UnsafeMutableBufferPointer<Element> {
        let description = graph[value]
        guard description.type.element.byteCount == MemoryLayout<Element>.stride, let address = addresses[roots[value] ?? value] else {
            throw SwiftletError.invalidArgument(
                name: description.name, reason: "is \(description.type), not a boundary tensor of \(type)", remedy: "Ask for its own element type.")
        }
        let count = try description.type.shape(under: binding).elementCount
        return UnsafeMutableBufferPointer(start: address.assumingMemoryBound(to: type), count: count)
    }

    /// Whether a value has memory: an input that nobody reads has none.
    package func holds(_ value: ValueID) -> Bool { addresses[roots[value] ?? value] != nil }

    /// Copies a tensor to an input of the same type.
    package func write(_ tensor: Tensor, to value: ValueID) throws {
        let (type, address) = try boundary(value)
        guard type.element == tensor.type, try type.shape(under: binding) == tensor.shape else {
            throw SwiftletError.invalidArgument(name: graph[value].name, reason: "is \(tensor), not \(type)", remedy: "Give a tensor of that type and shape.")
        }
        tensor.withBytes { bytes in if let base = bytes.baseAddress { address.copyMemory(from: base, byteCount: bytes.count) } }
    }

    /// Lets the next runs read a tensor of the same type where it lies, until `endLoans`; copies it as `write` does where the program cannot.
    package func lend(_ tensor: Tensor, to value: ValueID) throws {
        let (type, _) = try boundary(value)
        let root = roots[value] ?? value
        // What is also a result is looked for in its own memory.
        guard programs.count == 1, type.element == tensor.type, try type.shape(under: binding) == tensor.shape,
            !graph.outputs.contains(where: { (roots[$0] ?? $0) == root }),
            tensor.withBytes({ bytes in bytes.baseAddress.map { programs[0].read(root, at: $0) } ?? false })
        else { return try write(tensor, to: value) }
        loans[root] = tensor
    }

    /// The program reads its own memory again.
    package func endLoans() {
        for root in loans.keys { if let own = addresses[root] { _ = programs[0].read(root, at: own) } }
        loans.removeAll(keepingCapacity: true)
    }

    /// A copy of an input or output, in memory of its own or of an earlier copy that nobody holds any more.
    package func tensor(_ value: ValueID) throws -> Tensor {
        let (type, address) = try boundary(value)
        let shape = try type.shape(under: binding)
        let memory = try results[value, default: ResultMemory()].take(byteCount: shape.elementCount * type.element.byteCount)
        memory.bytes.copyMemory(from: UnsafeRawBufferPointer(start: address, count: memory.bytes.count))
        return try Tensor(type.element, shape: shape, sharing: UnsafeRawBufferPointer(memory.bytes), owner: memory)
    }

    private func boundary(_ value: ValueID) throws -> (type: ValueType, address: UnsafeMutableRawPointer) {
        guard let address = addresses[roots[value] ?? value] else {
            throw SwiftletError.invalidArgument(name: graph[value].name, reason: "does not cross the border of the graph", remedy: "Ask for an input or output.")
        }
        return (graph[value].type, address)
    }

    package func run() throws {
        for program in programs { try program.run() }
    }

    /// Runs and says what each node took.
    package func profile() throws -> [NodeTiming] { try programs.flatMap { try $0.profile() } }
}

/// Where boundary values and the workspace lie in the arena.
private struct ArenaLayout {
    let roots: [ValueID: ValueID]
    let offsets: [ValueID: Int]
    let workspaceOffset: Int
    let byteCount: Int

    init(_ compiled: CompiledGraph, binding: Binding) throws {
        let graph = compiled.graph
        let roots = graph.storageRoots()
        // Stage numbers are shifted by one: step 0 is the caller writing the inputs, the last one the caller reading the outputs.
        let end = compiled.stages.count + 1
        var lifetimes: [ValueID: ClosedRange<Int>] = [:]
        for input in graph.inputs { lifetimes[input] = 0...end }
        for (index, stage) in compiled.stages.enumerated() {
            for value in stage.partition.outputs { lifetimes[value] = index + 1...index + 1 }
            for value in stage.partition.inputs {
                if let lifetime = lifetimes[value] { lifetimes[value] = lifetime.lowerBound...max(lifetime.upperBound, index + 1) }
            }
        }
        for output in graph.outputs {
            let root = roots[output] ?? output
            if let lifetime = lifetimes[root] { lifetimes[root] = lifetime.lowerBound...end }
        }
        let values = lifetimes.keys.sorted { $0.index < $1.index }
        let uses = try values.map { value in
            let type = graph[value].type
            let lifetime = lifetimes[value] ?? 0...end
            return BufferUse(bytes: try type.byteCount(under: binding), first: lifetime.lowerBound, last: lifetime.upperBound)
        }
        let plan = try MemoryPlan(uses: uses)
        let workspace = try compiled.stages.map { try $0.program.workspaceBytes(under: binding) }.max() ?? 0
        self.roots = roots
        offsets = Dictionary(uniqueKeysWithValues: zip(values, plan.offsets))
        workspaceOffset = plan.peakBytes
        let (total, overflow) = workspaceOffset.addingReportingOverflow(workspace)
        guard !overflow else { throw SwiftletError.outOfMemory(bytes: Int.max, purpose: "activations") }
        byteCount = total
    }
}

extension ValueType {
    /// Bytes of a dense tensor of this type under `binding`; throws when a symbol is unbound or the size overflows.
    package func byteCount(under binding: Binding) throws -> Int {
        let (bytes, overflow) = try shape(under: binding).elementCount.multipliedReportingOverflow(by: element.byteCount)
        guard !overflow else {
            throw SwiftletError.invalidArgument(name: "\(self)", reason: "the tensor is too large", remedy: "Bind smaller sizes.")
        }
        return bytes
    }
}

extension StateSpec {
    /// Bytes of the state under `binding`; throws when the sizes are unbound, overflow or do not divide into blocks.
    package func byteCount(under binding: Binding, name: String) throws -> Int {
        let dimensions = try shape.map { try $0.resolved(binding) }
        let rows = Shape(Array(dimensions.dropLast())).checkedElementCount
        guard let rows, let rowBytes = format.rowBytes(elements: dimensions.last ?? 1), !rows.multipliedReportingOverflow(by: rowBytes).overflow else {
            throw SwiftletError.invalidArgument(
                name: name, reason: "a state of shape \(Shape(dimensions)) cannot be stored as \(format)",
                remedy: "Choose another cache type or a smaller context.")
        }
        return rows * rowBytes
    }
}
