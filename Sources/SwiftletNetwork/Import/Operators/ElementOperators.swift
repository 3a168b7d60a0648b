// Operators on single elements: arithmetic, comparisons, logic, activations, casts.
import SwiftletFormats
import SwiftletGraph

extension Importer {
    static let elementOperators: [String: OperatorImporter] = {
        var table: [String: OperatorImporter] = [
            "Pow": { importer, call in
                let (base, exponent) = (try call.tensor(0), try call.tensor(1))
                return [.tensor(try importer.power(base, exponent))]
            },
            "Mod": { importer, call in
                let truncates = try call.bool("fmod")
                return [.tensor(try importer.binary(truncates ? .remainder : .modulo, call.tensor(0), call.tensor(1)))]
            },
            "BitShift": { importer, call in
                let direction = try call.string("direction", "")
                try call.require(direction == "LEFT" || direction == "RIGHT", "the direction is '\(direction)'")
                return [.tensor(try importer.binary(direction == "LEFT" ? .shiftLeft : .shiftRight, call.tensor(0), call.tensor(1)))]
            },
            "Greater": { importer, call in [.tensor(try importer.binary(.less, call.tensor(1), call.tensor(0)))] },
            "GreaterOrEqual": { importer, call in [.tensor(try importer.binary(.lessOrEqual, call.tensor(1), call.tensor(0)))] },
            "Where": { importer, call in [.tensor(try importer.select(call.tensor(0), call.tensor(1), call.tensor(2)))] },
            "Equal": { importer, call in
                if case .strings(let a) = call.value(0), case .strings(let b) = call.value(1) { return [.tensor(try importer.equal(a, b, call))] }
                return [.tensor(try importer.binary(.equal, call.tensor(0), call.tensor(1)))]
            },
            "Cast": { importer, call in
                guard let code = try call.node.int("to") else { throw call.invalid("lacks the type to cast to") }
                return [try importer.cast(call, to: code)]
            },
            "CastLike": { importer, call in
                if case .strings = call.value(1) { return [try importer.cast(call, to: Int(ONNXElementType.string.rawValue))] }
                let like = importer.element(try call.tensor(1))
                return [try importer.cast(call, to: like)]
            },
            "BitCast": { importer, call in
                guard let code = try call.node.int("to"), let type = ONNXElementType(rawValue: Int32(truncatingIfNeeded: code))?.dtype else {
                    throw call.unsupported("the type to cast to is not one this version computes with")
                }
                return [.tensor(try importer.apply(.bitcast(type), [call.tensor(0)]))]
            },
            "Clip": { importer, call in [.tensor(try importer.clip(call))] },
            "PRelu": { importer, call in
                let (x, slope) = (try call.tensor(0), try call.tensor(1))
                return [.tensor(try importer.binary(.parametricRelu, x, slope))]
            },
            "Gelu": { importer, call in
                let isTanh = try call.string("approximate", "none") == "tanh"
                return [.tensor(try importer.unary(isTanh ? .geluTanh : .gelu, call.tensor(0)))]
            },
            "Identity": { _, call in
                guard let value = call.value(0) else { throw call.invalid("lacks its input") }
                return [value]
            },
            "Dropout": { importer, call in [.tensor(try importer.dropout(call))] + (try importer.dropoutMask(call)) },
            "IsInf": { importer, call in
                let function = Unary.isInfinite(positive: try call.bool("detect_positive", true), negative: try call.bool("detect_negative", true))
                return [.tensor(try importer.unary(function, call.tensor(0)))]
            },
            "Sub": { importer, call in [.tensor(try importer.binary(.subtract, call.tensor(0), call.tensor(1)))] },
            "Div": { importer, call in [.tensor(try importer.binary(.divide, call.tensor(0), call.tensor(1)))] },
        ]
        let plain: [(String, Unary)] = [
            ("Relu", .relu), ("Sigmoid", .sigmoid), ("Tanh", .tanh), ("HardSwish", .hardSwish), ("Softplus", .softplus), ("Softsign", .softsign),
            ("Mish", .mish), ("Abs", .absolute), ("Neg", .negate), ("Sign", .sign), ("Exp", .exp), ("Log", .log), ("Sqrt", .squareRoot),
            ("Reciprocal", .reciprocal), ("Erf", .errorFunction), ("Floor", .floor), ("Ceil", .ceil), ("Round", .round), ("Sin", .sin), ("Cos", .cos),
            ("Tan", .tan), ("Asin", .asin), ("Acos", .acos), ("Atan", .atan), ("Sinh", .sinh), ("Cosh", .cosh), ("Asinh", .asinh), ("Acosh", .acosh),
            ("Atanh", .atanh), ("Not", .not), ("BitwiseNot", .complement), ("IsNaN", .isNaN), ("com.microsoft.Gelu", .gelu),
        ]
        for (name, function) in plain { table[name] = { importer, call in [.tensor(try importer.unary(function, call.tensor(0)))] } }
        let parametric: [(String, @Sendable (OperatorCall) throws -> Unary)] = [
            ("LeakyRelu", { .leakyRelu(try $0.float("alpha", 0.01)) }),
            ("Elu", { .elu(try $0.float("alpha", 1)) }),
            ("Selu", { .selu(alpha: try $0.float("alpha", 1.67326319217681884765625), gamma: try $0.float("gamma", 1.05070102214813232421875)) }),
            ("Celu", { .celu(try $0.float("alpha", 1)) }),
            ("HardSigmoid", { .hardSigmoid(alpha: try $0.float("alpha", 0.2), beta: try $0.float("beta", 0.5)) }),
            ("Swish", { .swish(try $0.float("alpha", 1)) }),
            ("ThresholdedRelu", { .thresholdedRelu(try $0.float("alpha", 1)) }),
            ("Shrink", { .shrink(lambda: try $0.float("lambd", 0.5), bias: try $0.float("bias", 0)) }),
        ]
        for (name, function) in parametric { table[name] = { importer, call in [.tensor(try importer.unary(function(call), call.tensor(0)))] } }
        let pairs: [(String, Binary)] = [
            ("And", .and), ("Or", .or), ("Xor", .xor), ("BitwiseAnd", .and), ("BitwiseOr", .or), ("BitwiseXor", .xor), ("Less", .less),
            ("LessOrEqual", .lessOrEqual),
        ]
        for (name, function) in pairs { table[name] = { importer, call in [.tensor(try importer.binary(function, call.tensor(0), call.tensor(1)))] } }
        // Any number of operands, from the left.
        let chains: [(String, Binary)] = [("Add", .add), ("Mul", .multiply), ("Sum", .add), ("Max", .maximum), ("Min", .minimum), ("Mean", .add)]
        for (name, function) in chains {
            table[name] = { importer, call in
                let operands = try call.tensors()
                guard var result = operands.first else { throw call.invalid("has no operands") }
                for operand in operands.dropFirst() { result = try importer.binary(function, result, operand) }
                if name == "Mean" { result = try importer.binary(.divide, result, Double(operands.count), "mean") }
                return [.tensor(result)]
            }
        }
        return table
    }()

    /// `baseᵉ` in the base's type. Integer bases with exponents that are floats are computed in f64.
    private mutating func power(_ base: ValueID, _ exponent: ValueID) throws -> ValueID {
        let type = element(base)
        if element(exponent) == type {
            if isConstant(exponent), count(exponent) == 1, type.isFloat, rank(exponent) <= rank(base) {
                // Squares and roots are everywhere in norms.
                switch try doubles(exponent)[0] {
                case 2: return try binary(.multiply, base, base)
                case 0.5: return try unary(.squareRoot, base)
                case 1: return base
                default: break
                }
            }
            return try binary(.power, base, exponent)
        }
        if type.isFloat || !element(exponent).isFloat { return try binary(.power, base, cast(exponent, type)) }
        return try cast(binary(.power, cast(base, .f64), cast(exponent, .f64)), type, "castBack")
    }

    /// Limits come as attributes (before version 11) or as inputs, either of which may be missing.
    private mutating func clip(_ call: OperatorCall) throws -> ValueID {
        let x = try call.tensor(0)
        let type = element(x)
        let low: ValueID?, high: ValueID?
        if call.version < 11 {
            low = try call.node.float("min").map { try scalar(Double($0), type) }
            high = try call.node.float("max").map { try scalar(Double($0), type) }
        } else {
            (low, high) = (try call.optional(1), try call.optional(2))
        }
        if low == nil, high == nil { return x }
        if type == .f32, low.map(isConstant) ?? true, high.map(isConstant) ?? true {
            let bounds = (try low.map { try floats($0)[0] } ?? -.infinity, try high.map { try floats($0)[0] } ?? .infinity)
            if bounds.0 == 0, bounds.1 == .infinity { return try unary(.relu, x) }
            if bounds.0 <= bounds.1 { return try unary(.clip(bounds.0, bounds.1), x) }
        }
        var result = x
        if let low { result = try binary(.maximum, result, low, "low") }
        if let high { result = try binary(.minimum, result, high, "high") }
        return result
    }

    // MARK: Casts

    private mutating func cast(_ call: OperatorCall, to code: Int) throws -> Imported {
        guard let type = ONNXElementType(rawValue: Int32(truncatingIfNeeded: code)) else { throw call.invalid("\(code) is no element type") }
        if type == .string { return try castToStrings(call) }
        guard let dtype = type.dtype else { throw call.unsupported("\(type) is not a type this version computes with") }
        return try cast(call, to: dtype)
    }

    private mutating func cast(_ call: OperatorCall, to type: DType) throws -> Imported {
        if case .strings(let strings) = call.value(0) {
            let numbers = try strings.values.map { text in
                guard let number = Double(text.lowercased().trimmed) else { throw call.invalid("'\(text)' is no number") }
                return number
            }
            return .tensor(try cast(constant(numbers, shape: strings.shape.dimensions, .f64), type))
        }
        let roundsUp = try call.string("round_mode", "up")
        try call.require(roundsUp == "up" || type != .f8e8m0, "the rounding '\(roundsUp)' of scales is not done")
        return .tensor(try cast(call.tensor(0), type, saturates: call.bool("saturate", true)))
    }

    /// Numbers as NumPy writes them.
    private mutating func castToStrings(_ call: OperatorCall) throws -> Imported {
        if case .strings = call.value(0), let value = call.value(0) { return value }
        let x = try call.tensor(0)
        let shape = Shape(shape(x))
        if element(x) == .bool { return .strings(StringTensor(shape: shape, values: try integers(x).map { $0 == 0 ? "False" : "True" })) }
        guard element(x).isFloat else { return .strings(StringTensor(shape: shape, values: try integers(x).map(String.init))) }
        let isDouble = element(x) == .f64
        let texts = try doubles(x).map { number -> String in
            if number.isNaN { return "NaN" }
            if number.isInfinite { return number < 0 ? "-INF" : "INF" }
            let text = isDouble ? "\(number)" : "\(Float(number))"
            return text.hasSuffix(".0") && call.version < 9 ? String(text.dropLast(2)) : text
        }
        return .strings(StringTensor(shape: shape, values: texts))
    }

    private mutating func equal(_ a: StringTensor, _ b: StringTensor, _ call: OperatorCall) throws -> ValueID {
        try call.require(a.shape == b.shape || a.values.count == 1 || b.values.count == 1, "texts of the shapes \(a.shape) and \(b.shape) are compared")
        let wide = a.values.count >= b.values.count ? a : b
        let results = wide.values.indices.map { index in
            // By bytes: Swift's own equality takes é for e and an accent.
            a.values[a.values.count == 1 ? 0 : index].utf8.elementsEqual(b.values[b.values.count == 1 ? 0 : index].utf8) ? 1 : 0
        }
        return try constant(results, shape: wide.shape.dimensions, .bool)
    }

    // MARK: Dropout

    /// Models run as trained: nothing is dropped. A model in training mode with a ratio would be random.
    private func dropout(_ call: OperatorCall) throws -> ValueID {
        if call.version >= 12, let training = try call.optional(2), try integers(training).first ?? 0 != 0 {
            let ratio = try call.optional(1).map { try floats($0).first ?? 0.5 } ?? 0.5
            if ratio != 0 { throw call.unsupported("dropout in training mode is random") }
        }
        return try call.tensor(0)
    }

    private mutating func dropoutMask(_ call: OperatorCall) throws -> [Imported] {
        guard call.wants(1) else { return [] }
        let x = try call.tensor(0)
        let type = call.version >= 10 ? DType.bool : element(x)
        return [.tensor(try expand(constant([1], shape: [], type), shape(x)))]
    }
}

extension String {
    /// Without blanks at both ends.
    fileprivate var trimmed: String {
        let start = drop { $0.isWhitespace }
        return String(start.reversed().drop { $0.isWhitespace }.reversed())
    }
}
