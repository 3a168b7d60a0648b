// A small model with everything a llama has: grouped heads, caches, rotary positions, gated feed-forward, tied head, logits for some rows.
import SwiftletGraph

/// Builds the fixture; the same seed gives the same weights.
package struct LlamaFixture {
    package static let symbols = (tokens: Symbol("tokens"), slots: Symbol("slots"), context: Symbol("context"), rows: Symbol("rows"))
    package static let vocabulary = 32
    private static let (width, heads, keyValueHeads, hidden) = (16, 4, 2, 24)

    private var builder = GraphBuilder(name: "llama fixture")
    private var generator: SeededGenerator
    private let hasBias: Bool
    private let headDimension: Int

    private init(seed: UInt64, hasBias: Bool, headDimension: Int) {
        generator = SeededGenerator(seed: seed)
        self.hasBias = hasBias
        self.headDimension = headDimension
    }

    /// Inputs `tokens`, `positions`, `slots` of i32 `[tokens]` and `rows` of i32 `[rows]`; one output, the logits `[rows, vocabulary]`.
    /// Kernels of attention want heads of a multiple of 8.
    package static func graph(layers: Int = 2, hasBias: Bool = false, seed: UInt64 = 1, headDimension: Int = 4) throws -> Graph {
        var fixture = LlamaFixture(seed: seed, hasBias: hasBias, headDimension: headDimension)
        try fixture.build(layers: layers)
        return fixture.builder.graph
    }

    /// The inputs for `tokens` that follow `start` earlier ones in slot `slot`, all rows asked for, and the binding of their sizes.
    package static func step(
        _ tokens: [Int], start: Int, slot: Int = 0, slots: Int = 2, context: Int = 16
    ) -> (inputs: [String: NaiveTensor], binding: Binding) {
        let count = tokens.count
        let inputs = [
            "tokens": NaiveTensor(tokens), "positions": NaiveTensor(Array(start..<start + count)),
            "slots": NaiveTensor([Int](repeating: slot, count: count)), "rows": NaiveTensor(Array(0..<count)),
        ]
        return (inputs, [symbols.tokens: count, symbols.slots: slots, symbols.context: context, symbols.rows: count])
    }

    private mutating func weight(_ name: String, _ dimensions: Int...) throws -> ValueID {
        let shape = Shape(dimensions)
        let values = generator.floats(shape.elementCount, in: -0.5...0.5)
        return builder.weight(name, try Weight(name: name, shape: shape, format: .dense(.f32), store: WeightStore(values)))
    }

    private mutating func linear(_ x: ValueID, _ name: String, _ columns: Int, from width: Int) throws -> ValueID {
        let matrix = try weight("\(name).weight", columns, width)
        let bias = hasBias ? try weight("\(name).bias", columns) : nil
        return try builder.linear(x, matrix, bias: bias, name: name)
    }

    private mutating func build(layers: Int) throws {
        let (tokens, rows) = (Dimension(Self.symbols.tokens), Dimension(Self.symbols.rows))
        let ids = builder.input("tokens", .i32, [tokens])
        let positions = builder.input("positions", .i32, [tokens])
        let slots = builder.input("slots", .i32, [tokens])
        let wanted = builder.input("rows", .i32, [rows])
        let table = try weight("token_embd.weight", Self.vocabulary, Self.width)
        var x = try builder.embedding(table, ids, name: "embedding")
        let angles = try builder.rotaryTable(
            RotaryTable(dimensions: headDimension, base: 10_000), positions: positions, factors: nil, name: "angles")
        for layer in 0..<layers {
            x = try attention(x, angles, positions, slots, "blk.\(layer)/")
            x = try feedForward(x, "blk.\(layer)/")
        }
        x = try builder.gatherRows(x, wanted, name: "rows wanted")
        x = try builder.rmsNorm(x, scale: weight("output_norm.weight", Self.width), epsilon: 1e-5, name: "output_norm")
        builder.output(try builder.linear(x, table, name: "output"))
    }

    private mutating func attention(
        _ x: ValueID, _ angles: ValueID, _ positions: ValueID, _ slots: ValueID, _ scope: String
    ) throws -> ValueID {
        let tokens = Dimension(Self.symbols.tokens)
        let (queryWidth, keyWidth) = (Self.heads * headDimension, Self.keyValueHeads * headDimension)
        let normalised = try builder.rmsNorm(
            x, scale: weight(scope + "attn_norm.weight", Self.width), epsilon: 1e-5, name: scope + "attn_norm")
        let projections = try [("q", queryWidth), ("k", keyWidth), ("v", keyWidth)].map { name, columns in
            let flat = try linear(normalised, scope + name, columns, from: Self.width)
            let heads = Dimension(columns / headDimension)
            return try builder.reshape(flat, [tokens, heads, Dimension(headDimension)], name: scope + name + ".heads")
        }
        let query = try builder.rotary(projections[0], table: angles, layout: .interleaved, name: scope + "q.rotary")
        let key = try builder.rotary(projections[1], table: angles, layout: .interleaved, name: scope + "k.rotary")
        let caches = try [("k", key), ("v", projections[2])].map { name, rows in
            let shape: [Dimension] = [
                Dimension(Self.symbols.slots), Dimension(Self.keyValueHeads), Dimension(Self.symbols.context),
                Dimension(headDimension),
            ]
            let state = builder.state(scope + "cache_" + name, StateSpec(shape: shape, format: .dense(.f16)))
            return try builder.cacheWrite(state, rows, positions: positions, slots: slots, name: scope + name + ".write")
        }
        let attended = try builder.attention(
            Attention(heads: Self.heads, keyValueHeads: Self.keyValueHeads, headDimension: headDimension, scale: 0.5),
            query: query, keys: caches[0], values: caches[1], positions: positions, slots: slots, name: scope + "attention")
        let flat = try builder.reshape(attended, [tokens, Dimension(queryWidth)], name: scope + "attention.flat")
        let output = try linear(flat, scope + "attn_output", Self.width, from: queryWidth)
        return try builder.binary(.add, output, x, name: scope + "attention.residual")
    }

    private mutating func feedForward(_ x: ValueID, _ scope: String) throws -> ValueID {
        let normalised = try builder.rmsNorm(
            x, scale: weight(scope + "ffn_norm.weight", Self.width), epsilon: 1e-5, name: scope + "ffn_norm")
        let gate = try linear(normalised, scope + "ffn_gate", Self.hidden, from: Self.width)
        let up = try linear(normalised, scope + "ffn_up", Self.hidden, from: Self.width)
        let activated = try builder.unary(.silu, gate, name: scope + "ffn_gate.silu")
        let product = try builder.binary(.multiply, activated, up, name: scope + "ffn_product")
        let down = try linear(product, scope + "ffn_down", Self.width, from: Self.hidden)
        return try builder.binary(.add, x, down, name: scope + "ffn.residual")
    }
}
