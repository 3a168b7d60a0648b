// A text encoder in a folder: model.safetensors and the files that say what it is.
//
// safetensors holds numbers, no blocks: matrices of 8 bits are written as integers `<name>` I8 [rows, columns] with `<name>_scale` [rows, groups] beside them,
// the convention of compressed-tensors. Blocks of Q8_0 are groups of 32 with F16 scales and come back as the same blocks; scales by row are one group.
// Dense matrices (f32, f16, bf16) are written as they are. A matrix whose columns SmoothQuant scaled goes with the factors of what it reads, under names that
// programs which know nothing of them do not take for the plain matrix (BERTGraph).
//
// config.json says what is computed, and stays as it is: a graph with other layers, or layers of other shapes, has no folder.
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

    /// The file of the weights.
    private static let weightsName = "model.safetensors"
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

    /// Whether a path names an encoder: a folder with config.json, or a safetensors file.
    package static func isEncoder(_ path: String) -> Bool {
        path.hasSuffix(".safetensors") || FileManager.default.fileExists(atPath: path + "/config.json")
    }

    /// Bytes of what is written for an encoder: weights and the files that go along. Throws `SwiftletError.io` where there are no weights.
    package static func byteCount(_ path: String) throws -> Int {
        func size(_ path: String) -> Int? {
            let file = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
            return (try? FileManager.default.attributesOfItem(atPath: file)[.size] as? NSNumber)?.intValue
        }
        let isFile = path.hasSuffix(".safetensors")
        let folder = isFile ? URL(fileURLWithPath: path).deletingLastPathComponent().path : path
        guard let weights = size(isFile ? path : path + "/" + weightsName) else {
            throw SwiftletError.io(path: path, reason: "has no weights that can be read", remedy: "Check the path and its permissions.")
        }
        return companions.reduce(weights) { $0 + (size(folder + "/" + $1) ?? 0) }
    }

    /// Throws `SwiftletError.invalidArgument` where a folder may not be put in the place of what is at `path`: the model itself, a file, or a folder that
    /// holds anything `write` does not.
    package func checkOutput(_ path: String) throws {
        func place(_ path: String) -> String { URL(fileURLWithPath: path).resolvingSymlinksInPath().standardizedFileURL.path }
        guard place(path) != place(folder) else {
            throw SwiftletError.invalidArgument(name: "output", reason: "\(path) is the model itself", remedy: "Choose another folder.")
        }
        guard FileManager.default.fileExists(atPath: path) else { return }
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: path) else {
            throw SwiftletError.invalidArgument(name: "output", reason: "\(path) is a file, an encoder is a folder", remedy: "Choose another name.")
        }
        let known = Set(Self.companions.map { $0.prefix { $0 != "/" } }.map(String.init) + [Self.weightsName])
        if let other = names.sorted().first(where: { !known.contains($0) }) {
            throw SwiftletError.invalidArgument(
                name: "output", reason: "the folder \(path) holds '\(other)', which is not of an encoder and would be lost", remedy: "Choose another folder.")
        }
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
        try writer.write(to: path + "/" + Self.weightsName)
    }

    /// The tensors of the new file in the order of the old one.
    private func tensors(of graph: Graph) throws -> [(name: String, weight: Weight, type: DType)] {
        let smoothing = try smoothing(of: graph)
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
        for tensor in file.tensors where !tensor.name.hasSuffix(EncoderWeights.smoothingSuffix) {
            let name = plainName(tensor.name)
            let original = try Weight(name: tensor.name, shape: tensor.shape, format: tensor.format, store: tensor.store)
            guard let weight = new[name] else {
                guard old[name] == nil else { throw unsupported(name, "the layer is gone, config.json asks for it", Self.remedy) }
                // What the graph does not use, or uses a row of, is copied; so are scales of what stays as it was.
                if !isScale(tensor.name, of: new, old) { result.append((tensor.name, original, tensor.type)) }
                continue
            }
            guard weight.shape == tensor.shape else {
                throw unsupported(name, "is \(weight.shape), config.json asks for \(tensor.shape)", Self.remedy)
            }
            let factors = smoothing[name]
            let target = factors == nil ? prefix + name : prefix + key(name) + EncoderWeights.smoothedSuffix
            if let factors { result.append((prefix + key(name) + EncoderWeights.smoothingSuffix, factors, .f32)) }
            if let before = old[name], before.store.bytes.baseAddress == weight.store.bytes.baseAddress, before.format == weight.format {
                // Vectors that were widened, and blocks that were made of integers, go back as they were.
                result.append((target, original, tensor.type))
                continue
            }
            switch weight.format {
            case .dense(let type):
                result.append((target, weight, type))
                if let scale = scales[name] { result.append((target + EncoderWeights.scaleSuffix, scale, .f32)) }
            case .block(.q8_0):
                let (values, scale) = try Self.integers(of: weight, name: target)
                result += [(target, values, .i8), (target + EncoderWeights.scaleSuffix, scale, .f16)]
            case .block(let format):
                throw unsupported(name, "blocks of \(format.name) cannot be stored", "Use Q8_0, F16 or BF16, or int8-dynamic.")
            }
        }
        return result
    }

    private static let remedy = "Use steps that leave the layers as they are: quantize, int8-dynamic, cast, smoothquant, gptq, or pruning of single weights."

    /// What the weight of a linear layer is called where its columns are not scaled: the graph's name for a tensor of the file.
    private func plainName(_ tensor: String) -> String {
        let name = tensor.hasPrefix(prefix) ? String(tensor.dropFirst(prefix.count)) : tensor
        for ending in ["", EncoderWeights.scaleSuffix] where name.hasSuffix(EncoderWeights.smoothedSuffix + ending) {
            return name.dropLast((EncoderWeights.smoothedSuffix + ending).count) + ".weight" + ending
        }
        return name
    }

    /// The name of a linear layer.
    private func key(_ weight: String) -> String { weight.hasSuffix(".weight") ? String(weight.dropLast(".weight".count)) : weight }

    /// What the inputs of linear layers are multiplied by, by the names of their weights.
    ///
    /// Throws `SwiftletError.unsupported` naming a node that the file's graph does not have.
    private func smoothing(of graph: Graph) throws -> [String: Weight] {
        let producers = graph.producers()
        /// The vector that a node multiplies what only linear layers read with.
        func factors(_ node: Node) -> Weight? {
            guard case .binary(.multiply) = node.op, let weight = graph[node.inputs[1]].weight, weight.format == .dense(.f32), weight.shape.rank == 1,
                graph[node.outputs[0]].type.shape.last == Dimension(weight.shape[0]), !graph.outputs.contains(node.outputs[0])
            else { return nil }
            let isOfLinears = graph.nodes.allSatisfy { reader in
                guard reader.inputs.contains(node.outputs[0]) else { return true }
                guard case .linear(let linear) = reader.op else { return false }
                return linear.weightCount == 1 && reader.inputs[0] == node.outputs[0] && !reader.inputs.dropFirst().contains(node.outputs[0])
            }
            return isOfLinears ? weight : nil
        }
        /// The nodes that compute what config.json says: without those of weights, and of smoothing.
        func computed(_ graph: Graph) -> [Node] {
            graph.nodes.filter { node in
                switch node.op {
                case .tensor(.dequantize): graph[node.inputs[0]].weight == nil
                case .binary(.multiply): !node.inputs.contains { graph[$0].weight != nil }
                default: true
                }
            }
        }
        let (expected, actual) = (computed(self.graph), computed(graph))
        if let (_, node) = zip(expected, actual).first(where: { $0.op != $1.op }) {
            throw unsupported(node.name, "the layers are not those config.json describes", Self.remedy)
        }
        guard expected.count == actual.count else {
            throw unsupported(
                (expected.count < actual.count ? actual : expected)[min(expected.count, actual.count)].name, "the layers are not those config.json describes", Self.remedy)
        }
        var result: [String: Weight] = [:]
        for node in graph.nodes {
            if case .binary(.multiply) = node.op, node.inputs.contains(where: { graph[$0].weight != nil }), factors(node) == nil {
                throw unsupported(node.name, "only what linear layers read may be multiplied", Self.remedy)
            }
            guard case .linear = node.op, let producer = producers[node.inputs[0]], let vector = factors(graph.nodes[producer]) else { continue }
            var weight = node.inputs[1]
            if graph[weight].weight == nil, let index = producers[weight] { weight = graph.nodes[index].inputs[0] }
            result[graph[weight].name] = vector
        }
        return result
    }

    /// Whether a tensor is the scales of one that was replaced.
    private func isScale(_ name: String, of new: [String: Weight], _ old: [String: Weight]) -> Bool {
        guard name.hasSuffix(EncoderWeights.scaleSuffix) else { return false }
        let matrix = String(plainName(name).dropLast(EncoderWeights.scaleSuffix.count))
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
            try Weight(name: name + EncoderWeights.scaleSuffix, shape: [rows, columns / 32], format: .dense(.f16), store: scales)
        )
    }

    private func unsupported(_ place: String, _ reason: String, _ remedy: String) -> SwiftletError {
        .unsupported(file: "safetensors", place: place, reason: reason, remedy: remedy)
    }
}
