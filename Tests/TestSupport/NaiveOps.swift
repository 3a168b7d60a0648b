// The operations of the graph, written for reading: plain loops over Double arrays, row-major, one definition each.
// Everything faster is compared with these. Sizes are trusted: tests pass what they built themselves.
#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif
import SwiftletGraph

package enum NaiveOps {
    /// `x [rows, width]` times the transpose of `weight [columns, width]`, plus `bias [columns]`: `[rows, columns]`.
    package static func linear(_ x: [Double], _ weight: [Double], bias: [Double]? = nil, rows: Int, width: Int, columns: Int) -> [Double] {
        var result = [Double](repeating: 0, count: rows * columns)
        for row in 0..<rows {
            for column in 0..<columns {
                var sum = bias?[column] ?? 0
                for index in 0..<width { sum += x[row * width + index] * weight[column * width + index] }
                result[row * columns + column] = sum
            }
        }
        return result
    }

    /// Each row of `width`: `x / sqrt(mean(x²) + ε)`, times `scale`.
    package static func rmsNorm(_ x: [Double], scale: [Double]?, epsilon: Double, width: Int) -> [Double] {
        eachRow(x, width) { row in
            let mean = row.reduce(0) { $0 + $1 * $1 } / Double(width)
            return row.enumerated().map { $1 / (mean + epsilon).squareRoot() * (scale?[$0] ?? 1) }
        }
    }

    /// Each row of `width`: `(x − mean)/sqrt(variance + ε)`, times `scale`, plus `bias`. The variance is the biased one.
    package static func layerNorm(_ x: [Double], scale: [Double], bias: [Double]?, epsilon: Double, width: Int) -> [Double] {
        eachRow(x, width) { row in
            let mean = row.reduce(0, +) / Double(width)
            let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(width)
            return row.enumerated().map { ($1 - mean) / (variance + epsilon).squareRoot() * scale[$0] + (bias?[$0] ?? 0) }
        }
    }

    /// Each row of `width`: `exp(x − max)` over their sum.
    package static func softmax(_ x: [Double], width: Int) -> [Double] {
        eachRow(x, width) { row in
            let largest = row.max() ?? 0
            let exponentials = row.map { exp($0 - largest) }
            let sum = exponentials.reduce(0, +)
            return exponentials.map { $0 / sum }
        }
    }

    package static func unary(_ function: Unary, _ x: Double) -> Double {
        switch function {
        case .relu: max(0, x)
        case .sigmoid: 1 / (1 + exp(-x))
        case .tanh: tanh(x)
        case .silu: x / (1 + exp(-x))
        case .gelu: x * 0.5 * (1 + erf(x / 2.0.squareRoot()))
        case .geluTanh: 0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
        case .scale(let factor): x * Double(factor)
        case .softcap(let limit): Double(limit) * tanh(x / Double(limit))
        default: preconditionFailure("functions of imported networks are compared with published vectors")
        }
    }

    package static func binary(_ function: Binary, _ a: Double, _ b: Double) -> Double {
        switch function {
        case .add: a + b
        case .subtract: a - b
        case .multiply: a * b
        case .divide: a / b
        default: preconditionFailure("functions of imported networks are compared with published vectors")
        }
    }

    /// The table `[positions, dimensions]` of rotary position embedding: for each position the cosines of all pairs, then their sines.
    ///
    /// Pair `i` of position `p` has the angle `p·θᵢ/fᵢ` with `θᵢ = base^(−2i/dimensions)` and the factor `fᵢ` (1 without factors).
    /// - Linear scaling by `s` divides the angle by `s` (Chen et al., 2023).
    /// - YaRN (Peng et al., 2023) mixes both: `angle·((1 − mᵢ)/s + mᵢ)`. The mix `mᵢ = extrapolation·(1 − clamp((i − low)/(high − low)))` is 1
    ///   for pairs that turn often within the original context `L` and 0 for those that turn rarely. A pair that makes `β` turns within `L`
    ///   has the index `c(β) = dimensions·ln(L/(2πβ))/(2·ln base)`; `low = max(0, ⌊c(betaFast)⌋)`, `high = min(dimensions − 1, ⌈c(betaSlow)⌉)`,
    ///   and `high − low` counts at least 0.001. Cosines and sines are multiplied by `attentionFactor`, and, unless `extrapolation` is 0, by
    ///   `1 + 0.1·ln s` as well: the paper's temperature of the softmax. These are the conventions of GGUF models.
    /// - `magnitude` multiplies cosines and sines in every case.
    package static func rotaryTable(_ table: RotaryTable, positions: [Int], factors: [Double]? = nil) -> [Double] {
        let (dimensions, base) = (Double(table.dimensions), Double(table.base))
        var magnitude = Double(table.magnitude)
        var interpolation = 1.0
        var mix: (Double) -> Double = { _ in 0 }
        switch table.scaling {
        case .none: break
        case .linear(let factor): interpolation = 1 / Double(factor)
        case .yarn(let factor, let originalContext, let betaFast, let betaSlow, let extrapolation, let attentionFactor):
            interpolation = 1 / Double(factor)
            magnitude *= Double(attentionFactor) * (extrapolation == 0 ? 1 : 1 + 0.1 * log(Double(factor)))
            func pair(turns: Float) -> Double { dimensions * log(Double(originalContext) / (2 * .pi * Double(turns))) / (2 * log(base)) }
            let low = max(0, pair(turns: betaFast).rounded(.down))
            let high = min(dimensions - 1, pair(turns: betaSlow).rounded(.up))
            mix = { index in Double(extrapolation) * (1 - min(1, max(0, (index - low) / max(0.001, high - low)))) }
        }
        return positions.flatMap { position in
            let angles = (0..<table.dimensions / 2).map { index in
                let angle = Double(position) * pow(base, -2 * Double(index) / dimensions) / (factors?[index] ?? 1)
                let share = mix(Double(index))
                return angle * ((1 - share) * interpolation + share)
            }
            return angles.map { cos($0) * magnitude } + angles.map { sin($0) * magnitude }
        }
    }

    /// Rotates the first `dimensions` elements of each head of `x [tokens, heads, headDimension]` by the angles of `table`.
    package static func rotary(
        _ x: [Double], table: [Double], layout: RotaryLayout, heads: Int, headDimension: Int, dimensions: Int
    ) -> [Double] {
        var result = x
        let half = dimensions / 2
        guard half > 0 else { return result }
        for token in 0..<table.count / dimensions {
            for head in 0..<heads {
                let start = (token * heads + head) * headDimension
                for pair in 0..<half {
                    let (first, second) =
                        switch layout {
                        case .interleaved: (start + 2 * pair, start + 2 * pair + 1)
                        case .split: (start + pair, start + pair + half)
                        }
                    let (cosine, sine) = (table[token * dimensions + pair], table[token * dimensions + half + pair])
                    result[first] = x[first] * cosine - x[second] * sine
                    result[second] = x[first] * sine + x[second] * cosine
                }
            }
        }
        return result
    }

    /// Causal attention of `query [tokens, heads, headDimension]` over caches `[slots, keyValueHeads, context, headDimension]`.
    package static func attention(
        _ attention: Attention, query: [Double], keys: [Double], values: [Double], context: Int, positions: [Int], slots: [Int]
    ) -> [Double] {
        let width = attention.headDimension
        var result = [Double](repeating: 0, count: query.count)
        for (token, position) in positions.enumerated() {
            let first = attention.window.map { max(0, position - $0 + 1) } ?? 0
            for head in 0..<attention.heads {
                let start = (token * attention.heads + head) * width
                let keyValueHead = head / (attention.heads / attention.keyValueHeads)
                func row(_ index: Int) -> Int { ((slots[token] * attention.keyValueHeads + keyValueHead) * context + index) * width }
                let scores = (first...position).map { index in
                    let score = (0..<width).reduce(0) { $0 + query[start + $1] * keys[row(index) + $1] } * Double(attention.scale)
                    return attention.softcap.map { Double($0) * tanh(score / Double($0)) } ?? score
                }
                for (weight, index) in zip(softmax(scores, width: scores.count), first...position) {
                    for element in 0..<width { result[start + element] += weight * values[row(index) + element] }
                }
            }
        }
        return result
    }

    private static func eachRow(_ x: [Double], _ width: Int, _ body: (ArraySlice<Double>) -> [Double]) -> [Double] {
        guard width > 0 else { return x }
        return stride(from: 0, to: x.count, by: width).flatMap { body(x[$0..<$0 + width]) }
    }
}
