// The angles of rotary embedding in Double: which angle each pair of a head turns by for every step of position.
// Sources: Su et al. 2021 (RoPE); Chen et al. 2023 (linear interpolation); Peng et al. 2023 (YaRN).
import Foundation

extension RotaryTable {
    /// Radians a position for each pair, `[dimensions/2]`, and the number cos and sin are multiplied with.
    ///
    /// `factors` (one a pair) divide the frequencies before scaling; nil for none.
    package func frequencies(factors: [Float]?) -> (radians: [Double], magnitude: Double) {
        let plain = (0..<dimensions / 2).map { pair in
            pow(Double(base), -2 * Double(pair) / Double(dimensions)) / Double(factors?[pair] ?? 1)
        }
        switch scaling {
        case .none: return (plain, Double(magnitude))
        case .linear(let factor): return (plain.map { $0 / Double(factor) }, Double(magnitude))
        case .yarn(let factor, let originalContext, let betaFast, let betaSlow, let extrapolation, let attentionFactor):
            /// The pair that makes `rotations` full turns over the original context.
            func pair(turning rotations: Float) -> Double {
                Double(dimensions) * log(Double(originalContext) / (Double(rotations) * 2 * .pi)) / (2 * log(Double(base)))
            }
            let low = max(0, pair(turning: betaFast).rounded(.down))
            let high = min(Double(dimensions - 1), pair(turning: betaSlow).rounded(.up))
            let radians = plain.enumerated().map { index, radians in
                // 1 for fast pairs, which keep their own frequency, 0 for slow ones, which are interpolated.
                let ramp = 1 - min(1, max(0, (Double(index) - low) / max(0.001, high - low)))
                let keep = ramp * Double(extrapolation)
                return radians / Double(factor) * (1 - keep) + radians * keep
            }
            let correction = extrapolation == 0 ? 1 : 1 + 0.1 * log(Double(factor))
            return (radians, Double(magnitude) * Double(attentionFactor) * correction)
        }
    }
}
