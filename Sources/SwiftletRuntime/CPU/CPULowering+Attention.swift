// The lowering of positions, caches and attention.
//
// Between the products that make queries, keys and values and the attention that meets them lie steps a head: a norm, the rotation, the cache. Attention of
// few tokens takes them over (AttentionPrologue.swift). Which ones it may is known from the graph; whether it does, from the binding, and each step that
// is taken over asks the same question as the attention does.
import CKernels
import SwiftletPortableKernels

/// The steps on the way of queries, keys or values that attention of few tokens can take over. Filled in while nodes are lowered, read when sizes are bound.
final class HeadChain {
    struct Norm {
        let kernel: RMSNormKernel
        let scale: SlotID?
        let epsilon: Float
    }

    struct Rotation {
        let kernel: RopeKernel
        let table: SlotID
        let dimensions: Dimension
    }

    let tokens: Dimension
    let heads: Dimension
    let headDimension: Dimension
    /// What is read first, then what each step writes.
    var slots: [SlotID]
    var norm: Norm?
    var rotation: Rotation?

    /// `shape`: [tokens, heads, headDimension].
    init(_ shape: [Dimension], reading slot: SlotID) {
        (tokens, heads, headDimension) = (shape[0], shape[1], shape[2])
        slots = [slot]
    }

    /// Whether the steps are left out: only where all write in place, so that what they would have read is there still when attention comes.
    func isLeftToAttention(_ binder: StepBinder) throws -> Bool {
        AttentionTasks.isFew(try binder.size(tokens)) && slots.allSatisfy { binder.raw($0) == binder.raw(slots[0]) }
    }

    func unfinished(_ binder: StepBinder) throws -> UnfinishedHeads {
        let isLeft = try isLeftToAttention(binder)
        return UnfinishedHeads(
            x: binder.floats(slots[slots.count - 1]), heads: try binder.size(heads), headDimension: try binder.size(headDimension),
            norm: !isLeft ? nil : norm.map { RootMeanSquareNorm(kernel: $0.kernel, scale: $0.scale.map { UnsafePointer(binder.floats($0)) }, epsilon: $0.epsilon) },
            rotation: !isLeft ? nil : try rotation.map {
                .init(kernel: $0.kernel, table: UnsafePointer(binder.floats($0.table)), dimensions: try binder.size($0.dimensions))
            })
    }
}

/// A write to a cache that one attention alone reads.
struct AbsorbedWrite {
    let store: ck_kv_store_function
    let state: SlotID
    let chain: HeadChain

    func unstored(_ binder: StepBinder) throws -> UnstoredRows {
        UnstoredRows(heads: try chain.unfinished(binder), store: store, state: binder.raw(state))
    }
}

extension CPULowering {
    mutating func lower(_ table: RotaryTable, _ node: Node) throws {
        var factors: [Float]?
        if table.hasFactors { factors = try floats(node.inputs[1]) }
        let (radians, magnitude) = table.frequencies(factors: factors)
        let memory = try AlignedMemory(byteCount: radians.count * MemoryLayout<Double>.stride, purpose: "rotary frequencies")
        radians.withUnsafeBytes { memory.bytes.copyMemory(from: $0) }
        owners.append(memory)
        let frequencies = UnsafePointer(memory.base.assumingMemoryBound(to: Double.self))
        let (positions, out) = (slot(reading: node.inputs[0]), slot(writing: node.outputs[0]))
        let count = graph[node.inputs[0]].type.shape[0]
        emitRowWise { binder in
            .rotaryTable(
                try binder.keep(RotaryTableStep(
                    frequencies: frequencies, magnitude: magnitude, dimensions: table.dimensions, positions: binder.indices(positions),
                    out: binder.floats(out), tasks: RowTasks(count: try binder.size(count), elementsPerRow: table.dimensions * 16))))
        }
    }

    mutating func lower(_ layout: RotaryLayout, _ node: Node, _ vector: VectorKernels) {
        let (type, table) = (graph[node.inputs[0]].type, graph[node.inputs[1]].type)
        let (x, angles) = (slot(reading: node.inputs[0]), slot(reading: node.inputs[1]))
        let out = slot(writing: node.outputs[0], inPlace: node.inputs[0])
        let kernel = layout == .interleaved ? vector.ropeAdjacent : vector.ropeHalf
        let chain = extendChain(node) { $0.rotation = HeadChain.Rotation(kernel: kernel, table: angles, dimensions: table.shape[1]) }
        chain?.slots.append(out)
        emitRowWise { binder in
            let (heads, headDimension) = (try binder.size(type.shape[1]), try binder.size(type.shape[2]))
            let isLeftOut = try chain?.isLeftToAttention(binder) ?? false
            return .rotary(
                try binder.keep(RotaryStep(
                    kernel: kernel, x: binder.floats(x), table: binder.floats(angles), heads: heads, headDimension: headDimension,
                    dimensions: try binder.size(table.shape[1]), out: binder.floats(out),
                    tasks: RowTasks(count: isLeftOut ? 0 : try binder.size(type.shape[0]), elementsPerRow: heads * headDimension))))
        }
    }

    // MARK: What attention takes over

    /// The chain of heads that `node` continues, or begins, when attention alone reads what comes of it.
    mutating func extendChain(_ node: Node, _ extend: (HeadChain) -> Void) -> HeadChain? {
        let (from, to) = (root(node.inputs[0]), root(node.outputs[0]))
        guard leadsToAttention(to) else { return nil }
        let chain = headChains[from] ?? HeadChain(graph[node.outputs[0]].type.shape, reading: slot(reading: node.inputs[0]))
        extend(chain)
        headChains[to] = chain
        return chain
    }

    /// Whether what a value holds goes to one attention and nowhere else, through a norm, a rotation, or the way into a cache.
    private func leadsToAttention(_ value: ValueID) -> Bool {
        guard graph[value].type.shape.count == 3, !partition.outputs.contains(value), let readers = readers[value], readers.count == 1 else { return false }
        let places = readers[0].inputs.indices.filter { root(readers[0].inputs[$0]) == value }
        switch readers[0].op {
        case .attention: return places == [0]
        case .cacheWrite: return places == [1] && soleAttention(after: readers[0]) != nil
        case .rotary: return places == [0] && leadsToAttention(root(readers[0].outputs[0]))
        default: return false
        }
    }

    /// The attention that alone reads the cache a node writes, at the same positions of the same sequences.
    private func soleAttention(after write: Node) -> Node? {
        let state = root(write.inputs[0])
        let others = readers[state, default: []].filter { $0.outputs != write.outputs }
        guard others.count == 1, case .attention = others[0].op, root(others[0].inputs[1]) != root(others[0].inputs[2]),
            root(others[0].inputs[3]) == root(write.inputs[2]), root(others[0].inputs[4]) == root(write.inputs[3])
        else { return nil }
        return others[0]
    }

    /// The layout of the cache a value names, under the binding of a step.
    private func cacheLayout(_ value: ValueID, _ node: Node) throws -> (StepBinder) throws -> CacheLayout {
        guard let format = Self.cacheFormat(value, in: graph) else {
            throw SwiftletError.unsupported(
                file: graph.name, place: node.name, reason: "the cache is stored in a format attention does not read", remedy: "Use f32, f16 or q8_0.")
        }
        let shape = graph[value].type.shape
        return { binder in
            let headDimension = try binder.size(shape[3])
            return CacheLayout(
                heads: try binder.size(shape[1]), context: try binder.size(shape[2]), headDimension: headDimension,
                rowBytes: ck_kv_row_bytes(format, Int64(headDimension)), format: format)
        }
    }

    /// Positions stay inside the context, slots inside the cache.
    private mutating func checkPlaces(_ node: Node, cache: ValueID, positions: Int, slots: Int) {
        check(node, operand: positions, limit: graph[cache].type.shape[2])
        check(node, operand: slots, limit: graph[cache].type.shape[0])
    }

    private func attentionKernels() throws -> ck_attention_row {
        guard let row = PortableKernels.findAttention(isa: backend.isa, mayRound: roundsActivations) else {
            throw SwiftletError.unsupported(file: "kernels", place: "attention", reason: "is missing from this build", remedy: "Rebuild the package.")
        }
        return row
    }

    mutating func lowerCacheWrite(_ node: Node) throws {
        let layout = try cacheLayout(node.inputs[0], node)
        let kernels = try attentionKernels()
        let candidate: ck_kv_store_function? =
            switch Self.cacheFormat(node.inputs[0], in: graph) {
            case CK_KV_F32: kernels.store_f32
            case CK_KV_F16: kernels.store_f16
            default: kernels.store_q8_0
            }
        guard let store = candidate else {
            throw SwiftletError.unsupported(file: "kernels", place: "cache store", reason: "is missing from this build", remedy: "Rebuild the package.")
        }
        checkPlaces(node, cache: node.inputs[0], positions: 2, slots: 3)
        let (state, x) = (slot(reading: node.inputs[0]), slot(reading: node.inputs[1]))
        let (positions, sequences) = (slot(reading: node.inputs[2]), slot(reading: node.inputs[3]))
        let shape = graph[node.inputs[1]].type.shape
        let isAbsorbed = soleAttention(after: node) != nil
        if isAbsorbed {
            let chain = headChains[root(node.inputs[1])] ?? HeadChain(shape, reading: x)
            absorbedWrites[root(node.inputs[0])] = AbsorbedWrite(store: store, state: state, chain: chain)
        }
        emitRowWise { binder in
            let layout = try layout(binder)
            let count = try binder.size(shape[0])
            return .cacheWrite(
                try binder.keep(CacheWriteStep(
                    store: store, layout: layout, state: binder.raw(state), x: binder.floats(x), positions: binder.indices(positions),
                    slots: binder.indices(sequences),
                    tasks: RowTasks(count: isAbsorbed && AttentionTasks.isFew(count) ? 0 : count, elementsPerRow: layout.heads * layout.headDimension))))
        }
    }

    mutating func lower(_ attention: Attention, _ node: Node) throws {
        let layout = try cacheLayout(node.inputs[1], node)
        let row = try attentionKernels()
        guard let kernel = row.attend, let merge = row.merge else {
            throw SwiftletError.unsupported(file: "kernels", place: "attention", reason: "is missing from this build", remedy: "Rebuild the package.")
        }
        checkPlaces(node, cache: node.inputs[1], positions: 3, slots: 4)
        let (queries, keys, values) = (slot(reading: node.inputs[0]), slot(reading: node.inputs[1]), slot(reading: node.inputs[2]))
        let (positions, sequences) = (slot(reading: node.inputs[3]), slot(reading: node.inputs[4]))
        let queryChain = headChains[root(node.inputs[0])]
        let writes = (keys: absorbedWrites[root(node.inputs[1])], values: absorbedWrites[root(node.inputs[2])])
        for chain in [queryChain, writes.keys?.chain, writes.values?.chain] {
            guard let chain else { continue }
            touch(chain.slots[chain.slots.count - 1])  // not those before it, or it could not take over their bytes
            if let table = chain.rotation?.table { touch(table) }
            if let scale = chain.norm?.scale { touch(scale) }
        }
        let (heads, headDimension) = (attention.heads, attention.headDimension)
        // The tasks' parts of a row end with blocks if heads do.
        let rounded = headDimension % Int(CK_BLOCK) == 0 ? try roundedOutput(node.outputs[0], width: heads * headDimension) : nil
        let out = slot(writing: node.outputs[0])
        let count = graph[node.inputs[0]].type.shape[0]
        let threads = pool.threadCount
        let tasks: @Sendable (Int) -> AttentionTasks = { AttentionTasks(rows: $0, keyValueHeads: attention.keyValueHeads, threads: threads) }
        let partials = temporary { binding in
            tasks(try count.resolved(binding)).partialResults(heads: heads) * (headDimension + 2) * MemoryLayout<Float>.stride
        }
        emit(
            scratchBytes: { binding in
                let rows = tasks(try count.resolved(binding)).rowsPerTask
                return AttentionStep.scratchBytes(rows: rows, heads: heads / attention.keyValueHeads, headDimension: headDimension)
            },
            { binder in
                let tasks = tasks(try binder.size(count))
                let prologue = try AttentionPrologue(
                    queries: queryChain.flatMap { try $0.isLeftToAttention(binder) ? try $0.unfinished(binder) : nil },
                    keys: writes.keys?.unstored(binder), values: writes.values?.unstored(binder))
                return .attention(
                    try binder.keep(AttentionStep(
                        kernel: kernel, merge: merge, layout: try layout(binder), keys: binder.raw(keys), values: binder.raw(values),
                        queries: binder.floats(queries), output: rounded?.output(binder, rows: tasks.rows).map { .rounded($0) } ?? .floats(binder.floats(out)), positions: binder.indices(positions), slots: binder.indices(sequences),
                        heads: heads, tasks: tasks, partials: binder.floats(partials),
                        finished: try binder.counters(tasks.parts > 1 ? tasks.rows * attention.keyValueHeads : 0), scale: attention.scale,
                        softcap: attention.softcap ?? 0, window: attention.window ?? Int.max, prologue: AttentionTasks.isFew(tasks.rows) ? UnsafePointer(try binder.keep(prologue)) : nil)))
            })
    }
}
