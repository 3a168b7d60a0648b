// Walking over several tensors at once, each with strides of its own: broadcasting, permuting, slicing and reducing are all this.
//
// Axes of length 1 are dropped, and neighbours that every tensor steps through evenly become one axis, so that the innermost loop is as long
// as it can be: a dense copy is one row.

/// A shape and, for each operand, how many elements it steps along each axis (0 where it is repeated, negative where it is walked backwards).
struct StridedWalk {
    /// Elements of a row, and what each operand steps from one to the next.
    let count: Int
    let steps: [Int]
    private let shape: [Int]
    private let strides: [[Int]]

    init(_ shape: [Int], _ strides: [[Int]]) {
        var lengths: [Int] = []
        var merged = strides.map { _ in [Int]() }
        for axis in shape.indices where shape[axis] != 1 {
            let joins = !lengths.isEmpty && strides.indices.allSatisfy { merged[$0][lengths.count - 1] == strides[$0][axis] * shape[axis] }
            if joins {
                lengths[lengths.count - 1] *= shape[axis]
                for operand in strides.indices { merged[operand][lengths.count - 1] = strides[operand][axis] }
            } else {
                lengths.append(shape[axis])
                for operand in strides.indices { merged[operand].append(strides[operand][axis]) }
            }
        }
        count = lengths.last ?? 1
        steps = merged.map { $0.last ?? 0 }
        self.shape = Array(lengths.dropLast())
        self.strides = merged.map { Array($0.dropLast()) }
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
    var strides: [Int] { Self.strides(of: shape) }

    /// Elements to step along each axis of a dense tensor of this shape.
    static func strides(of shape: [Int]) -> [Int] {
        var strides = [Int](repeating: 1, count: shape.count)
        for axis in shape.indices.dropLast().reversed() { strides[axis] = strides[axis + 1] * shape[axis + 1] }
        return strides
    }

    /// Elements to step along each axis of `shape`, which this tensor's shape broadcasts to: 0 where it is repeated.
    func strides(over shape: [Int]) -> [Int] {
        let own = strides
        let lead = shape.count - self.shape.count
        return shape.indices.map { axis in axis < lead || self.shape[axis - lead] == 1 ? 0 : own[axis - lead] }
    }
}
