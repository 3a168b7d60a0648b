// Functions of single elements: the payloads of `Op.unary` and `Op.binary`, and what activations are made of.

/// Functions of one number.
public enum Unary: Sendable, Hashable {
    // MARK: Activations

    case relu, sigmoid, tanh
    /// `x·sigmoid(x)`
    case silu
    /// `x·Φ(x)` with the error function.
    case gelu
    /// The tanh approximation of GELU (Hendrycks and Gimpel, 2016), as Gemma uses.
    case geluTanh
    /// `x·factor`
    case scale(Float)
    /// `limit·tanh(x/limit)` (Gemma 2).
    case softcap(Float)
    /// `min(max(x, low), high)`; ReLU6 is `clip(0, 6)`.
    case clip(Float, Float)
    /// `x` where positive, else `slope·x`.
    case leakyRelu(Float)
    /// `x` where positive, else `alpha·(eˣ − 1)` (Clevert et al., 2015).
    case elu(Float)
    /// `gamma·x` where positive, else `gamma·alpha·(eˣ − 1)` (Klambauer et al., 2017).
    case selu(alpha: Float, gamma: Float)
    /// `max(0, x) + min(0, alpha·(e^(x/alpha) − 1))` (Barron, 2017).
    case celu(Float)
    /// `min(max(alpha·x + beta, 0), 1)`
    case hardSigmoid(alpha: Float, beta: Float)
    /// `x·min(max(x/6 + 1/2, 0), 1)` (Howard et al., 2019).
    case hardSwish
    /// `ln(1 + eˣ)`
    case softplus
    /// `x/(1 + |x|)`
    case softsign
    /// `x·tanh(ln(1 + eˣ))` (Misra, 2019).
    case mish
    /// `x·sigmoid(alpha·x)`
    case swish(Float)
    /// `x` where above the threshold, else 0.
    case thresholdedRelu(Float)
    /// `x + bias` below −lambda, `x − bias` above lambda, else 0.
    case shrink(lambda: Float, bias: Float)
    /// `alpha·x + beta`
    case affine(alpha: Float, beta: Float)
    /// `alpha·tanh(beta·x)`
    case scaledTanh(alpha: Float, beta: Float)

    // MARK: Arithmetic (integers too)

    case absolute, negate, sign

    // MARK: Mathematics

    case exp, log, squareRoot, reciprocal, errorFunction
    case floor, ceil
    /// To the nearest whole number, ties to even.
    case round
    case sin, cos, tan, asin, acos, atan, sinh, cosh, asinh, acosh, atanh

    // MARK: Bits and tests

    /// Of bools.
    case not
    /// Of integers.
    case complement
    case isNaN
    case isInfinite(positive: Bool, negative: Bool)

    /// Whether the result is a bool whatever the operand is.
    public var isTest: Bool {
        switch self {
        case .isNaN, .isInfinite: true
        default: false
        }
    }

    /// Whether elements of the type are operands.
    public func takes(_ element: DType) -> Bool {
        switch self {
        case .not: element == .bool
        case .complement: element.isInteger
        case .absolute, .negate, .sign, .relu: element != .bool
        default: element.isFloat
        }
    }
}

/// Functions of two numbers of one type. Integers wrap.
public enum Binary: String, Sendable, Hashable {
    case add, subtract, multiply
    /// Of integers: cut towards zero.
    case divide
    case minimum, maximum
    /// Of integers: 0 for negative exponents of numbers beyond ±1.
    case power
    /// The remainder with the divisor's sign.
    case modulo
    /// The remainder with the dividend's sign.
    case remainder
    /// The first operand where it is positive or zero, else its product with the second (PReLU; He et al., 2015).
    case parametricRelu
    /// Of bools, or of the bits of integers.
    case and, or, xor
    /// Of unsigned and signed integers; shifts by the width or more give 0 (or the sign).
    case shiftLeft, shiftRight
    /// These make bools.
    case equal, less, lessOrEqual

    public var isComparison: Bool { self == .equal || self == .less || self == .lessOrEqual }

    /// Whether elements of the type are operands.
    public func takes(_ element: DType) -> Bool {
        switch self {
        case .and, .or, .xor: !element.isFloat
        case .shiftLeft, .shiftRight: element.isInteger
        case .equal: true
        case .less, .lessOrEqual: true
        case .add, .subtract, .multiply, .divide, .minimum, .maximum, .power, .modulo, .remainder, .parametricRelu: element != .bool
        }
    }
}
