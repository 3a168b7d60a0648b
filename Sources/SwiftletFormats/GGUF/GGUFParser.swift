// Reads one GGUF file (a whole model or one part of a split one).
//
// Layout, little-endian, versions 2 and 3:
//   magic "GGUF" | version u32 | tensor count u64 | pair count u64
//   pairs:   key (u64 length, UTF-8) | value type u32 | value
//   tensors: name (u64 length, UTF-8) | rank u32 | dimensions u64 each, innermost first | type u32 | offset u64 into the data
//   padding to `general.alignment` | data: tensors end to end, each padded to the alignment
// Source: github.com/ggml-org/ggml, docs/gguf.md.
//
// Nothing here trusts the file: each count is held against the bytes left before it is used, each product is checked for overflow,
// and the tensors must tile the data section exactly, so a wrong shape or type cannot go unnoticed.
import SwiftletTensor

struct GGUFParser {
    /// What one file holds.
    struct Contents {
        let version: Int
        let alignment: Int
        let metadata: GGUFMetadata
        let tensors: [GGUFTensor]
        /// The file all this was read from, nil for bytes in memory.
        let file: MappedFile?
    }

    /// ggml's own limit: no tensor has more dimensions.
    private static let maximumRank = 4
    /// Arrays within arrays: real files have none; the limit keeps a hostile one from exhausting the stack.
    static let maximumArrayDepth = 4
    private static let maximumKeyBytes = 65_535
    private static let defaultAlignment = 32

    private let image: FileImage
    private var cursor: ByteCursor

    static func parse(_ image: FileImage) throws -> Contents {
        try withExtendedLifetime(image) {
            var parser = GGUFParser(image: image, cursor: ByteCursor(image))
            return try parser.contents()
        }
    }

    private mutating func contents() throws -> Contents {
        let version = try header()
        let tensorCount = try cursor.readCount(minimumBytes: 24, "the tensor count")
        let pairCount = try cursor.readCount(minimumBytes: 13, "the metadata count")
        let metadata = try pairs(count: pairCount)
        let alignment = try alignment(metadata)
        let infos = try tensorInfos(count: tensorCount, alignment: alignment)
        return Contents(version: version, alignment: alignment, metadata: metadata, tensors: try place(infos, alignment: alignment), file: image.mapping)
    }

    private mutating func header() throws -> Int {
        let magic = try cursor.read(UInt32.self, "the magic number")
        guard magic == 0x4655_4747 else {
            throw SwiftletError.malformed(
                file: image.name, offset: 0, reason: "this is not a GGUF file: it does not start with 'GGUF'",
                remedy: "Name a .gguf file, or convert the model to GGUF.")
        }
        let version = try cursor.read(UInt32.self, "the version")
        switch version {
        case 2, 3: return Int(version)
        case _ where version & 0xffff == 0 && version != 0:
            throw SwiftletError.unsupported(
                file: image.name, place: "version", reason: "the file is big-endian",
                remedy: "Convert it with gguf-convert-endian, or download the little-endian file.")
        default:
            throw SwiftletError.malformed(
                file: image.name, offset: 4, reason: "GGUF version \(version) is not 2 or 3",
                remedy: "Convert the model again with a current converter.")
        }
    }
}

// MARK: - Metadata

extension GGUFParser {
    private mutating func pairs(count: Int) throws -> GGUFMetadata {
        var metadata = GGUFMetadata(file: image.name)
        for index in 0..<count {
            let start = cursor.offset
            let key = try cursor.readString("metadata key \(index)")
            guard key.utf8.count <= Self.maximumKeyBytes else {
                throw cursor.malformed(at: start, "metadata key \(index) has \(key.utf8.count) bytes; the limit is \(Self.maximumKeyBytes)")
            }
            let type = try valueType(key)
            let value = try value(type, key)
            guard metadata.append(.init(key: key, value: value, offset: start)) else {
                throw cursor.malformed(at: start, "the metadata key '\(key)' appears twice")
            }
        }
        return metadata
    }

    private mutating func valueType(_ key: String) throws -> GGUFValueType {
        let start = cursor.offset
        let number = try cursor.read(UInt32.self, "the type of '\(key)'")
        guard let type = GGUFValueType(rawValue: number) else {
            throw cursor.malformed(at: start, "the metadata key '\(key)' has the unknown value type \(number)")
        }
        return type
    }

    private mutating func value(_ type: GGUFValueType, _ key: String) throws -> GGUFValue {
        switch type {
        case .uint8: .uint8(try cursor.read(UInt8.self, "'\(key)'"))
        case .int8: .int8(try cursor.read(Int8.self, "'\(key)'"))
        case .uint16: .uint16(try cursor.read(UInt16.self, "'\(key)'"))
        case .int16: .int16(try cursor.read(Int16.self, "'\(key)'"))
        case .uint32: .uint32(try cursor.read(UInt32.self, "'\(key)'"))
        case .int32: .int32(try cursor.read(Int32.self, "'\(key)'"))
        case .uint64: .uint64(try cursor.read(UInt64.self, "'\(key)'"))
        case .int64: .int64(try cursor.read(Int64.self, "'\(key)'"))
        case .float32: .float32(Float(bitPattern: try cursor.read(UInt32.self, "'\(key)'")))
        case .float64: .float64(Double(bitPattern: try cursor.read(UInt64.self, "'\(key)'")))
        case .bool: .bool(try boolean(key))
        case .string: .string(try cursor.readString("the value of '\(key)'"))
        case .array: .array(try array(key, depth: 1))
        }
    }

    private mutating func boolean(_ key: String) throws -> Bool {
        let start = cursor.offset
        let byte = try cursor.read(UInt8.self, "'\(key)'")
        guard byte <= 1 else { throw cursor.malformed(at: start, "the boolean '\(key)' is \(byte), not 0 or 1") }
        return byte == 1
    }

    private mutating func array(_ key: String, depth: Int) throws -> GGUFArray {
        guard depth <= Self.maximumArrayDepth else {
            throw cursor.malformed(at: cursor.offset, "the arrays of '\(key)' are nested more than \(Self.maximumArrayDepth) deep")
        }
        let type = try valueType(key)
        // An array inside an array takes at least its type and count; a string at least its length.
        let minimumBytes = type.byteCount ?? (type == .array ? 12 : 8)
        let count = try cursor.readCount(minimumBytes: minimumBytes, "the length of '\(key)'")
        let what = "the array '\(key)'"
        switch type {
        case .uint8: return .uint8(try cursor.readArray(UInt8.self, count: count, what))
        case .int8: return .int8(try cursor.readArray(Int8.self, count: count, what))
        case .uint16: return .uint16(try cursor.readArray(UInt16.self, count: count, what))
        case .int16: return .int16(try cursor.readArray(Int16.self, count: count, what))
        case .uint32: return .uint32(try cursor.readArray(UInt32.self, count: count, what))
        case .int32: return .int32(try cursor.readArray(Int32.self, count: count, what))
        case .uint64: return .uint64(try cursor.readArray(UInt64.self, count: count, what))
        case .int64: return .int64(try cursor.readArray(Int64.self, count: count, what))
        case .float32: return .float32(try cursor.readArray(Float.self, count: count, what))
        case .float64: return .float64(try cursor.readArray(Double.self, count: count, what))
        case .bool:
            var values: [Bool] = []
            for _ in 0..<count { values.append(try boolean(key)) }
            return .bool(values)
        case .string: return .string(try strings(count: count, what))
        case .array:
            var values: [GGUFArray] = []
            for _ in 0..<count { values.append(try array(key, depth: depth + 1)) }
            return .array(values)
        }
    }

    /// Only walks over the length prefixes: 8 bytes are kept for a string, none is decoded. Kept apart from the cursor's general reads,
    /// because half a million strings pass here when a model opens.
    private mutating func strings(count: Int, _ what: String) throws -> GGUFStrings {
        let bytes = cursor.bytes, first = cursor.offset
        var starts: [Int] = []
        starts.reserveCapacity(count + 1)
        var offset = first
        for index in 0..<count {
            starts.append(offset)
            guard bytes.count - offset >= 8 else { throw cursor.malformed(at: offset, "the file ends inside \(what), at string \(index)") }
            let length = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            offset += 8
            guard length <= UInt64(bytes.count - offset) else {
                throw cursor.malformed(
                    at: offset - 8, "the length of string \(index) of \(what) is \(length); the file has \(bytes.count - offset) bytes more"
                )
            }
            offset += Int(length)
        }
        starts.append(offset)
        _ = try cursor.take(offset - first, what)
        return GGUFStrings(image: image, starts: starts)
    }

    private func alignment(_ metadata: GGUFMetadata) throws -> Int {
        guard let entry = metadata.entries.first(where: { $0.key == "general.alignment" }) else { return Self.defaultAlignment }
        guard case .uint32(let value) = entry.value, value >= 8, value & (value - 1) == 0 else {
            throw cursor.malformed(at: entry.offset, "'general.alignment' must be a u32, a power of two and at least 8")
        }
        return Int(value)
    }
}

// MARK: - Tensors

extension GGUFParser {
    /// A tensor as its directory entry describes it; `offset` counts from the start of the data section.
    private struct TensorInfo {
        let name: String
        let shape: Shape
        let format: WeightFormat
        let offset: Int
        let byteCount: Int
        let entryOffset: Int
    }

    private mutating func tensorInfos(count: Int, alignment: Int) throws -> [TensorInfo] {
        var infos: [TensorInfo] = []
        var names: Set<String> = []
        for index in 0..<count {
            let info = try tensorInfo(index, alignment: alignment)
            guard names.insert(info.name).inserted else {
                throw cursor.malformed(at: info.entryOffset, "the tensor name '\(info.name)' appears twice")
            }
            infos.append(info)
        }
        return infos
    }

    private mutating func tensorInfo(_ index: Int, alignment: Int) throws -> TensorInfo {
        let entryOffset = cursor.offset
        let name = try cursor.readString("the name of tensor \(index)")
        let rankOffset = cursor.offset
        let rank = try cursor.read(UInt32.self, "the rank of tensor '\(name)'")
        guard rank <= Self.maximumRank else {
            throw cursor.malformed(at: rankOffset, "tensor '\(name)' has \(rank) dimensions; the limit is \(Self.maximumRank)")
        }
        let shapeOffset = cursor.offset
        var dimensions: [Int] = []
        for axis in 0..<rank {
            let start = cursor.offset
            guard let dimension = Int(exactly: try cursor.read(UInt64.self, "dimension \(axis) of tensor '\(name)'")) else {
                throw cursor.malformed(at: start, "dimension \(axis) of tensor '\(name)' is too large")
            }
            dimensions.append(dimension)
        }
        let typeOffset = cursor.offset
        let typeNumber = try cursor.read(UInt32.self, "the type of tensor '\(name)'")
        guard let format = WeightFormat(ggufType: typeNumber) else {
            throw SwiftletError.unsupported(
                file: image.name, place: "tensor '\(name)' (byte \(typeOffset))", reason: "tensor type \(typeNumber) is unknown",
                remedy: "Use a file quantised to one of the types `swiftlet inspect` lists, such as Q4_K or Q8_0.")
        }
        let rowElements = dimensions.first ?? 1
        let shape = Shape(dimensions.reversed())
        guard shape.checkedElementCount != nil, let byteCount = Self.byteCount(dimensions, rowElements, format) else {
            throw cursor.malformed(at: shapeOffset, "the shape \(shape) of tensor '\(name)' does not fit its type \(format)")
        }
        let start = cursor.offset
        guard let offset = Int(exactly: try cursor.read(UInt64.self, "the offset of tensor '\(name)'")), offset % alignment == 0 else {
            throw cursor.malformed(at: start, "the offset of tensor '\(name)' is not a multiple of the alignment \(alignment)")
        }
        return TensorInfo(name: name, shape: shape, format: format, offset: offset, byteCount: byteCount, entryOffset: entryOffset)
    }

    private static func byteCount(_ dimensions: [Int], _ rowElements: Int, _ format: WeightFormat) -> Int? {
        guard let rowBytes = format.rowBytes(elements: rowElements), let rows = Shape(Array(dimensions.dropFirst())).checkedElementCount
        else {
            return nil
        }
        let (bytes, overflow) = rowBytes.multipliedReportingOverflow(by: rows)
        return overflow ? nil : bytes
    }

    /// Checks that the tensors tile the data section: in the order of their offsets each starts where the one before it ends (padded),
    /// and the file ends with the last. Shape × type ≠ room, overlap, hole and truncation all show here.
    private func place(_ infos: [TensorInfo], alignment: Int) throws -> [GGUFTensor] {
        let (dataStart, _) = Self.padded(cursor.offset, to: alignment)
        let dataBytes = max(0, cursor.bytes.count - dataStart)
        var expected = 0
        // Zero-sized tensors share the offset of the next one: they come first.
        for info in infos.sorted(by: { ($0.offset, $0.byteCount) < ($1.offset, $1.byteCount) }) {
            guard info.offset == expected else {
                let problem = info.offset < expected ? "overlaps the tensor before it" : "leaves a hole before it"
                throw cursor.malformed(
                    at: info.entryOffset, "tensor '\(info.name)' \(problem): it starts at data offset \(info.offset), expected \(expected)")
            }
            guard info.offset <= dataBytes, info.byteCount <= dataBytes - info.offset else {
                throw cursor.malformed(
                    at: info.entryOffset,
                    "tensor '\(info.name)' needs \(info.byteCount) bytes at data offset \(info.offset); the file has \(dataBytes) bytes of data"
                )
            }
            let (next, overflow) = Self.padded(info.offset + info.byteCount, to: alignment)
            guard !overflow else { throw cursor.malformed(at: info.entryOffset, "the offset of tensor '\(info.name)' overflows") }
            expected = next
        }
        guard dataBytes <= expected else {
            throw cursor.malformed(at: dataStart + expected, "\(dataBytes - expected) bytes after the last tensor belong to none")
        }
        return infos.map { info in
            let fileOffset = dataStart + info.offset
            let store = image.store(fileOffset..<fileOffset + info.byteCount)
            return GGUFTensor(
                name: info.name, shape: info.shape, format: info.format, store: store, fileOffset: fileOffset, byteCount: info.byteCount)
        }
    }

    private static func padded(_ value: Int, to alignment: Int) -> (Int, overflow: Bool) {
        let (sum, overflow) = value.addingReportingOverflow(alignment - 1)
        return (sum & ~(alignment - 1), overflow)
    }
}
