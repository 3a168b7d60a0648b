// From nodes to steps: what lies where and how long, what is written in place, which steps of rows are left to those that read them.
import CKernels
import SwiftletPortableKernels

/// Lowers one partition for the CPU backend.
struct CPULowering {
    let partition: Partition
    let graph: Graph
    let backend: CPUBackend
    let pool: ThreadPool

    var slots: [Slot] = []
    var slotOfValue: [ValueID: SlotID] = [:]
    var steps: [LoweredStep] = []
    private var checks: [IndexCheck] = []
    /// The node being lowered, by its place in the graph.
    private var currentNode = 0
    var owners: [AnyObject] = []
    var packed: [ValueID: PackedMatrix] = [:]
    /// The rounded form of a value, once some layer has asked for it.
    var quantised: [SlotID: SlotID] = [:]
    /// Values that the steps that make them may round, because nothing reads them otherwise.
    var madeRounded: [ValueID: MadeRounded] = [:]
    var readersLeft: [ValueID: Int] = [:]
    private(set) var readers: [ValueID: [Node]] = [:]
    /// Whether some layer rounds its activations: then attention may too; beside exact layers it stays exact.
    let roundsActivations: Bool
    /// Where values lie channels last, by the value itself. One that also has a plain slot lies in both ways.
    var imageSlots: [ValueID: SlotID] = [:]
    /// The step that makes an image, the value it makes, and its place, as long as something may ride on it.
    var lastWindow: (open: OpenWindow, value: ValueID, step: Int)?
    /// The steps that go over images by windows, by their place.
    var windowSteps: [Int: OpenWindow] = [:]
    /// Norms that linear steps of few rows do for themselves, by the value they make.
    var privateNorms: [ValueID: PrivateNorm] = [:]
    /// What attention of few rows does for itself: to heads, by the value that is ready, and to caches, by the state.
    var headChains: [ValueID: HeadChain] = [:]
    var absorbedWrites: [ValueID: AbsorbedWrite] = [:]

    init(_ partition: Partition, backend: CPUBackend) {
        self.partition = partition
        graph = partition.graph
        self.backend = backend
        pool = backend.pool
        let graph = partition.graph
        roundsActivations = graph.nodes[partition.nodes].contains { node in
            guard case .linear(let linear) = node.op else { return false }
            return Self.panels(of: linear, node, in: graph).contains(where: \.readsRoundedActivations)
        }
    }

    // MARK: Slots

    func root(_ value: ValueID) -> ValueID { partition.root(of: value) }

    mutating func add(_ slot: Slot) -> SlotID {
        slots.append(slot)
        return SlotID(index: slots.count - 1)
    }

    /// The slot of a value that exists before the step that reads it.
    mutating func slot(reading value: ValueID) -> SlotID {
        let value = root(value)
        let slot = slotOfValue[value] ?? boundarySlot(value)
        touch(slot)
        return slot
    }

    /// The slot of a value the next step writes; `inPlace` is an operand it may overwrite.
    mutating func slot(writing value: ValueID, inPlace: ValueID? = nil) -> SlotID {
        let value = root(value)
        if let slot = slotOfValue[value] { touch(slot); return slot }
        if partition.outputs.contains(value) {
            let slot = boundarySlot(value)
            touch(slot)
            return slot
        }
        let type = graph[value].type
        var new = Slot(home: .planned, byteCount: { try type.byteCount(under: $0) })
        if let inPlace, readersLeft[root(inPlace), default: 0] <= 1, let operand = slotOfValue[root(inPlace)], case .planned = slots[operand.index].home {
            new.reuses = operand
        }
        let slot = add(new)
        slotOfValue[value] = slot
        touch(slot)
        return slot
    }

    private mutating func boundarySlot(_ value: ValueID) -> SlotID {
        let slot: SlotID
        if let weight = graph[value].weight, let base = weight.store.bytes.baseAddress {
            slot = add(Slot(home: .constant(resident(weight) ?? base), byteCount: { _ in 0 }))
        } else {
            slot = add(Slot(home: .boundary(value), byteCount: { _ in 0 }))
        }
        slotOfValue[value] = slot
        return slot
    }

    /// A copy of a vector that is in a mapped file: norms and biases are small and lie between large tensors, whose pages would come with them.
    /// Nil for other weights, and when there is no memory: the bytes in the file do as well.
    private mutating func resident(_ weight: Weight) -> UnsafeRawPointer? {
        guard weight.shape.rank == 1, weight.store.source != nil,
            let memory = try? AlignedMemory(byteCount: weight.store.byteCount, purpose: "vector")
        else { return nil }
        weight.store.withBytes { memory.bytes.copyMemory(from: $0) }
        weight.store.releasePages(withNeighbours: true)
        owners.append(memory)
        return UnsafeRawPointer(memory.base)
    }

    /// A slot for something the graph does not know, such as rounded activations.
    mutating func temporary(byteCount: @escaping @Sendable (Binding) throws -> Int) -> SlotID {
        let slot = add(Slot(home: .planned, byteCount: byteCount))
        touch(slot)
        return slot
    }

    mutating func touch(_ slot: SlotID) {
        slots[slot.index].first = min(slots[slot.index].first, steps.count)
        slots[slot.index].last = max(slots[slot.index].last, steps.count)
    }

    mutating func emit(scratchBytes: @escaping (Binding) throws -> Int = { _ in 0 }, _ bind: @escaping (StepBinder) throws -> CPUStep) {
        steps.append(LoweredStep(bind: bind, scratchBytes: scratchBytes, isRowWise: false, nodes: [currentNode]))
    }

    /// A step that makes each row from the same row of what it reads.
    mutating func emitRowWise(_ bind: @escaping (StepBinder) throws -> CPUStep) {
        steps.append(LoweredStep(bind: bind, scratchBytes: { _ in 0 }, isRowWise: true, nodes: [currentNode]))
    }

    /// Numbers the stages, and makes lifetimes of slots out of those of steps: row-wise steps in a row are one stage.
    private mutating func formStages() {
        for index in steps.indices.dropFirst() {
            steps[index].stage = steps[index - 1].stage + (steps[index - 1].isRowWise && steps[index].isRowWise ? 0 : 1)
        }
        // Whether an operand dies where its heir is born is a question of steps.
        for index in slots.indices {
            if let operand = slots[index].reuses, slots[operand.index].last != slots[index].first { slots[index].reuses = nil }
        }
        for index in slots.indices where slots[index].last >= 0 {
            slots[index].first = steps[slots[index].first].stage
            slots[index].last = steps[slots[index].last].stage
        }
    }

    // MARK: Nodes

    mutating func program() throws -> CPUProgram {
        let vector = try VectorKernels(isa: backend.isa)
        for node in graph.nodes[partition.nodes] {
            for input in node.inputs {
                readersLeft[root(input), default: 0] += 1
                readers[root(input), default: []].append(node)
            }
        }
        for index in partition.nodes {
            let node = graph.nodes[index]
            currentNode = index
            if try !lowerImages(node, vector) {
                for input in node.inputs { preparePlain(input) }
                try lower(node, vector)
            }
            for output in node.outputs where partition.outputs.contains(root(output)) { preparePlain(output) }
            for input in node.inputs { readersLeft[root(input), default: 0] -= 1 }
        }
        chainWindows()
        formStages()
        for (_, matrix) in packed { owners += matrix.owners }
        let name = "\(graph.name) nodes \(partition.nodes)"
        return CPUProgram(graph: graph, name: name, pool: pool, slots: slots, steps: steps, checks: checks, owners: owners)
    }

    private mutating func lower(_ node: Node, _ vector: VectorKernels) throws {
        switch node.op {
        case .linear(let linear): try lower(linear, node, vector)
        case .embedding: try lowerEmbedding(node, vector)
        case .gatherRows:
            let type = graph[node.inputs[0]].type
            check(node, operand: 1, limit: type.shape[0])
            let (x, indices, out) = (slot(reading: node.inputs[0]), slot(reading: node.inputs[1]), slot(writing: node.outputs[0]))
            let count = graph[node.inputs[1]].type.shape
            emit { binder in
                let width = try binder.product(type.shape.dropFirst())
                return .gatherRows(
                    try binder.keep(GatherRowsStep(
                        x: binder.raw(x), rowBytes: width * type.element.byteCount, indices: binder.indices(indices), out: binder.raw(out),
                        tasks: RowTasks(count: try binder.product(count), elementsPerRow: width))))
            }
        case .rmsNorm(let epsilon):
            let scale = node.inputs.count > 1 ? slot(reading: node.inputs[1]) : nil
            let value = root(node.outputs[0])
            let isPrivate = !partition.outputs.contains(value) && readers[value, default: []].allSatisfy { roundsForItself($0, value) }
            if isPrivate {
                privateNorms[value] = PrivateNorm(x: slot(reading: node.inputs[0]), scale: scale, epsilon: epsilon)
            }
            let chain = extendChain(node) { $0.norm = HeadChain.Norm(kernel: vector.rmsNorm, scale: scale, epsilon: epsilon) }
            emitRows(node, isPrivate: isPrivate, chain) { binder in .rmsNorm(vector.rmsNorm, scale: scale.map { UnsafePointer(binder.floats($0)) }, epsilon: epsilon) }
        case .layerNorm(let epsilon):
            let scale = slot(reading: node.inputs[1])
            let bias = node.inputs.count > 2 ? slot(reading: node.inputs[2]) : nil
            emitRows(node) { binder in
                .layerNorm(
                    vector.layerNorm, scale: UnsafePointer(binder.floats(scale)), bias: bias.map { UnsafePointer(binder.floats($0)) }, epsilon: epsilon)
            }
        case .softmax: emitRows(node) { _ in .softmax(vector.softmax) }
        case .unary(let unary):
            guard let function = vector.function(unary) else { return try lowerElements(.unary(unary), node, vector) }
            emitRows(node) { _ in .elements(function) }
        case .binary(let function): try lower(function, node, vector)
        case .rotaryTable(let table): try lower(table, node)
        case .rotary(let layout): lower(layout, node, vector)
        case .cacheWrite: try lowerCacheWrite(node)
        case .attention(let attention): try lower(attention, node)
        case .reshape: break
        case .tensor(let op): try lower(op, node)
        }
    }

    /// Coverage and lowering disagree.
    func noKernel(_ node: Node) -> SwiftletError {
        .unsupported(file: "kernels", place: node.name, reason: "no kernel computes \(node.op)", remedy: "Rebuild the package.")
    }

    mutating func check(_ node: Node, operand: Int, limit: Dimension) {
        let indices = root(node.inputs[operand])
        let count = graph[node.inputs[operand]].type.shape
        // Every layer reads the same positions: one check a limit is enough.
        let slot = slot(reading: indices)
        if checks.contains(where: { $0.slot == slot && $0.limit == limit }) { return }
        checks.append(IndexCheck(node: node.name, slot: slot, count: count, limit: limit))
    }

    private mutating func lowerEmbedding(_ node: Node, _ vector: VectorKernels) throws {
        let table = graph[node.inputs[0]]
        if let weight = table.weight, let type = ck_weight_type(weight.format), ck_panel_is_exact(type), isMultiplied(node.inputs[0]) {
            return try lowerEmbedding(node, from: try matrix(node.inputs[0]))
        }
        guard let weight = table.weight, let decoder = RowDecoder(weight.format, vector: vector), let rowBytes = weight.format.rowBytes(elements: weight.shape[1])
        else {
            throw SwiftletError.unsupported(
                file: graph.name, place: node.name, reason: "no decoder for a table in \(table.type)", remedy: "Convert the table to another format.")
        }
        check(node, operand: 1, limit: Dimension(weight.shape[0]))
        owners.append(WeightHolder(weight))
        let (source, ids, out) = (slot(reading: node.inputs[0]), slot(reading: node.inputs[1]), slot(writing: node.outputs[0]))
        let (width, count) = (weight.shape[1], graph[node.inputs[1]].type.shape)
        emitRowWise { binder in
            .embedding(
                try binder.keep(EmbeddingStep(
                    table: .rows(binder.raw(source), bytes: rowBytes, decoder), ids: binder.indices(ids), width: width, out: binder.floats(out),
                    tasks: RowTasks(count: try binder.product(count), elementsPerRow: width))))
        }
    }

    /// An embedding whose table is also multiplied with (a tied head): its rows are read out of the panels, so the file's copy is never touched.
    private mutating func lowerEmbedding(_ node: Node, from matrix: PackedMatrix) throws {
        check(node, operand: 1, limit: Dimension(matrix.rows))
        let (ids, out) = (slot(reading: node.inputs[1]), slot(writing: node.outputs[0]))
        let count = graph[node.inputs[1]].type.shape
        emitRowWise { binder in
            .embedding(
                try binder.keep(EmbeddingStep(
                    table: matrix.fine.map { .split(matrix.panels, $0) }
                        ?? (matrix.sparse == CK_SPARSE_NONE ? .panels(matrix.panels, matrix.format) : .sparsePanels(matrix.panels, matrix.sparse)),
                    ids: binder.indices(ids),
                    width: matrix.columns, out: binder.floats(out),
                    tasks: RowTasks(count: try binder.product(count), elementsPerRow: matrix.columns))))
        }
    }

    /// A step that maps each row of the first operand to a row of the output, in place where possible.
    /// `isPrivate`: steps of few rows that read the output compute it themselves; `chain`: attention of few rows does.
    private mutating func emitRows(_ node: Node, isPrivate: Bool = false, _ chain: HeadChain? = nil, _ function: @escaping (StepBinder) -> RowStep.Function) {
        let type = graph[node.inputs[0]].type
        for input in node.inputs.dropFirst() { keep(input) }
        let x = slot(reading: node.inputs[0])
        let out = slot(writing: node.outputs[0], inPlace: node.inputs[0])
        chain?.slots.append(out)
        emitRowWise { binder in
            let width = try type.shape.last.map { try binder.size($0) } ?? 1
            let count = try binder.product(type.shape.dropLast())
            let isLeftOut = try isPrivate && LinearPrologue.suits(rows: count, width: width) || chain?.isLeftToAttention(binder) ?? false
            let rows = RowTasks(count: isLeftOut ? 0 : count, elementsPerRow: width)
            return .rows(try binder.keep(RowStep(function: function(binder), x: binder.floats(x), width: width, out: binder.floats(out), tasks: rows)))
        }
    }

    /// Keeps a weight's bytes alive as long as the program.
    mutating func keep(_ value: ValueID) {
        if let weight = graph[value].weight { owners.append(WeightHolder(weight)) }
    }

    private mutating func lower(_ function: Binary, _ node: Node, _ vector: VectorKernels) throws {
        guard Self.isRowWise(function, graph[node.inputs[0]], graph[node.inputs[1]]) else { return try lowerElements(.binary(function), node, vector) }
        let type = graph[node.inputs[0]].type
        keep(node.inputs[1])
        let isRow = graph[node.inputs[1]].type.shape.count == 1 && type.shape.count != 1
        let kernel: BinaryStep.Function =
            switch function {
            case .multiply: .plain(vector.multiply)
            case .subtract: .addScaled(vector.addScaled, -1)
            case .add: .plain(vector.add)
            default: throw noKernel(node)
            }
        let (a, b) = (slot(reading: node.inputs[0]), slot(reading: node.inputs[1]))
        let out = slot(writing: node.outputs[0], inPlace: node.inputs[0])
        emitRowWise { binder in
            let width = try type.shape.last.map { try binder.size($0) } ?? 1
            let rows = RowTasks(count: try binder.product(type.shape.dropLast()), elementsPerRow: width)
            return .binary(
                try binder.keep(BinaryStep(
                    function: kernel, a: binder.floats(a), b: binder.floats(b), strideB: isRow ? 0 : width, width: width, out: binder.floats(out),
                    tasks: rows)))
        }
    }
}

/// Keeps the bytes of a weight alive.
private final class WeightHolder {
    let weight: Weight
    init(_ weight: Weight) { self.weight = weight }
}
