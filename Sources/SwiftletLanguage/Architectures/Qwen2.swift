// Qwen 2 and 2.5: Llama with biases on Q, K and V, and rotated halves. Yang et al., 2024.
import SwiftletRuntime

enum Qwen2: Architecture {
    static let names = ["qwen2"]

    static func build(_ parts: inout DecoderParts) throws {
        let options = DecoderParts.AttentionOptions(layout: .split, table: parts.rotaryTable, scale: parts.attentionScale)
        let x = try parts.forEachLayer(parts.embedding()) { parts, layer, x in
            let attended = try parts.attention(parts.norm(x, "attn_norm", layer: layer), layer: layer, options)
            let x = try parts.add(x, attended, name: "attn_residual")
            let fed = try parts.gatedFeedForward(parts.norm(x, "ffn_norm", layer: layer), layer: layer, activation: .silu)
            return try parts.add(x, fed, name: "ffn_residual")
        }
        try parts.head(x)
    }
}
