// Operations on rows and on single elements.
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

    /// Element by element, the shapes aligned at their last axes and axes of length 1 repeated (NumPy's rules).
    func binary(_ function: Binary) throws {
        let (left, right) = (try inputs[0].values(), try inputs[1].values())
        let shape = outputs[0].shape
        let (leftStrides, rightStrides) = (inputs[0].strides(over: shape), inputs[1].strides(over: shape))
        var results: [Double] = []
        results.reserveCapacity(outputs[0].count)
        for index in 0..<outputs[0].count {
            var (rest, i, j) = (index, 0, 0)
            for axis in shape.indices.reversed() {
                i += rest % shape[axis] * leftStrides[axis]
                j += rest % shape[axis] * rightStrides[axis]
                rest /= shape[axis]
            }
            results.append(try outputs[0].format == .dense(.i32) ? integer(function, left[i], right[j]) : function(left[i], right[j]))
        }
        try outputs[0].store(results)
    }

    /// 32-bit integers: sums and products wrap, quotients are cut towards zero. Throws when the divisor is zero.
    private func integer(_ function: Binary, _ a: Double, _ b: Double) throws -> Double {
        let (a, b) = (Int64(a), Int64(b))
        switch function {
        case .add: return Double(Int32(truncatingIfNeeded: a + b))
        case .subtract: return Double(Int32(truncatingIfNeeded: a - b))
        case .multiply: return Double(Int32(truncatingIfNeeded: a * b))
        case .divide:
            guard b != 0 else {
                throw SwiftletError.invalidArgument(name: node.name, reason: "divides an integer by zero", remedy: "Give another divisor.")
            }
            return Double(Int32(truncatingIfNeeded: a / b))
        }
    }
}

extension ReferenceTensor {
    /// Elements to step along each axis of `shape`, which this tensor's shape broadcasts to: 0 where it is repeated.
    fileprivate func strides(over shape: [Int]) -> [Int] {
        var strides = [Int](repeating: 0, count: shape.count)
        var stride = 1
        for (axis, length) in self.shape.enumerated().reversed() {
            if length != 1 { strides[axis + shape.count - self.shape.count] = stride }
            stride *= length
        }
        return strides
    }
}

extension Unary {
    /// The function of one number.
    func callAsFunction(_ x: Double) -> Double {
        switch self {
        case .relu: x > 0 ? x : 0
        case .sigmoid: 1 / (1 + exp(-x))
        case .tanh: Self.tangent(x)
        case .silu: x / (1 + exp(-x))
        case .gelu: x / 2 * (1 + erf(x / 2.0.squareRoot()))
        case .geluTanh: x / 2 * (1 + Self.tangent((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
        case .scale(let factor): x * Double(factor)
        case .softcap(let limit): Double(limit) * Self.tangent(x / Double(limit))
        }
    }

    /// The hyperbolic tangent, which `Unary.tanh` hides inside this type.
    private static func tangent(_ x: Double) -> Double {
        #if canImport(Glibc)
            Glibc.tanh(x)
        #else
            Darwin.tanh(x)
        #endif
    }
}

extension Binary {
    /// The function of two numbers.
    fileprivate func callAsFunction(_ a: Double, _ b: Double) -> Double {
        switch self {
        case .add: a + b
        case .subtract: a - b
        case .multiply: a * b
        case .divide: a / b
        }
    }
}
