// Recurrent layers in f32: the product of all inputs with their weights at once, then step by step the product of the state with its weights, and
// the gates. A direction is a task: what one step gives, the next one needs.
import CKernels

/// A layer bound to memory. Gate orders are those of ONNX: LSTM i, o, f, c; GRU z, r, h.
struct RecurrentStep {
    /// The weights of one direction.
    struct Direction {
        let input, recurring: UnsafeRawPointer
        /// `[gates·hidden]` each: added to the product of the input, and to that of the state.
        let inputBias, recurringBias: UnsafePointer<Float>
        let isReversed: Bool
        /// f, g, h; those a cell does not have repeat the last.
        let functions: (ElementFunction, ElementFunction, ElementFunction)
    }

    enum Cell {
        case simple
        case gru(resetsAfter: Bool)
        case lstm
    }

    let cell: Cell
    let manyRows, fewRows: ck_linear_function
    let directions: UnsafePointer<Direction>
    let directionCount: Int
    let steps, batch, width, hidden, gates: Int
    let inputPanelBytes, recurringPanelBytes, panelCount: Int
    let x: UnsafePointer<Float>
    /// Nil: zeros.
    let firstHidden, firstCell: UnsafePointer<Float>?
    /// `[directions, steps, batch, gates·hidden]`
    let products: UnsafeMutablePointer<Float>
    let out, lastHidden: UnsafeMutablePointer<Float>
    let lastCell: UnsafeMutablePointer<Float>?

    var taskCount: Int { directionCount }

    private var rows: Int { gates * hidden }

    /// The product of the state, the state after a reset, and the two sides of a function.
    static func scratchBytes(batch: Int, hidden: Int, gates: Int) -> Int { (batch * gates * hidden + 2 * batch * hidden) * MemoryLayout<Float>.stride }

    func execute(_ task: Int, scratch: UnsafeMutableRawPointer) {
        let direction = directions[task]
        let sums = products + task * steps * batch * rows
        multiply(direction.input, inputPanelBytes, k: width, rows: steps * batch, x, sums)
        for row in 0..<steps * batch { add(direction.inputBias, to: sums + row * rows, count: rows) }

        let state = lastHidden + task * batch * hidden
        load(firstHidden.map { $0 + task * batch * hidden }, into: state)
        let cells = lastCell.map { $0 + task * batch * hidden }
        if let cells { load(firstCell.map { $0 + task * batch * hidden }, into: cells) }

        let memory = scratch.assumingMemoryBound(to: Float.self)
        let spare = memory + batch * rows
        for index in 0..<steps {
            let time = direction.isReversed ? steps - 1 - index : index
            let current = sums + time * batch * rows
            multiply(direction.recurring, recurringPanelBytes, k: hidden, rows: batch, state, memory)
            for sequence in 0..<batch { add(direction.recurringBias, to: memory + sequence * rows, count: rows) }
            switch cell {
            case .simple: simple(direction, current, memory, state)
            case .gru(let resetsAfter): gru(direction, current, memory, state, spare, resetsAfter: resetsAfter)
            case .lstm: if let cells { lstm(direction, current, memory, state, cells, spare) }
            }
            (out + (time * directionCount + task) * batch * hidden).update(from: state, count: batch * hidden)
        }
    }

    private func simple(_ direction: Direction, _ sums: UnsafeMutablePointer<Float>, _ memory: UnsafeMutablePointer<Float>, _ state: UnsafeMutablePointer<Float>) {
        for index in 0..<batch * hidden { memory[index] += sums[index] }
        direction.functions.0(memory, batch * hidden, state)
    }

    private func gru(
        _ direction: Direction, _ sums: UnsafeMutablePointer<Float>, _ memory: UnsafeMutablePointer<Float>, _ state: UnsafeMutablePointer<Float>,
        _ spare: UnsafeMutablePointer<Float>, resetsAfter: Bool
    ) {
        for sequence in 0..<batch {
            let (own, product, h) = (sums + sequence * rows, memory + sequence * rows, state + sequence * hidden)
            for index in 0..<2 * hidden { own[index] += product[index] }
            direction.functions.0(own, 2 * hidden, own)
            let (reset, candidate) = (own + hidden, own + 2 * hidden)
            if resetsAfter {
                for unit in 0..<hidden { candidate[unit] += reset[unit] * product[2 * hidden + unit] }
            } else {
                for unit in 0..<hidden { spare[sequence * hidden + unit] = reset[unit] * h[unit] }
            }
        }
        if !resetsAfter {
            // The product again, with the state that was reset: only its last third is used.
            multiply(direction.recurring, recurringPanelBytes, k: hidden, rows: batch, spare, memory)
            for sequence in 0..<batch {
                let (candidate, product) = (sums + sequence * rows + 2 * hidden, memory + sequence * rows + 2 * hidden)
                for unit in 0..<hidden { candidate[unit] += product[unit] + direction.recurringBias[2 * hidden + unit] }
            }
        }
        for sequence in 0..<batch {
            let (update, candidate, h) = (sums + sequence * rows, sums + sequence * rows + 2 * hidden, state + sequence * hidden)
            direction.functions.1(candidate, hidden, candidate)
            for unit in 0..<hidden { h[unit] = (1 - update[unit]) * candidate[unit] + update[unit] * h[unit] }
        }
    }

    private func lstm(
        _ direction: Direction, _ sums: UnsafeMutablePointer<Float>, _ memory: UnsafeMutablePointer<Float>, _ state: UnsafeMutablePointer<Float>,
        _ cells: UnsafeMutablePointer<Float>, _ spare: UnsafeMutablePointer<Float>
    ) {
        for sequence in 0..<batch {
            let (own, product) = (sums + sequence * rows, memory + sequence * rows)
            let (h, c) = (state + sequence * hidden, cells + sequence * hidden)
            for index in 0..<rows { own[index] += product[index] }
            // i, o and f lie together.
            direction.functions.0(own, 3 * hidden, own)
            let (inputGate, outputGate, forget, candidate) = (own, own + hidden, own + 2 * hidden, own + 3 * hidden)
            direction.functions.1(candidate, hidden, candidate)
            for unit in 0..<hidden { c[unit] = forget[unit] * c[unit] + inputGate[unit] * candidate[unit] }
            direction.functions.2(c, hidden, spare)
            for unit in 0..<hidden { h[unit] = outputGate[unit] * spare[unit] }
        }
    }

    private func load(_ values: UnsafePointer<Float>?, into target: UnsafeMutablePointer<Float>) {
        if let values { target.update(from: values, count: batch * hidden) } else { target.update(repeating: 0, count: batch * hidden) }
    }

    private func add(_ bias: UnsafePointer<Float>, to target: UnsafeMutablePointer<Float>, count: Int) {
        for index in 0..<count { target[index] += bias[index] }
    }

    /// `activations [rows, k] · panelsᵀ → [rows, gates·hidden]`
    private func multiply(
        _ panels: UnsafeRawPointer, _ panelBytes: Int, k: Int, rows count: Int, _ activations: UnsafePointer<Float>, _ output: UnsafeMutablePointer<Float>
    ) {
        var call = ck_linear_args()
        call.panels = panels
        call.panel_stride_bytes = panelBytes
        call.panel_count = Int64(panelCount)
        call.k = Int64(k)
        call.activations = UnsafeRawPointer(activations)
        call.activation_stride_bytes = k * MemoryLayout<Float>.stride
        call.rows = Int64(count)
        call.output = output
        call.output_stride = Int64(rows)
        call.columns = Int64(rows)
        (count == batch ? fewRows : manyRows)(&call)
    }
}
