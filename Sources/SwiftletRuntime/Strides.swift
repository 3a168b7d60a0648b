// Steps through tensors: how far elements that are neighbours on an axis lie apart, in elements.

enum Strides {
    /// Of a dense tensor of this shape, last axis innermost.
    static func dense(_ shape: [Int]) -> [Int] {
        var strides = [Int](repeating: 1, count: shape.count)
        for axis in shape.indices.dropLast().reversed() { strides[axis] = strides[axis + 1] * shape[axis + 1] }
        return strides
    }

    /// Along each axis of `shape`, of a dense tensor of shape `own` that broadcasts to it: 0 where it is repeated.
    static func broadcast(_ own: [Int], to shape: [Int]) -> [Int] {
        let strides = dense(own)
        let lead = shape.count - own.count
        return shape.indices.map { axis in axis < lead || own[axis - lead] == 1 ? 0 : strides[axis - lead] }
    }
}

/// An axis that several tensors are walked along at once.
struct StridedAxis: Equatable {
    var size: Int
    /// What each tensor steps, in any unit: 0 where it is repeated, negative where it is walked backwards.
    var strides: [Int]

    /// The fewest axes, outermost first, that walk the same way: those of length 1 go, neighbours that run on in every tensor become one.
    static func merged(_ axes: [StridedAxis]) -> [StridedAxis] {
        var result: [StridedAxis] = []
        for axis in axes where axis.size != 1 {
            if let last = result.last, zip(last.strides, axis.strides).allSatisfy({ $0 == $1 * axis.size }) {
                result[result.count - 1] = StridedAxis(size: last.size * axis.size, strides: axis.strides)
            } else {
                result.append(axis)
            }
        }
        return result
    }
}
