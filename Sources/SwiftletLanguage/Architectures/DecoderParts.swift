// The parts decoder-only architectures share: embedding, attention with its cache, gated feed-forward, head.
import SwiftletFormats
import SwiftletRuntime

/// A graph under construction with the model's numbers and weights at hand.
struct DecoderParts {
    let hyperparameters: Hyperparameters
    let weights: WeightSource
    var builder: GraphBuilder

    private let cache: WeightFormat
    private let tokens: ValueID
    private let positions: ValueID
    private let slots: ValueID
    private let outputs: ValueID
    private let best: ValueID
    private let table: ValueID
    private let vocabulary: Int
    private var rotaryTables: [RotaryKey: ValueID] = [:]

    private struct RotaryKey: Hashable {
        let table: RotaryTable
        let factors: String?
    }

    init(_ file: GGUFFile, _ hyperparameters: Hyperparameters, cache: WeightFormat) throws {
        self.hyperparameters = hyperparameters
        self.cache = cache
        weights = WeightSource(file: file)
        builder = GraphBuilder(name: hyperparameters.architecture)
        let count = Dimension(LanguageGraph.tokens)
        tokens = builder.input(LanguageGraph.tokenInput, .i32, [count])
        positions = builder.input(LanguageGraph.positionInput, .i32, [count])
        slots = builder.input(LanguageGraph.slotInput, .i32, [count])
        outputs = builder.input(LanguageGraph.outputInput, .i32, [Dimension(LanguageGraph.outputs)])
        best = builder.input(LanguageGraph.bestInput, .i32, [1])
        vocabulary = try weights.rows(of: "token_embd.weight")
        table = builder.weight("token_embd.weight", try weights.weight("token_embd.weight", [vocabulary, hyperparameters.width]))
    }

    // MARK: Parts

    /// The embeddings of the tokens, `[tokens, width]`, times `scale` when there is one.
    mutating func embedding(scale: Float? = nil) throws -> ValueID {
        let x = try builder.embedding(table, tokens, name: "embedding")
        guard let scale else { return x }
        return try builder.unary(.scale(scale), x, name: "embedding.scale")
    }

    /// Runs `body` once a layer with names scoped to `blk.<layer>`.
    mutating func forEachLayer(_ x: ValueID, _ body: (inout DecoderParts, Int, ValueID) throws -> ValueID) throws -> ValueID {
        var x = x
        for layer in 0..<hyperparameters.layers {
            builder.enter("blk.\(layer)")
            x = try body(&self, layer, x)
            builder.leave()
        }
        return x
    }

    /// Root-mean-square norm with the layer's weight `blk.<layer>.<name>.weight`.
    mutating func norm(_ x: ValueID, _ name: String, layer: Int, count: Int? = nil) throws -> ValueID {
        let key = "blk.\(layer).\(name).weight"
        let scale = builder.weight(key, try weights.vector(key, count ?? hyperparameters.width))
        return try builder.rmsNorm(x, scale: scale, epsilon: hyperparameters.normEpsilon, name: name)
    }

    mutating func add(_ a: ValueID, _ b: ValueID, name: String) throws -> ValueID { try builder.binary(.add, a, b, name: name) }

    /// `x·Wᵀ + b` with `blk.<layer>.<name>.weight` of `[rows, columns]`, and its bias when the file has one.
    mutating func linear(_ x: ValueID, _ name: String, layer: Int, rows: Int, columns: Int) throws -> ValueID {
        let key = "blk.\(layer).\(name)"
        let bias = try bias(key, rows: rows)
        return try linear(x, "\(key).weight", bias: bias, name: name, rows: rows, columns: columns)
    }

    /// `x·Wᵀ + b` with the tensor `key` of `[rows, columns]`, or with its factors: two products where the file has those.
    private mutating func linear(
        _ x: ValueID, _ key: String, bias: ValueID? = nil, best: ValueID? = nil, name: String, rows: Int, columns: Int
    ) throws -> ValueID {
        guard weights.hasFactors(of: key) else {
            return try builder.linear(x, builder.weight(key, weights.weight(key, [rows, columns])), bias: bias, best: best, name: name)
        }
        let factors = try weights.factors(of: key, rows: rows, columns: columns)
        let inner = builder.weight(FactorNames.inner(of: key), factors.inner)
        let outer = builder.weight(FactorNames.outer(of: key), factors.outer)
        return try builder.linear(builder.linear(x, inner, name: FactorNames.inner(of: name)), outer, bias: bias, best: best, name: name)
    }

    private mutating func bias(_ key: String, rows: Int) throws -> ValueID? {
        weights.contains("\(key).bias") ? builder.weight("\(key).bias", try weights.vector("\(key).bias", rows)) : nil
    }

    /// Products with matrices that the file holds as one tensor `blk.<layer>.<name>.weight`, their rows behind each other, named `parts` in the graph.
    /// Where a part was factorised the file has the parts one by one, under the names of the graph.
    private mutating func linears(
        _ x: ValueID, fused name: String, layer: Int, parts: [(key: String, name: String, rows: Int)], columns: Int
    ) throws -> [ValueID] {
        let key = "blk.\(layer).\(name).weight"
        let fused = !weights.contains(key) && parts.contains { weights.hasFactors(of: "blk.\(layer).\($0.key)") }
            ? nil : try weights.weight(key, [parts.reduce(0) { $0 + $1.rows }, columns])
        var start = 0
        return try parts.map { part in
            let partKey = "blk.\(layer).\(part.key)"
            let bias = try bias("blk.\(layer).\(part.name)", rows: part.rows)
            guard let fused else { return try linear(x, partKey, bias: bias, name: part.name, rows: part.rows, columns: columns) }
            let matrix = builder.weight(partKey, try fused.rows(start..<start + part.rows, name: key))
            start += part.rows
            return try builder.linear(x, matrix, bias: bias, name: part.name)
        }
    }

    /// What differs between the attention blocks of the architectures.
    struct AttentionOptions {
        var layout: RotaryLayout
        var table: RotaryTable
        /// A tensor of frequency factors.
        var factors: String?
        var scale: Float
        var softcap: Float?
        var window: Int?
        /// Queries and keys are normalised a head before rotation (`attn_q_norm`, `attn_k_norm`).
        var normalisesHeads = false
        /// Q, K and V are one matrix `attn_qkv`.
        var isFused = false
    }

    /// Attention over the cache, `[tokens, width]` to `[tokens, width]`.
    mutating func attention(_ x: ValueID, layer: Int, _ options: AttentionOptions) throws -> ValueID {
        let h = hyperparameters
        let count = Dimension(LanguageGraph.tokens)
        let (queryWidth, keyWidth) = (h.heads * h.headDimension, h.keyValueHeads * h.headDimension)
        var (q, k, v): (ValueID, ValueID, ValueID)
        if options.isFused {
            let projected = try linears(
                x, fused: "attn_qkv", layer: layer,
                parts: [("attn_q.weight", "attn_q", queryWidth), ("attn_k.weight", "attn_k", keyWidth), ("attn_v.weight", "attn_v", keyWidth)], columns: h.width)
            (q, k, v) = (projected[0], projected[1], projected[2])
        } else {
            q = try linear(x, "attn_q", layer: layer, rows: queryWidth, columns: h.width)
            k = try linear(x, "attn_k", layer: layer, rows: keyWidth, columns: h.width)
            v = try linear(x, "attn_v", layer: layer, rows: keyWidth, columns: h.width)
        }
        q = try builder.reshape(q, [count, Dimension(h.heads), Dimension(h.headDimension)], name: "q")
        k = try builder.reshape(k, [count, Dimension(h.keyValueHeads), Dimension(h.headDimension)], name: "k")
        v = try builder.reshape(v, [count, Dimension(h.keyValueHeads), Dimension(h.headDimension)], name: "v")
        if options.normalisesHeads {
            q = try norm(q, "attn_q_norm", layer: layer, count: h.headDimension)
            k = try norm(k, "attn_k_norm", layer: layer, count: h.headDimension)
        }
        let angles = try rotaryTable(options.table, factors: options.factors)
        q = try builder.rotary(q, table: angles, layout: options.layout, name: "q_rotary")
        k = try builder.rotary(k, table: angles, layout: options.layout, name: "k_rotary")

        let spec = StateSpec(
            shape: [Dimension(LanguageGraph.slots), Dimension(h.keyValueHeads), Dimension(LanguageGraph.context), Dimension(h.headDimension)],
            format: cache)
        let keys = try builder.cacheWrite(builder.state("keys", spec), k, positions: positions, slots: slots, name: "keys_written")
        let values = try builder.cacheWrite(builder.state("values", spec), v, positions: positions, slots: slots, name: "values_written")
        let attention = Attention(
            heads: h.heads, keyValueHeads: h.keyValueHeads, headDimension: h.headDimension, scale: options.scale, softcap: options.softcap,
            window: options.window)
        let mixed = try builder.attention(attention, query: q, keys: keys, values: values, positions: positions, slots: slots, name: "attention")
        let flat = try builder.reshape(mixed, [count, Dimension(queryWidth)], name: "attention_flat")
        return try linear(flat, "attn_output", layer: layer, rows: h.width, columns: queryWidth)
    }

    /// The table of angles, made once for all layers that turn alike.
    private mutating func rotaryTable(_ table: RotaryTable, factors: String?) throws -> ValueID {
        let factors = factors.flatMap { weights.contains($0) ? $0 : nil }
        var table = table
        table.hasFactors = factors != nil
        let key = RotaryKey(table: table, factors: factors)
        if let value = rotaryTables[key] { return value }
        let weight = try factors.map { builder.weight($0, try weights.vector($0, table.dimensions / 2)) }
        let value = try builder.atRoot { builder in
            try builder.rotaryTable(table, positions: positions, factors: weight, name: "rotary.\(rotaryTables.count)")
        }
        rotaryTables[key] = value
        return value
    }

    /// `down(f(gate(x)) · up(x))`; `isFused` means gate and up are one matrix `ffn_up`, gate first.
    mutating func gatedFeedForward(_ x: ValueID, layer: Int, activation: Unary, isFused: Bool = false) throws -> ValueID {
        let h = hyperparameters
        let (gate, up): (ValueID, ValueID)
        if isFused {
            let halves = try linears(
                x, fused: "ffn_up", layer: layer, parts: [("ffn_gate.rows", "ffn_gate", h.hiddenWidth), ("ffn_up.rows", "ffn_up", h.hiddenWidth)],
                columns: h.width)
            (gate, up) = (halves[0], halves[1])
        } else {
            gate = try linear(x, "ffn_gate", layer: layer, rows: h.hiddenWidth, columns: h.width)
            up = try linear(x, "ffn_up", layer: layer, rows: h.hiddenWidth, columns: h.width)
        }
        let activated = try builder.unary(activation, gate, name: "ffn_activation")
        let gated = try builder.binary(.multiply, activated, up, name: "ffn_gated")
        return try linear(gated, "ffn_down", layer: layer, rows: h.width, columns: h.hiddenWidth)
    }

    /// Final norm and logits of the rows asked for. The head is `output.weight`, or the embedding table where a model ties them.
    mutating func head(_ x: ValueID) throws {
        let rows = try builder.gatherRows(x, outputs, name: "output_rows")
        let scale = builder.weight("output_norm.weight", try weights.vector("output_norm.weight", hyperparameters.width))
        let hidden = try builder.rmsNorm(rows, scale: scale, epsilon: hyperparameters.normEpsilon, name: "output_norm")
        let isTied = !weights.contains("output.weight") && !weights.hasFactors(of: "output.weight")
        var logits =
            try isTied
            ? builder.linear(hidden, table, best: best, name: "output")
            : linear(hidden, "output.weight", best: best, name: "output", rows: vocabulary, columns: hyperparameters.width)
        if let cap = hyperparameters.logitSoftcap { logits = try builder.unary(.softcap(cap), logits, name: "output_softcap") }
        builder.output(logits)
        builder.output(hidden)
    }

    /// The rotary table the metadata describes.
    var rotaryTable: RotaryTable {
        RotaryTable(
            dimensions: hyperparameters.rotaryDimensions, base: hyperparameters.rotaryBase, scaling: hyperparameters.rotaryScaling,
            magnitude: hyperparameters.rotaryMagnitude)
    }

    /// `1/sqrt(headDimension)`
    var attentionScale: Float { 1 / Float(hyperparameters.headDimension).squareRoot() }
}
