// What the metadata of a GGUF file say about its tensors, brought in line with a changed graph.
import SwiftletFormats
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
        try setHiddenWidth(&writer)
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
        graph.weights.compactMap { id, weight in graph[id].name.hasSuffix(".ffn_down.weight") ? weight.columnCount : nil }
    }

    private func key(_ name: String) throws -> String { "\(try metadata.requiredString("general.architecture")).\(name)" }
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
