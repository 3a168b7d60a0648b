// safetensors, read: u64 header length | JSON header | data. Source: github.com/huggingface/safetensors, README "Format".
// As the format demands, the tensors must tile the data section: no hole, no overlap, nothing behind them.
import SwiftletTensor

/// One tensor of a safetensors file.
public struct SafetensorsTensor: Sendable {
    public let name: String
    /// Row-major, outermost dimension first.
    public let shape: Shape
    public let type: DType
    /// The bytes, in the mapped file; a copy when the file places them at an address that does not suit their type.
    public let store: WeightStore
    public let fileOffset: Int
    public let byteCount: Int

    public var format: WeightFormat { .dense(type) }

    /// All elements as f32, row after row. For small tensors and tests; backends read the store.
    package func dequantized() throws -> [Float] {
        try store.withBytes { try format.dequantizeRow($0, elements: shape.elementCount) }
    }
}

/// A safetensors file: metadata and tensors whose bytes stay in the mapped file.
public struct SafetensorsFile: Sendable {
    public let path: String
    /// The texts of `__metadata__`, in file order.
    public let metadata: [(key: String, value: String)]
    /// In the order of the header.
    public let tensors: [SafetensorsTensor]
    private let indices: [String: Int]

    /// The format's own limit.
    private static let maximumHeaderBytes = 100_000_000

    /// Opens a file. Throws `SwiftletError.io` when it cannot be opened, `.malformed` with a byte offset when its bytes are wrong,
    /// and `.unsupported` when a tensor has a type this version does not read.
    public init(path: String) throws {
        try self.init(FileImage(path: path))
    }

    /// Reads a file that is in memory; the bytes are copied. `name` stands for the path in errors.
    package init(bytes: some Collection<UInt8>, name: String) throws {
        try self.init(FileImage(copying: bytes, name: name))
    }

    private init(_ image: FileImage) throws {
        path = image.name
        let (metadata, tensors) = try withExtendedLifetime(image) { try Self.read(image) }
        self.metadata = metadata
        self.tensors = tensors
        indices = Dictionary(uniqueKeysWithValues: tensors.indices.map { (tensors[$0].name, $0) })  // the header has no name twice
    }

    /// The tensor of that name, or nil.
    public func tensor(named name: String) -> SafetensorsTensor? { indices[name].map { tensors[$0] } }

    /// The tensor of that name; throws `SwiftletError.malformed` naming it when the file has none.
    public func requiredTensor(named name: String) throws -> SafetensorsTensor {
        if let tensor = tensor(named: name) { return tensor }
        throw SwiftletError.malformed(
            file: path, offset: 8, reason: "the file has no tensor '\(name)'",
            remedy: "Check that this is the right file, or export it again.")
    }

    private static func read(_ image: FileImage) throws -> ([(key: String, value: String)], [SafetensorsTensor]) {
        var cursor = ByteCursor(image)
        let length = try cursor.readCount(minimumBytes: 1, "the header length")
        guard length <= maximumHeaderBytes else {
            throw cursor.malformed(at: 0, "the header has \(length) bytes; the limit is \(maximumHeaderBytes)")
        }
        let range = try cursor.take(length, "the header")
        let header = try SafetensorsHeader(image, range: range)
        try checkTiling(header.entries, dataStart: range.upperBound, cursor)
        let tensors = try header.entries.map { try tensor($0, image, dataStart: range.upperBound, cursor) }
        return (header.metadata, tensors)
    }

    private static func checkTiling(_ entries: [SafetensorsHeader.Entry], dataStart: Int, _ cursor: ByteCursor) throws {
        let dataBytes = cursor.remaining
        var expected = 0
        for entry in entries.sorted(by: { ($0.begin, $0.end) < ($1.begin, $1.end) }) {
            guard entry.begin == expected else {
                let problem = entry.begin < expected ? "overlaps the tensor before it" : "leaves a hole before it"
                throw cursor.malformed(
                    at: entry.offset, "tensor '\(entry.name)' \(problem): it starts at data offset \(entry.begin), expected \(expected)")
            }
            guard entry.end <= dataBytes else {
                throw cursor.malformed(
                    at: entry.offset, "tensor '\(entry.name)' ends at data offset \(entry.end); the file has \(dataBytes) bytes of data")
            }
            expected = entry.end
        }
        guard expected == dataBytes else {
            throw cursor.malformed(at: dataStart + expected, "\(dataBytes - expected) bytes after the last tensor belong to none")
        }
    }

    private static func tensor(
        _ entry: SafetensorsHeader.Entry, _ image: FileImage, dataStart: Int, _ cursor: ByteCursor
    ) throws -> SafetensorsTensor {
        guard let type = DType(safetensorsName: entry.dtype) else {
            throw SwiftletError.unsupported(
                file: image.name, place: "tensor '\(entry.name)' (byte \(entry.offset))", reason: "the dtype '\(entry.dtype)' is unknown",
                remedy: "Export the model as F32, F16 or BF16.")
        }
        let shape = Shape(entry.shape), byteCount = entry.end - entry.begin
        guard let elements = shape.checkedElementCount, WeightFormat.dense(type).rowBytes(elements: elements) == byteCount else {
            throw cursor.malformed(at: entry.offset, "tensor '\(entry.name)' \(shape) of \(entry.dtype) does not take \(byteCount) bytes")
        }
        let fileOffset = dataStart + entry.begin
        let bytes = UnsafeRawBufferPointer(rebasing: image.bytes[fileOffset..<fileOffset + byteCount])
        let isAligned = Int(bitPattern: bytes.baseAddress) % type.byteCount == 0
        let store =
            isAligned
            ? image.store(fileOffset..<fileOffset + byteCount) : try WeightStore(byteCount: byteCount) { $0.copyMemory(from: bytes) }
        return SafetensorsTensor(name: entry.name, shape: shape, type: type, store: store, fileOffset: fileOffset, byteCount: byteCount)
    }
}

extension DType {
    /// The type behind a dtype of a safetensors header, or nil when this version does not read it.
    init?(safetensorsName name: String) {
        guard let type = DType.allCases.first(where: { $0.safetensorsName == name }) else { return nil }
        self = type
    }

    /// The dtype of a safetensors header.
    var safetensorsName: String { rawValue.uppercased() }
}
