// A text encoder in a folder: model.safetensors and the files that say what it is.
//
// safetensors holds numbers, no blocks: matrices of 8 bits are written as integers `<name>` I8 [rows, columns] with `<name>_scale` [rows, groups] beside them,
// the convention of compressed-tensors. Blocks of Q8_0 are groups of 32 with F16 scales and come back as the same blocks; scales by row are one group.
// Dense matrices (f32, f16, bf16) are written as they are.
import Foundation
import SwiftletFormats
import SwiftletLanguage
import SwiftletRuntime

/// An encoder of the BERT family to compress.
public struct EncoderModel: CompressibleModel {
    public let path: String
    public let graph: Graph
    public let passes = PassPipeline(name: "encoder", [DeadCodeElimination(), DequantizedConstants(), BlockLinears()] + PassPipeline.language.passes)

    private let file: SafetensorsFile
    /// In front of the names of tensors of the file.
    private let prefix: String
    private let folder: String

    /// Files that go along with the weights, those that are there.
    private static let companions = [
        "config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "modules.json", "sentence_bert_config.json",
        "config_sentence_transformers.json", "1_Pooling/config.json",
    ]

    /// Opens a folder, or the safetensors file in it. Throws as `TextEncoder.init(path:)`.
    public init(path: String) throws {
        (graph, file, prefix, folder) = try TextEncoder.unfusedGraph(path: path)
        self.path = path
    }

    /// Writes a folder of that name with all that `TextEncoder` reads. The weights come last, so a folder without them is not complete.
    public func write(_ graph: Graph, to path: String) throws {
        let tensors = try tensors(of: graph)
        guard URL(fileURLWithPath: path).standardizedFileURL.path != URL(fileURLWithPath: folder).standardizedFileURL.path else {
            throw SwiftletError.invalidArgument(name: "output", reason: "\(path) is the model itself", remedy: "Choose another folder.")
        }
        for name in Self.companions where FileManager.default.fileExists(atPath: folder + "/" + name) {
            let target = path + "/" + name
            let bytes = try MappedFile(path: folder + "/" + name)
            do {
                try FileManager.default.createDirectory(atPath: URL(fileURLWithPath: target).deletingLastPathComponent().path, withIntermediateDirectories: true)
            } catch {
                throw SwiftletError.io(path: target, reason: error.localizedDescription, remedy: "Choose a folder that can be written.")
            }
            let output = try OutputFile(path: target)
            try withExtendedLifetime(bytes) { try output.write(bytes.bytes) }
            try output.commit()
        }
        var writer = SafetensorsWriter(metadata: file.metadata)
        for tensor in tensors { try writer.add(name: tensor.name, shape: tensor.weight.shape, type: tensor.type, store: tensor.weight.store) }
        try writer.write(to: path + "/model.safetensors")
    }

    /// The tensors of the new file in the order of the old one.
    private func tensors(of graph: Graph) throws -> [(name: String, weight: Weight, type: DType)] {
        let old = Dictionary(self.graph.weights.map { (self.graph[$0.id].name, $0.weight) }) { first, _ in first }
        var new: [String: Weight] = [:]
        var scales: [String: Weight] = [:]
        for (id, weight) in graph.weights { new[graph[id].name] = weight }
        for node in graph.nodes {
            guard case .tensor(.dequantize) = node.op, let values = graph[node.inputs[0]].weight, let scale = graph[node.inputs[1]].weight else { continue }
            guard node.inputs.count == 2, values.shape.rank == 2, scale.shape.dimensions == [values.shape[0], 1] else {
                throw unsupported(node.name, "its scales are not one a row", "Quantise linear layers by row.")
            }
            scales[graph[node.inputs[0]].name] = scale
        }
        var result: [(name: String, weight: Weight, type: DType)] = []
        for tensor in file.tensors {
            let name = tensor.name.hasPrefix(prefix) ? String(tensor.name.dropFirst(prefix.count)) : tensor.name
            let original = try Weight(name: tensor.name, shape: tensor.shape, format: tensor.format, store: tensor.store)
            guard let weight = new[name] else {
                // What the graph does not use, or uses a row of, is copied; so are scales of what stays as it was.
                if old[name] == nil, !isScale(tensor.name, of: new, old) { result.append((tensor.name, original, tensor.type)) }
                continue
            }
            if let before = old[name], before.store.bytes.baseAddress == weight.store.bytes.baseAddress, before.format == weight.format {
                // Vectors that were widened, and blocks that were made of integers, go back as they were.
                result.append((tensor.name, original, tensor.type))
                continue
            }
            switch weight.format {
            case .dense(let type):
                result.append((tensor.name, weight, type))
                if let scale = scales[name] { result.append((tensor.name + "_scale", scale, .f32)) }
            case .block(.q8_0):
                let (values, scale) = try Self.integers(of: weight, name: tensor.name)
                result += [(tensor.name, values, .i8), (tensor.name + "_scale", scale, .f16)]
            case .block(let format):
                throw unsupported(tensor.name, "blocks of \(format.name) cannot be stored", "Use Q8_0, F16 or BF16, or int8-dynamic.")
            }
        }
        return result
    }

    /// Whether a tensor is the scales of one that was replaced.
    private func isScale(_ name: String, of new: [String: Weight], _ old: [String: Weight]) -> Bool {
        guard name.hasSuffix("_scale") else { return false }
        let matrix = String(name.dropFirst(prefix.count).dropLast("_scale".count))
        guard let before = old[matrix], let after = new[matrix] else { return false }
        return before.store.bytes.baseAddress != after.store.bytes.baseAddress || before.format != after.format
    }

    /// The integers and the scales of blocks of Q8_0: an f16, then 32 numbers.
    private static func integers(of weight: Weight, name: String) throws -> (values: Weight, scale: Weight) {
        let blocks = weight.shape.elementCount / 32
        let values = try WeightStore(byteCount: blocks * 32) { target in
            weight.store.withBytes { source in
                for block in 0..<blocks {
                    UnsafeMutableRawBufferPointer(rebasing: target[block * 32..<block * 32 + 32])
                        .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[block * 34 + 2..<block * 34 + 34]))
                }
            }
        }
        let scales = try WeightStore(byteCount: blocks * 2) { target in
            weight.store.withBytes { source in
                for block in 0..<blocks { target.storeBytes(of: source.loadUnaligned(fromByteOffset: block * 34, as: UInt16.self), toByteOffset: block * 2, as: UInt16.self) }
            }
        }
        let (rows, columns) = (weight.shape[0], weight.shape[1])
        return (
            try Weight(name: name, shape: [rows, columns], format: .dense(.i8), store: values),
            try Weight(name: name + "_scale", shape: [rows, columns / 32], format: .dense(.f16), store: scales)
        )
    }

    private func unsupported(_ place: String, _ reason: String, _ remedy: String) -> SwiftletError {
        .unsupported(file: "safetensors", place: place, reason: reason, remedy: remedy)
    }
}
