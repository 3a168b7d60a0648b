// What the metadata of a GGUF file say about its tensors, brought in line with a changed graph.
import SwiftletFormats
import SwiftletLanguage
import SwiftletRuntime

/// The keys that follow from a graph's weights.
struct GGUFMetadataUpdate {
    private let metadata: GGUFMetadata
    private let old: Graph
    private let new: Graph

    init(_ metadata: GGUFMetadata, from old: Graph, to new: Graph) {
        self.metadata = metadata
        self.old = old
        self.new = new
    }

    /// Sets what changed.
    func apply(to writer: inout GGUFWriter) throws {
        try setFileType(&writer)
        try setBlockCount(&writer)
        try setHiddenWidth(&writer)
        try setHeads(&writer)
    }

    /// `general.file_type` names the format most weights are in.
    private func setFileType(_ writer: inout GGUFWriter) throws {
        var bytes: [WeightFormat: Int] = [:]
        for (_, weight) in new.weights where weight.shape.rank > 1 { bytes[weight.format, default: 0] += weight.store.byteCount }
        let most = bytes.max { ($0.value, $0.key.description) < ($1.value, $1.key.description) }
        if let number = most?.key.ggufFileType {
            writer.set("general.file_type", .uint32(number))
        } else {
            writer.remove("general.file_type")
        }
        writer.set("general.quantization_version", .uint32(2))
    }

    /// `<architecture>.feed_forward_length`: one number, so all layers must agree.
    private func setHiddenWidth(_ writer: inout GGUFWriter) throws {
        let widths = hiddenWidths(new)
        guard widths != hiddenWidths(old), let first = widths.first else { return }
        guard widths.allSatisfy({ $0 == first }) else {
            throw SwiftletError.unsupported(
                file: "GGUF", place: "feed_forward_length", reason: "layers have \(widths.min() ?? 0) to \(widths.max() ?? 0) hidden neurons, the format has one number for all",
                remedy: "Prune every layer to the same width.")
        }
        writer.set(try key("feed_forward_length"), .uint32(UInt32(clamping: first)))
    }

    private func hiddenWidths(_ graph: Graph) -> [Int] {
        let name = ".ffn_down.weight"
        return graph.weights.compactMap { id, weight in
            graph[id].name.hasSuffix(name) || graph[id].name.hasSuffix(FactorNames.inner(of: name)) ? weight.columnCount : nil
        }
    }

    /// `<architecture>.attention.…`: one number of heads for all layers. The length of a head is left to follow from the width where a file does
    /// not say it, which holds no longer.
    private func setHeads(_ writer: inout GGUFWriter) throws {
        let heads = attentions(new)
        guard heads != attentions(old), let first = heads.first else { return }
        guard heads.allSatisfy({ $0.heads == first.heads && $0.keyValueHeads == first.keyValueHeads && $0.headDimension == first.headDimension }) else {
            throw SwiftletError.unsupported(
                file: "GGUF", place: "attention.head_count", reason: "layers differ in their heads, the format has one number for all",
                remedy: "Prune the same number of heads in every layer.")
        }
        for (name, value) in [
            ("attention.head_count", first.heads), ("attention.head_count_kv", first.keyValueHeads), ("attention.key_length", first.headDimension),
            ("attention.value_length", first.headDimension),
        ] { writer.set(try key(name), .uint32(UInt32(clamping: value))) }
        if try metadata.int(key("rope.dimension_count")) == nil {
            writer.set(try key("rope.dimension_count"), .uint32(UInt32(clamping: first.headDimension)))
        }
    }

    private struct Heads: Equatable {
        let heads, keyValueHeads, headDimension: Int
    }

    private func attentions(_ graph: Graph) -> [Heads] {
        graph.nodes.compactMap { node in
            guard case .attention(let attention) = node.op else { return nil }
            return Heads(heads: attention.heads, keyValueHeads: attention.keyValueHeads, headDimension: attention.headDimension)
        }
    }

    /// `<architecture>.block_count`; lists with an entry a layer lose what is behind it: layers stand where layers of their kind stood.
    private func setBlockCount(_ writer: inout GGUFWriter) throws {
        let (before, after) = (old.blockCount, new.blockCount)
        guard before != after else { return }
        writer.set(try key("block_count"), .uint32(UInt32(clamping: after)))
        let prefix = try key("")
        for entry in metadata.entries where entry.key.hasPrefix(prefix) {
            guard case .array(let array) = entry.value, array.count == before else { continue }
            writer.set(entry.key, .array(array.prefix(after)))
        }
    }

    private func key(_ name: String) throws -> String { "\(try metadata.requiredString("general.architecture")).\(name)" }
}

extension Graph {
    /// Layers whose weights are named `blk.<number>.…`.
    var blockCount: Int {
        Set(weights.compactMap { id, _ in self[id].name.hasPrefix("blk.") ? self[id].name.dropFirst(4).prefix { $0 != "." } : nil }).count
    }
}

extension GGUFArray {
    /// The first `count` elements.
    fileprivate func prefix(_ count: Int) -> GGUFArray {
        switch self {
        case .uint8(let values): .uint8(Array(values.prefix(count)))
        case .int8(let values): .int8(Array(values.prefix(count)))
        case .uint16(let values): .uint16(Array(values.prefix(count)))
        case .int16(let values): .int16(Array(values.prefix(count)))
        case .uint32(let values): .uint32(Array(values.prefix(count)))
        case .int32(let values): .int32(Array(values.prefix(count)))
        case .uint64(let values): .uint64(Array(values.prefix(count)))
        case .int64(let values): .int64(Array(values.prefix(count)))
        case .float32(let values): .float32(Array(values.prefix(count)))
        case .float64(let values): .float64(Array(values.prefix(count)))
        case .bool(let values): .bool(Array(values.prefix(count)))
        case .string, .array: self
        }
    }
}

extension WeightFormat {
    /// The number of llama.cpp's list of file types whose matrices are mostly in this format; nil where the list has none.
    fileprivate var ggufFileType: UInt32? {
        switch self {
        case .dense(.f32): 0
        case .dense(.f16): 1
        case .dense(.bf16): 32
        case .dense: nil
        case .block(let format):
            switch format {
            case .q4_0: 2
            case .q4_1: 3
            case .q8_0: 7
            case .q5_0: 8
            case .q5_1: 9
            case .q2_K: 10
            case .q3_K: 12
            case .q4_K: 15
            case .q5_K: 17
            case .q6_K: 18
            case .iq4_nl: 25
            case .iq4_xs: 30
            case .tq1_0: 36
            case .tq2_0: 37
            case .mxfp4: 38
            }
        }
    }
}
