// A GGUF model, opened: metadata and tensors whose bytes stay in the mapped file.
import SwiftletTensor

/// One tensor of a GGUF file.
public struct GGUFTensor: Sendable {
    public let name: String
    /// Row-major, outermost dimension first: the reverse of the file's order.
    public let shape: Shape
    public let format: WeightFormat
    /// The bytes, in the mapped file.
    public let store: WeightStore
    /// Where the bytes start in their file (for a split model: in their part).
    public let fileOffset: Int
    public let byteCount: Int

    /// All elements as f32, row after row. For small tensors and tests; backends read the store.
    package func dequantized() throws -> [Float] {
        try store.withBytes { try format.dequantizeRow($0, elements: shape.elementCount) }
    }
}

/// A GGUF model of one file or of several parts.
public struct GGUFFile: Sendable {
    /// Bytes before the metadata: magic, version and two counts.
    static let headerBytes = 24

    /// The file that was opened.
    public let path: String
    /// Every file of the model, in order of its parts; one for a model that is not split.
    public let parts: [String]
    /// The version of the format: 2 or 3.
    public let version: Int
    /// `general.alignment`, in bytes: where tensors may start (of the first part).
    public let alignment: Int
    /// The pairs of the first part.
    public let metadata: GGUFMetadata
    /// The tensors of all parts in file order.
    public let tensors: [GGUFTensor]
    /// The files of the parts in order; none for a model in memory.
    package let files: [MappedFile]
    private let indices: [String: Int]

    /// Opens a model. For one part of a split model (`-00001-of-0000N.gguf`) all parts beside it are opened.
    ///
    /// Nothing is read but the metadata and the tensor directory; tensor bytes stay in the mapped file.
    /// Throws `SwiftletError.io` when a file cannot be opened, `.malformed` with a byte offset when its bytes are wrong,
    /// and `.unsupported` when a tensor has a type this version does not read.
    public init(path: String) throws {
        let first = try GGUFParser.parse(FileImage(path: path))
        try self.init(path: path, contents: first)
    }

    /// Reads a model that is in memory; the bytes are copied. `name` stands for the path in errors.
    package init(bytes: some Collection<UInt8>, name: String) throws {
        let image = FileImage(copying: bytes, name: name)
        try self.init(path: name, contents: GGUFParser.parse(image))
    }

    private init(path: String, contents: GGUFParser.Contents) throws {
        let parts = try GGUFSplit.parts(path: path, opened: contents)
        let first = parts.first?.contents ?? contents
        self.path = path
        self.parts = parts.map(\.path)
        version = first.version
        alignment = first.alignment
        metadata = first.metadata
        tensors = parts.flatMap(\.contents.tensors)
        files = (parts.isEmpty ? [first] : parts.map(\.contents)).compactMap(\.file)
        var indices: [String: Int] = [:]
        for (index, tensor) in tensors.enumerated() {
            guard indices.updateValue(index, forKey: tensor.name) == nil else {
                throw SwiftletError.malformed(
                    file: path, offset: tensor.fileOffset, reason: "the tensor '\(tensor.name)' is in two parts of the split model",
                    remedy: "Download all parts again, from one place.")
            }
        }
        self.indices = indices
    }

    /// Lets the system drop the mapped pages that reading has brought in. Whatever is read again comes back from the file.
    package func releasePages() {
        for file in files { file.release(0..<file.bytes.count) }
    }

    /// The value of a metadata key, or nil.
    public subscript(key: String) -> GGUFValue? { metadata[key] }

    /// The tensor of that name, or nil.
    public func tensor(named name: String) -> GGUFTensor? { indices[name].map { tensors[$0] } }

    /// The tensor of that name; throws `SwiftletError.malformed` naming it when the file has none.
    public func requiredTensor(named name: String) throws -> GGUFTensor {
        if let tensor = tensor(named: name) { return tensor }
        throw SwiftletError.malformed(
            file: path, offset: Self.headerBytes, reason: "the file has no tensor '\(name)'",
            remedy: "Check that the download is complete, or convert the model again.")
    }
}
