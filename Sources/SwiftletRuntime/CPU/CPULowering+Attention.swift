// The lowering of positions, caches and attention.
import CKernels
import SwiftletPortableKernels

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
                RotaryTableStep(
                    frequencies: frequencies, magnitude: magnitude, dimensions: table.dimensions, positions: binder.indices(positions),
                    out: binder.floats(out), tasks: RowTasks(count: try binder.size(count), elementsPerRow: table.dimensions * 16)))
        }
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
        let count = graph[node.inputs[1]].type.shape[0]
        emitRowWise { binder in
            let layout = try layout(binder)
            return .cacheWrite(
                CacheWriteStep(
                    store: store, layout: layout, state: binder.raw(state), x: binder.floats(x), positions: binder.indices(positions),
                    slots: binder.indices(sequences),
                    tasks: RowTasks(count: try binder.size(count), elementsPerRow: layout.heads * layout.headDimension)))
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
        let out = slot(writing: node.outputs[0])
        let count = graph[node.inputs[0]].type.shape[0]
        let threads = pool.threadCount
        let (heads, headDimension) = (attention.heads, attention.headDimension)
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
                return .attention(
                    AttentionStep(
                        kernel: kernel, merge: merge, layout: try layout(binder), keys: binder.raw(keys), values: binder.raw(values),
                        queries: binder.floats(queries), out: binder.floats(out), positions: binder.indices(positions), slots: binder.indices(sequences),
                        heads: heads, tasks: tasks, partials: binder.floats(partials),
                        finished: try binder.counters(tasks.parts > 1 ? tasks.rows * attention.keyValueHeads : 0), scale: attention.scale,
                        softcap: attention.softcap ?? 0, window: attention.window ?? Int.max))
            })
    }
}
