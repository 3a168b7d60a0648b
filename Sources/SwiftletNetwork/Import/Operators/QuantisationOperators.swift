// Operators on quantised numbers: to and from them, and products of them.
//
// Products of quantised numbers are exact. Matrices are multiplied as i32. Convolutions, which core operations have for floats only, run in
// f32 on the whole numbers themselves: an f32 holds whole numbers up to 2²⁴, so input channels are taken in parts whose sums cannot pass
// that, and the parts are added as i32. A part whose window alone is too large for that runs in f64, which holds 2⁵³.
import SwiftletFormats
import SwiftletGraph

extension Importer {
    static let quantisationOperators: [String: OperatorImporter] = [
        "QuantizeLinear": { importer, call in [.tensor(try importer.quantize(call))] },
        "com.microsoft.QuantizeLinear": { importer, call in [.tensor(try importer.quantize(call))] },
        "DequantizeLinear": { importer, call in [.tensor(try importer.dequantize(call))] },
        "com.microsoft.DequantizeLinear": { importer, call in [.tensor(try importer.dequantize(call))] },
        "DynamicQuantizeLinear": { importer, call in try importer.dynamicQuantize(call).map { .tensor($0) } },
        "ConvInteger": { importer, call in
            let x = try importer.centred(call.tensor(0), call.optional(2))
            let weight = try importer.centredWeight(call.tensor(1), call.optional(3))
            return [.tensor(try importer.integerConvolution(call, x, weight))]
        },
        "QLinearConv": { importer, call in [.tensor(try importer.quantizedConvolution(call))] },
        "QLinearMatMul": { importer, call in [.tensor(try importer.quantizedProduct(call))] },
    ]

    // MARK: To and from quantised numbers

    /// Scales and zero points so that they broadcast to x: one number, one an element of the axis, or one a block along the axis.
    private mutating func spread(_ values: ValueID, over x: ValueID, _ call: OperatorCall) throws -> ValueID {
        let (have, shape) = (self.shape(values), shape(x))
        let block = try call.int("block_size", 0)
        if have.isEmpty { return values }
        if block > 0 {
            let axis = try call.axis(call.int("axis", 1), rank: shape.count)
            try call.require(
                have.count == shape.count && have[axis] == (shape[axis] + block - 1) / block,
                "scales of shape \(have) do not suit blocks of \(block) along axis \(axis) of \(shape)")
            // Each number `block` times, and no more than x has.
            let repeated = try expand(unsqueeze(values, [axis + 1]), have[...axis] + [block] + have[(axis + 1)...], "blocks")
            var long = have
            long[axis] *= block
            return try slice(reshape(repeated, long, "blocks"), axis: axis, 0..<shape[axis])
        }
        if have == [1] { return try reshape(values, [], "scalar") }
        if have.count == 1 {
            let axis = try shape.count == 1 ? 0 : call.axis(call.int("axis", 1), rank: shape.count)
            try call.require(axis < shape.count && have[0] == shape[axis], "\(have[0]) scales for axis \(axis) of \(shape)")
            return try reshape(values, shape.indices.map { $0 == axis ? have[0] : 1 }, "channels")
        }
        return values
    }

    /// A zero point that is there and is not known to be 0.
    private mutating func zeroPoint(_ index: Int, over x: ValueID, _ call: OperatorCall) throws -> ValueID? {
        guard let zero = try call.optional(index) else { return nil }
        if isConstant(zero) {
            // Not in one expression: the look at the elements would be taken before the cast has added them.
            let wide = try cast(zero, .f64)
            if try doubles(wide).allSatisfy({ $0 == 0 }) { return nil }
        }
        return try spread(zero, over: x, call)
    }

    private mutating func quantize(_ call: OperatorCall) throws -> ValueID {
        var x = try call.tensor(0)
        if !element(x).isFloat { x = try cast(x, .f32, "wide") }
        var scale = try spread(call.tensor(1), over: x, call)
        let declared = try call.int("output_dtype", 0)
        let type = try call.optional(2).map { element($0) } ?? (declared == 0 ? .u8 : dtype(declared, call))
        let precision = try call.int("precision", 0)
        if precision != 0 {
            let type = try dtype(precision, call)
            (x, scale) = (try cast(x, type, "precision"), try cast(scale, type, "precision"))
        } else if element(scale).byteCount == 1 {
            scale = try cast(scale, .f32, "scale")
        }
        let zero = try zeroPoint(2, over: x, call)
        if !type.isFloat { return try apply(.quantize(type), [x, scale] + (zero.map { [$0] } ?? [])) }
        // Narrow floats are not rounded to whole numbers first.
        if element(x) != element(scale) { (x, scale) = (try cast(x, .f32, "wide"), try cast(scale, .f32, "wide")) }
        var quotient = try binary(.divide, x, scale, "quotient")
        if let zero { quotient = try binary(.add, quotient, cast(zero, element(quotient)), "zeroPoint") }
        return try cast(quotient, type, saturates: call.bool("saturate", true), "round")
    }

    private mutating func dequantize(_ call: OperatorCall) throws -> ValueID {
        let x = try call.tensor(0)
        var scale = try spread(call.tensor(1), over: x, call)
        let declared = try call.int("output_dtype", 0)
        let type = declared == 0 ? element(scale) : try dtype(declared, call)
        if element(scale).byteCount == 1 { scale = try cast(scale, .f32, "scale") }
        let zero = try zeroPoint(2, over: x, call)
        if !element(x).isFloat, type.byteCount > 1 { return try apply(.dequantize(type), [x, scale] + (zero.map { [$0] } ?? [])) }
        var value = try cast(x, .f32, "wide")
        if let zero { value = try binary(.subtract, value, cast(zero, .f32), "zeroPoint") }
        return try cast(binary(.multiply, value, cast(scale, .f32), "scaled"), type, "castBack")
    }

    /// To u8, with the scale and zero point that the range of x, made to include 0, asks for. Everything is f32, as the standard has it.
    private mutating func dynamicQuantize(_ call: OperatorCall) throws -> [ValueID] {
        let x = try call.tensor(0)
        let axes = Array(0..<rank(x))
        let flat = axes.isEmpty
        let largest = try binary(.maximum, flat ? x : reduce(.maximum, x, axes, keepsAxes: false, "largest"), 0, "high")
        let smallest = try binary(.minimum, flat ? x : reduce(.minimum, x, axes, keepsAxes: false, "smallest"), 0, "low")
        let range = try binary(.subtract, largest, smallest, "range")
        // Nothing but zeros: any scale will do.
        let isZero = try binary(.equal, range, scalar(0, .f32), "isZero")
        let scale = try select(isZero, scalar(1, .f32), binary(.divide, range, 255, "step"), "scale")
        let offset = try unary(.negate, binary(.divide, smallest, scale, "offset"), "zero")
        let zero = try cast(unary(.round, unary(.clip(0, 255), offset, "clip"), "round"), .u8, "zeroPoint")
        return [try apply(.quantize(.u8), [x, scale, zero], "quantize"), scale, zero]
    }

    // MARK: Products

    /// x as i32 with its zero point taken off.
    private mutating func centred(_ x: ValueID, _ zero: ValueID?) throws -> ValueID {
        let wide = try cast(x, .i32, "wide")
        return try zero.map { try binary(.subtract, wide, cast(reshape($0, count($0) == 1 ? [] : shape($0)), .i32), "centred") } ?? wide
    }

    /// A convolution's weight with its zero point, one for all or one an output channel, taken off.
    private mutating func centredWeight(_ weight: ValueID, _ zero: ValueID?) throws -> ValueID {
        try centred(weight, zero.map { try alongOutputs($0, rank: rank(weight), axis: 0) })
    }

    /// One number an output channel, to broadcast along `axis` of a tensor of `rank` axes.
    private mutating func alongOutputs(_ values: ValueID, rank: Int, axis: Int) throws -> ValueID {
        if count(values) == 1 { return try reshape(values, [], "scalar") }
        return try reshape(values, (0..<rank).map { $0 == axis ? count(values) : 1 }, "channels")
    }

    /// The exact convolution of whole numbers, i32.
    private mutating func integerConvolution(_ call: OperatorCall, _ x: ValueID, _ weight: ValueID) throws -> ValueID {
        let (shape, kernel) = (shape(x), self.shape(weight))
        let groups = try call.int("group", 1)
        let window = try window(call, kernel: self.kernel(call, weight), space: Array(shape.dropFirst(2)))
        try call.require(groups > 0 && kernel.count == shape.count && shape[1] == kernel[1] * groups, "\(shape) and \(kernel) do not suit \(groups) groups")
        // Differences of bytes are within ±255.
        let taps = kernel[2...].reduce(1, *)
        let most = ((1 << 24) - 1) / (255 * 255)
        let type = taps <= most ? DType.f32 : .f64
        let channels = kernel[1]
        let part = max(1, taps <= most ? most / max(1, taps) : channels)
        let convolution = Convolution(window: window, groups: groups)
        if channels <= part {
            return try cast(apply(.convolution(convolution), [cast(x, type, "exact"), cast(weight, type, "exact")]), .i32, "sum")
        }
        let grouped = try reshape(x, [shape[0], groups, channels] + shape[2...], "groups")
        var sum: ValueID?
        for start in stride(from: 0, to: channels, by: part) {
            let range = start..<min(start + part, channels)
            let slab = try reshape(slice(grouped, axis: 2, range, "part"), [shape[0], groups * range.count] + shape[2...], "part")
            let taken = try slice(weight, axis: 1, range, "partWeight")
            let product = try cast(apply(.convolution(convolution), [cast(slab, type, "exact"), cast(taken, type, "exact")], "part"), .i32, "sum")
            sum = try sum.map { try binary(.add, $0, product, "sum") } ?? product
        }
        return try sum ?? cast(x, .i32)
    }

    /// An exact i32 sum, scaled and quantised to the type of the zero point.
    private mutating func requantized(_ sum: ValueID, multiplier: ValueID, zero: ValueID?, type: DType) throws -> ValueID {
        // A product of 24-bit floats is exact in f64.
        let value = try binary(.multiply, cast(sum, .f64, "wide"), cast(multiplier, .f64), "scaled")
        return try apply(.quantize(type), [value, scalar(1, .f64)] + (zero.map { [$0] } ?? []), "quantize")
    }

    private mutating func quantizedConvolution(_ call: OperatorCall) throws -> ValueID {
        let (x, weight) = (try call.tensor(0), try call.tensor(3))
        let wholeWeight = try centredWeight(weight, call.optional(5))
        var sum = try integerConvolution(call, centred(x, call.optional(2)), wholeWeight)
        if let bias = try call.optional(8) { sum = try binary(.add, sum, cast(alongOutputs(bias, rank: rank(sum), axis: 1), .i32), "bias") }
        let weightScale = try alongOutputs(call.tensor(4), rank: rank(sum), axis: 1)
        let input = try binary(.multiply, reshape(call.tensor(1), [], "scalar"), weightScale, "scales")
        let multiplier = try binary(.divide, input, reshape(call.tensor(6), [], "scalar"), "multiplier")
        let zero = try call.optional(7).map { try reshape($0, [], "scalar") }
        return try requantized(sum, multiplier: multiplier, zero: zero, type: zero.map { element($0) } ?? element(x))
    }

    /// Scales and zero points of the left matrix may be one a row, those of the right one a column.
    private mutating func quantizedProduct(_ call: OperatorCall) throws -> ValueID {
        let a = try call.tensor(0)
        func rows(_ importer: inout Importer, _ index: Int) throws -> ValueID? {
            guard let values = try call.optional(index) else { return nil }
            if importer.count(values) == 1 { return try importer.reshape(values, [], "scalar") }
            return importer.rank(values) == 1 ? try importer.reshape(values, [importer.count(values), 1], "rows") : values
        }
        func columns(_ importer: inout Importer, _ index: Int) throws -> ValueID? {
            guard let values = try call.optional(index) else { return nil }
            return importer.count(values) == 1 ? try importer.reshape(values, [], "scalar") : values
        }
        let left = try centred(a, rows(&self, 2))
        let sum = try product(left, centred(call.tensor(3), columns(&self, 5)))
        guard let leftScale = try rows(&self, 1), let rightScale = try columns(&self, 4) else { throw call.invalid("lacks its scales") }
        let scales = try binary(.multiply, cast(leftScale, .f32), cast(rightScale, .f32), "scales")
        let multiplier = try binary(.divide, scales, cast(reshape(call.tensor(6), [], "scalar"), .f32), "multiplier")
        let zero = try call.optional(7).map { try reshape($0, [], "scalar") }
        return try requantized(sum, multiplier: multiplier, zero: zero, type: zero.map { element($0) } ?? element(a))
    }
}
