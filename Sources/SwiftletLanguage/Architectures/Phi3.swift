// Phi 3 and 3.5 (mini): fused Q, K, V and fused gate and up matrices; long contexts by a table of factors. Abdin et al., 2024.
import SwiftletRuntime

enum Phi3: Architecture {
    static let names = ["phi3"]

    static func build(_ parts: inout DecoderParts) throws {
        let h = parts.hyperparameters
        // Two sets of factors: for contexts up to the one trained first, and for longer ones.
        let original = try parts.weights.file.metadata.int("phi3.rope.scaling.original_context_length", default: h.trainedContext)
        let factors = h.context > original ? "rope_factors_long.weight" : "rope_factors_short.weight"
        let options = DecoderParts.AttentionOptions(
            layout: .split, table: parts.rotaryTable, factors: factors, scale: parts.attentionScale, window: h.slidingWindow, isFused: true)
        let x = try parts.forEachLayer(parts.embedding()) { parts, layer, x in
            let attended = try parts.attention(parts.norm(x, "attn_norm", layer: layer), layer: layer, options)
            let x = try parts.add(x, attended, name: "attn_residual")
            let fed = try parts.gatedFeedForward(parts.norm(x, "ffn_norm", layer: layer), layer: layer, activation: .silu, isFused: true)
            return try parts.add(x, fed, name: "ffn_residual")
        }
        try parts.head(x)
    }
}
