// Walking over several tensors at once, each with strides of its own: broadcasting, permuting, slicing and reducing are all this.
//
// Axes are merged first, so that the innermost loop is as long as it can be: a dense copy is one row.

/// A shape and, for each operand, how many elements it steps along each axis (0 where it is repeated, negative where it is walked backwards).
struct StridedWalk {
    /// Elements of a row, and what each operand steps from one to the next.
    let count: Int
    let steps: [Int]
    private let shape: [Int]
    private let strides: [[Int]]

    init(_ shape: [Int], _ strides: [[Int]]) {
        let axes = StridedAxis.merged(shape.indices.map { axis in StridedAxis(size: shape[axis], strides: strides.map { $0[axis] }) })
        count = axes.last?.size ?? 1
        steps = axes.last?.strides ?? strides.map { _ in 0 }
        self.shape = axes.dropLast().map(\.size)
        self.strides = strides.indices.map { operand in axes.dropLast().map { $0.strides[operand] } }
    }

    /// Calls `body` with the offset of every row's first element in each operand, rows in row-major order.
    func forEachRow(_ body: ([Int]) throws -> Void) rethrows {
        if count == 0 || shape.contains(0) { return }
        var offsets = [Int](repeating: 0, count: strides.count)
        var position = [Int](repeating: 0, count: shape.count)
        while true {
            try body(offsets)
            var axis = shape.count - 1
            while axis >= 0 {
                position[axis] += 1
                if position[axis] < shape[axis] {
                    for operand in strides.indices { offsets[operand] += strides[operand][axis] }
                    break
                }
                position[axis] = 0
                for operand in strides.indices { offsets[operand] -= strides[operand][axis] * (shape[axis] - 1) }
                axis -= 1
            }
            if axis < 0 { return }
        }
    }
}

extension ReferenceTensor {
    /// Elements to step along each axis of the tensor itself.
    var strides: [Int] { Strides.dense(shape) }

    /// Elements to step along each axis of `shape`, which this tensor's shape broadcasts to: 0 where it is repeated.
    func strides(over shape: [Int]) -> [Int] { Strides.broadcast(self.shape, to: shape) }
}
