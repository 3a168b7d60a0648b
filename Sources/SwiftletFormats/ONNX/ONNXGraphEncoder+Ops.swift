// The operations of every model as operators of ONNX: products with weights, normalisations, functions of elements.
import SwiftletGraph

extension ONNXGraphEncoder {
    /// Writes the operators that the node being translated comes down to.
    mutating func encode(_ op: Op) throws {
        switch op {
        case .linear(let linear): try encode(linear)
        case .embedding:
            let isF32 = element(0) == .f32
            let rows = emit("Gather", [try operand(0), try operand(1)], [.int("axis", 0)], to: isF32 ? result() : nil)
            if !isF32 { _ = cast(rows, from: element(0), to: .f32, output: result()) }
        case .gatherRows: emit("Gather", [try operand(0), try operand(1)], [.int("axis", 0)], to: result())
        case .rmsNorm(let epsilon): try rmsNorm(epsilon)
        case .layerNorm(let epsilon):
            let operands = try node.inputs.indices.map { try operand($0, as: element(0)) }
            emit("LayerNormalization", operands, [.int("axis", -1), .float("epsilon", epsilon)], to: result())
        case .softmax: emit("Softmax", [try operand(0)], [.int("axis", -1)], to: result())
        case .unary(let function): try unary(function, try operand(0), element(0), to: result())
        case .binary(let function): try binary(function)
        case .rotaryTable(let table): try encode(table)
        case .rotary(let layout): try rotary(layout)
        case .cacheWrite: throw unsupported("writes a cache that outlives a run", remedy: "Write the graph without its caches.")
        case .attention: throw unsupported("reads a cache that outlives a run", remedy: "Write the graph without its caches.")
        case .reshape(let shape): try reshape(try operand(0), from: type(0).shape, to: shape, output: result())
        case .tensor(let op): try encode(op)
        }
    }

    // MARK: - Products

    /// A matrix is multiplied as its transpose: `Gemm` where x is a matrix, else `Transpose` and `MatMul`. Computed in f32, as the engine does.
    private mutating func encode(_ linear: Linear) throws {
        let x = try operand(0, as: .f32)
        var products: [String] = []
        for index in 0..<linear.weightCount {
            let weight = try operand(1 + index, as: .f32)
            let bias = linear.hasBias ? try operand(1 + linear.weightCount + index, as: .f32) : nil
            let output = linear.epilogue == .none ? result(index) : nil
            if type(0).shape.count == 2 {
                products.append(emit("Gemm", [x, weight] + (bias.map { [$0] } ?? []), [.int("transB", 1)], to: output))
                continue
            }
            let transposed = emit("Transpose", [weight], [.ints("perm", [1, 0])])
            let product = emit("MatMul", [x, transposed], to: bias == nil ? output : nil)
            products.append(bias.map { emit("Add", [product, $0], to: output) } ?? product)
        }
        switch linear.epilogue {
        case .none: break
        case .activation(let function):
            for (index, product) in products.enumerated() { try unary(function, product, .f32, to: result(index)) }
        case .gated(let function):
            let gate = try unary(function, products[0], .f32, to: nil)
            emit("Mul", [gate, products[1]], to: result())
        case .residual: emit("Add", [products[0], try operand(node.inputs.count - 1, as: .f32)], to: result())
        }
    }

    // MARK: - Normalisation

    private mutating func rmsNorm(_ epsilon: Float) throws {
        let element = element(0)
        let wide: DType = element == .f64 ? .f64 : .f32
        let x = cast(try operand(0), from: element, to: wide)
        let square = emit("Mul", [x, x], detail: "square")
        let mean = emit("ReduceMean", [square, try integers([-1], "axes")], detail: "mean")
        let moved = emit("Add", [mean, try scalar(Double(epsilon), wide, "epsilon")])
        let root = emit("Sqrt", [moved])
        let hasScale = node.inputs.count > 1
        let isLast = !hasScale && wide == element
        var value = emit("Div", [x, root], to: isLast ? result() : nil)
        if hasScale { value = emit("Mul", [value, try operand(1, as: wide)], to: wide == element ? result() : nil) }
        if wide != element { _ = cast(value, from: wide, to: element, output: result()) }
    }

    // MARK: - Functions of one number

    @discardableResult
    mutating func unary(_ function: Unary, _ x: String, _ element: DType, to output: String?) throws -> String {
        func name(_ op: String, _ attributes: [Onnx_AttributeProto] = []) -> (String, [Onnx_AttributeProto]) { (op, attributes) }
        let simple: (op: String, attributes: [Onnx_AttributeProto])
        switch function {
        // The operators do not take all floats.
        case .celu where element != .f32, .shrink where element == .bf16:
            let wide = try unary(function, cast(x, from: element, to: .f32), .f32, to: nil)
            return cast(wide, from: .f32, to: element, output: output)
        default: break
        }
        switch function {
        case .relu: simple = name("Relu")
        case .sigmoid: simple = name("Sigmoid")
        case .tanh: simple = name("Tanh")
        case .gelu: simple = name("Gelu")
        case .geluTanh: simple = name("Gelu", [.string("approximate", "tanh")])
        case .leakyRelu(let slope): simple = name("LeakyRelu", [.float("alpha", slope)])
        case .elu(let alpha): simple = name("Elu", [.float("alpha", alpha)])
        case .selu(let alpha, let gamma): simple = name("Selu", [.float("alpha", alpha), .float("gamma", gamma)])
        case .celu(let alpha): simple = name("Celu", [.float("alpha", alpha)])
        case .hardSigmoid(let alpha, let beta): simple = name("HardSigmoid", [.float("alpha", alpha), .float("beta", beta)])
        case .hardSwish: simple = name("HardSwish")
        case .softplus: simple = name("Softplus")
        case .softsign: simple = name("Softsign")
        case .mish: simple = name("Mish")
        case .thresholdedRelu(let threshold): simple = name("ThresholdedRelu", [.float("alpha", threshold)])
        case .shrink(let lambda, let bias): simple = name("Shrink", [.float("lambd", lambda), .float("bias", bias)])
        case .absolute: simple = name("Abs")
        case .negate: simple = name("Neg")
        case .sign: simple = name("Sign")
        case .exp: simple = name("Exp")
        case .log: simple = name("Log")
        case .squareRoot: simple = name("Sqrt")
        case .reciprocal: simple = name("Reciprocal")
        case .errorFunction: simple = name("Erf")
        case .floor: simple = name("Floor")
        case .ceil: simple = name("Ceil")
        case .round: simple = name("Round")
        case .sin: simple = name("Sin")
        case .cos: simple = name("Cos")
        case .tan: simple = name("Tan")
        case .asin: simple = name("Asin")
        case .acos: simple = name("Acos")
        case .atan: simple = name("Atan")
        case .sinh: simple = name("Sinh")
        case .cosh: simple = name("Cosh")
        case .asinh: simple = name("Asinh")
        case .acosh: simple = name("Acosh")
        case .atanh: simple = name("Atanh")
        case .not: simple = name("Not")
        case .complement: simple = name("BitwiseNot")
        case .isNaN: simple = name("IsNaN")
        case .isInfinite(let positive, let negative):
            simple = name("IsInf", [.flag("detect_positive", positive), .flag("detect_negative", negative)])
        // The ones that are several operators.
        case .silu: return emit("Mul", [x, emit("Sigmoid", [x])], to: output)
        case .swish(let alpha): return emit("Mul", [x, emit("Sigmoid", [emit("Mul", [x, try scalar(Double(alpha), element, "alpha")])])], to: output)
        case .scale(let factor): return emit("Mul", [x, try scalar(Double(factor), element, "factor")], to: output)
        case .softcap(let limit):
            let limit = try scalar(Double(limit), element, "limit")
            return emit("Mul", [emit("Tanh", [emit("Div", [x, limit])]), limit], to: output)
        case .clip(let low, let high):
            return emit("Clip", [x, try scalar(Double(low), element, "low"), try scalar(Double(high), element, "high")], to: output)
        case .affine(let alpha, let beta):
            let scaled = emit("Mul", [x, try scalar(Double(alpha), element, "alpha")])
            return emit("Add", [scaled, try scalar(Double(beta), element, "beta")], to: output)
        case .scaledTanh(let alpha, let beta):
            let scaled = emit("Mul", [x, try scalar(Double(beta), element, "beta")])
            return emit("Mul", [emit("Tanh", [scaled]), try scalar(Double(alpha), element, "alpha")], to: output)
        }
        return emit(simple.op, [x], simple.attributes, to: output)
    }

    // MARK: - Functions of two numbers

    private mutating func binary(_ function: Binary) throws {
        let element = element(0)
        let (a, b) = (try operand(0), try operand(1))
        switch function {
        case .add: emit("Add", [a, b], to: result())
        case .subtract: emit("Sub", [a, b], to: result())
        case .multiply: emit("Mul", [a, b], to: result())
        case .divide: emit("Div", [a, b], to: result())
        case .minimum: emit("Min", [a, b], to: result())
        case .maximum: emit("Max", [a, b], to: result())
        case .power: emit("Pow", [a, b], to: result())
        case .remainder: emit("Mod", [a, b], [.int("fmod", 1)], to: result())
        case .modulo where element.isFloat:
            // The operator gives floats the dividend's sign: a remainder of the other sign than the divisor is one divisor away.
            let remainder = emit("Mod", [a, b], [.int("fmod", 1)], detail: "remainder")
            let zero = try scalar(0, element, "zero")
            let differs = emit("Xor", [emit("Less", [remainder, zero]), emit("Less", [b, zero])], detail: "differs")
            let isMoved = emit("And", [differs, emit("Not", [emit("Equal", [remainder, zero])])], detail: "isMoved")
            emit("Where", [isMoved, emit("Add", [remainder, b]), remainder], to: result())
        case .modulo: emit("Mod", [a, b], to: result())
        case .parametricRelu where resultType.shape == type(0).shape: emit("PRelu", [a, b], to: result())
        case .parametricRelu:
            let isPositive = emit("GreaterOrEqual", [a, try scalar(0, element, "zero")])
            emit("Where", [isPositive, a, emit("Mul", [a, b])], to: result())
        case .and: emit(element == .bool ? "And" : "BitwiseAnd", [a, b], to: result())
        case .or: emit(element == .bool ? "Or" : "BitwiseOr", [a, b], to: result())
        case .xor: emit(element == .bool ? "Xor" : "BitwiseXor", [a, b], to: result())
        case .shiftLeft, .shiftRight:
            guard [.u8, .u16, .u32, .u64].contains(element) else { throw unsupported("shifts \(element)", remedy: "Shift unsigned integers.") }
            // What the operator makes of shifts by the width or more is not defined.
            let isWithin = emit("Less", [b, try scalar(Double(8 * element.byteCount), element, "width")])
            let amount = emit("Min", [b, try scalar(Double(8 * element.byteCount - 1), element, "most")])
            let shifted = emit("BitShift", [a, amount], [.string("direction", function == .shiftLeft ? "LEFT" : "RIGHT")])
            emit("Where", [isWithin, shifted, try scalar(0, element, "zero")], to: result())
        case .equal: emit("Equal", [a, b], to: result())
        case .less, .lessOrEqual:
            let op = function == .less ? "Less" : "LessOrEqual"
            let number: DType = element == .bool ? .u8 : element
            emit(op, [cast(a, from: element, to: number), cast(b, from: element, to: number)], to: result())
        }
    }

    // MARK: - Rotary embedding

    /// Angles in f64, as the engine computes them.
    private mutating func encode(_ table: RotaryTable) throws {
        var factors: [Float]?
        if table.hasFactors {
            guard let weight = graph[node.inputs[1]].weight else { throw unsupported("takes frequencies that are not constant") }
            factors = try weight.floats()
        }
        let (radians, magnitude) = table.frequencies(factors: factors)
        let positions = emit("Cast", [try operand(0)], [.int("to", Int(ONNXElementType.f64.rawValue))], detail: "positions")
        let column = emit("Unsqueeze", [positions, try integers([-1], "axes")])
        let angles = emit("Mul", [column, try constant(radians, .f64, [radians.count], "radians")], detail: "angles")
        let parts = emit("Concat", [emit("Cos", [angles]), emit("Sin", [angles])], [.int("axis", -1)])
        let scaled = emit("Mul", [parts, try scalar(magnitude, .f64, "magnitude")])
        _ = cast(scaled, from: .f64, to: .f32, output: result())
    }

    private mutating func rotary(_ layout: RotaryLayout) throws {
        guard let rotated = type(1).shape[1].fixed, let width = type(0).shape[2].fixed else { throw unsupported("rotates an open number of elements") }
        let (x, table, half) = (try operand(0, as: .f32), try operand(1, as: .f32), rotated / 2)
        func part(_ encoder: inout Self, _ value: String, _ start: Int, _ end: Int, step: Int = 1) throws -> String {
            let lists = try [[start], [end], [-1], [step]].map { try encoder.integers($0, "part") }
            return encoder.emit("Slice", [value] + lists)
        }
        // [t, half] → [t, 1, half]: the same for all heads.
        let heads = try integers([1], "axes")
        let cosines = emit("Unsqueeze", [try part(&self, table, 0, half), heads])
        let sines = emit("Unsqueeze", [try part(&self, table, half, rotated), heads])
        let a = layout == .split ? try part(&self, x, 0, half) : try part(&self, x, 0, rotated, step: 2)
        let b = layout == .split ? try part(&self, x, half, rotated) : try part(&self, x, 1, rotated, step: 2)
        var first = emit("Sub", [emit("Mul", [a, cosines]), emit("Mul", [b, sines])])
        var second = emit("Add", [emit("Mul", [a, sines]), emit("Mul", [b, cosines])])
        var parts = [first, second]
        if layout == .interleaved {
            let last = try integers([-1], "axes")
            (first, second) = (emit("Unsqueeze", [first, last]), emit("Unsqueeze", [second, last]))
            let pairs = emit("Concat", [first, second], [.int("axis", -1)])
            parts = [emit("Reshape", [pairs, try integers([0, 0, rotated], "shape")])]
        }
        if rotated < width { parts.append(try part(&self, x, rotated, width)) }
        let isF32 = element(0) == .f32
        let joined = emit("Concat", parts, [.int("axis", -1)], to: isF32 ? result() : nil)
        if !isF32 { _ = cast(joined, from: .f32, to: element(0), output: result()) }
    }
}
