// Functions of elements of any shapes that broadcast, in f32: loops over the last axis, compiled for each function.
#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// `out = f(a, b)`, or `f(a)`, element by element. Axes are those of the result, outermost first; strides in elements, 0 where repeated.
struct ElementStep {
    enum Function {
        /// A vector kernel of one operand, or of two that both run on along the last axis.
        case kernel(ElementFunction)
        case pairs(BinaryKernel)
        case unary(Unary)
        case binary(Binary)
    }

    struct Axis {
        var size: Int
        var strideA, strideB: Int
    }

    let function: Function
    let a, b: UnsafePointer<Float>
    let out: UnsafeMutablePointer<Float>
    /// Never empty. The last one is the loop.
    let axes: UnsafePointer<Axis>
    let axisCount: Int
    /// The rows: all axes but the last. Long rows are cut into tasks, short ones put together.
    let rows: RowTasks
    let columnsPerTask: Int

    init(function: Function, a: UnsafePointer<Float>, b: UnsafePointer<Float>, out: UnsafeMutablePointer<Float>, axes: UnsafePointer<Axis>, axisCount: Int) {
        self.function = function
        self.a = a
        self.b = b
        self.out = out
        self.axes = axes
        self.axisCount = axisCount
        let width = axes[axisCount - 1].size
        rows = RowTasks(count: (0..<axisCount - 1).reduce(1) { $0 * axes[$1].size }, elementsPerRow: width, minimumElements: Self.taskElements)
        columnsPerTask = max(1, min(width, Self.taskElements))
    }

    private static let taskElements = 8192
    private var columnTasks: Int { max(1, (axes[axisCount - 1].size + columnsPerTask - 1) / columnsPerTask) }

    var taskCount: Int { rows.taskCount * columnTasks }

    func execute(_ task: Int) {
        let last = axes[axisCount - 1]
        let (rowTask, columnTask) = task.quotientAndRemainder(dividingBy: columnTasks)
        let first = columnTask * columnsPerTask
        let part = Axis(size: min(last.size, first + columnsPerTask) - first, strideA: last.strideA, strideB: last.strideB)
        for row in rows.rows(of: rowTask) {
            var (rest, offsetA, offsetB) = (row, first * last.strideA, first * last.strideB)
            for axis in (0..<axisCount - 1).reversed() {
                let (next, index) = rest.quotientAndRemainder(dividingBy: axes[axis].size)
                offsetA += index * axes[axis].strideA
                offsetB += index * axes[axis].strideB
                rest = next
            }
            compute(a + offsetA, b + offsetB, part, out + row * last.size + first)
        }
    }

    private func compute(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ axis: Axis, _ out: UnsafeMutablePointer<Float>) {
        switch function {
        case .kernel(let kernel): kernel(a, axis.size, out)
        case .pairs(let kernel): kernel(a, b, Int64(axis.size), out)
        case .unary(let unary): Self.compute(unary, a, axis.size, out)
        case .binary(let binary): Self.compute(binary, a, b, axis, out)
        }
    }

    @inline(__always)
    private static func map(_ a: UnsafePointer<Float>, _ count: Int, _ out: UnsafeMutablePointer<Float>, _ function: (Float) -> Float) {
        for index in 0..<count { out[index] = function(a[index]) }
    }

    private static func compute(_ function: Unary, _ a: UnsafePointer<Float>, _ n: Int, _ out: UnsafeMutablePointer<Float>) {
        switch function {
        case .relu: map(a, n, out) { $0 < 0 ? 0 : $0 }
        case .clip(let low, let high): map(a, n, out) { $0 < low ? low : $0 > high ? high : $0 }
        case .leakyRelu(let slope): map(a, n, out) { $0 < 0 ? $0 * slope : $0 }
        case .hardSigmoid(let alpha, let beta): map(a, n, out) { let y = alpha * $0 + beta; return y < 0 ? 0 : y > 1 ? 1 : y }
        case .hardSwish: map(a, n, out) { let y = $0 * (1 / 6) + 0.5; return $0 * (y < 0 ? 0 : y > 1 ? 1 : y) }
        case .affine(let alpha, let beta): map(a, n, out) { alpha * $0 + beta }
        case .scale(let factor): map(a, n, out) { factor * $0 }
        case .thresholdedRelu(let limit): map(a, n, out) { $0 > limit ? $0 : 0 }
        case .shrink(let lambda, let bias): map(a, n, out) { $0 < -lambda ? $0 + bias : $0 > lambda ? $0 - bias : 0 }
        case .softsign: map(a, n, out) { $0 / (1 + abs($0)) }
        case .absolute: map(a, n, out) { abs($0) }
        case .negate: map(a, n, out) { -$0 }
        case .sign: map(a, n, out) { $0 > 0 ? 1 : $0 < 0 ? -1 : $0 }
        case .squareRoot: map(a, n, out) { $0.squareRoot() }
        case .reciprocal: map(a, n, out) { 1 / $0 }
        case .floor: map(a, n, out) { $0.rounded(.down) }
        case .ceil: map(a, n, out) { $0.rounded(.up) }
        case .round: map(a, n, out) { $0.rounded(.toNearestOrEven) }
        // The others are calls of a library whatever is done around them.
        default: map(a, n, out) { Float(function(Double($0))) }
        }
    }

    @inline(__always)
    private static func map(
        _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ axis: Axis, _ out: UnsafeMutablePointer<Float>, _ function: (Float, Float) -> Float
    ) {
        switch (axis.strideA, axis.strideB) {
        case (1, 1): for index in 0..<axis.size { out[index] = function(a[index], b[index]) }
        case (1, 0):
            let right = b[0]
            for index in 0..<axis.size { out[index] = function(a[index], right) }
        case (0, 1):
            let left = a[0]
            for index in 0..<axis.size { out[index] = function(left, b[index]) }
        default: for index in 0..<axis.size { out[index] = function(a[index * axis.strideA], b[index * axis.strideB]) }
        }
    }

    private static func compute(_ function: Binary, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ axis: Axis, _ out: UnsafeMutablePointer<Float>) {
        switch function {
        case .add: map(a, b, axis, out) { $0 + $1 }
        case .subtract: map(a, b, axis, out) { $0 - $1 }
        case .multiply: map(a, b, axis, out) { $0 * $1 }
        case .divide: map(a, b, axis, out) { $0 / $1 }
        // A NaN on either side stays.
        case .minimum: map(a, b, axis, out) { $0 < $1 || $0.isNaN ? $0 : $1 }
        case .maximum: map(a, b, axis, out) { $0 > $1 || $0.isNaN ? $0 : $1 }
        case .parametricRelu: map(a, b, axis, out) { $0 < 0 ? $0 * $1 : $0 }
        case .power: map(a, b, axis, out) { powf($0, $1) }
        default: map(a, b, axis, out) { Float(function(Double($0), Double($1))) }
        }
    }
}

extension ElementStep {
    /// The fewest axes of a result.
    /// - shapeA, shapeB: broadcast to `shape`.
    static func axes(of shape: [Int], _ shapeA: [Int], _ shapeB: [Int]) -> [Axis] {
        let (stridesA, stridesB) = (Strides.broadcast(shapeA, to: shape), Strides.broadcast(shapeB, to: shape))
        let merged = StridedAxis.merged(shape.indices.map { StridedAxis(size: shape[$0], strides: [stridesA[$0], stridesB[$0]]) })
        return merged.isEmpty ? [Axis(size: 1, strideA: 0, strideB: 0)] : merged.map { Axis(size: $0.size, strideA: $0.strides[0], strideB: $0.strides[1]) }
    }
}
