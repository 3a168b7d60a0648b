// The closed set of operations. Adding one is a case here; the exhaustive switches of the shape rules, the reference backend, the CPU
// lowering and the gradients then name every place that must learn it. Import dialects are decomposed into this set.

/// What a node computes. Operand order is written beside each case; `T` is any leading shape.
public enum Op: Sendable, Hashable {
    /// `(x [T, k], weights [n_i, k]…, biases [n_i]…, residual [T, n]?, best i32 [1]?) → [T, n_i]…`: `epilogue(x·Wᵀ + b)`.
    case linear(Linear)

    /// `(table [vocabulary, n], ids i32 [T]) → f32 [T, n]`: one row of the table for each id.
    case embedding

    /// `(x [rows, …], indices i32 [m]) → [m, …]`: selected rows, for example those whose logits are asked for.
    case gatherRows

    /// `(x [T, n], scale [n]?) → [T, n]`: `x / sqrt(mean(x²) + ε)`, times the scale when there is one. Zhang and Sennrich, 2019.
    case rmsNorm(epsilon: Float)

    /// `(x [T, n], scale [n], bias [n]?) → [T, n]`: `(x − mean)/sqrt(variance + ε)·scale + bias`. Ba, Kiros and Hinton, 2016.
    case layerNorm(epsilon: Float)

    /// `(x [T, n]) → [T, n]`: softmax over the last axis.
    case softmax

    /// `(x) → same shape`, element by element.
    case unary(Unary)

    /// `(a, b) → broadcast shape` (NumPy rules), element by element.
    case binary(Binary)

    /// `(positions i32 [t], factors f32 [dimensions/2]?) → f32 [t, dimensions]`: cos of each angle, then sin of each angle.
    /// Computed once a run and shared by all layers. The factors divide the frequencies (Llama 3, Phi 3 long contexts).
    case rotaryTable(RotaryTable)

    /// `(x [t, heads, headDim], table [t, dimensions]) → same shape`: rotates the first `dimensions` of each head. Su et al., 2021.
    case rotary(RotaryLayout)

    /// `(cache state [slots, heads, context, headDim], x [t, heads, headDim], positions i32 [t], slots i32 [t]) → the same state`,
    /// with row `positions[i]` of slot `slots[i]` replaced by `x[i]`. The output is the state itself after the write: readers take it
    /// as their operand, so order follows from data.
    case cacheWrite

    /// `(q [t, heads, headDim], keys state, values state, positions i32 [t], slots i32 [t]) → [t, heads, headDim]`:
    /// causal attention of token `i` over the rows `0…positions[i]` of its slot (the last `window` of them when there is a window).
    case attention(Attention)

    /// `(x) → the shape`, same elements in the same order; costs nothing.
    case reshape([Dimension])

    /// The operations of imported networks.
    case tensor(TensorOp)
}

/// A matrix product with everything that can ride on it.
public struct Linear: Sendable, Hashable {
    /// How many weight matrices read the same input (3 for a fused QKV projection).
    public var weightCount: Int
    /// Whether each weight has a bias operand.
    public var hasBias: Bool
    public var epilogue: Epilogue
    /// Whether one more operand says how many of the largest elements of each row are wanted, 0 for all. Of a vocabulary's logits a sampler looks at few:
    /// a backend may leave other elements at any value below the smallest of those wanted.
    public var isRanked: Bool

    public enum Epilogue: Sendable, Hashable {
        case none
        /// One output a weight: `f(x·Wᵀ + b)`.
        case activation(Unary)
        /// Exactly two weights, one output: `f(x·W₀ᵀ + b₀) · (x·W₁ᵀ + b₁)` (Shazeer, 2020).
        case gated(Unary)
        /// One weight and one more operand of the output's shape, which is added.
        case residual
    }

    public init(weightCount: Int = 1, hasBias: Bool = false, epilogue: Epilogue = .none, isRanked: Bool = false) {
        self.weightCount = weightCount
        self.hasBias = hasBias
        self.epilogue = epilogue
        self.isRanked = isRanked
    }

    public var outputCount: Int { if case .gated = epilogue { 1 } else { weightCount } }
    public var inputCount: Int { 1 + weightCount * (hasBias ? 2 : 1) + (epilogue == .residual ? 1 : 0) + (isRanked ? 1 : 0) }
}

/// Which elements of a head form the pairs that are rotated.
public enum RotaryLayout: String, Sendable, Hashable {
    /// `(x[2i], x[2i+1])`, as in the original paper and in GGUF Llama files.
    case interleaved
    /// `(x[i], x[i + dimensions/2])`, as in GPT-NeoX, Qwen, Gemma, Phi.
    case split
}

/// The angles of rotary position embedding: `position · base^(−2i/dimensions)`, scaled.
public struct RotaryTable: Sendable, Hashable {
    /// Rotated elements of each head (even).
    public var dimensions: Int
    public var base: Float
    public var scaling: Scaling
    /// Whether a second operand divides the frequencies.
    public var hasFactors: Bool
    /// Multiplies cos and sin (the attention factor of LongRoPE; 1 otherwise).
    public var magnitude: Float

    public enum Scaling: Sendable, Hashable {
        case none
        /// Positions divided by `factor` (Chen et al., 2023).
        case linear(factor: Float)
        /// YaRN (Peng et al., 2023): interpolation by `factor` for slow dimensions, none for fast ones, a ramp between.
        case yarn(factor: Float, originalContext: Int, betaFast: Float, betaSlow: Float, extrapolation: Float, attentionFactor: Float)
    }

    public init(dimensions: Int, base: Float, scaling: Scaling = .none, hasFactors: Bool = false, magnitude: Float = 1) {
        self.dimensions = dimensions
        self.base = base
        self.scaling = scaling
        self.hasFactors = hasFactors
        self.magnitude = magnitude
    }
}

/// Grouped-head attention: `heads` queries share `heads / keyValueHeads` keys and values each.
public struct Attention: Sendable, Hashable {
    public var heads: Int
    public var keyValueHeads: Int
    public var headDimension: Int
    /// Multiplies the scores (usually `1/sqrt(headDimension)`).
    public var scale: Float
    /// `limit·tanh(score/limit)` before the softmax; nil for none.
    public var softcap: Float?
    /// Only the last `window` positions are seen; nil for all.
    public var window: Int?

    public init(heads: Int, keyValueHeads: Int, headDimension: Int, scale: Float, softcap: Float? = nil, window: Int? = nil) {
        self.heads = heads
        self.keyValueHeads = keyValueHeads
        self.headDimension = headDimension
        self.scale = scale
        self.softcap = softcap
        self.window = window
    }
}
