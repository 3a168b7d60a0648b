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
    func callAsFunction(_ x: Double) -> Double { value(of: self, at: x) }
}

/// Outside of `Unary`, whose cases hide functions of the C library that have the same names.
private func value(of function: Unary, at x: Double) -> Double {
    switch function {
    case .relu: x > 0 ? x : 0
    case .sigmoid: 1 / (1 + exp(-x))
    case .tanh: tanh(x)
    case .silu: x / (1 + exp(-x))
    case .gelu: x / 2 * (1 + erf(x / 2.0.squareRoot()))
    case .geluTanh: x / 2 * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
    case .scale(let factor): x * Double(factor)
    case .softcap(let limit): Double(limit) * tanh(x / Double(limit))
    case .clip(let low, let high): min(max(x, Double(low)), Double(high))
    case .leakyRelu(let slope): x >= 0 ? x : x * Double(slope)
    case .elu(let alpha): x >= 0 ? x : Double(alpha) * expm1(x)
    case .selu(let alpha, let gamma): Double(gamma) * (x > 0 ? x : Double(alpha) * expm1(x))
    case .celu(let alpha): max(0, x) + min(0, Double(alpha) * expm1(x / Double(alpha)))
    case .hardSigmoid(let alpha, let beta): min(max(Double(alpha) * x + Double(beta), 0), 1)
    case .hardSwish: x * min(max(x / 6 + 0.5, 0), 1)
    case .softplus: x > 0 ? x + log1p(exp(-x)) : log1p(exp(x))
    case .softsign: x / (1 + abs(x))
    case .mish: x * tanh(Unary.softplus(x))
    case .swish(let alpha): x / (1 + exp(-Double(alpha) * x))
    case .thresholdedRelu(let threshold): x > Double(threshold) ? x : 0
    case .shrink(let lambda, let bias): x < -Double(lambda) ? x + Double(bias) : x > Double(lambda) ? x - Double(bias) : 0
    case .affine(let alpha, let beta): Double(alpha) * x + Double(beta)
    case .scaledTanh(let alpha, let beta): Double(alpha) * tanh(Double(beta) * x)
    case .absolute: abs(x)
    case .negate: -x
    case .sign: x > 0 ? 1 : x < 0 ? -1 : x
    case .exp: exp(x)
    case .log: log(x)
    case .squareRoot: x.squareRoot()
    case .reciprocal: 1 / x
    case .errorFunction: erf(x)
    case .floor: x.rounded(.down)
    case .ceil: x.rounded(.up)
    case .round: x.rounded(.toNearestOrEven)
    case .sin: sin(x)
    case .cos: cos(x)
    case .tan: tan(x)
    case .asin: asin(x)
    case .acos: acos(x)
    case .atan: atan(x)
    case .sinh: sinh(x)
    case .cosh: cosh(x)
    case .asinh: asinh(x)
    case .acosh: acosh(x)
    case .atanh: atanh(x)
    case .not: x == 0 ? 1 : 0
    case .complement: -x - 1
    case .isNaN: x.isNaN ? 1 : 0
    case .isInfinite(let positive, let negative): (x == .infinity && positive) || (x == -.infinity && negative) ? 1 : 0
    }
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
