// Operators that take many elements together: sums and their kin, places of extremes, the largest k, running sums.
import SwiftletFormats
import SwiftletGraph

extension Importer {
    static let reductionOperators: [String: OperatorImporter] = {
        var table: [String: OperatorImporter] = [
            "ArgMax": { importer, call in [.tensor(try importer.argument(.largest, call))] },
            "ArgMin": { importer, call in [.tensor(try importer.argument(.smallest, call))] },
            "TopK": { importer, call in try importer.topK(call) },
            "CumSum": { importer, call in [.tensor(try importer.cumulative(call, isProduct: false))] },
            "CumProd": { importer, call in [.tensor(try importer.cumulative(call, isProduct: true))] },
            "Hardmax": { importer, call in [.tensor(try importer.alongClasses(call) { try $0.hardmax($1, axis: $2) })] },
        ]
        let plain: [(String, Reduction)] = [
            ("ReduceSum", .sum), ("ReduceProd", .product), ("ReduceMax", .maximum), ("ReduceMin", .minimum), ("ReduceSumSquare", .sumOfSquares),
            ("ReduceL1", .sumOfMagnitudes),
        ]
        for (name, reduction) in plain {
            table[name] = { importer, call in
                [.tensor(try importer.reduced(call, axesSince: name == "ReduceSum" ? 13 : 18) { try $0.reduce($1, by: reduction, $2, keepsAxes: $3) })]
            }
        }
        table["ReduceMean"] = { importer, call in [.tensor(try importer.reduced(call, axesSince: 18) { try $0.mean($1, $2, keepsAxes: $3) })] }
        table["ReduceL2"] = { importer, call in
            [.tensor(try importer.reducedFloats(call) { try $0.unary(.squareRoot, $0.reduce($1, by: .sumOfSquares, $2, keepsAxes: $3), "root") })]
        }
        table["ReduceLogSum"] = { importer, call in
            [.tensor(try importer.reducedFloats(call) { try $0.unary(.log, $0.reduce($1, by: .sum, $2, keepsAxes: $3), "log") })]
        }
        table["ReduceLogSumExp"] = { importer, call in
            [.tensor(try importer.reducedFloats(call) { try $0.logSumOfExponentials($1, $2, keepsAxes: $3) })]
        }
        return table
    }()

    /// What a reduction does with its operand, its axes and whether they stay.
    private typealias ReductionBody = (inout Importer, ValueID, [Int], Bool) throws -> ValueID

    /// The axes of a node: an attribute before the version `axesSince`, an input from then on. None means all, or none when the node says so.
    private mutating func reduced(_ call: OperatorCall, axesSince: Int, _ body: ReductionBody) throws -> ValueID {
        let x = try call.tensor(0)
        let given = call.version < axesSince ? try call.ints("axes") : try call.optional(1).map { try integers($0) }
        let axes: [Int]
        if let given, !given.isEmpty {
            axes = try call.axes(given, rank: rank(x))
        } else {
            axes = try call.bool("noop_with_empty_axes") ? [] : Array(0..<rank(x))
        }
        return try body(&self, x, axes, call.bool("keepdims", true))
    }

    /// Reductions with a function of reals behind them: integers go through f64 and are cut to whole numbers again.
    private mutating func reducedFloats(_ call: OperatorCall, _ body: ReductionBody) throws -> ValueID {
        try reduced(call, axesSince: 18) { importer, x, axes, keepsAxes in
            let type = importer.element(x)
            if type.isFloat { return try importer.widened(x) { try body(&$0, $1, axes, keepsAxes) } }
            return try importer.cast(body(&importer, importer.cast(x, .f64, "wide"), axes, keepsAxes), type, "castBack")
        }
    }

    /// Over no axes each element is reduced alone. Bools are compared as numbers.
    private mutating func reduce(_ x: ValueID, by reduction: Reduction, _ axes: [Int], keepsAxes: Bool) throws -> ValueID {
        if axes.isEmpty {
            switch reduction {
            case .sumOfSquares: return try binary(.multiply, x, x, "square")
            case .sumOfMagnitudes: return try unary(.absolute, x, "magnitude")
            case .sum, .mean, .product, .maximum, .minimum: return x
            }
        }
        if element(x) == .bool { return try cast(reduce(reduction, cast(x, .u8), axes, keepsAxes: keepsAxes), .bool, "castBack") }
        return try reduce(reduction, x, axes, keepsAxes: keepsAxes)
    }

    /// Of integers: the sum divided, cut towards zero.
    private mutating func mean(_ x: ValueID, _ axes: [Int], keepsAxes: Bool) throws -> ValueID {
        if element(x).isFloat { return try reduce(x, by: .mean, axes, keepsAxes: keepsAxes) }
        let sum = try reduce(cast(x, .i64), by: .sum, axes, keepsAxes: keepsAxes)
        let count = try constant([axes.reduce(1) { $0 * shape(x)[$1] }], shape: [])
        return try cast(binary(.divide, sum, count, "mean"), element(x), "castBack")
    }

    /// `ln Σ eˣ` without leaving the range of floats. Where the largest element is infinite, nothing is taken off: the result is that infinity.
    mutating func logSumOfExponentials(_ x: ValueID, _ axes: [Int], keepsAxes: Bool) throws -> ValueID {
        if axes.isEmpty { return x }
        let largest = try reduce(.maximum, x, axes, keepsAxes: true, "largest")
        let isInfinite = try unary(.isInfinite(positive: true, negative: true), largest, "isInfinite")
        let shift = try select(isInfinite, scalar(0, element(x)), largest, "shift")
        let sum = try reduce(.sum, unary(.exp, binary(.subtract, x, shift, "shifted"), "exp"), axes, keepsAxes: true, "sum")
        let result = try binary(.add, unary(.log, sum, "log"), shift, "shiftBack")
        if keepsAxes { return result }
        let shape = shape(x)
        return try reshape(result, shape.indices.filter { !axes.contains($0) }.map { shape[$0] }, "squeeze")
    }

    /// Computes with f32 where x is narrower; the result is rounded to x's type once.
    mutating func widened(_ x: ValueID, _ body: (inout Importer, ValueID) throws -> ValueID) throws -> ValueID {
        let type = element(x)
        guard type.isFloat, type.byteCount < 4 else { return try body(&self, x) }
        let wide = try cast(x, .f32, "wide")
        return try cast(body(&self, wide), type, "castBack")
    }

    // MARK: Places

    private mutating func argument(_ extreme: Extreme, _ call: OperatorCall) throws -> ValueID {
        let x = try call.tensor(0)
        let axis = try call.axis(call.int("axis", 0), rank: max(1, rank(x)))
        let operand = rank(x) == 0 ? try reshape(x, [1]) : x
        let keepsAxis = try call.bool("keepdims", true) && rank(x) > 0
        return try apply(.argument(extreme, axis: axis, keepsAxis: keepsAxis, takesLast: call.bool("select_last_index")), [operand])
    }

    private mutating func topK(_ call: OperatorCall) throws -> [Imported] {
        let x = try call.tensor(0)
        let counts = call.version < 10 ? [try call.int("k", -1)] : try integers(call.tensor(1))
        try call.require(counts.count == 1 && counts[0] >= 0, "\(counts) is no number of elements")
        let axis = try call.axis(call.int("axis", -1), rank: rank(x))
        let extreme = try call.bool("largest", true) ? Extreme.largest : .smallest
        return try applyAll(.tensor(.topK(k: counts[0], axis: axis, extreme)), [x]).map { .tensor($0) }
    }

    private mutating func cumulative(_ call: OperatorCall, isProduct: Bool) throws -> ValueID {
        let x = try call.tensor(0)
        let axes = try integers(call.tensor(1))
        try call.require(axes.count == 1, "needs one axis, has \(axes.count)")
        let cumulative = Cumulative(
            isProduct: isProduct, axis: try call.axis(axes[0], rank: rank(x)), isExclusive: try call.bool("exclusive"), isReversed: try call.bool("reverse"))
        return try apply(.cumulative(cumulative), [x])
    }

    // MARK: Along classes

    /// Hardmax, Softmax and LogSoftmax: before version 13 the axes from `axis` (1) on count as one, later there is one axis (the last).
    mutating func alongClasses(_ call: OperatorCall, _ body: (inout Importer, ValueID, Int) throws -> ValueID) throws -> ValueID {
        let x = try call.tensor(0)
        let shape = shape(x)
        if call.version >= 13 {
            if shape.isEmpty { return try reshape(body(&self, reshape(x, [1]), 0), [], "scalar") }
            return try body(&self, x, call.axis(call.int("axis", -1), rank: shape.count))
        }
        let given = try call.int("axis", 1)
        let axis = given == shape.count ? given : try call.axis(given, rank: shape.count)
        let matrix = try reshape(x, [shape[..<axis].reduce(1, *), shape[axis...].reduce(1, *)], "rows")
        return try reshape(body(&self, matrix, 1), shape, "shape")
    }

    /// 1 at the first of the largest elements, 0 elsewhere.
    private mutating func hardmax(_ x: ValueID, axis: Int) throws -> ValueID {
        let shape = shape(x)
        if count(x) == 0 { return x }
        let places = try apply(.argument(.largest, axis: axis, keepsAxis: true, takesLast: false), [x], "largest")
        let all = try constant(Array(0..<shape[axis]), shape: shape.indices.map { $0 == axis ? shape[axis] : 1 })
        return try cast(binary(.equal, places, all, "isLargest"), element(x))
    }
}
