// The lowering of matrix products: packed weights, rounded activations and who rounds them, kernels by the number of rows.
import CKernels
import SwiftletPortableKernels

extension CPULowering {
    /// A value that is rounded by the step that makes it, or by those that read it when its rows are too few for that.
    struct MadeRounded {
        let slot: SlotID
        let kernel: ck_quantize_function
        let width: Int
        let rowBytes: Int

        func isMade(rows: Int) -> Bool { RoundedRows.pays(rows: rows) || !LinearPrologue.suits(rows: rows, width: width) }

        func output(_ binder: StepBinder, rows: Int) -> RoundedRows? {
            isMade(rows: rows) ? RoundedRows(kernel: kernel, out: binder.raw(slot), width: width, rowBytes: rowBytes) : nil
        }
    }

    /// A norm that linear steps of few rows do for themselves.
    struct PrivateNorm {
        let x: SlotID
        let scale: SlotID?
        let epsilon: Float
    }

    // MARK: Packed weights

    /// Whether a matrix product of this partition packs the weight.
    func isMultiplied(_ weight: ValueID) -> Bool { !products(of: weight).isEmpty }

    /// Whether the products with the weight are wanted for their largest elements alone.
    private func isRanked(_ weight: ValueID) -> Bool { products(of: weight).allSatisfy(\.isRanked) }

    private func products(of weight: ValueID) -> [Linear] {
        readers[root(weight), default: []].compactMap { node in
            if case .linear(let linear) = node.op, node.inputs[1...linear.weightCount].contains(weight) { linear } else { nil }
        }
    }

    mutating func matrix(_ value: ValueID) throws -> PackedMatrix {
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

    // MARK: Rounded activations

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

    /// How the next step, which makes `value`, may round it: when nothing reads it otherwise, in rows of `width`. Its floats then have a slot that is
    /// empty where it does.
    mutating func roundedOutput(_ value: ValueID, width: Int) throws -> MadeRounded? {
        let value = root(value)
        let readers = readers[value, default: []].filter { if case .reshape = $0.op { false } else { true } }
        guard width % Int(CK_BLOCK) == 0, !partition.outputs.contains(value), !readers.isEmpty,
            readers.allSatisfy({ roundsForItself($0, value) && graph[$0.inputs[0]].type.shape.last == Dimension(width) })
        else { return nil }
        let kernel = try quantiser()
        let leading = graph[readers[0].inputs[0]].type.shape.dropLast()
        let rowBytes = ck_activation_row_bytes(backend.activation.format, Int64(width))
        let rows: @Sendable (Binding) throws -> Int = { binding in try leading.reduce(1) { $0 * (try $1.resolved(binding)) } }
        let made = MadeRounded(slot: add(Slot(home: .planned, byteCount: { _ in 0 })), kernel: kernel, width: width, rowBytes: rowBytes)
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

    static func panels(of linear: Linear, _ node: Node, in graph: Graph) -> [ck_panel_format] {
        node.inputs[1...linear.weightCount].compactMap { graph[$0].weight.flatMap { PackedMatrix.panelFormat(of: $0.format) } }
    }

    /// Whether `node` multiplies the rounded form of `value` with some weight.
    private func rounds(_ node: Node, _ value: ValueID) -> Bool { panels(of: node, reading: value).contains(where: \.readsRoundedActivations) }

    /// Whether `node` reads nothing of `value` but its rounded form, which its own prologue can make.
    func roundsForItself(_ node: Node, _ value: ValueID) -> Bool {
        // What makes the largest of ranked products whole reads both forms.
        let panels = node.isRanked ? [] : panels(of: node, reading: value)
        return !panels.isEmpty && panels.allSatisfy(\.readsRoundedActivations) && node.inputs.dropFirst().allSatisfy { root($0) != value }
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

    // MARK: Steps

    private static func activation(_ function: ElementFunction) -> (StepBinder) -> LinearStep.Epilogue { { _ in .activation(function) } }

    private func kernel(_ unary: Unary, _ node: Node, _ vector: VectorKernels) throws -> ElementFunction {
        guard let function = vector.function(unary) else { throw noKernel(node) }
        return function
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

    mutating func lower(_ linear: Linear, _ node: Node, _ vector: VectorKernels) throws {
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

extension ck_panel_format {
    /// Integer panels multiply rounded activations, dense ones the floats themselves.
    var readsRoundedActivations: Bool { self != CK_PANEL_F32 && self != CK_PANEL_F16 && self != CK_PANEL_BF16 }
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
