// Operations on rows, and the functions of single floats.
#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

extension ReferenceStep {
    /// `x / sqrt(mean(x²) + ε)`, times the scale when there is one.
    func rmsNorm(epsilon: Double) throws {
        let scale = inputs.count > 1 ? try inputs[1].values() : nil
        try mapRows { row in
            let meanSquare = row.reduce(0) { $0 + $1 * $1 } / Double(row.count)
            let norm = (meanSquare + epsilon).squareRoot()
            return row.indices.map { row[$0] / norm * (scale?[$0] ?? 1) }
        }
    }

    /// `(x − mean)/sqrt(variance + ε)·scale + bias`, with the variance of the row itself (divided by n).
    func layerNorm(epsilon: Double) throws {
        let scale = try inputs[1].values()
        let bias = inputs.count > 2 ? try inputs[2].values() : nil
        try mapRows { row in
            let mean = row.reduce(0, +) / Double(row.count)
            let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(row.count)
            let deviation = (variance + epsilon).squareRoot()
            return row.indices.map { (row[$0] - mean) / deviation * scale[$0] + (bias?[$0] ?? 0) }
        }
    }

    func softmax() throws { try mapRows(probabilities) }

    private func mapRows(_ function: ([Double]) -> [Double]) throws {
        for row in 0..<inputs[0].rows { try outputs[0].store(function(inputs[0].row(row)), at: row * inputs[0].width) }
    }

    /// `exp(x − max) / Σ exp(x − max)`; zeros when everything is −∞.
    func probabilities(_ scores: [Double]) -> [Double] {
        let largest = scores.reduce(-.infinity, max)
        if largest == -.infinity { return scores.map { $0.isNaN ? .nan : 0 } }
        let powers = scores.map { exp($0 - largest) }
        let sum = powers.reduce(0, +)
        return powers.map { $0 / sum }
    }
}

extension Unary {
    /// The function of one number.
    func callAsFunction(_ x: Double) -> Double {
        switch self {
        case .relu: x > 0 ? x : 0
        case .sigmoid: 1 / (1 + MathLibrary.exp(-x))
        case .tanh: MathLibrary.tanh(x)
        case .silu: x / (1 + MathLibrary.exp(-x))
        case .gelu: x / 2 * (1 + erf(x / 2.0.squareRoot()))
        case .geluTanh: x / 2 * (1 + MathLibrary.tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
        case .scale(let factor): x * Double(factor)
        case .softcap(let limit): Double(limit) * MathLibrary.tanh(x / Double(limit))
        case .clip(let low, let high): Swift.min(Swift.max(x, Double(low)), Double(high))
        case .leakyRelu(let slope): x >= 0 ? x : x * Double(slope)
        case .elu(let alpha): x >= 0 ? x : Double(alpha) * expm1(x)
        case .selu(let alpha, let gamma): Double(gamma) * (x > 0 ? x : Double(alpha) * expm1(x))
        case .celu(let alpha): Swift.max(0, x) + Swift.min(0, Double(alpha) * expm1(x / Double(alpha)))
        case .hardSigmoid(let alpha, let beta): Swift.min(Swift.max(Double(alpha) * x + Double(beta), 0), 1)
        case .hardSwish: x * Swift.min(Swift.max(x / 6 + 0.5, 0), 1)
        case .softplus: x > 0 ? x + log1p(MathLibrary.exp(-x)) : log1p(MathLibrary.exp(x))
        case .softsign: x / (1 + Swift.abs(x))
        case .mish: x * MathLibrary.tanh(Unary.softplus(x))
        case .swish(let alpha): x / (1 + MathLibrary.exp(-Double(alpha) * x))
        case .thresholdedRelu(let threshold): x > Double(threshold) ? x : 0
        case .shrink(let lambda, let bias): x < -Double(lambda) ? x + Double(bias) : x > Double(lambda) ? x - Double(bias) : 0
        case .affine(let alpha, let beta): Double(alpha) * x + Double(beta)
        case .scaledTanh(let alpha, let beta): Double(alpha) * MathLibrary.tanh(Double(beta) * x)
        case .absolute: Swift.abs(x)
        case .negate: -x
        case .sign: x > 0 ? 1 : x < 0 ? -1 : x
        case .exp: MathLibrary.exp(x)
        case .log: MathLibrary.log(x)
        case .squareRoot: x.squareRoot()
        case .reciprocal: 1 / x
        case .errorFunction: erf(x)
        case .floor: x.rounded(.down)
        case .ceil: x.rounded(.up)
        case .round: x.rounded(.toNearestOrEven)
        case .sin: MathLibrary.sin(x)
        case .cos: MathLibrary.cos(x)
        case .tan: MathLibrary.tan(x)
        case .asin: MathLibrary.asin(x)
        case .acos: MathLibrary.acos(x)
        case .atan: MathLibrary.atan(x)
        case .sinh: MathLibrary.sinh(x)
        case .cosh: MathLibrary.cosh(x)
        case .asinh: MathLibrary.asinh(x)
        case .acosh: MathLibrary.acosh(x)
        case .atanh: MathLibrary.atanh(x)
        case .not: x == 0 ? 1 : 0
        case .complement: -x - 1
        case .isNaN: x.isNaN ? 1 : 0
        case .isInfinite(let positive, let negative): (x == .infinity && positive) || (x == -.infinity && negative) ? 1 : 0
        }
    }
}

/// The mathematics of the C library under names that the cases of `Unary` do not hide.
private enum MathLibrary {
    #if canImport(Glibc)
        static func exp(_ x: Double) -> Double { Glibc.exp(x) }
        static func log(_ x: Double) -> Double { Glibc.log(x) }
        static func tanh(_ x: Double) -> Double { Glibc.tanh(x) }
        static func sin(_ x: Double) -> Double { Glibc.sin(x) }
        static func cos(_ x: Double) -> Double { Glibc.cos(x) }
        static func tan(_ x: Double) -> Double { Glibc.tan(x) }
        static func asin(_ x: Double) -> Double { Glibc.asin(x) }
        static func acos(_ x: Double) -> Double { Glibc.acos(x) }
        static func atan(_ x: Double) -> Double { Glibc.atan(x) }
        static func sinh(_ x: Double) -> Double { Glibc.sinh(x) }
        static func cosh(_ x: Double) -> Double { Glibc.cosh(x) }
        static func asinh(_ x: Double) -> Double { Glibc.asinh(x) }
        static func acosh(_ x: Double) -> Double { Glibc.acosh(x) }
        static func atanh(_ x: Double) -> Double { Glibc.atanh(x) }
    #else
        static func exp(_ x: Double) -> Double { Darwin.exp(x) }
        static func log(_ x: Double) -> Double { Darwin.log(x) }
        static func tanh(_ x: Double) -> Double { Darwin.tanh(x) }
        static func sin(_ x: Double) -> Double { Darwin.sin(x) }
        static func cos(_ x: Double) -> Double { Darwin.cos(x) }
        static func tan(_ x: Double) -> Double { Darwin.tan(x) }
        static func asin(_ x: Double) -> Double { Darwin.asin(x) }
        static func acos(_ x: Double) -> Double { Darwin.acos(x) }
        static func atan(_ x: Double) -> Double { Darwin.atan(x) }
        static func sinh(_ x: Double) -> Double { Darwin.sinh(x) }
        static func cosh(_ x: Double) -> Double { Darwin.cosh(x) }
        static func asinh(_ x: Double) -> Double { Darwin.asinh(x) }
        static func acosh(_ x: Double) -> Double { Darwin.acosh(x) }
        static func atanh(_ x: Double) -> Double { Darwin.atanh(x) }
    #endif
}

extension Binary {
    /// The function of two numbers.
    func callAsFunction(_ a: Double, _ b: Double) -> Double {
        switch self {
        case .add: a + b
        case .subtract: a - b
        case .multiply: a * b
        case .divide: a / b
        case .minimum: a.isNaN || b.isNaN ? .nan : Swift.min(a, b)
        case .maximum: a.isNaN || b.isNaN ? .nan : Swift.max(a, b)
        case .power: pow(a, b)
        case .modulo: floorRemainder(a, b)
        case .remainder: fmod(a, b)
        case .parametricRelu: a >= 0 ? a : a * b
        case .equal: a == b ? 1 : 0
        case .less: a < b ? 1 : 0
        case .lessOrEqual: a <= b ? 1 : 0
        case .and: a != 0 && b != 0 ? 1 : 0
        case .or: a != 0 || b != 0 ? 1 : 0
        case .xor: (a != 0) != (b != 0) ? 1 : 0
        // Of integers alone.
        case .shiftLeft, .shiftRight: .nan
        }
    }

    /// The exact remainder, moved to the divisor's sign.
    private func floorRemainder(_ a: Double, _ b: Double) -> Double {
        let rest = fmod(a, b)
        return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest
    }
}
