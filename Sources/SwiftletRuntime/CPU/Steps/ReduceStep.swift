// Sums, means, largest and smallest along neighbouring axes, in f32.

/// `[outer, count, inner] → [outer, inner]`
struct ReduceStep {
    let reduction: Reduction
    let x: UnsafePointer<Float>
    let out: UnsafeMutablePointer<Float>
    let count, inner: Int
    let tasks: RowTasks

    init(reduction: Reduction, x: UnsafePointer<Float>, out: UnsafeMutablePointer<Float>, outer: Int, count: Int, inner: Int) {
        self.reduction = reduction
        self.x = x
        self.out = out
        self.count = count
        self.inner = inner
        tasks = RowTasks(count: outer, elementsPerRow: count * inner)
    }

    var taskCount: Int { tasks.taskCount }

    func execute(_ task: Int) {
        for row in tasks.rows(of: task) {
            let (from, to) = (x + row * count * inner, out + row * inner)
            switch reduction {
            case .sum: reduce(from, to, 0, { $0 + $1 }, { $0.sum() })
            case .mean:
                reduce(from, to, 0, { $0 + $1 }, { $0.sum() })
                for index in 0..<inner { to[index] /= Float(count) }
            case .product: reduce(from, to, 1, { $0 * $1 }, { lanes in lanes.indices.reduce(1) { $0 * lanes[$1] } })
            case .sumOfSquares: reduce(from, to, 0, { $0 + $1 * $1 }, { $0.sum() })
            case .sumOfMagnitudes: reduce(from, to, 0, { $0 + $1.replacing(with: -$1, where: $1 .< 0) }, { $0.sum() })
            case .maximum: reduceExtreme(from, to, -.infinity) { $0 > $1 || $0.isNaN ? $0 : $1 }
            case .minimum: reduceExtreme(from, to, .infinity) { $0 < $1 || $0.isNaN ? $0 : $1 }
            }
        }
    }

    /// Sixteen partial sums along a run of neighbours; row by row where there are inner elements.
    @inline(__always)
    private func reduce(
        _ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, _ start: Float, _ combine: (SIMD16<Float>, SIMD16<Float>) -> SIMD16<Float>,
        _ fold: (SIMD16<Float>) -> Float
    ) {
        let lanes = 16
        if inner == 1 {
            var partial = SIMD16<Float>(repeating: start)
            var index = 0
            while index + lanes <= count {
                partial = combine(partial, UnsafeRawPointer(x + index).loadUnaligned(as: SIMD16<Float>.self))
                index += lanes
            }
            // The lanes that are left over keep what they had.
            if index < count {
                var rest = SIMD16<Float>(repeating: 0)
                for lane in 0..<count - index { rest[lane] = x[index + lane] }
                let combined = combine(partial, rest)
                for lane in 0..<count - index { partial[lane] = combined[lane] }
            }
            out[0] = fold(partial)
            return
        }
        for first in stride(from: 0, to: inner, by: lanes) {
            let width = min(lanes, inner - first)
            var partial = SIMD16<Float>(repeating: start)
            for index in 0..<count {
                let from = x + index * inner + first
                if width == lanes {
                    partial = combine(partial, UnsafeRawPointer(from).loadUnaligned(as: SIMD16<Float>.self))
                } else {
                    var rest = SIMD16<Float>(repeating: 0)
                    for lane in 0..<width { rest[lane] = from[lane] }
                    partial = combine(partial, rest)
                }
            }
            for lane in 0..<width { out[first + lane] = partial[lane] }
        }
    }

    @inline(__always)
    private func reduceExtreme(_ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, _ start: Float, _ better: (Float, Float) -> Float) {
        for index in 0..<inner { out[index] = start }
        for index in 0..<count {
            for place in 0..<inner { out[place] = better(out[place], x[index * inner + place]) }
        }
    }
}
