// From nodes to steps: picks kernels, packs weights, rounds activations once for all their readers, decides what is written in place.
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
    private var packed: [ValueID: PackedMatrix] = [:]
    /// The rounded form of a value, once some layer has asked for it.
    private var quantised: [SlotID: SlotID] = [:]
    /// Values that the steps that make them may round, because nothing reads them otherwise.
    private var madeRounded: [ValueID: MadeRounded] = [:]
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
    private var privateNorms: [ValueID: PrivateNorm] = [:]
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

    private static func activation(_ function: ElementFunction) -> (StepBinder) -> LinearStep.Epilogue { { _ in .activation(function) } }

    private func kernel(_ unary: Unary, _ node: Node, _ vector: VectorKernels) throws -> ElementFunction {
        guard let function = vector.function(unary) else { throw noKernel(node) }
        return function
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

    /// Whether a matrix product of this partition packs the weight.
    private func isMultiplied(_ weight: ValueID) -> Bool { !products(of: weight).isEmpty }

    /// Whether the products with the weight are wanted for their largest elements alone.
    private func isRanked(_ weight: ValueID) -> Bool { products(of: weight).allSatisfy(\.isRanked) }

    private func products(of weight: ValueID) -> [Linear] {
        readers[root(weight), default: []].compactMap { node in
            if case .linear(let linear) = node.op, node.inputs[1...linear.weightCount].contains(weight) { linear } else { nil }
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

    // MARK: Matrix products

    private mutating func matrix(_ value: ValueID) throws -> PackedMatrix {
        try packed[value] ?? pack([value])[0]
    }

    /// The packed weights of a product: in turn when it reads them in turn.
    private mutating func matrices(_ linear: Linear, _ node: Node) throws -> [PackedMatrix] {
        let values = Array(node.inputs[1...linear.weightCount])
        if case .gated = linear.epilogue, values.count == 2, values[0] != values[1], values.allSatisfy({ packed[$0] == nil }),
            try PackedLayout.liesInTurn(constant(values[0]), constant(values[1]))
        {
            return try pack(values)
        }
        return try values.map { try matrix($0) }
    }

    private mutating func pack(_ values: [ValueID]) throws -> [PackedMatrix] {
        let (weights, name) = (try values.map(constant), graph[values[0]].name)
        let ranked = values.allSatisfy(isRanked)
        let matrices = try (backend.panels?.panels(weights, name: name, ranked: ranked, isa: backend.isa) ?? shared(weights, name: name, ranked: ranked)).matrices
        for (value, matrix) in zip(values, matrices) { packed[value] = matrix }
        return matrices
    }

    /// Panels another graph of this backend may have packed already. Only floats: blocks belong to language models, which compile one graph and give
    /// the pages of their file back as they pack.
    private func shared(_ weights: [Weight], name: String, ranked: Bool) throws -> PackedPanels {
        guard weights.count == 1, let weight = weights.first, weight.format == .dense(.f32) else {
            return try PackedPanels(weights, name: name, ranked: ranked, isa: backend.isa, pool: pool)
        }
        let layout = try PackedLayout(weights, name: name)
        let key = weight.store.withBytes { PackedConstants.Key($0, .matrix(rows: layout.rows, columns: layout.columns)) }
        var made: PackedPanels?
        let memory = try backend.constants.memory(key) {
            let panels = try PackedPanels(weights, name: name, isa: backend.isa, pool: pool)
            made = panels
            guard let memory = panels.owner as? AlignedMemory else { throw SwiftletError.outOfMemory(bytes: layout.byteCount, purpose: "packed weight \(name)") }
            return memory
        }
        return made ?? PackedPanels(layout, base: UnsafeRawPointer(memory.base), owner: memory)
    }

    /// The activations a panel format multiplies with: the floats themselves, or their rounded form, made once.
    private mutating func activations(of value: ValueID, for format: ck_panel_format, width: Int) throws -> (slot: SlotID, format: ck_activation_format) {
        let activation = backend.activation.format
        if let made = madeRounded[root(value)] { touch(made.slot); return (made.slot, activation) }
        let source = slot(reading: value)
        guard format.readsRoundedActivations else { return (source, CK_ACT_F32) }
        if let rounded = quantised[source] { touch(rounded); return (rounded, activation) }
        let kernel = try quantiser()
        let leading = graph[value].type.shape.dropLast()
        let rowBytes = ck_activation_row_bytes(activation, Int64(width))
        let rounded = temporary { binding in try ValueType(.u8, leading + [Dimension(rowBytes)]).byteCount(under: binding) }
        quantised[source] = rounded
        let isPrivate = readers[root(value), default: []].allSatisfy { roundsForItself($0, root(value)) || !rounds($0, root(value)) }
        emitRowWise { binder in
            let count = try binder.product(leading)
            let isLeftOut = isPrivate && LinearPrologue.suits(rows: count, width: width)
            return .quantise(
                try binder.keep(QuantiseStep(
                    x: binder.floats(source), rounded: RoundedRows(kernel: kernel, out: binder.raw(rounded), width: width, rowBytes: rowBytes),
                    tasks: RowTasks(count: isLeftOut ? 0 : count, elementsPerRow: width))))
        }
        touch(source)
        touch(rounded)
        return (rounded, activation)
    }

    /// A value that is rounded by the step that makes it, or by those that read it when its rows are too few for that.
    struct MadeRounded {
        let slot: SlotID
        let kernel: ck_quantize_function
        let width: Int
        let rowBytes: Int
        /// Whether readers cannot round for themselves.
        let isNeeded: Bool

        func isMade(rows: Int) -> Bool { isNeeded || RoundedRows.pays(rows: rows) || !LinearPrologue.suits(rows: rows, width: width) }

        func output(_ binder: StepBinder, rows: Int) -> RoundedRows? {
            isMade(rows: rows) ? RoundedRows(kernel: kernel, out: binder.raw(slot), width: width, rowBytes: rowBytes) : nil
        }
    }

    /// How the next step, which makes `value`, may round it: when nothing reads it otherwise, in rows of `width`. Its floats then have a slot that is
    /// empty where it does.
    mutating func roundedOutput(_ value: ValueID, width: Int) throws -> MadeRounded? {
        let value = root(value)
        let readers = readers[value, default: []].filter { if case .reshape = $0.op { false } else { true } }
        guard width % Int(CK_BLOCK) == 0, !partition.outputs.contains(value), !readers.isEmpty,
            readers.allSatisfy({ readsOnlyRounded($0, value) && graph[$0.inputs[0]].type.shape.last == Dimension(width) })
        else { return nil }
        let kernel = try quantiser()
        let leading = graph[readers[0].inputs[0]].type.shape.dropLast()
        let rowBytes = ck_activation_row_bytes(backend.activation.format, Int64(width))
        let rows: @Sendable (Binding) throws -> Int = { binding in try leading.reduce(1) { $0 * (try $1.resolved(binding)) } }
        let made = MadeRounded(
            slot: add(Slot(home: .planned, byteCount: { _ in 0 })), kernel: kernel, width: width, rowBytes: rowBytes, isNeeded: readers.contains(where: \.isRanked))
        slots[made.slot.index].byteCount = { binding in made.isMade(rows: try rows(binding)) ? try rows(binding) * rowBytes : 0 }
        let floats = slot(writing: value)
        slots[floats.index].byteCount = { binding in made.isMade(rows: try rows(binding)) ? 0 : try rows(binding) * width * MemoryLayout<Float>.stride }
        touch(made.slot)
        madeRounded[value] = made
        return made
    }

    private func quantiser() throws -> ck_quantize_function {
        guard let kernel = PortableKernels.findQuantizer(backend.activation.format, isa: backend.isa)?.function else {
            throw SwiftletError.unsupported(file: "kernels", place: "quantize", reason: "is missing from this build", remedy: "Rebuild the package.")
        }
        return kernel
    }

    /// The formats of the weights that `node` multiplies `value` with.
    private func panels(of node: Node, reading value: ValueID) -> [ck_panel_format] {
        guard case .linear(let linear) = node.op, root(node.inputs[0]) == value else { return [] }
        return Self.panels(of: linear, node, in: graph)
    }

    private static func panels(of linear: Linear, _ node: Node, in graph: Graph) -> [ck_panel_format] {
        node.inputs[1...linear.weightCount].compactMap { graph[$0].weight.flatMap { PackedMatrix.panelFormat(of: $0.format) } }
    }

    /// Whether `node` multiplies the rounded form of `value` with some weight.
    private func rounds(_ node: Node, _ value: ValueID) -> Bool { panels(of: node, reading: value).contains(where: \.readsRoundedActivations) }

    /// Whether `node` reads nothing of `value` but its rounded form.
    private func readsOnlyRounded(_ node: Node, _ value: ValueID) -> Bool {
        let panels = panels(of: node, reading: value)
        return !panels.isEmpty && panels.allSatisfy(\.readsRoundedActivations) && node.inputs.dropFirst().allSatisfy { root($0) != value }
    }

    /// Whether `node` can make that form in its own prologue: what makes the largest of ranked products whole reads it as well.
    private func roundsForItself(_ node: Node, _ value: ValueID) -> Bool { !node.isRanked && readsOnlyRounded(node, value) }

    private struct PrivateNorm {
        let x: SlotID
        let scale: SlotID?
        let epsilon: Float
    }

    /// The prologue of a linear step, when its rows are few enough under a binding.
    private mutating func prologue(of node: Node, width: Int, _ vector: VectorKernels) throws -> ((StepBinder, Int) -> LinearPrologue?)? {
        let value = root(node.inputs[0])
        guard roundsForItself(node, value) else { return nil }
        let made = madeRounded[value]
        let norm = privateNorms[value]
        let x = norm?.x ?? slot(reading: value)
        touch(x)
        if let scale = norm?.scale { touch(scale) }
        let (kernel, rowBytes) = (try quantiser(), ck_activation_row_bytes(backend.activation.format, Int64(width)))
        return { binder, rows in
            guard LinearPrologue.suits(rows: rows, width: width), made?.isMade(rows: rows) != true else { return nil }
            return LinearPrologue(
                norm: norm.map { norm in
                    RootMeanSquareNorm(
                        kernel: vector.rmsNorm, scale: norm.scale.map { UnsafePointer(binder.floats($0)) }, epsilon: norm.epsilon)
                }, x: binder.floats(x), width: width, rows: rows, quantise: kernel, rowBytes: rowBytes)
        }
    }

    private struct LoweredTarget {
        let matrix: PackedMatrix
        let bias: SlotID?
        let activations: SlotID
        let activation: ck_activation_format
        let out: SlotID

        /// Floats are read where the graph keeps them, rows without a gap; rounded rows have the kernels' own stride.
        var activationRowBytes: Int {
            activation == CK_ACT_F32 ? matrix.columns * MemoryLayout<Float>.stride : ck_activation_row_bytes(activation, Int64(matrix.columns))
        }

        private func sparseRow(isa: UInt32) -> ck_sparse_row? {
            matrix.sparse == CK_SPARSE_NONE ? nil : ck_sparse_find(matrix.sparse, activation, isa)?.pointee
        }

        /// The fine part of a split matrix that meets so many rows whole.
        private func fineRowsToJoin(rows: Int) -> FineRows? { rows > RankedStep.mostRows ? matrix.fine : nil }

        /// How tasks make dense panels of sparse or split ones: for more rows than their kernels are good for.
        func expansion(rows: Int, isa: UInt32) -> PanelExpansion? {
            if let fine = fineRowsToJoin(rows: rows) {
                return PanelExpansion(source: .split(fine), panelBytes: ck_panel_bytes(CK_PANEL_Q8, Int64(matrix.columns)))
            }
            guard let row = sparseRow(isa: isa), rows > Int(row.maximum_rows), let expand = row.expand else { return nil }
            return PanelExpansion(source: .sparse(expand), panelBytes: ck_panel_bytes(matrix.format, Int64(matrix.columns)))
        }

        /// The kernel for panels as they lie, or as they are once expanded.
        func kernel(rows: Int, isa: UInt32) -> ck_linear_function? {
            if let row = sparseRow(isa: isa), rows <= Int(row.maximum_rows) { return row.multiply }
            let format = fineRowsToJoin(rows: rows) == nil ? matrix.format : CK_PANEL_Q8
            return PortableKernels.findLinear(format, activation, isa: isa, rows: Int64(rows))?.function
        }
    }

    private mutating func lower(_ linear: Linear, _ node: Node, _ vector: VectorKernels) throws {
        let weights = try matrices(linear, node)
        let width = weights[0].columns
        var inputs: [(slot: SlotID, format: ck_activation_format)] = []
        for weight in weights { inputs.append(try activations(of: node.inputs[0], for: weight.format, width: width)) }
        var biases: [SlotID?] = Array(repeating: nil, count: weights.count)
        if linear.hasBias {
            for index in weights.indices {
                keep(node.inputs[1 + linear.weightCount + index])
                biases[index] = slot(reading: node.inputs[1 + linear.weightCount + index])
            }
        }
        for input in inputs { touch(input.slot) }
        let prologue = try prologue(of: node, width: width, vector)
        let residual = linear.epilogue == .residual ? node.inputs.last.map { slot(reading: $0) } : nil
        let rounded = linear.outputCount == 1 && linear.epilogue != .residual ? try roundedOutput(node.outputs[0], width: weights[0].rows) : nil
        let outputs = node.outputs.map { slot(writing: $0, inPlace: linear.epilogue == .residual ? node.inputs.last : nil) }
        let targets = weights.indices.map { index in
            LoweredTarget(
                matrix: weights[index], bias: biases[index], activations: inputs[index].slot, activation: inputs[index].format,
                out: outputs[min(index, outputs.count - 1)])
        }
        let epilogue: (StepBinder) throws -> LinearStep.Epilogue =
            switch linear.epilogue {
            case .none: { _ in .none }
            case .activation(let unary): try Self.activation(kernel(unary, node, vector))
            case .gated(let unary):
                { _ in
                    guard let gate = vector.gate(unary) else {
                        throw SwiftletError.unsupported(
                            file: "kernels", place: "\(unary)", reason: "has no gated kernel", remedy: "Leave the gate unfused.")
                    }
                    return .gated(gate)
                }
            case .residual: { binder in residual.map { .residual(binder.floats($0)) } ?? .none }
            }
        let leading = Array(graph[node.inputs[0]].type.shape.dropLast())
        let (threads, isa, outputCount) = (pool.threadCount, backend.isa, linear.outputCount)
        let tiles = max(linear.epilogue.scratchTiles, rounded == nil ? 0 : 1)
        let panelsPerTask: (PackedMatrix, PanelExpansion?, Int) -> Int = { matrix, expansion, rows in
            LinearStep.panelsPerTask(
                panelCount: matrix.panelCount, panelBytes: expansion?.panelBytes ?? matrix.panels.panelBytes, rows: rows, threads: threads,
                wholeBlocks: rounded?.isMade(rows: rows) ?? false)
        }
        let roundedRowBytes = ck_activation_row_bytes(backend.activation.format, Int64(width))
        emit(
            scratchBytes: { binding in
                let rows = try leading.reduce(1) { $0 * (try $1.resolved(binding)) }
                let own = prologue != nil && LinearPrologue.suits(rows: rows, width: width)
                    ? LinearPrologue.scratchBytes(rows: rows, rowBytes: roundedRowBytes, width: width) : 0
                return own + (targets.map { target in
                    let expansion = target.expansion(rows: rows, isa: isa)
                    let panels = panelsPerTask(target.matrix, expansion, rows)
                    return LinearStep.scratchBytes(panelsPerTask: panels, tiles: tiles) + panels * (expansion?.panelBytes ?? 0) * max(1, tiles)
                }.max() ?? 0)
            },
            { binder in
                let rows = try binder.product(leading)
                var firstTask = 0
                let bound = try targets.enumerated().map { index, target in
                    let expansion = target.expansion(rows: rows, isa: isa)
                    guard let kernel = target.kernel(rows: rows, isa: isa) else {
                        throw SwiftletError.unsupported(
                            file: "kernels", place: node.name, reason: "no kernel multiplies this format", remedy: "Rebuild the package.")
                    }
                    let bound = LinearTarget(
                        kernel: kernel, panels: target.matrix.panels, panelCount: target.matrix.panelCount, features: target.matrix.rows,
                        bias: target.bias.map { UnsafePointer(binder.floats($0)) },
                        activations: binder.raw(target.activations), activationRowBytes: target.activationRowBytes,
                        out: binder.floats(target.out), panelsPerTask: panelsPerTask(target.matrix, expansion, rows),
                        firstTask: firstTask, expansion: expansion)
                    if index < outputCount { firstTask += bound.taskCount }
                    return bound
                }
                return .linear(
                    try binder.keep(LinearStep(
                        targets: try binder.store(bound), targetCount: bound.count, taskCount: rows == 0 ? 0 : firstTask,
                        prologue: prologue?(binder, rows), epilogue: try epilogue(binder), rounded: rounded?.output(binder, rows: rows),
                        add: vector.add, columns: width, rows: rows)))
            })
        if linear.isRanked, let fine = weights[0].fine {
            try rank(node, outputs[0], activations: inputs[0].slot, fine)
        }
    }
}

/// Keeps the bytes of a weight alive.
private final class WeightHolder {
    let weight: Weight
    init(_ weight: Weight) { self.weight = weight }
}

extension ck_panel_format {
    /// Integer panels multiply rounded activations, dense ones the floats themselves.
    fileprivate var readsRoundedActivations: Bool { self != CK_PANEL_F32 && self != CK_PANEL_F16 && self != CK_PANEL_BF16 }
}

extension Linear.Epilogue {
    /// Tiles of scratch the epilogue needs per task.
    fileprivate var scratchTiles: Int {
        switch self {
        case .none, .activation: 0
        case .residual: 1
        case .gated: 2
        }
    }
}
