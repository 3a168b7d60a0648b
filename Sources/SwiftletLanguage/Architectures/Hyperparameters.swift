// The numbers of a language model, read from GGUF metadata. Keys are `<architecture>.<name>`; see the GGUF specification.
import SwiftletFormats
import SwiftletRuntime

/// What every decoder-only architecture has.
public struct Hyperparameters: Sendable {
    /// `general.architecture`.
    public let architecture: String
    public let layers: Int
    /// Width of the residual stream.
    public let width: Int
    /// Hidden width of the feed-forward block.
    public let hiddenWidth: Int
    public let heads: Int
    public let keyValueHeads: Int
    public let headDimension: Int
    /// Tokens the model was trained to see at once.
    public let trainedContext: Int
    public let normEpsilon: Float
    public let rotaryDimensions: Int
    public let rotaryBase: Float
    let rotaryScaling: RotaryTable.Scaling
    /// Multiplies cos and sin (LongRoPE).
    let rotaryMagnitude: Float
    /// Positions a sliding-window layer sees.
    let slidingWindow: Int?
    let attentionSoftcap: Float?
    let logitSoftcap: Float?

    /// The longest context sessions will use, which decides between short and long rotary factors.
    let context: Int

    /// Throws when a required key is missing or a number makes no sense. `context` is the longest one sessions will use.
    init(_ file: GGUFFile, context: Int?) throws {
        let metadata = file.metadata
        let architecture = try metadata.requiredString("general.architecture")
        func key(_ name: String) -> String { "\(architecture).\(name)" }
        func positive(_ name: String, _ value: Int) throws -> Int {
            guard (1...1 << 24).contains(value) else {
                throw SwiftletError.unsupported(
                    file: file.path, place: key(name), reason: "\(value) is not a sensible size", remedy: "Convert the model again.")
            }
            return value
        }
        /// A number that may be given a layer: all layers must agree.
        func uniform(_ name: String) throws -> Int? {
            guard let value = metadata[key(name)] else { return nil }
            guard value.array != nil else { return try metadata.int(key(name)) }
            let values = try metadata.requiredInts(key(name))
            guard let first = values.first, values.allSatisfy({ $0 == first }) else {
                throw SwiftletError.unsupported(
                    file: file.path, place: key(name), reason: "differs between layers", remedy: "Use a model whose layers are alike.")
            }
            return first
        }
        self.architecture = architecture
        layers = try positive("block_count", metadata.requiredInt(key("block_count")))
        width = try positive("embedding_length", metadata.requiredInt(key("embedding_length")))
        hiddenWidth = try positive("feed_forward_length", uniform("feed_forward_length") ?? metadata.requiredInt(key("feed_forward_length")))
        heads = try positive("attention.head_count", uniform("attention.head_count") ?? metadata.requiredInt(key("attention.head_count")))
        keyValueHeads = try positive("attention.head_count_kv", uniform("attention.head_count_kv") ?? heads)
        headDimension = try positive("attention.key_length", metadata.int(key("attention.key_length"), default: width / heads))
        let valueDimension = try metadata.int(key("attention.value_length"), default: headDimension)
        guard valueDimension == headDimension, heads % keyValueHeads == 0 else {
            throw SwiftletError.unsupported(
                file: file.path, place: key("attention"), reason: "\(heads) heads of \(headDimension) and \(keyValueHeads) of \(valueDimension) do not fit",
                remedy: "Use a model whose keys and values have one length and share heads evenly.")
        }
        trainedContext = try positive("context_length", metadata.requiredInt(key("context_length")))
        self.context = context ?? trainedContext
        normEpsilon = try metadata.requiredFloat(key("attention.layer_norm_rms_epsilon"))
        rotaryDimensions = try positive("rope.dimension_count", metadata.int(key("rope.dimension_count"), default: headDimension))
        rotaryBase = try metadata.float(key("rope.freq_base"), default: 10_000)
        rotaryMagnitude = try metadata.float(key("rope.scaling.attn_factor"), default: 1)
        let factor = try metadata.float(key("rope.scaling.factor")) ?? metadata.float(key("rope.scale_linear"), default: 1)
        switch try metadata.string(key("rope.scaling.type"), default: factor == 1 ? "none" : "linear") {
        case "linear" where factor != 0 && factor != 1:
            rotaryScaling = .linear(factor: factor)
        case "yarn" where factor != 0 && factor != 1:
            rotaryScaling = .yarn(
                factor: factor, originalContext: try metadata.int(key("rope.scaling.original_context_length"), default: trainedContext),
                betaFast: try metadata.float(key("rope.scaling.yarn_beta_fast"), default: 32),
                betaSlow: try metadata.float(key("rope.scaling.yarn_beta_slow"), default: 1),
                extrapolation: try metadata.float(key("rope.scaling.yarn_ext_factor"), default: 1),
                attentionFactor: try metadata.float(key("rope.scaling.yarn_attn_factor"), default: 1))
        case "none", "linear", "yarn", "longrope":
            // LongRoPE scales by the factor tensors alone.
            rotaryScaling = .none
        case let other:
            throw SwiftletError.unsupported(
                file: file.path, place: key("rope.scaling.type"), reason: "'\(other)' is not a scaling this version knows",
                remedy: "Known: none, linear, yarn, longrope.")
        }
        // Files of Gemma 2 made before these keys existed rely on the published numbers, as llama.cpp does.
        let isGemma2 = architecture == "gemma2"
        let window = try metadata.int(key("attention.sliding_window")) ?? (isGemma2 ? 4096 : 0)
        let attentionCap = try metadata.float(key("attn_logit_softcapping")) ?? (isGemma2 ? 50 : 0)
        let logitCap = try metadata.float(key("final_logit_softcapping")) ?? (isGemma2 ? 30 : 0)
        slidingWindow = window > 0 ? window : nil
        attentionSoftcap = attentionCap > 0 ? attentionCap : nil
        logitSoftcap = logitCap > 0 ? logitCap : nil
        if try metadata.int(key("expert_count"), default: 0) > 0 {
            throw SwiftletError.unsupported(
                file: file.path, place: key("expert_count"), reason: "mixtures of experts are not supported", remedy: "Use a dense model.")
        }
    }
}
