// Gemma 3 (text): five layers that see a window to each one that sees everything, each kind with its own rotary base; queries and keys
// normalised a head. Kamath et al., 2025.
import SwiftletRuntime

enum Gemma3: Architecture {
    static let names = ["gemma3"]

    /// Every sixth layer is global.
    private static let globalPeriod = 6
    /// Rotary base of the layers with a window.
    private static let localBase: Float = 10_000

    static func build(_ parts: inout DecoderParts) throws {
        let h = parts.hyperparameters
        let is27B = h.layers == 62
        let x = try parts.forEachLayer(parts.embedding(scale: Float(h.width).squareRoot())) { parts, layer, x in
            let isGlobal = (layer + 1) % globalPeriod == 0
            let local = RotaryTable(dimensions: h.rotaryDimensions, base: localBase)
            let options = DecoderParts.AttentionOptions(
                layout: .split, table: isGlobal ? parts.rotaryTable : local,
                scale: is27B ? 1 / Float(h.width / h.heads).squareRoot() : parts.attentionScale,
                softcap: h.attentionSoftcap, window: isGlobal ? nil : h.slidingWindow, normalisesHeads: true)
            return try GemmaBlock.build(&parts, layer: layer, x, options)
        }
        try parts.head(x)
    }
}
