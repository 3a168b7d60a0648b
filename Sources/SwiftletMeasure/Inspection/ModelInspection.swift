// What a model file holds, as data: for `swiftlet inspect` and for programs that choose between models.
import Foundation
import SwiftletFormats
import SwiftletGraph
import SwiftletLanguage
import SwiftletNetwork
import SwiftletTensor

/// The contents of a GGUF, ONNX or safetensors file.
public struct ModelInspection: Sendable, Codable {
    /// One pair of metadata. Long arrays keep their first elements only.
    public struct Metadata: Sendable, Codable {
        public let key: String
        /// The type as the format calls it, for example `u32` or `[string]`.
        public let type: String
        public let value: InspectedValue
    }

    public struct Tensor: Sendable, Codable {
        public let name: String
        /// Outermost dimension first.
        public let shape: [Int]
        public let format: String
        public let bytes: Int
        /// Where its bytes start in its file; nil when the file holds them in another layout.
        public let offset: Int?
    }

    /// All tensors of one format together.
    public struct FormatTotal: Sendable, Codable {
        public let format: String
        public let tensors: Int
        public let parameters: Int
        public let bytes: Int
    }

    /// What running the model costs, from its graph.
    public struct Cost: Sendable, Codable {
        /// Bytes of weights that the generation of one token reads.
        public let weightBytesPerToken: Int
        /// Bytes of keys and values that each token of context takes.
        public let cacheBytesPerToken: Int
    }

    /// What one run of a network costs, from its graph.
    public struct RunCost: Sendable, Codable {
        public let multiplyAccumulates: Int
        /// Bytes of inputs and results of all operations, each with memory of its own.
        public let activationBytes: Int
        /// Bytes of activations that a run holds at most, after fusion and planning.
        public let plannedActivationBytes: Int
        /// Depthwise convolutions in the network.
        public let depthwiseConvolutions: Int
        /// Multiply-accumulates and kernel parameters with plain convolutions in the place of depthwise-separable ones; nil without such.
        public let plainMultiplyAccumulates: Int?
        public let plainParameters: Int?
    }

    /// `gguf`, `onnx` or `safetensors`.
    public let format: String
    public let files: [String]
    /// `general.name`, where there is one.
    public let name: String?
    public let architecture: String?
    /// Numbers in all tensors.
    public let parameters: Int
    /// Bytes of all tensors.
    public let tensorBytes: Int
    public let formats: [FormatTotal]
    /// Nil when the file is no language model that this version runs.
    public let cost: Cost?
    /// Why there is no cost, neither of a language model nor of a network.
    public let costMissing: String?
    /// Nil when the file is no ONNX model.
    public let network: Network?
    /// What one run of an ONNX model costs. Nil when it is none, or when its shapes are open or depend on data.
    public let networkCost: RunCost?
    public let metadata: [Metadata]
    public let tensors: [Tensor]

    /// Opens a file and describes it; the format is told by its first bytes. `shapes`: of the inputs of an ONNX model whose sizes its file leaves
    /// open, by name; without them such a model has no `networkCost`. Throws `SwiftletError` when the file cannot be read or is malformed, or a shape does not suit.
    public init(path: String, shapes: [String: [Int]] = [:]) throws {
        switch try Self.kind(path) {
        case .gguf: try self.init(GGUFFile(path: path))
        case .onnx: try self.init(ONNXFile(path: path), shapes: shapes)
        case .safetensors: try self.init(SafetensorsFile(path: path))
        }
    }

    /// The graph of a GGUF language model as it runs, as text. Throws `SwiftletError.unsupported` for any other file.
    public static func graph(path: String, options: ModelOptions = ModelOptions()) throws -> String {
        guard try kind(path) == .gguf else {
            throw SwiftletError.unsupported(
                file: path, place: "graph", reason: "only GGUF files describe a graph", remedy: "Convert the model to GGUF.")
        }
        return try LanguageModel.graph(of: GGUFFile(path: path), options: options).summary()
    }

    private init(_ file: GGUFFile) throws {
        format = "gguf"
        files = file.parts
        name = try file.metadata.string("general.name")
        architecture = try file.metadata.string("general.architecture")
        metadata = file.metadata.entries.map { Metadata(key: $0.key, type: $0.value.typeName, value: InspectedValue($0.value)) }
        tensors = file.tensors.map {
            Tensor(name: $0.name, shape: $0.shape.dimensions, format: $0.format.description, bytes: $0.byteCount, offset: $0.fileOffset)
        }
        (parameters, tensorBytes, formats) = Self.totals(tensors)
        network = nil
        networkCost = nil
        do {
            cost = try Cost(LanguageModel.graph(of: file))
            costMissing = nil
        } catch let error as SwiftletError {
            // Files that are no language model are inspected too; the reason is reported, not lost.
            cost = nil
            costMissing = error.description
        }
    }

    private init(_ file: ONNXFile, shapes: [String: [Int]]) throws {
        format = "onnx"
        files = file.files.map(\.path)
        name = file.graph.name.isEmpty ? nil : file.graph.name
        architecture = nil
        metadata = file.metadata.map { Metadata(key: $0.key, type: "string", value: .string($0.value)) }
        tensors = Network.tensors(file)
        (parameters, tensorBytes, formats) = Self.totals(tensors)
        network = Network(file)
        cost = nil
        do {
            networkCost = try RunCost(NetworkCost(file, shapes: shapes))
            costMissing = nil
        } catch let error as SwiftletError where shapes.isEmpty {
            networkCost = nil
            costMissing = error.description
        }
    }

    private init(_ file: SafetensorsFile) throws {
        format = "safetensors"
        files = [file.path]
        name = nil
        architecture = nil
        metadata = file.metadata.map { Metadata(key: $0.key, type: "string", value: .string($0.value)) }
        tensors = file.tensors.map {
            Tensor(name: $0.name, shape: $0.shape.dimensions, format: $0.format.description, bytes: $0.byteCount, offset: $0.fileOffset)
        }
        (parameters, tensorBytes, formats) = Self.totals(tensors)
        network = nil
        networkCost = nil
        cost = nil
        costMissing = "safetensors files do not describe a graph"
    }

    private enum Kind { case gguf, onnx, safetensors }

    /// Told by the first bytes, which each format but ONNX fixes; a name that ends in `.onnx` is believed.
    private static func kind(_ path: String) throws -> Kind {
        let file = try MappedFile(path: path)
        if file.bytes.starts(with: Array("GGUF".utf8)) { return .gguf }
        return path.lowercased().hasSuffix(".onnx") || ONNXFile.recognises(file.bytes.prefix(16)) ? .onnx : .safetensors
    }

    private static func totals(_ tensors: [Tensor]) -> (parameters: Int, bytes: Int, formats: [FormatTotal]) {
        let groups = Dictionary(grouping: tensors, by: \.format)
        let totals = groups.map { format, tensors in
            FormatTotal(
                format: format, tensors: tensors.count, parameters: tensors.reduce(0) { $0 + $1.shape.reduce(1, *) },
                bytes: tensors.reduce(0) { $0 + $1.bytes })
        }
        return (
            totals.reduce(0) { $0 + $1.parameters }, totals.reduce(0) { $0 + $1.bytes },
            totals.sorted { ($0.bytes, $1.format) > ($1.bytes, $0.format) }
        )
    }
}

extension ModelInspection.RunCost {
    init(_ cost: NetworkCost) {
        multiplyAccumulates = cost.multiplyAccumulates
        activationBytes = cost.activationBytes
        plannedActivationBytes = cost.plannedBytes
        depthwiseConvolutions = cost.depthwise?.depthwiseConvolutions ?? 0
        plainMultiplyAccumulates = cost.depthwise?.plainMultiplyAccumulates
        plainParameters = cost.depthwise?.plainParameters
    }
}

extension ModelInspection.Cost {
    init(_ graph: Graph) throws {
        weightBytesPerToken = graph.weightBytesPerToken
        // A state grows with the context by the difference between one position and two.
        func stateBytes(context: Int) throws -> Int {
            try graph.states.reduce(0) { total, id in
                guard let state = graph[id].state else { return total }
                let shape = try state.shape.map { try $0.resolved(["slots": 1, "context": context]) }
                guard let row = shape.last, let rowBytes = state.format.rowBytes(elements: row) else { return total }
                return total + shape.dropLast().reduce(rowBytes, *)
            }
        }
        cacheBytesPerToken = try stateBytes(context: 2) - stateBytes(context: 1)
    }
}
