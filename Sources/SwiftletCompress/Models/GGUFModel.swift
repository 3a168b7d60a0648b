// A language model in a GGUF file.
//
// The tensors of the new file are the weights of the new graph under the names they have there, in the order of the old file; weights that steps
// added come after them, tensors that no node of the old graph reads (frequency factors of another context) are copied, and those whose weight is
// gone are left out. A matrix of the file that the graph reads in parts (Phi's Q, K and V) is put together again; where a part was factorised there is
// nothing to put together, and all parts come one by one, under the names of the graph.
import SwiftletFormats
import SwiftletLanguage
import SwiftletRuntime

/// A language model to compress.
public struct GGUFModel: CompressibleModel {
    package let file: GGUFFile
    public let graph: Graph
    public let passes = PassPipeline.language

    /// Opens a file. `context` is the longest window that calibration will use.
    ///
    /// Throws what reading the file and building its graph throw.
    public init(path: String, context: Int? = nil) throws {
        file = try GGUFFile(path: path)
        var options = ModelOptions()
        options.context = context
        graph = try LanguageModel.unfusedGraph(of: file, options: options)
    }

    public var path: String { file.path }

    public func write(_ graph: Graph, to path: String) throws {
        var writer = GGUFWriter(copying: file.metadata)
        let old = Dictionary(self.graph.weights.map { (self.graph[$0.id].name, $0.weight) }) { first, _ in first }
        var new: [String: Weight] = [:]
        var order: [String] = []
        for (id, weight) in graph.weights {
            let name = graph[id].name
            if new.updateValue(weight, forKey: name) == nil { order.append(name) }
        }
        var written: Set<String> = []
        for tensor in file.tensors {
            if let weight = new[tensor.name] {
                // Vectors that were widened for the kernels go back as they were.
                let isUnchanged = old[tensor.name].map { $0.isSameStore(as: weight) } ?? false
                let (format, store) = isUnchanged ? (tensor.format, tensor.store) : (weight.format, weight.store)
                try writer.add(name: tensor.name, shape: weight.shape, format: format, store: store)
                written.insert(tensor.name)
            } else if let parts = Self.parts(of: tensor.name), parts.contains(where: { old[$0] != nil }) {
                let isFactored = parts.contains { new[FactorNames.inner(of: $0)] != nil }
                if !isFactored, let weight = try stacked(parts.compactMap { new[$0] }, parts: parts, of: tensor) {
                    try writer.add(name: tensor.name, shape: weight.shape, format: weight.format, store: weight.store)
                    written.formUnion(parts)
                }
            } else if old[tensor.name] == nil {
                guard graph.blockCount == self.graph.blockCount || !tensor.name.hasPrefix("blk.") else {
                    throw SwiftletError.unsupported(
                        file: path, place: tensor.name, reason: "no node reads it, so which layer it belongs to now that some are gone is not known",
                        remedy: "Keep all layers.")
                }
                try writer.add(name: tensor.name, shape: tensor.shape, format: tensor.format, store: tensor.store)
            }
        }
        for name in order where !written.contains(name) {
            guard let weight = new[name] else { continue }
            try writer.add(name: name, shape: weight.shape, format: weight.format, store: weight.store)
        }
        try GGUFMetadataUpdate(file.metadata, from: self.graph, to: graph).apply(to: &writer)
        try writer.write(to: path)
    }

    /// The rows of `weights` behind each other; nil when steps took them all away.
    private func stacked(_ weights: [Weight], parts: [String], of tensor: GGUFTensor) throws -> Weight? {
        guard let first = weights.first else { return nil }
        guard weights.count == parts.count, weights.allSatisfy({ $0.format == first.format && $0.columnCount == first.columnCount }) else {
            throw SwiftletError.unsupported(
                file: path, place: tensor.name, reason: "its parts \(parts.joined(separator: ", ")) are one tensor of the file, and now differ in format or width",
                remedy: "Give the parts the same treatment.")
        }
        let store = try WeightStore(byteCount: weights.reduce(0) { $0 + $1.store.byteCount }) { target in
            var offset = 0
            for weight in weights {
                weight.store.withBytes { UnsafeMutableRawBufferPointer(rebasing: target[offset...]).copyMemory(from: $0) }
                offset += weight.store.byteCount
            }
        }
        return try Weight(name: tensor.name, shape: [weights.reduce(0) { $0 + $1.shape[0] }, first.columnCount], format: first.format, store: store)
    }

    /// The names under which the graph holds the rows of a tensor that is several matrices.
    private static func parts(of name: String) -> [String]? {
        for (fused, parts) in [("attn_qkv.weight", ["attn_q.weight", "attn_k.weight", "attn_v.weight"]), ("ffn_up.weight", ["ffn_gate.rows", "ffn_up.rows"])]
        where name.hasSuffix(fused) {
            return parts.map { name.dropLast(fused.count) + $0 }
        }
        return nil
    }
}

extension Weight {
    /// Whether both are the same bytes in memory.
    fileprivate func isSameStore(as other: Weight) -> Bool {
        store.bytes.baseAddress == other.store.bytes.baseAddress && store.byteCount == other.store.byteCount && format == other.format
    }
}
