// Lowering of recurrent layers with constant weights.
import CKernels

extension CPULowering {
    /// Layers without the options that are rare: peepholes, coupled gates, limits, sequences of different lengths. Those run in the reference.
    static func canLower(_ recurrent: Recurrent, _ node: Node, in graph: Graph) -> Bool {
        let types = node.inputs.map { graph[$0].type }
        func isConstant(_ index: Int) -> Bool { graph[node.inputs[index]].weight?.format == .dense(.f32) }
        func isElements(_ index: Int) -> Bool { types[index].element == .f32 && (graph[node.inputs[index]].weight.map { $0.format == .dense(.f32) } ?? true) }
        guard !recurrent.hasPeepholes, !recurrent.hasLengths, recurrent.clip == nil, recurrent.cell != .lstm(couplesInputAndForget: true) else { return false }
        guard types[0].shape.allSatisfy({ $0 != 0 }), isElements(0), graph[node.inputs[0]].weight == nil, isConstant(1), isConstant(2) else { return false }
        let places = recurrent.operands
        guard places.bias.map(isConstant) ?? true, [places.hidden, places.cell].compactMap({ $0 }).allSatisfy(isElements) else { return false }
        return recurrent.activations.allSatisfy(VectorKernels.has)
    }

    mutating func lower(_ recurrent: Recurrent, _ node: Node) throws {
        let kernels = try VectorKernels(isa: backend.isa)
        let places = recurrent.operands
        let sizes = try sizes(node.inputs[0])
        let (steps, batch, width, hidden, gates) = (sizes[0], sizes[1], sizes[2], recurrent.hidden, recurrent.gateCount)
        let (rows, directions) = (gates * hidden, recurrent.direction.count)
        func kernel(_ count: Int) throws -> ck_linear_function {
            guard let kernel = ck_linear_find(CK_PANEL_F32, CK_ACT_F32, backend.isa, Int64(count))?.pointee.function else { throw noKernel(node) }
            return kernel
        }
        let (manyRows, fewRows) = (try kernel(steps * batch), try kernel(batch))
        let (input, inputPanelBytes) = try packDirections(node.inputs[1], rows: rows, columns: width, directions: directions)
        let (recurring, recurringPanelBytes) = try packDirections(node.inputs[2], rows: rows, columns: hidden, directions: directions)
        let panelCount = (rows + Int(CK_PANEL_ROWS) - 1) / Int(CK_PANEL_ROWS)
        // [directions, 2·rows], those of the input first.
        let bias = try vector(places.bias.map { try floats(node.inputs[$0]) } ?? [Float](repeating: 0, count: directions * 2 * rows))
        let count = recurrent.activationCount
        let all = try (0..<directions).map { index in
            let functions = try (0..<3).map { place in
                guard let function = kernels.function(recurrent.activations[index * count + min(place, count - 1)]) else { throw noKernel(node) }
                return function
            }
            return RecurrentStep.Direction(
                input: input + index * panelCount * inputPanelBytes, recurring: recurring + index * panelCount * recurringPanelBytes,
                inputBias: bias + index * 2 * rows, recurringBias: bias + index * 2 * rows + rows,
                isReversed: recurrent.direction == .reverse || index == 1, functions: (functions[0], functions[1], functions[2]))
        }
        let cell: RecurrentStep.Cell =
            switch recurrent.cell {
            case .simple: .simple
            case .gru(let resetsAfter): .gru(resetsAfter: resetsAfter)
            case .lstm: .lstm
            }
        let x = slot(reading: node.inputs[0])
        let (firstHidden, firstCell) = (places.hidden.map { slot(reading: node.inputs[$0]) }, places.cell.map { slot(reading: node.inputs[$0]) })
        let products = temporary { _ in directions * steps * batch * rows * MemoryLayout<Float>.stride }
        let outputs = node.outputs.map { slot(writing: $0) }
        emit(scratchBytes: { _ in RecurrentStep.scratchBytes(batch: batch, hidden: hidden, gates: gates) }) { binder in
            .recurrent(
                try binder.keep(RecurrentStep(
                    cell: cell, manyRows: manyRows, fewRows: fewRows, directions: try binder.store(all), directionCount: directions, steps: steps,
                    batch: batch, width: width, hidden: hidden, gates: gates, inputPanelBytes: inputPanelBytes, recurringPanelBytes: recurringPanelBytes,
                    panelCount: panelCount, x: UnsafePointer(binder.floats(x)), firstHidden: firstHidden.map { UnsafePointer(binder.floats($0)) },
                    firstCell: firstCell.map { UnsafePointer(binder.floats($0)) }, products: binder.floats(products), out: binder.floats(outputs[0]),
                    lastHidden: binder.floats(outputs[1]), lastCell: outputs.count > 2 ? binder.floats(outputs[2]) : nil)))
        }
    }

    /// Packs the matrix of each direction of `[directions, rows, columns]`, one behind the other; returns the bytes of a panel as well.
    private mutating func packDirections(_ value: ValueID, rows: Int, columns: Int, directions: Int) throws -> (UnsafeRawPointer, Int) {
        let panelRows = Int(CK_PANEL_ROWS)
        let (panels, panelBytes) = ((rows + panelRows - 1) / panelRows, ck_panel_bytes(CK_PANEL_F32, Int64(columns)))
        let rowBytes = columns * MemoryLayout<Float>.stride
        let form = PackedConstants.Form.recurrent(rows: rows, columns: columns, directions: directions)
        let memory = try packed(value, form, partBytes: panelBytes, parts: directions * panels) { source, part, target in
            let (direction, panel) = part.quotientAndRemainder(dividingBy: panels)
            let first = panel * panelRows
            _ = ck_pack_panel(
                CK_WEIGHT_F32, source + (direction * rows + first) * rowBytes, rowBytes, Int64(min(panelRows, rows - first)), Int64(columns), target)
        }
        return (memory, panelBytes)
    }
}
