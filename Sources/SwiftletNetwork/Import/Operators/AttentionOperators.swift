// Operators of transformers: attention, rotary positions, linear attention, gates, causal convolution with a carried state.
import SwiftletFormats
import SwiftletGraph

extension Importer {
    static let attentionOperators: [String: OperatorImporter] = [
        "Attention": { importer, call in try importer.attention(call) },
        "RotaryEmbedding": { importer, call in
            [.tensor(try importer.rotaryEmbedding(call, cosines: call.tensor(1), sines: call.tensor(2), positions: call.optional(3)))]
        },
        "com.microsoft.RotaryEmbedding": { importer, call in
            [.tensor(try importer.rotaryEmbedding(call, cosines: call.tensor(2), sines: call.tensor(3), positions: call.tensor(1)))]
        },
        "LinearAttention": { importer, call in try importer.linearAttention(call) },
        "CausalConvWithState": { importer, call in try importer.causalConvolution(call) },
        "SwiGLU": { importer, call in
            let alpha = try call.float("alpha", 1)
            let gate = try importer.unary(alpha == 1 ? .silu : .swish(alpha), call.tensor(0), "gate")
            return [.tensor(try importer.binary(.multiply, gate, call.tensor(1)))]
        },
    ]

    /// `[b, t, heads·d]` as `[b, heads, t, d]`.
    private mutating func split(_ x: ValueID, heads: Int, _ call: OperatorCall) throws -> ValueID {
        let shape = shape(x)
        try call.require(shape.count == 3 && heads > 0 && shape[2] % heads == 0, "\(shape) does not divide into \(heads) heads")
        return try transpose(reshape(x, [shape[0], shape[1], heads, shape[2] / heads], "heads"), [0, 2, 1, 3], "headsFirst")
    }

    /// `[b, heads, t, d]` as `[b, t, heads·d]`.
    private mutating func merge(_ x: ValueID) throws -> ValueID {
        let shape = shape(x)
        return try reshape(transpose(x, [0, 2, 1, 3], "timeFirst"), [shape[0], shape[2], shape[1] * shape[3]], "merge")
    }

    // MARK: Attention

    /// Scores of query heads that share keys are one product: their queries stand below each other.
    private mutating func attention(_ call: OperatorCall) throws -> [Imported] {
        var (query, key, value) = (try call.tensor(0), try call.tensor(1), try call.tensor(2))
        let isPacked = rank(query) == 3
        if isPacked {
            let (heads, shared) = (try call.int("q_num_heads", 0), try call.int("kv_num_heads", 0))
            (query, key, value) = (try split(query, heads: heads, call), try split(key, heads: shared, call), try split(value, heads: shared, call))
        }
        try call.require(rank(query) == 4 && rank(key) == 4 && rank(value) == 4, "queries, keys and values need three or four axes each")
        let (pastKey, pastValue) = (try call.optional(4), try call.optional(5))
        let past = pastKey.map { shape($0).count == 4 ? shape($0)[2] : 0 } ?? 0
        if let pastKey { key = try concat([pastKey, key], axis: 2, "keys") }
        if let pastValue { value = try concat([pastValue, value], axis: 2, "values") }
        let type = element(query)
        let (q, k) = (shape(query), shape(key))
        let (batch, heads, tokens, width, shared, total) = (q[0], q[1], q[2], q[3], k[1], k[2])
        try call.require(shared > 0 && heads % shared == 0, "\(heads) heads do not share \(shared) keys")
        try call.require(shape(value)[1] == shared, "keys and values have different heads")
        let group = heads / shared

        let scale = try call.node.float("scale").map(Double.init) ?? 1 / Double(max(1, width)).squareRoot()
        try call.require(scale >= 0, "the scale is negative")
        let root = scale.squareRoot()
        let queries = try reshape(binary(.multiply, query, root, "scaledQuery"), [batch, shared, group * tokens, width], "groups")
        let keys = try transpose(binary(.multiply, key, root, "scaledKey"), [0, 1, 3, 2], "keyColumns")
        let raw = try reshape(matmul(queries, keys, "scores"), [batch, heads, tokens, total], "heads")
        let softcap = try call.float("softcap", 0)
        let capped = softcap > 0 ? try unary(.softcap(softcap), raw, "softcap") : raw
        let bias = try attentionBias(call, type, tokens: tokens, total: total, past: past)
        let biased = try bias.map { try binary(.add, capped, $0, "masked") } ?? capped

        let precision = try call.node.int("softmax_precision").map { try dtype($0, call) } ?? type
        var weights = try softmax(cast(biased, precision, "precision"), axis: 3)
        if let bias, try hidesRows(bias) {
            // A row that sees nothing gives 0, not the quotient of two zeros.
            let largest = try reduce(.maximum, bias, [rank(bias) - 1], "largest")
            let seesNothing = try unary(.isInfinite(positive: false, negative: true), largest, "seesNothing")
            weights = try select(seesNothing, scalar(0, precision), weights, "weights")
        }
        weights = try cast(weights, type, "castBack")
        let values = try matmul(
            reshape(cast(weights, element(value)), [batch, shared, group * tokens, total], "groups"), value, "result")
        let result = try reshape(values, [batch, heads, tokens, shape(value)[3]], "heads")

        let scores: ValueID
        switch try call.int("qk_matmul_output_mode", 0) {
        case 0: scores = raw
        case 1: scores = capped
        case 2: scores = biased
        case 3: scores = weights
        case let mode: throw call.invalid("there is no mode \(mode)")
        }
        return try [isPacked ? merge(result) : result, key, value, scores].map { .tensor($0) }
    }

    /// What is added to the scores, `[…, tokens, total]`; nil for nothing. Query i stands at place i + offset, where the offset is what the
    /// cache holds: a constant, or one number a sequence when the cache is kept outside.
    private mutating func attentionBias(_ call: OperatorCall, _ type: DType, tokens: Int, total: Int, past: Int) throws -> ValueID? {
        let isCausal = try call.bool("is_causal")
        let (left, rightWindow) = (try call.int("left_window_size", -1), try call.int("right_window_size", -1))
        let right = isCausal ? 0 : rightWindow
        let lengths = try call.optional(6)
        let infinity = -Double.infinity
        var allowed: ValueID?
        func allow(_ importer: inout Importer, _ condition: ValueID) throws {
            allowed = try allowed.map { try importer.binary(.and, $0, condition, "visible") } ?? condition
        }
        // How far query i has come: i + offset + 1 tokens, of which the last is its own.
        var ends: ValueID?
        if let lengths {
            let column = try reshape(cast(lengths, .i64), [count(lengths), 1, 1, 1], "lengths")
            let places = try constant(Array(0..<total), shape: [1, 1, 1, total])
            try allow(&self, binary(.less, places, column, "isThere"))
            if call.value(4) == nil { ends = column }
        }
        if left >= 0 || right >= 0 {
            // j − i + tokens: what the length of the sequence is compared with.
            let distances = (0..<tokens).flatMap { i in (0..<total).map { $0 - i + tokens } }
            let distance = try constant(distances, shape: [tokens, total])
            let end = try ends ?? constant([past + tokens], shape: [])
            if right >= 0 { try allow(&self, binary(.lessOrEqual, binary(.subtract, distance, scalar(Double(right), .i64), "ahead"), end, "isBehind")) }
            if left >= 0 { try allow(&self, binary(.lessOrEqual, end, binary(.add, distance, scalar(Double(left), .i64), "back"), "isNear")) }
        }
        var mask = try call.optional(3)
        if let given = mask {
            var extended = element(given) == .bool ? try select(given, scalar(0, type), scalar(infinity, type), "mask") : try cast(given, type)
            let missing = total - (shape(extended).last ?? total)
            if missing > 0 {
                let none = shape(extended).map { _ in 0 }
                extended = try pad(extended, low: none, high: none.dropLast() + [missing], value: constant([infinity], type), "padMask")
            }
            mask = extended
        }
        guard let allowed else { return mask }
        let hidden = try select(allowed, scalar(0, type), scalar(infinity, type), "hidden")
        return try mask.map { try binary(.add, $0, hidden, "bias") } ?? hidden
    }

    /// Whether all of a row of the bias may be −∞.
    private func hidesRows(_ bias: ValueID) throws -> Bool {
        guard isConstant(bias), let width = shape(bias).last, width > 0 else { return true }
        let values = try doubles(bias)
        return stride(from: 0, to: values.count, by: width).contains { values[$0..<$0 + width].allSatisfy { $0 == -.infinity } }
    }

    // MARK: Rotary positions

    /// Turns pairs of each head by angles whose cosines and sines are given, for each position or for each token.
    private mutating func rotaryEmbedding(_ call: OperatorCall, cosines: ValueID, sines: ValueID, positions: ValueID?) throws -> ValueID {
        let x = try call.tensor(0)
        let shape = shape(x)
        let isPacked = shape.count == 3
        try call.require(isPacked || shape.count == 4, "x needs three or four axes")
        let batch = shape[0], tokens = isPacked ? shape[1] : shape[2]
        var positions = positions
        // One number is the position of the first token.
        if let first = positions, count(first) == 1, batch * tokens != 1 {
            positions = try expand(binary(.add, cast(reshape(first, [], "first"), .i64), constant(Array(0..<tokens)), "positions"), [batch, tokens])
        }
        func table(_ importer: inout Importer, _ cache: ValueID) throws -> ValueID {
            let rows = try positions.map { try importer.apply(.gather(axis: 0), [cache, $0], "angles") } ?? cache
            try call.require(importer.rank(rows) == 3, "the angles need three axes")
            return try importer.unsqueeze(rows, [isPacked ? 2 : 1])
        }
        let (cosine, sine) = (try table(&self, cosines), try table(&self, sines))
        let half = self.shape(cosine)[3]
        var heads = try call.int("num_heads", 0)
        let declared = try call.int("rotary_embedding_dim", 0)
        if isPacked, heads == 0 {
            try call.require(half > 0 && declared == 0, "the number of heads is missing")
            heads = shape[2] / (2 * half)
        }
        try call.require(!isPacked || (heads > 0 && shape[2] % heads == 0), "\(shape) does not divide into \(heads) heads")
        let parts = isPacked ? try reshape(x, [batch, tokens, heads, shape[2] / heads], "heads") : x
        let width = self.shape(parts)[3]
        let rotated = declared == 0 ? width : declared
        try call.require(rotated == 2 * half && rotated <= width, "angles for \(half) pairs are given, \(rotated) elements of \(width) turn")
        let isInterleaved = try call.bool("interleaved")
        let first = try slice(parts, axis: 3, isInterleaved ? 0..<rotated : 0..<half, step: isInterleaved ? 2 : 1, "first")
        let second = try slice(parts, axis: 3, isInterleaved ? 1..<rotated : half..<rotated, step: isInterleaved ? 2 : 1, "second")
        var real = try binary(.subtract, binary(.multiply, first, cosine, "a"), binary(.multiply, second, sine, "b"), "real")
        var imaginary = try binary(.add, binary(.multiply, first, sine, "c"), binary(.multiply, second, cosine, "d"), "imaginary")
        var turned: ValueID
        if isInterleaved {
            (real, imaginary) = (try unsqueeze(real, [4]), try unsqueeze(imaginary, [4]))
            turned = try reshape(concat([real, imaginary], axis: 4, "pairs"), Array(self.shape(parts)[..<3]) + [rotated], "turned")
        } else {
            turned = try concat([real, imaginary], axis: 3, "turned")
        }
        if rotated < width { turned = try concat([turned, slice(parts, axis: 3, rotated..<width, "rest")], axis: 3, "joined") }
        return try reshape(turned, shape, "shape")
    }

    // MARK: Linear attention

    /// The recurrence token by token, in f32 (f64 stays): each token decays, corrects and writes the state, and reads it.
    private mutating func linearAttention(_ call: OperatorCall) throws -> [Imported] {
        let (heads, shared) = (try call.int("q_num_heads", 0), try call.int("kv_num_heads", 0))
        let rule = try call.string("update_rule", "gated_delta")
        try call.require(["linear", "gated", "delta", "gated_delta"].contains(rule), "'\(rule)' is no update rule")
        try call.require(shared > 0 && heads > 0 && heads % shared == 0, "\(heads) heads do not share \(shared) states")
        let type = element(try call.tensor(0))
        let wide = type == .f64 ? DType.f64 : .f32
        let query = try cast(split(call.tensor(0), heads: heads, call), wide)
        let key = try cast(split(call.tensor(1), heads: shared, call), wide)
        let value = try cast(split(call.tensor(2), heads: shared, call), wide)
        let (batch, tokens, width, valueWidth) = (shape(query)[0], shape(query)[2], shape(query)[3], shape(value)[3])
        try call.require(tokens <= 1 << 14, "\(tokens) tokens at once are too many")
        try call.require(shape(key)[2...] == [tokens, width] && shape(value)[2] == tokens, "queries, keys and values differ in tokens or width")
        let (decays, corrects) = (rule.hasPrefix("gated"), rule.hasSuffix("delta"))
        var decay: ValueID?, rate: ValueID?
        if decays {
            let given = try call.tensor(4)
            try call.require(rank(given) == 3, "the decay needs three axes")
            // One number a head, or one a row of the state: `[b, heads, t, 1 or width]`.
            decay = try unary(.exp, split(cast(given, wide), heads: shared, call), "decay")
        }
        if corrects {
            let given = try call.tensor(5)
            try call.require(rank(given) == 3 && (shape(given)[2] == shared || shape(given)[2] == 1), "the rate needs one number a head")
            rate = try split(cast(given, wide), heads: shape(given)[2], call)
        }
        let past = try call.optional(3)
        var state = try past.map { try cast($0, wide) } ?? expand(scalar(0, wide), [batch, shared, width, valueWidth], "empty")
        let given = try call.float("scale", 0)
        let scale = given == 0 ? 1 / Double(max(1, width)).squareRoot() : Double(given)
        var results: [ValueID] = []
        for token in 0..<tokens {
            func at(_ importer: inout Importer, _ x: ValueID) throws -> ValueID { try importer.slice(x, axis: 2, token..<token + 1, "token") }
            let keyRow = try at(&self, key)
            let keyColumn = try transpose(keyRow, [0, 1, 3, 2], "keyColumn")
            var written = try at(&self, value)
            if let decay { state = try binary(.multiply, state, transpose(at(&self, decay), [0, 1, 3, 2], "decayColumn"), "decayed") }
            if let rate {
                let known = try matmul(keyRow, state, "known")
                written = try binary(.multiply, binary(.subtract, written, known, "news"), at(&self, rate), "correction")
            }
            state = try binary(.add, state, binary(.multiply, keyColumn, written, "outer"), "state")
            let rows = try reshape(at(&self, query), [batch, shared, heads / shared, width], "groups")
            results.append(try reshape(matmul(rows, state, "read"), [batch, heads, 1, valueWidth], "heads"))
        }
        let joined = results.isEmpty ? try expand(scalar(0, wide), [batch, heads, 0, valueWidth]) : try concat(results, axis: 2, "tokens")
        let result = try merge(binary(.multiply, joined, scale, "scale"))
        return [.tensor(try cast(result, type, "castBack")), .tensor(try cast(state, past.map { element($0) } ?? type, "castState"))]
    }

    // MARK: Causal convolution

    /// A depthwise convolution over the carried positions and the new ones.
    private mutating func causalConvolution(_ call: OperatorCall) throws -> [Imported] {
        let (x, weight, bias) = (try call.tensor(0), try call.tensor(1), try call.optional(2))
        let (shape, kernel) = (shape(x), self.shape(weight))
        try call.require(shape.count == 3 && kernel.count == 3 && kernel[0] == shape[1] && kernel[1] == 1 && kernel[2] > 0, "\(kernel) does not suit \(shape)")
        let carried = kernel[2] - 1
        let padded: ValueID
        if let past = try call.optional(3) {
            padded = try concat([past, x], axis: 2, "carried")
        } else {
            padded = try pad(x, low: [0, 0, carried], high: [0, 0, 0])
        }
        let convolution = Convolution(window: Window(kernel: [kernel[2]]), groups: shape[1], hasBias: bias != nil)
        var result = try apply(.convolution(convolution), [padded, weight] + (bias.map { [$0] } ?? []))
        switch try call.string("activation", "none") {
        case "none": break
        case "silu", "swish": result = try unary(.silu, result, "activation")
        case let name: throw call.invalid("'\(name)' is no activation")
        }
        let length = self.shape(padded)[2]
        return [.tensor(result), .tensor(try slice(padded, axis: 2, length - carried..<length, "state"))]
    }
}
