// The graph of a BERT encoder (Devlin et al., 2018) out of the core operations, with the tensors of a safetensors file.
//
// Texts of any lengths lie behind each other without padding: `tokens [t]` are those of all texts, and each token carries its position in its text, the
// last position of its text and the number of the text. Attention is that of language models, which sees the positions from 0 up to one given for each
// token; where that is the text's last one for every token of it, each sees all. So one graph with a symbolic number of tokens serves all
// lengths and batches, and its weights are packed once.
//
// The keys and values of a layer are not looked at once the next layer begins: all layers share one state.
//
// A linear layer whose columns were scaled (SmoothQuant) has the tensors `<key>.smoothed_weight` and `<key>.smoothing` in place of `<key>.weight`: what it
// reads is multiplied by the latter, a number a column. Behind BERT's normalisations this takes a node, because the sum after the layer reads the same value.
// Programs that know nothing of it miss `<key>.weight` and say so.
import SwiftletFormats
import SwiftletRuntime

/// Builds encoders.
package struct BERTGraph {
    /// Names of inputs and sizes.
    package static let count: Symbol = "tokens"
    package static let texts: Symbol = "texts"
    package static let context: Symbol = "context"
    package static let tokens = "tokens"
    package static let positions = "positions"
    package static let ends = "ends"
    package static let slots = "texts"

    private let configuration: EncoderConfiguration
    private let weights: EncoderWeights
    private var builder = GraphBuilder(name: "bert")
    /// Values behind a smoothing, for the layers that read the same value with the same factors.
    private var smoothed: [(x: ValueID, factors: [Float], output: ValueID)] = []

    /// `(tokens, positions, ends, texts: i32 [t]) → f32 [t, width]`: the last layer's vectors.
    ///
    /// Throws `SwiftletError.malformed` when the file lacks a tensor, or one is not of the shape the configuration asks for.
    static func graph(_ configuration: EncoderConfiguration, _ file: SafetensorsFile) throws -> Graph {
        var graph = BERTGraph(configuration: configuration, weights: EncoderWeights(file))
        try graph.build()
        return graph.builder.graph
    }

    private init(configuration: EncoderConfiguration, weights: EncoderWeights) {
        self.configuration = configuration
        self.weights = weights
    }

    private mutating func build() throws {
        let c = configuration
        let count = Dimension(Self.count)
        let tokens = builder.input(Self.tokens, .i32, [count])
        let positions = builder.input(Self.positions, .i32, [count])
        let ends = builder.input(Self.ends, .i32, [count])
        let slots = builder.input(Self.slots, .i32, [count])

        let table = try matrix("embeddings.word_embeddings.weight", c.vocabulary, c.width)
        let places = try matrix("embeddings.position_embeddings.weight", c.positions, c.width)
        let words = try builder.embedding(table, tokens, name: "words")
        let placed = try builder.embedding(places, positions, name: "positions")
        // A single text is all of type 0.
        let type = builder.weight("embeddings.token_type_embeddings.0", try weights.row(0, of: "embeddings.token_type_embeddings.weight", c.tokenTypes, c.width))
        var x = try builder.binary(.add, words, placed, name: "words+positions")
        x = try builder.binary(.add, x, type, name: "words+positions+type")
        x = try norm(x, "embeddings.LayerNorm", name: "embedding_norm")

        let heads = [Dimension(c.heads), Dimension(c.headWidth)]
        let cache = StateSpec(shape: [Dimension(Self.texts), Dimension(c.heads), Dimension(Self.context), Dimension(c.headWidth)], format: .dense(.f32))
        var keys = builder.state("keys", cache)
        var values = builder.state("values", cache)
        let attention = Attention(heads: c.heads, keyValueHeads: c.heads, headDimension: c.headWidth, scale: 1 / Float(c.headWidth).squareRoot())
        for layer in 0..<c.layers {
            builder.enter("layer.\(layer)")
            let prefix = "encoder.layer.\(layer)"
            func split(_ value: ValueID, _ name: String) throws -> ValueID { try builder.reshape(value, [count] + heads, name: name) }
            let query = try linear(x, "\(prefix).attention.self.query", c.width, c.width, name: "query")
            let key = try linear(x, "\(prefix).attention.self.key", c.width, c.width, name: "key")
            let value = try linear(x, "\(prefix).attention.self.value", c.width, c.width, name: "value")
            let queries = try split(query, "queries")
            keys = try builder.cacheWrite(keys, try split(key, "key_heads"), positions: positions, slots: slots, name: "keys")
            values = try builder.cacheWrite(values, try split(value, "value_heads"), positions: positions, slots: slots, name: "values")
            let mixed = try builder.attention(attention, query: queries, keys: keys, values: values, positions: ends, slots: slots, name: "attention")
            let flat = try builder.reshape(mixed, [count, Dimension(c.width)], name: "attention_flat")
            let seen = try linear(flat, "\(prefix).attention.output.dense", c.width, c.width, name: "attention_output")
            x = try norm(try builder.binary(.add, seen, x, name: "attention_residual"), "\(prefix).attention.output.LayerNorm", name: "attention_norm")
            let up = try linear(x, "\(prefix).intermediate.dense", c.hiddenWidth, c.width, name: "up")
            let activated = try builder.unary(c.activation, up, name: "activation")
            let down = try linear(activated, "\(prefix).output.dense", c.width, c.hiddenWidth, name: "down")
            x = try norm(try builder.binary(.add, down, x, name: "output_residual"), "\(prefix).output.LayerNorm", name: "output_norm")
            builder.leave()
        }
        builder.output(x)
    }

    private mutating func matrix(_ name: String, _ rows: Int, _ columns: Int) throws -> ValueID {
        builder.weight(name, try weights.weight(name, [rows, columns]))
    }

    /// `x·Wᵀ + b` with `<key>.weight` of `[rows, columns]` and `<key>.bias`.
    private mutating func linear(_ x: ValueID, _ key: String, _ rows: Int, _ columns: Int, name: String) throws -> ValueID {
        let smoothing = "\(key)\(EncoderWeights.smoothingSuffix)", isSmoothed = weights.has(smoothing)
        let weight = builder.weight("\(key).weight", try weights.weight(key + (isSmoothed ? EncoderWeights.smoothedSuffix : ".weight"), [rows, columns]))
        let bias = builder.weight("\(key).bias", try weights.vector("\(key).bias", rows))
        let read = isSmoothed ? try smooth(x, by: weights.vector(smoothing, columns), name: smoothing) : x
        return try builder.linear(read, weight, bias: bias, name: name)
    }

    /// x with its columns multiplied.
    private mutating func smooth(_ x: ValueID, by weight: Weight, name: String) throws -> ValueID {
        let factors = try weight.floats()
        if let same = smoothed.first(where: { $0.x == x && $0.factors == factors }) { return same.output }
        let output = try builder.binary(.multiply, x, builder.weight(name, weight), name: name)
        smoothed.append((x, factors, output))
        return output
    }

    private mutating func norm(_ x: ValueID, _ key: String, name: String) throws -> ValueID {
        let scale = builder.weight("\(key).weight", try weights.vector("\(key).weight", configuration.width))
        let bias = builder.weight("\(key).bias", try weights.vector("\(key).bias", configuration.width))
        return try builder.node(.layerNorm(epsilon: configuration.epsilon), [x, scale, bias], name: name)[0]
    }
}
