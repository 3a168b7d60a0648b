// Writes GGUF version 3: the layout is that of GGUFParser.swift. The bytes equal those of the `gguf` Python package for the same content.
import SwiftletTensor

/// Collects metadata and tensors, then writes one file or a split model.
///
/// Tensor bytes are not copied before they are written: a tensor is a store (often the mapped pages of another model) or a closure that
/// produces its bytes when their turn comes, so a converted model larger than memory can be written.
public struct GGUFWriter {
    /// Fills exactly the bytes of a tensor.
    public typealias Producer = (UnsafeMutableRawBufferPointer) throws -> Void

    private enum Source {
        case store(WeightStore)
        case producer(Producer)
    }

    private struct Tensor {
        let name: String
        let shape: Shape
        let format: WeightFormat
        let type: UInt32
        let byteCount: Int
        let source: Source
    }

    private static let alignmentKey = "general.alignment"
    private static let defaultAlignment = 32

    private var pairs: [(key: String, value: GGUFValue)] = []
    private var tensors: [Tensor] = []
    private var names: Set<String> = []

    public init() {}

    /// Starts from the pairs of another model, in their order, less those that describe how it was split.
    public init(copying metadata: GGUFMetadata) {
        pairs = metadata.entries.filter { !GGUFSplit.keys.contains($0.key) }.map { ($0.key, $0.value) }
    }

    /// Sets a pair: in place when the key is there, at the end when it is new. `general.alignment` (u32) also sets where tensors start.
    public mutating func set(_ key: String, _ value: GGUFValue) {
        if let index = pairs.firstIndex(where: { $0.key == key }) {
            pairs[index].value = value
        } else {
            pairs.append((key, value))
        }
    }

    /// Removes a pair, if it is there.
    public mutating func remove(_ key: String) { pairs.removeAll { $0.key == key } }

    /// Adds a tensor whose bytes exist.
    ///
    /// - Parameter shape: row-major, outermost dimension first.
    /// - Throws: `SwiftletError.invalidArgument` when the name is taken, the shape does not suit the format or the bytes do not suit both.
    public mutating func add(name: String, shape: Shape, format: WeightFormat, store: WeightStore) throws {
        let (type, byteCount) = try check(name, shape, format)
        guard byteCount == store.byteCount else {
            throw SwiftletError.invalidArgument(
                name: "store", reason: "tensor '\(name)' \(shape) of \(format) takes \(byteCount) bytes, but \(store.byteCount) were given",
                remedy: "Pass the bytes of the whole tensor.")
        }
        append(Tensor(name: name, shape: shape, format: format, type: type, byteCount: byteCount, source: .store(store)))
    }

    /// Adds a tensor whose bytes `producer` fills in when they are written, one tensor at a time.
    ///
    /// - Throws: `SwiftletError.invalidArgument` when the name is taken or the shape does not suit the format.
    public mutating func add(name: String, shape: Shape, format: WeightFormat, producer: @escaping Producer) throws {
        let (type, byteCount) = try check(name, shape, format)
        append(Tensor(name: name, shape: shape, format: format, type: type, byteCount: byteCount, source: .producer(producer)))
    }

    private mutating func append(_ tensor: Tensor) {
        tensors.append(tensor)
        names.insert(tensor.name)
    }

    /// The type number and the bytes of a tensor that may be added.
    private func check(_ name: String, _ shape: Shape, _ format: WeightFormat) throws -> (type: UInt32, byteCount: Int) {
        func invalid(_ reason: String, _ remedy: String) -> SwiftletError {
            .invalidArgument(name: "tensor '\(name)'", reason: reason, remedy: remedy)
        }
        guard let type = format.ggufType else { throw invalid("GGUF has no type for \(format)", "Convert it to a signed or a float type.") }
        guard shape.rank <= 4 else { throw invalid("\(shape) has more than four dimensions", "Merge some of them.") }
        let rows = Shape(Array(shape.dimensions.dropLast()))
        guard let rowBytes = format.rowBytes(elements: shape.dimensions.last ?? 1), let rowCount = rows.checkedElementCount,
            shape.checkedElementCount != nil, case let (byteCount, overflow) = rowBytes.multipliedReportingOverflow(by: rowCount), !overflow
        else { throw invalid("the shape \(shape) does not fit \(format)", "Rows must be whole blocks.") }
        guard !names.contains(name) else { throw invalid("the name is taken", "Give each tensor its own name.") }
        return (type, byteCount)
    }
}

// MARK: - Writing

extension GGUFWriter {
    /// Writes one file; it appears under its name only when it is complete.
    ///
    /// Throws `SwiftletError.io`, `.invalidArgument` for metadata that no reader would take, and whatever a producer throws.
    public func write(to path: String) throws {
        try write(tensors, pairs, to: path)
    }

    /// Writes a split model of at most `tensorsPerPart` tensors a file: `model.gguf` becomes `model-00001-of-0000N.gguf` and so on.
    /// All metadata is in the first part. A model that fits one part is written to `path` itself.
    ///
    /// - Returns: the files written, in order.
    public func write(to path: String, tensorsPerPart: Int) throws -> [String] {
        guard tensorsPerPart > 0 else {
            throw SwiftletError.invalidArgument(
                name: "tensorsPerPart", reason: "\(tensorsPerPart) is not positive", remedy: "Pass at least 1.")
        }
        guard tensors.count > tensorsPerPart else {
            try write(to: path)
            return [path]
        }
        let count = (tensors.count - 1) / tensorsPerPart + 1
        guard let count16 = UInt16(exactly: count), let total = Int32(exactly: tensors.count) else {
            throw SwiftletError.invalidArgument(
                name: "tensorsPerPart", reason: "\(count) parts are more than the format counts", remedy: "Put more tensors into a part.")
        }
        let prefix = path.hasSuffix(".gguf") ? String(path.dropLast(5)) : path
        return try (0..<count).map { part in
            let shared = pairs.filter { part == 0 || $0.key == Self.alignmentKey }
            let split: [(String, GGUFValue)] = [
                (GGUFSplit.numberKey, .uint16(UInt16(part))), (GGUFSplit.countKey, .uint16(count16)),
                (GGUFSplit.tensorCountKey, .int32(total)),
            ]
            let name = GGUFSplit.path(prefix: prefix, number: part, count: count)
            let range = part * tensorsPerPart..<min((part + 1) * tensorsPerPart, tensors.count)
            try write(Array(tensors[range]), shared + split, to: name)
            return name
        }
    }

    private func write(_ tensors: [Tensor], _ pairs: [(key: String, value: GGUFValue)], to path: String) throws {
        let alignment = try alignment()
        var header = LittleEndianBytes()
        header.append(UInt32(0x4655_4747))
        header.append(UInt32(3))
        header.append(UInt64(tensors.count))
        header.append(UInt64(pairs.count))
        for pair in pairs {
            guard pair.key.utf8.count <= 65_535 else {
                throw SwiftletError.invalidArgument(
                    name: "key", reason: "a metadata key is longer than 65,535 bytes", remedy: "Shorten it.")
            }
            header.append(pair.key)
            try header.append(pair.value, key: pair.key)
        }
        var offset = 0
        for tensor in tensors {
            header.append(tensor.name)
            header.append(UInt32(tensor.shape.rank))
            for dimension in tensor.shape.dimensions.reversed() { header.append(UInt64(dimension)) }
            header.append(tensor.type)
            header.append(UInt64(offset))
            let (end, overflow) = offset.addingReportingOverflow(tensor.byteCount)
            guard !overflow, end < Int.max - alignment else {
                throw SwiftletError.invalidArgument(
                    name: "tensors", reason: "they take more bytes than a file can have", remedy: "Split the model.")
            }
            offset = (end + alignment - 1) / alignment * alignment
        }
        let file = try OutputFile(path: path)
        try file.write(header.bytes)
        try file.pad(to: alignment)
        for tensor in tensors {
            switch tensor.source {
            case .store(let store): try store.withBytes { try file.write($0) }
            case .producer(let producer): try WeightStore(byteCount: tensor.byteCount, fill: producer).withBytes { try file.write($0) }
            }
            try file.pad(to: alignment)
        }
        try file.commit()
    }

    private func alignment() throws -> Int {
        guard let pair = pairs.first(where: { $0.key == Self.alignmentKey }) else { return Self.defaultAlignment }
        guard case .uint32(let value) = pair.value, value >= 8, value <= 1 << 20, value & (value - 1) == 0 else {
            throw SwiftletError.invalidArgument(
                name: Self.alignmentKey, reason: "it must be a u32, a power of two between 8 and 1,048,576",
                remedy: "Use 32, the usual value.")
        }
        return Int(value)
    }
}

/// A growing run of little-endian values.
private struct LittleEndianBytes {
    private(set) var bytes: [UInt8] = []

    mutating func append<Value: FixedWidthInteger>(_ value: Value) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func append(_ text: String) {
        append(UInt64(text.utf8.count))
        bytes.append(contentsOf: text.utf8)
    }

    private mutating func append<Value: BitwiseCopyable>(_ values: [Value], _ type: GGUFValueType) {
        append(type.rawValue)
        append(UInt64(values.count))
        values.withUnsafeBytes { bytes.append(contentsOf: $0) }
    }

    mutating func append(_ value: GGUFValue, key: String) throws {
        switch value {
        case .uint8(let number): append(.uint8, number)
        case .int8(let number): append(.int8, number)
        case .uint16(let number): append(.uint16, number)
        case .int16(let number): append(.int16, number)
        case .uint32(let number): append(.uint32, number)
        case .int32(let number): append(.int32, number)
        case .uint64(let number): append(.uint64, number)
        case .int64(let number): append(.int64, number)
        case .float32(let number): append(.float32, number.bitPattern)
        case .float64(let number): append(.float64, number.bitPattern)
        case .bool(let truth): append(.bool, UInt8(truth ? 1 : 0))
        case .string(let text):
            append(GGUFValueType.string.rawValue)
            append(text)
        case .array(let array):
            append(GGUFValueType.array.rawValue)
            try append(array, key: key, depth: 1)
        }
    }

    private mutating func append<Value: FixedWidthInteger>(_ type: GGUFValueType, _ value: Value) {
        append(type.rawValue)
        append(value)
    }

    private mutating func append(_ array: GGUFArray, key: String, depth: Int) throws {
        guard depth <= GGUFParser.maximumArrayDepth else {
            throw SwiftletError.invalidArgument(
                name: key, reason: "its arrays are nested more than \(GGUFParser.maximumArrayDepth) deep", remedy: "Flatten the value.")
        }
        switch array {
        case .uint8(let values): append(values, .uint8)
        case .int8(let values): append(values, .int8)
        case .uint16(let values): append(values, .uint16)
        case .int16(let values): append(values, .int16)
        case .uint32(let values): append(values, .uint32)
        case .int32(let values): append(values, .int32)
        case .uint64(let values): append(values, .uint64)
        case .int64(let values): append(values, .int64)
        case .float32(let values): append(values, .float32)
        case .float64(let values): append(values, .float64)
        case .bool(let values): append(values.map { UInt8($0 ? 1 : 0) }, .bool)
        case .string(let strings):
            append(GGUFValueType.string.rawValue)
            append(UInt64(strings.count))
            withExtendedLifetime(strings) { bytes.append(contentsOf: strings.encodedBytes) }
        case .array(let arrays):
            append(GGUFValueType.array.rawValue)
            append(UInt64(arrays.count))
            for inner in arrays { try append(inner, key: key, depth: depth + 1) }
        }
    }
}
