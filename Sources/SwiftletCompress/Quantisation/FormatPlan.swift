// Which format each weight of a language model gets.
//
// A plan is one format for all, or one of the mixes that GGUF files are published in, where the tensors that suffer most get more bits: the values
// of attention and the second matrix of the feed-forward block in some layers, and the head. The names and the layers are those of llama.cpp's
// `quantize`, so that files compare.
import SwiftletRuntime

/// Formats for the weights of a model.
public struct FormatPlan: Sendable, Hashable {
    /// As recipes write it: `q4_k`, `q4_k_m`.
    public let name: String
    private let base: WeightFormat
    private let mix: Mix?

    private enum Mix: Sendable, Hashable {
        case small, medium
    }

    /// What rows that do not divide into the format's blocks get instead.
    public enum Fallback: String, Sendable, Hashable, CaseIterable {
        /// A format of blocks of 32 with about as many bits.
        case sameBits = "same-bits"
        /// The one llama.cpp takes, of more bits.
        case wider
    }

    private static let dense: [String: DType] = ["f32": .f32, "f16": .f16, "bf16": .bf16]
    private static let mixes: [String: (BlockFormat, Mix)] = [
        "q2_k_m": (.q2_K, .medium), "q3_k_s": (.q3_K, .small), "q3_k_m": (.q3_K, .medium), "q4_k_s": (.q4_K, .small), "q4_k_m": (.q4_K, .medium),
        "q5_k_s": (.q5_K, .small), "q5_k_m": (.q5_K, .medium),
    ]
    private static let blocks = Dictionary(uniqueKeysWithValues: BlockFormat.allCases.map { (String(describing: $0).lowercased(), $0) })

    /// Every name there is.
    public static let names: [String] = (Array(dense.keys) + blocks.keys + mixes.keys).sorted()

    /// Throws `SwiftletError.invalidArgument` for a name that is not in `names`.
    public init(_ name: String) throws {
        self.name = name.lowercased()
        if let type = Self.dense[self.name] {
            (base, mix) = (.dense(type), nil)
        } else if let (format, mix) = Self.mixes[self.name] {
            (base, self.mix) = (.block(format), mix)
        } else if let format = Self.blocks[self.name] {
            (base, mix) = (.block(format), nil)
        } else {
            throw SwiftletError.invalidArgument(
                name: "format", reason: "'\(name)' is not a format", remedy: "Choose one of: \(Self.names.joined(separator: ", ")).")
        }
    }

    /// The one format of a plan that is no mix. Throws `SwiftletError.invalidArgument` for a mix.
    var single: WeightFormat {
        get throws {
            guard mix == nil else {
                throw SwiftletError.invalidArgument(name: "format", reason: "\(name) is a mix of formats", remedy: "Name single formats, such as q4_k.")
            }
            return base
        }
    }

    /// The format of one weight of `columns` elements a row. `isHead`: its rows give logits.
    package func format(of name: String, columns: Int, isHead: Bool, layers: Int, fallback: Fallback) throws -> WeightFormat {
        let wanted = mix.map { Self.mixed(base, $0, name, isHead: isHead, layers: layers) } ?? base
        if wanted.rowBytes(elements: columns) != nil { return wanted }
        guard case .block(let format) = wanted else { return wanted }
        let narrow = WeightFormat.block(Self.narrow(format, fallback))
        // Rows that are not even whole blocks of 32 stay in halves.
        return narrow.rowBytes(elements: columns) == nil ? .dense(.f16) : narrow
    }

    /// The format in blocks of 32 nearest to one in blocks of 256.
    private static func narrow(_ format: BlockFormat, _ fallback: Fallback) -> BlockFormat {
        switch (format, fallback) {
        case (.q2_K, .wider), (.q3_K, .wider): .q4_0
        case (.q2_K, .sameBits), (.q3_K, .sameBits), (.tq1_0, _), (.tq2_0, _), (.iq4_xs, _), (.q4_K, .sameBits): .iq4_nl
        case (.q4_K, .wider): .q5_0
        case (.q5_K, _): .q5_1
        case (.q6_K, _): .q8_0
        case (.q4_0, _), (.q4_1, _), (.q5_0, _), (.q5_1, _), (.q8_0, _), (.iq4_nl, _), (.mxfp4, _): format
        }
    }

    private static func mixed(_ base: WeightFormat, _ mix: Mix, _ name: String, isHead: Bool, layers: Int) -> WeightFormat {
        guard case .block(let format) = base else { return base }
        if isHead { return .block(.q6_K) }
        let parts = name.split(separator: ".")
        guard parts.count >= 3, parts[0] == "blk", let layer = Int(parts[1]) else { return base }
        switch (parts[2], format, mix) {
        case ("attn_v", .q2_K, _): return .block(.q3_K)
        case ("ffn_down", .q2_K, _), ("attn_output", .q2_K, _): return .block(.q3_K)
        case ("attn_v", .q3_K, .medium): return .block(layer < 2 ? .q5_K : .q4_K)
        case ("ffn_down", .q3_K, .medium):
            return .block(layer < max(1, layers / 16) ? .q5_K : isFavoured(layer, of: layers) ? .q4_K : .q3_K)
        case ("attn_output", .q3_K, .medium): return .block(.q4_K)
        case ("attn_v", .q4_K, .small): return .block(layer < 4 ? .q5_K : .q4_K)
        case ("ffn_down", .q4_K, .small): return .block(layer < max(1, layers / 8) ? .q5_K : .q4_K)
        case ("attn_v", .q4_K, .medium), ("attn_v", .q5_K, .medium), ("ffn_down", .q4_K, .medium), ("ffn_down", .q5_K, .medium):
            return isFavoured(layer, of: layers) ? .block(.q6_K) : base
        default: return base
        }
    }

    /// The first and the last eighth of the layers, and every third between.
    private static func isFavoured(_ layer: Int, of layers: Int) -> Bool {
        layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2
    }
}

extension RecipeParameter {
    /// What techniques that store weights, or prepare them for a format, have in common.
    static func format(_ help: String) -> RecipeParameter { RecipeParameter("format", .choice(FormatPlan.names), help) }

    static let fallback = RecipeParameter(
        "fallback", .choice(FormatPlan.Fallback.allCases.map(\.rawValue)), default: .text("same-bits"), "for rows that are not whole blocks of 256")
    static let bits = RecipeParameter("bits", .integer(0...8), default: .integer(0), "levels used of q4_1 or q5_1, 0 for all")
}

extension RecipeValues {
    /// The values of `RecipeParameter.format`, `.fallback` and `.bits`.
    func storage() throws -> (plan: FormatPlan, fallback: FormatPlan.Fallback, bits: Int?) {
        let bits = try integer("bits")
        return (try FormatPlan(text("format")), FormatPlan.Fallback(rawValue: try text("fallback")) ?? .sameBits, bits == 0 ? nil : bits)
    }
}
