// An ONNX model, opened: its graph as plain Swift values, checked, and its tensors in the mapped file.
//
// On the way:  ONNXSkeleton    the message without the bytes of tensors, the tensors' places instead
//              swift-protobuf  decodes it (Generated/)
//              ONNXReader      messages to values; ONNXTensorReader, ONNXExternalFiles: the tensors
//              ONNXGraphCheck  names, scopes, order
// No type of swift-protobuf leaves this folder. Source of the format: docs/IR.md and onnx-ml.proto of github.com/onnx/onnx.
import SwiftletTensor

/// An ONNX model: a file, and the external data files beside it.
public struct ONNXFile: Sendable {
    /// The domain of ONNX's own operators; files may also leave it empty.
    public static let standardDomain = "ai.onnx"
    /// Versions of the standard operator set this version reads.
    public static let standardVersions = 7...28
    /// Versions of the intermediate representation this version reads: from the one opset 7 came with to the newest published.
    public static let irVersions = 3...14

    public let path: String
    public let irVersion: Int
    /// The program that wrote the model; empty when it does not say.
    public let producerName: String
    public let producerVersion: String
    public let domain: String
    public let modelVersion: Int
    /// The versions of the operator sets the graph uses, by domain.
    public let operatorSets: [String: Int]
    /// In the order of the file.
    public let metadata: [(key: String, value: String)]
    public let graph: ONNXGraph
    public let functions: [ONNXFunction]
    /// Every mapped file: the model, then its external data. None for a model in memory.
    package let files: [MappedFile]

    /// Opens a model. Tensor bytes stay in the mapped files.
    ///
    /// Throws `SwiftletError.io` when a file cannot be opened, `.malformed` with a byte offset when its bytes are no ONNX messages,
    /// `.invalidGraph` with the node or value that breaks a rule, and `.unsupported` for what this version does not read.
    public init(path: String) throws {
        try self.init(FileImage(path: path))
    }

    /// Reads a model that is in memory; the bytes are copied. `name` stands for the path in errors. External data is an error.
    package init(bytes: some Collection<UInt8>, name: String) throws {
        try self.init(FileImage(copying: bytes, name: name))
    }

    private init(_ image: FileImage) throws {
        let message = try withExtendedLifetime(image) { try ONNXReader.message(image) }
        path = image.name
        irVersion = try Self.irVersion(message, file: path)
        producerName = message.producerName
        producerVersion = message.producerVersion
        domain = message.domain
        modelVersion = Int(message.modelVersion)
        metadata = message.metadataProps.map { ($0.key, $0.value) }
        operatorSets = try Self.operatorSets(message.opsetImport, file: path)
        guard message.hasGraph else {
            throw SwiftletError.malformed(
                file: path, offset: 0, reason: "the model has no graph", remedy: "Check that this is an ONNX file and that it is whole.")
        }
        guard !operatorSets.isEmpty else {
            throw SwiftletError.malformed(
                file: path, offset: 0, reason: "the model imports no operator set",
                remedy: "Check that the file is whole, or export the model again.")
        }

        var reader = ONNXReader(image)
        var graph = try reader.graph(message.graph, owner: "graph '\(message.graph.name)'")
        try ONNXGraphCheck(file: path, operatorSets: operatorSets).check(&graph)
        try Self.checkInterface(graph, file: path)
        self.graph = graph

        var functions: [ONNXFunction] = []
        for message in message.functions {
            var function = try reader.function(message)
            try ONNXGraphCheck(file: path, operatorSets: function.operatorSets).check(&function.body)
            functions.append(function)
        }
        try ONNXFunctionCheck(file: path).check(functions, main: graph)
        self.functions = functions
        files = (image.mapping.map { [$0] } ?? []) + reader.externalFiles
    }

    /// Lets the system drop the mapped pages that reading has brought in. Whatever is read again comes back from the file.
    package func releasePages() {
        for file in files { file.release(0..<file.bytes.count) }
    }

    /// Whether a file that starts with these bytes may be an ONNX model: it starts with the number of its intermediate representation, as
    /// the models of all common writers do. At least 16 bytes, unless the file is shorter.
    package static func recognises(_ start: some Collection<UInt8>) -> Bool {
        let start = Array(start.prefix(16))
        // Field 1, varint. A safetensors file can start so too, but has the brace of its header behind the length.
        return start.count > 2 && start[0] == 0x08 && (1...0x7F).contains(start[1])
            && !(start.count > 8 && start[8] == UInt8(ascii: "{") && start[7] == 0)
    }

    // MARK: - Versions

    private static func irVersion(_ message: Onnx_ModelProto, file: String) throws -> Int {
        guard message.hasIrVersion else {
            throw SwiftletError.malformed(
                file: file, offset: 0, reason: "the model has no version of the intermediate representation",
                remedy: "Check that this is an ONNX file and that it is whole.")
        }
        guard let version = Int(exactly: message.irVersion), irVersions.contains(version) else {
            throw SwiftletError.unsupported(
                file: file, place: "ir_version",
                reason:
                    "version \(message.irVersion) of the intermediate representation is not \(irVersions.lowerBound) to \(irVersions.upperBound)",
                remedy: "Convert the model with onnx.version_converter, or export it again with another version of onnx.")
        }
        return version
    }

    /// The domain of an operator as the model's values have it: the empty one is the standard one.
    static func domain(_ name: String) -> String { name.isEmpty ? standardDomain : name }

    /// The imported operator sets by domain. Throws `.unsupported` for a standard set that is too old or too new.
    static func operatorSets(_ imports: [Onnx_OperatorSetIdProto], file: String) throws -> [String: Int] {
        var versions: [String: Int] = [:]
        for entry in imports {
            let domain = domain(entry.domain), version = Int(entry.version)
            guard versions.updateValue(version, forKey: domain).map({ $0 == version }) ?? true else {
                throw SwiftletError.invalidGraph(
                    node: domain, reason: "the operator set is imported in two versions, in \(file)", remedy: ONNXTensorReader.remedy)
            }
            guard domain != standardDomain || standardVersions.contains(version) else {
                throw SwiftletError.unsupported(
                    file: file, place: "opset_import",
                    reason:
                        "version \(version) of the operator set \(domain) is not \(standardVersions.lowerBound) to \(standardVersions.upperBound)",
                    remedy: "Convert the model with onnx.version_converter, or export it for an operator set in between.")
            }
        }
        return versions
    }

    // MARK: - The main graph

    /// What a caller sees has names of its own, and inputs have types.
    private static func checkInterface(_ graph: ONNXGraph, file: String) throws {
        for input in graph.inputs where input.type == nil {
            throw SwiftletError.invalidGraph(
                node: input.name, reason: "the graph input has no type, in \(file)", remedy: ONNXTensorReader.remedy)
        }
        guard !graph.outputs.isEmpty else {
            throw SwiftletError.invalidGraph(
                node: "graph '\(graph.name)'", reason: "the graph has no outputs, in \(file)", remedy: ONNXTensorReader.remedy)
        }
        var names: Set<String> = []
        for output in graph.outputs where !names.insert(output.name).inserted {
            throw SwiftletError.invalidGraph(
                node: output.name, reason: "two graph outputs have this name, in \(file)", remedy: ONNXTensorReader.remedy)
        }
    }
}
