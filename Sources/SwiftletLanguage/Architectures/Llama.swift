// Llama and everything built like it: Llama 2 and 3, Mistral, SmolLM2, TinyLlama. Touvron et al., 2023.
import SwiftletRuntime

enum Llama: Architecture {
    static let names = ["llama"]

    static func build(_ parts: inout DecoderParts) throws {
        let options = DecoderParts.AttentionOptions(
            layout: .interleaved, table: parts.rotaryTable, factors: "rope_freqs.weight", scale: parts.attentionScale,
            window: parts.hyperparameters.slidingWindow)
        let x = try parts.forEachLayer(parts.embedding()) { parts, layer, x in
            let attended = try parts.attention(parts.norm(x, "attn_norm", layer: layer), layer: layer, options)
            let x = try parts.add(x, attended, name: "attn_residual")
            let fed = try parts.gatedFeedForward(parts.norm(x, "ffn_norm", layer: layer), layer: layer, activation: .silu)
            return try parts.add(x, fed, name: "ffn_residual")
        }
        try parts.head(x)
    }
}
