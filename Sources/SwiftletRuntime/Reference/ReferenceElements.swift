// Functions of single elements over whole tensors: unary and binary ones in both domains, casts and quantisation.
import CKernels

extension ReferenceStep {
    // MARK: Unary

    func unary(_ function: Unary) throws {
        switch inputs[0].element.domain {
        case .float: try outputs[0].store(inputs[0].values().map(function.callAsFunction))
        case .signed: try wholeUnary(function, Int64.self)
        case .unsigned: try wholeUnary(function, UInt64.self)
        }
    }

    private func wholeUnary<Number: FixedWidthInteger>(_ function: Unary, _ type: Number.Type) throws {
        let values: [Number] = try inputs[0].wholeNumbers()
        switch function {
        case .absolute: try outputs[0].store(wholeNumbers: values.map { $0 < 0 ? 0 &- $0 : $0 })
        case .negate: try outputs[0].store(wholeNumbers: values.map { 0 &- $0 })
        case .sign: try outputs[0].store(wholeNumbers: values.map { $0 > 0 ? 1 : $0 < 0 ? 0 &- 1 : 0 })
        case .relu: try outputs[0].store(wholeNumbers: values.map { max($0, 0) })
        case .complement: try outputs[0].store(wholeNumbers: values.map { ~$0 })
        case .not: try outputs[0].store(wholeNumbers: values.map { $0 == 0 ? 1 : 0 })
        default: throw undefined("\(function) of \(inputs[0].element)")
        }
    }

    func undefined(_ what: String) -> SwiftletError {
        .unsupported(file: "reference", place: node.name, reason: "has no definition of \(what)", remedy: "Cast the operands to a type it takes.")
    }

    // MARK: Binary

    /// Element by element, the shapes aligned at their last axes and axes of length 1 repeated (NumPy's rules).
    func binary(_ function: Binary) throws {
        switch inputs[0].element.domain {
        case .float:
            switch function {
            case .add: try combine(+)
            case .subtract: try combine(-)
            case .multiply: try combine(*)
            case .divide: try combine(/)
            default: try combine { function($0, $1) }
            }
        case .signed: try wholeBinary(function, Int64.self)
        case .unsigned: try wholeBinary(function, UInt64.self)
        }
    }

    @inline(__always)
    private func combine(_ function: (Double, Double) -> Double) throws {
        try outputs[0].store(combined(inputs[0].values(), inputs[1].values(), function))
    }

    @inline(__always)
    private func combined<Number>(_ left: [Number], _ right: [Number], _ function: (Number, Number) -> Number) -> [Number] {
        let shape = outputs[0].shape
        let count = outputs[0].count
        if count == 0 { return [] }
        let walk = StridedWalk(shape, [outputs[0].strides, inputs[0].strides(over: shape), inputs[1].strides(over: shape)])
        let (leftStep, rightStep) = (walk.steps[1], walk.steps[2])
        return [Number](unsafeUninitializedCapacity: count) { results, initialized in
            left.withUnsafeBufferPointer { left in
                right.withUnsafeBufferPointer { right in
                    walk.forEachRow { offsets in
                        for index in 0..<walk.count {
                            let value = function(left[offsets[1] + index * leftStep], right[offsets[2] + index * rightStep])
                            results.initializeElement(at: offsets[0] + index, to: value)
                        }
                    }
                }
            }
            initialized = count
        }
    }

    /// Throws when a divisor is zero.
    private func wholeBinary<Number: FixedWidthInteger>(_ function: Binary, _ type: Number.Type) throws {
        let (left, right): ([Number], [Number]) = (try inputs[0].wholeNumbers(), try inputs[1].wholeNumbers())
        switch function {
        case .divide, .modulo, .remainder:
            if outputs[0].count > 0, right.contains(0) {
                throw SwiftletError.invalidArgument(name: node.name, reason: "divides an integer by zero", remedy: "Give another divisor.")
            }
        default: break
        }
        let bits = Number(inputs[0].element.bitWidth)
        try outputs[0].store(wholeNumbers: combined(left, right) { function.whole($0, $1, bits: bits) })
    }

    // MARK: Types

    func cast(saturates: Bool) throws {
        let (x, output) = (inputs[0], outputs[0])
        switch (x.element.domain, output.element.domain) {
        case (.float, _): try output.store(x.values(), at: 0, saturates: saturates)
        case (.signed, .float): try storeFloats(x.wholeNumbers() as [Int64], saturates)
        case (.unsigned, .float): try storeFloats(x.wholeNumbers() as [UInt64], saturates)
        case (.signed, _): try output.store(wholeNumbers: x.wholeNumbers() as [Int64])
        case (.unsigned, _): try output.store(wholeNumbers: x.wholeNumbers() as [UInt64])
        }
    }

    private func storeFloats<Number: FixedWidthInteger>(_ values: [Number], _ saturates: Bool) throws {
        let isDouble = outputs[0].element == .f64
        try outputs[0].store(values.map { isDouble ? Double($0) : Double(oddlyRounding: $0) }, at: 0, saturates: saturates)
    }

    /// The quotient is rounded as operands of f32 (or f64) would have it, so that the same whole numbers come out everywhere.
    func quantize() throws {
        let output = outputs[0]
        let isWide = inputs[0].element == .f64 || inputs[1].element == .f64
        let quotients = try combining(inputs[0].values(), with: 1) { isWide ? $0 / $1 : Double(Float($0) / Float($1)) }
        if output.element.isFloat { return try output.store(combining(quotients, with: 2, +), at: 0, saturates: true) }
        // Nothing is quantised to 64 bits whose ends a Double does not hold.
        let low = output.element.integerRange.map { Double($0.lowerBound) } ?? 0
        let high = output.element.integerRange.map { Double($0.upperBound) } ?? (output.element == .bool ? 1 : Double(UInt64.max).nextDown)
        let levels = try combining(quotients, with: 2) { $0.rounded(.toNearestOrEven) + $1 }
        try output.store(levels.map { $0.isNaN ? 0 : min(max($0, low), high) })
    }

    func dequantize() throws {
        let moved = try combining(inputs[0].values(), with: 2, -)
        try outputs[0].store(combining(moved, with: 1, *))
    }

    /// `values`, of the output's shape, each with its element of operand `index`, which broadcasts to it; 0 when there is no such operand.
    @inline(__always)
    private func combining(_ values: [Double], with index: Int, _ function: (Double, Double) -> Double) throws -> [Double] {
        guard inputs.count > index else { return values.map { function($0, 0) } }
        let shape = outputs[0].shape
        let operand = try inputs[index].values()
        var results = values
        let walk = StridedWalk(shape, [outputs[0].strides, inputs[index].strides(over: shape)])
        walk.forEachRow { offsets in
            for index in 0..<walk.count {
                results[offsets[0] + index] = function(values[offsets[0] + index], operand[offsets[1] + index * walk.steps[1]])
            }
        }
        return results
    }
}

extension DType {
    /// Bits that count: those a shift moves through.
    fileprivate var bitWidth: Int {
        switch self {
        case .i4, .u4, .f4e2m1: 4
        case .i2, .u2: 2
        case .bool: 1
        default: byteCount * 8
        }
    }
}

extension Binary {
    /// The function of two whole numbers, modulo 2⁶⁴. A divisor is not zero. `bits`: the width of the type.
    fileprivate func whole<Number: FixedWidthInteger>(_ a: Number, _ b: Number, bits: Number) -> Number {
        switch self {
        case .add: return a &+ b
        case .subtract: return a &- b
        case .multiply: return a &* b
        case .divide: return a.dividedReportingOverflow(by: b).partialValue
        case .minimum: return Swift.min(a, b)
        case .maximum: return Swift.max(a, b)
        case .power: return Self.power(a, b)
        case .modulo:
            let rest = a.remainderReportingOverflow(dividingBy: b).partialValue
            return rest != 0 && (rest < 0) != (b < 0) ? rest &+ b : rest
        case .remainder: return a.remainderReportingOverflow(dividingBy: b).partialValue
        case .parametricRelu: return a >= 0 ? a : a &* b
        case .and: return a & b
        case .or: return a | b
        case .xor: return a ^ b
        case .shiftLeft: return b < 0 || b >= bits ? 0 : a << b
        case .shiftRight: return b < 0 || b >= bits ? (a < 0 ? 0 &- 1 : 0) : a >> b
        case .equal: return a == b ? 1 : 0
        case .less: return a < b ? 1 : 0
        case .lessOrEqual: return a <= b ? 1 : 0
        }
    }

    private static func power<Number: FixedWidthInteger>(_ base: Number, _ exponent: Number) -> Number {
        if exponent < 0 {
            // 1/base, cut: only ±1 has one.
            if base == 1 { return 1 }
            return base < 0 && base &+ 1 == 0 ? (exponent & 1 == 0 ? 1 : base) : 0
        }
        var (result, square, rest) = (1 as Number, base, exponent)
        while rest > 0 {
            if rest & 1 == 1 { result = result &* square }
            square = square &* square
            rest >>= 1
        }
        return result
    }
}
