// Pools: the largest, the mean or the norm of what a window covers. Planes (an image's channel) are shared out.

extension ReferenceNumbers {
    func pool(_ pool: Pool) throws {
        switch pool.kind {
        case .maximum(let indices): try maximumPool(pool, indices: indices)
        case .average(let countsPadding):
            try step.floatPool(pool) { values, covered, start in
                let sum = values.sum(covered, start) { $0 }
                return sum / Double(countsPadding ? covered.paddedCount : covered.rows.count * covered.count)
            }
        case .norm(let p):
            try step.floatPool(pool) { values, covered, start in
                p == 1 ? values.sum(covered, start) { abs($0) }
                    : p == 2 ? values.sum(covered, start) { $0 * $0 }.squareRoot()
                    : Binary.power(values.sum(covered, start) { Binary.power(abs($0), Double(p)) }, 1 / Double(p))
            }
        }
    }

    /// A window that covers nothing gives the lowest number of the type, and the index −1.
    private func maximumPool(_ pool: Pool, indices: Bool) throws {
        let (x, output) = (inputs[0], outputs[0])
        if output.count == 0 { return }
        let windows = WindowRows(pool.window, places: Array(output.shape.dropFirst(2)), elements: Array(x.shape.dropFirst(2)))
        let planeSize = x.shape.dropFirst(2).reduce(1, *)
        let values = try Number.load(x)
        var results = [Number](repeating: .lowest(of: x.element), count: output.count)
        var places = [Int64](repeating: -1, count: indices ? output.count : 0)
        let perPlane = windows.places.count
        try results.withUnsafeMutableBufferPointer { results in
            try places.withUnsafeMutableBufferPointer { places in
                try values.withUnsafeBufferPointer { values in
                    try step.forEach(output.shape[0] * output.shape[1]) { plane in
                        for (index, covered) in windows.places.enumerated() where !covered.rows.isEmpty {
                            var best = -1
                            for row in covered.rows {
                                let start = plane * planeSize + windows.starts[row]
                                for element in 0..<covered.count {
                                    let place = start + element * covered.step
                                    if best < 0 || values[place] > values[best] || (values[place].isNotANumber && !values[best].isNotANumber) { best = place }
                                }
                            }
                            results[plane * perPlane + index] = values[best]
                            if indices { places[plane * perPlane + index] = Int64(best) }
                        }
                    }
                }
            }
        }
        try Number.store(results, in: output)
        if indices { try outputs[1].store(wholeNumbers: places) }
    }
}

/// The elements of x and where the runs of windows begin in a plane.
struct PooledValues {
    let values: UnsafeBufferPointer<Double>
    let starts: [Int]

    @inline(__always)
    func sum(_ covered: WindowRows.Covered, _ plane: Int, _ function: (Double) -> Double) -> Double {
        var sum = 0.0
        for row in covered.rows {
            let start = plane + starts[row]
            for element in 0..<covered.count { sum += function(values[start + element * covered.step]) }
        }
        return sum
    }
}

extension ReferenceStep {
    /// Calls `result` for each window with the start of its plane.
    func floatPool(_ pool: Pool, _ result: (PooledValues, WindowRows.Covered, Int) -> Double) throws {
        let (x, output) = (inputs[0], outputs[0])
        if output.count == 0 { return }
        let windows = WindowRows(pool.window, places: Array(output.shape.dropFirst(2)), elements: Array(x.shape.dropFirst(2)))
        let planeSize = x.shape.dropFirst(2).reduce(1, *)
        let perPlane = windows.places.count
        let values = try x.values()
        var results = [Double](repeating: 0, count: output.count)
        try results.withUnsafeMutableBufferPointer { results in
            try values.withUnsafeBufferPointer { values in
                let pooled = PooledValues(values: values, starts: windows.starts)
                try forEach(output.shape[0] * output.shape[1]) { plane in
                    for (index, covered) in windows.places.enumerated() {
                        results[plane * perPlane + index] = result(pooled, covered, plane * planeSize)
                    }
                }
            }
        }
        try output.store(results)
    }
}
