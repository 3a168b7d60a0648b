// Recurrent layers, a sequence and direction at a time. Gate orders are those of ONNX: LSTM i, o, f, c; GRU z, r, h.

extension ReferenceStep {
    func recurrent(_ recurrent: Recurrent) throws {
        let places = recurrent.operands
        let (steps, batch, width) = (inputs[0].shape[0], inputs[0].shape[1], inputs[0].width)
        let (hidden, directions) = (recurrent.hidden, recurrent.direction.count)
        let layer = RecurrentLayer(
            recurrent: recurrent, width: width, input: try inputs[1].values(), recurring: try inputs[2].values(),
            bias: try places.bias.map { try inputs[$0].values() }, peepholes: try places.peepholes.map { try inputs[$0].values() })
        let x = try inputs[0].values()
        let lengths = try places.lengths.map { try sequenceLengths(inputs[$0], upTo: steps) } ?? [Int](repeating: steps, count: batch)
        let state = [Double](repeating: 0, count: directions * batch * hidden)
        var last = try places.hidden.map { try inputs[$0].values() } ?? state
        var cells = try places.cell.map { try inputs[$0].values() } ?? state
        var results = [Double](repeating: 0, count: steps * directions * batch * hidden)

        try results.withUnsafeMutableBufferPointer { results in
            try last.withUnsafeMutableBufferPointer { last in
                try cells.withUnsafeMutableBufferPointer { cells in
                    try forEach(directions * batch) { task in
                        let (direction, sequence) = (task / batch, task % batch)
                        let isReversed = recurrent.direction == .reverse || direction == 1
                        let own = task * hidden..<(task + 1) * hidden
                        var (h, c) = (Array(last[own]), Array(cells[own]))
                        for index in 0..<lengths[sequence] {
                            let time = isReversed ? lengths[sequence] - 1 - index : index
                            let start = (time * batch + sequence) * width
                            layer.step(x[start..<start + width], direction, &h, &c)
                            let target = ((time * directions + direction) * batch + sequence) * hidden
                            for unit in 0..<hidden { results[target + unit] = h[unit] }
                        }
                        for unit in 0..<hidden { (last[task * hidden + unit], cells[task * hidden + unit]) = (h[unit], c[unit]) }
                    }
                }
            }
        }
        try outputs[0].store(results)
        try outputs[1].store(last)
        if recurrent.isLSTM { try outputs[2].store(cells) }
    }

    private func sequenceLengths(_ tensor: ReferenceTensor, upTo steps: Int) throws -> [Int] {
        let lengths: [Int] = try tensor.wholeNumbers()
        if let wrong = lengths.first(where: { !(0...steps).contains($0) }) {
            throw SwiftletError.invalidArgument(
                name: node.name, reason: "a sequence has \(wrong) of \(steps) steps", remedy: "Give lengths between 0 and \(steps).")
        }
        return lengths
    }
}

/// The weights of a layer, and one step of one sequence.
private struct RecurrentLayer {
    let recurrent: Recurrent
    /// Elements of an input.
    let width: Int
    let input, recurring: [Double]
    let bias, peepholes: [Double]?

    private var hidden: Int { recurrent.hidden }

    func step(_ x: ArraySlice<Double>, _ direction: Int, _ h: inout [Double], _ c: inout [Double]) {
        let gates = recurrent.gateCount
        let rows = gates * hidden
        // Row r of the recurrent product is behind the input product, with its own bias, so that a GRU can reset in between.
        func product(_ row: Int) -> Double {
            let start = (direction * rows + row) * width
            var sum = 0.0
            for index in 0..<width { sum += x[x.startIndex + index] * input[start + index] }
            return sum + (bias?[direction * 2 * rows + row] ?? 0)
        }
        func recurringBias(_ row: Int) -> Double { bias?[direction * 2 * rows + rows + row] ?? 0 }
        func recurringProduct(_ row: Int, _ state: [Double]) -> Double {
            let start = (direction * rows + row) * hidden
            var sum = 0.0
            for index in 0..<hidden { sum += state[index] * recurring[start + index] }
            return sum
        }
        func gate(_ row: Int) -> Double { product(row) + recurringProduct(row, h) + recurringBias(row) }
        let functions = recurrent.activations[(direction * recurrent.activationCount)...].prefix(recurrent.activationCount)
        let first = functions.startIndex

        switch recurrent.cell {
        case .simple:
            h = (0..<hidden).map { functions[first](clipped(gate($0))) }
        case .gru(let resetsAfter):
            let update = (0..<hidden).map { functions[first](clipped(gate($0))) }
            let reset = (0..<hidden).map { functions[first](clipped(gate(hidden + $0))) }
            let resetState = zip(reset, h).map { $0 * $1 }
            let candidate = (0..<hidden).map { unit in
                let row = 2 * hidden + unit
                let memory = resetsAfter ? reset[unit] * (recurringProduct(row, h) + recurringBias(row)) : recurringProduct(row, resetState) + recurringBias(row)
                return functions[first + 1](clipped(product(row) + memory))
            }
            for unit in 0..<hidden { h[unit] = (1 - update[unit]) * candidate[unit] + update[unit] * h[unit] }
        case .lstm(let couples):
            let sums = (0..<rows).map(gate)
            func peephole(_ gate: Int, _ unit: Int, _ cell: Double) -> Double {
                peepholes.map { $0[(direction * 3 + gate) * hidden + unit] * cell } ?? 0
            }
            for unit in 0..<hidden {
                let old = c[unit]
                let inputGate = functions[first](clipped(sums[unit] + peephole(0, unit, old)))
                let forget = couples ? 1 - inputGate : functions[first](clipped(sums[2 * hidden + unit] + peephole(2, unit, old)))
                let candidate = functions[first + 1](clipped(sums[3 * hidden + unit]))
                c[unit] = forget * old + inputGate * candidate
                let outputGate = functions[first](clipped(sums[hidden + unit] + peephole(1, unit, c[unit])))
                h[unit] = outputGate * functions[first + 2](clipped(c[unit]))
            }
        }
    }

    private func clipped(_ x: Double) -> Double { recurrent.clip.map { min(max(x, -Double($0)), Double($0)) } ?? x }
}
