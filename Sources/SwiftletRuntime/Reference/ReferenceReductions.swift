// Operations along axes, and the switch to everything that is defined in each domain of numbers.

/// A step whose operands are numbers of one domain. Generic, so that each domain gets code of its own.
struct ReferenceNumbers<Number: ReferenceNumber> {
    let step: ReferenceStep

    var inputs: [ReferenceTensor] { step.inputs }
    var outputs: [ReferenceTensor] { step.outputs }

    func run(_ op: TensorOp) throws {
        switch op {
        case .matmul: try matmul()
        case .pool(let pool): try self.pool(pool)
        case .scatterElements(let axis, let reduction): try scatterElements(axis: axis, reduction)
        case .scatterND(let reduction): try scatterND(reduction)
        case .reduce(let reduction, let axes, _): try reduce(reduction, axes)
        case .argument(let extreme, let axis, _, let takesLast): try argument(extreme, axis, takesLast: takesLast)
        case .topK(let k, let axis, let extreme): try topK(k, axis, extreme)
        case .cumulative(let cumulative): try self.cumulative(cumulative)
        default: throw step.undefined("\(op) of numbers")
        }
    }

    // MARK: Reductions

    /// In the order of the index. Bools: the largest is whether any is true, the smallest whether all are.
    private func reduce(_ reduction: Reduction, _ axes: [Int]) throws {
        switch reduction {
        case .sum: try fold(axes, Number.zero) { Number.sum($0, $1) }
        case .product: try fold(axes, Number.one) { Number.product($0, $1) }
        case .maximum: try fold(axes, Number.lowest(of: inputs[0].element)) { Number.larger($0, $1) }
        case .minimum: try fold(axes, Number.highest(of: inputs[0].element)) { Number.smaller($0, $1) }
        case .sumOfSquares: try fold(axes, Number.zero) { Number.sum($0, Number.product($1, $1)) }
        case .sumOfMagnitudes: try fold(axes, Number.zero) { Number.sum($0, $1.magnitudeNumber) }
        case .mean:
            let count = axes.reduce(1) { $0 * inputs[0].shape[$1] }
            guard let quotient = Number.quotient(by: count) else {
                if outputs[0].count == 0 { return }
                throw SwiftletError.invalidArgument(
                    name: step.node.name, reason: "is the mean of no integers", remedy: "Give it elements along the axes.")
            }
            try fold(axes, Number.zero, finish: quotient) { Number.sum($0, $1) }
        }
    }

    @inline(__always)
    private func fold(
        _ axes: [Int], _ initial: Number, finish: ((Number) -> Number)? = nil, _ combine: (Number, Number) -> Number
    ) throws {
        let x = inputs[0]
        let values = try Number.load(x)
        var results = [Number](repeating: initial, count: outputs[0].count)
        // The strides of the result over x's axes: 0 where it is reduced.
        var kept = Strides.dense(x.shape.enumerated().map { axes.contains($0.offset) ? 1 : $0.element })
        for axis in axes { kept[axis] = 0 }
        let walk = StridedWalk(x.shape, [x.strides, kept])
        let step = walk.steps[1]
        values.withUnsafeBufferPointer { values in
            results.withUnsafeMutableBufferPointer { results in
                walk.forEachRow { offsets in
                    if step == 0 {
                        var result = results[offsets[1]]
                        for index in 0..<walk.count { result = combine(result, values[offsets[0] + index]) }
                        results[offsets[1]] = result
                    } else {
                        for index in 0..<walk.count {
                            let place = offsets[1] + index * step
                            results[place] = combine(results[place], values[offsets[0] + index])
                        }
                    }
                }
            }
        }
        try Number.store(finish.map { results.map($0) } ?? results, in: outputs[0])
    }

    // MARK: Lines along an axis

    /// Where each line along the axis begins, how many elements it has and how far apart they are.
    private func lines(_ shape: [Int], _ axis: Int) -> (count: Int, length: Int, step: Int, start: (Int) -> Int) {
        let step = shape[(axis + 1)...].reduce(1, *)
        let length = shape[axis]
        let count = shape[..<axis].reduce(1, *) * step
        return (count, length, step, { line in line / step * step * length + line % step })
    }

    /// NaN is found before everything else, as NumPy has it.
    private func argument(_ extreme: Extreme, _ axis: Int, takesLast: Bool) throws {
        let values = try Number.load(inputs[0])
        let lines = lines(inputs[0].shape, axis)
        var results: [Int64] = []
        results.reserveCapacity(lines.count)
        for line in 0..<lines.count {
            let start = lines.start(line)
            var best = 0
            for index in 1..<max(lines.length, 1) {
                let (value, champion) = (values[start + index * lines.step], values[start + best * lines.step])
                let isBetter =
                    value.isNotANumber || champion.isNotANumber
                    ? value.isNotANumber && (!champion.isNotANumber || takesLast)
                    : (extreme == .largest ? value > champion : value < champion) || (takesLast && value == champion)
                if isBetter { best = index }
            }
            results.append(Int64(best))
        }
        try outputs[0].store(wholeNumbers: results)
    }

    /// NaN counts as larger than everything.
    private func topK(_ k: Int, _ axis: Int, _ extreme: Extreme) throws {
        let values = try Number.load(inputs[0])
        let (from, to) = (lines(inputs[0].shape, axis), lines(outputs[0].shape, axis))
        var chosen = [Number](repeating: .zero, count: outputs[0].count)
        var places = [Int64](repeating: 0, count: outputs[0].count)
        for line in 0..<(k == 0 ? 0 : from.count) {
            let start = from.start(line)
            func precedes(_ a: Int, _ b: Int) -> Bool {
                let (x, y) = (values[start + a * from.step], values[start + b * from.step])
                if x.isNotANumber || y.isNotANumber {
                    if x.isNotANumber && y.isNotANumber { return a < b }
                    return x.isNotANumber == (extreme == .largest)
                }
                return x == y ? a < b : extreme == .largest ? x > y : x < y
            }
            let order = (0..<from.length).sorted(by: precedes)
            for rank in 0..<k {
                let place = to.start(line) + rank * to.step
                chosen[place] = values[start + order[rank] * from.step]
                places[place] = Int64(order[rank])
            }
        }
        try Number.store(chosen, in: outputs[0])
        try outputs[1].store(wholeNumbers: places)
    }

    private func cumulative(_ cumulative: Cumulative) throws {
        let values = try Number.load(inputs[0])
        let lines = lines(inputs[0].shape, cumulative.axis)
        var results = values
        for line in 0..<lines.count {
            let start = lines.start(line)
            var running = cumulative.isProduct ? Number.one : Number.zero
            for index in 0..<lines.length {
                let place = start + (cumulative.isReversed ? lines.length - 1 - index : index) * lines.step
                let next = cumulative.isProduct ? Number.product(running, values[place]) : Number.sum(running, values[place])
                results[place] = cumulative.isExclusive ? running : next
                running = next
            }
        }
        try Number.store(results, in: outputs[0])
    }
}
