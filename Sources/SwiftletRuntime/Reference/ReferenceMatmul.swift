// Products of matrices in any domain.

extension ReferenceNumbers {
    /// Rows of the result are shared out; each element adds its products in the order of the inner index.
    func matmul() throws {
        let (a, b, output) = (inputs[0], inputs[1], outputs[0])
        let (inner, columns) = (a.width, b.width)
        let rows = a.shape[a.shape.count - 2]
        if output.count == 0 { return }
        let leading = Array(output.shape.dropLast(2))
        func starts(_ tensor: ReferenceTensor) -> [Int] {
            let matrices = ReferenceTensor(shape: Array(tensor.shape.dropLast(2)), format: tensor.format, bytes: nil)
            let walk = StridedWalk(leading, [matrices.strides(over: leading)])
            let size = tensor.shape.suffix(2).reduce(1, *)
            var starts: [Int] = []
            walk.forEachRow { offsets in for index in 0..<walk.count { starts.append((offsets[0] + index * walk.steps[0]) * size) } }
            return starts
        }
        let (left, right) = (try Number.load(a), try Number.load(b))
        let (leftStarts, rightStarts) = (starts(a), starts(b))
        var results = [Number](repeating: .zero, count: output.count)
        // About 64 thousand products a task, or a row.
        let rowsPerTask = max(1, min(leftStarts.count * rows, 65536 / max(1, inner * columns)))
        let rowCount = leftStarts.count * rows
        try left.withUnsafeBufferPointer { left in
            try right.withUnsafeBufferPointer { right in
                try results.withUnsafeMutableBufferPointer { results in
                    guard let target = results.baseAddress, let coefficients = right.baseAddress else { return }
                    try step.forEach((rowCount + rowsPerTask - 1) / rowsPerTask) { task in
                        for row in task * rowsPerTask..<min(rowCount, (task + 1) * rowsPerTask) {
                            let matrix = row / rows
                            let from = leftStarts[matrix] + row % rows * inner
                            let result = target + row * columns
                            for index in 0..<inner {
                                let factor = left[from + index]
                                let line = coefficients + rightStarts[matrix] + index * columns
                                for column in 0..<columns { result[column] = Number.sum(result[column], Number.product(factor, line[column])) }
                            }
                        }
                    }
                }
            }
        }
        try Number.store(results, in: output)
    }
}
