// Gemma 2: norms before and after each block, soft caps, every other layer sees a window. Riviere et al., 2024.
// GGUF files hold the norm weights with their 1 already added.
import SwiftletRuntime

enum Gemma2: Architecture {
    static let names = ["gemma2"]

    static func build(_ parts: inout DecoderParts) throws {
        let h = parts.hyperparameters
        // The 27B model scales queries by its width per head rather than by the head's own length.
        let is27B = h.layers == 46
        let x = try parts.forEachLayer(parts.embedding(scale: Float(h.width).squareRoot())) { parts, layer, x in
            let options = DecoderParts.AttentionOptions(
                layout: .split, table: parts.rotaryTable, scale: is27B ? 1 / Float(h.width / h.heads).squareRoot() : parts.attentionScale,
                softcap: h.attentionSoftcap, window: layer % 2 == 0 ? h.slidingWindow : nil)
            return try GemmaBlock.build(&parts, layer: layer, x, options)
        }
        try parts.head(x)
    }
}

/// The block Gemma 2 and 3 share.
enum GemmaBlock {
    static func build(_ parts: inout DecoderParts, layer: Int, _ x: ValueID, _ options: DecoderParts.AttentionOptions) throws -> ValueID {
        let attended = try parts.attention(parts.norm(x, "attn_norm", layer: layer), layer: layer, options)
        let x = try parts.add(x, parts.norm(attended, "post_attention_norm", layer: layer), name: "attn_residual")
        let fed = try parts.gatedFeedForward(parts.norm(x, "ffn_norm", layer: layer), layer: layer, activation: .geluTanh)
        return try parts.add(x, parts.norm(fed, "post_ffw_norm", layer: layer), name: "ffn_residual")
    }
}
