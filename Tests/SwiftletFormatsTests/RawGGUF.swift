/// Hand-made GGUF bytes, right or wrong in exactly one place.
struct RawGGUF {
    private(set) var bytes: [UInt8] = []

    init(version: UInt32 = 3, tensors: UInt64, pairs: UInt64) {
        u32(0x4655_4747)
        u32(version)
        u64(tensors)
        u64(pairs)
    }

    mutating func u8(_ value: UInt8) { bytes.append(value) }
    mutating func u32(_ value: UInt32) { withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) } }
    mutating func u64(_ value: UInt64) { withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) } }

    mutating func text(_ value: String) { raw(Array(value.utf8)) }

    /// A length and bytes that need not be UTF-8.
    mutating func raw(_ value: [UInt8]) {
        u64(UInt64(value.count))
        bytes += value
    }

    mutating func tensor(_ name: String, _ dimensions: [UInt64], type: UInt32 = 0, offset: UInt64 = 0) {
        text(name)
        u32(UInt32(dimensions.count))
        for dimension in dimensions { u64(dimension) }
        u32(type)
        u64(offset)
    }

    /// Zeros up to a multiple of 32, then `count` bytes of data.
    mutating func data(_ count: Int) {
        bytes += [UInt8](repeating: 0, count: (32 - bytes.count % 32) % 32 + count)
    }

    /// A key with a u32.
    static func pair(_ key: String, _ value: UInt32) -> RawGGUF {
        var file = RawGGUF(tensors: 0, pairs: 1)
        file.text(key)
        file.u32(4)
        file.u32(value)
        return file
    }

    /// A file of tensors alone.
    static func tensors(_ list: [(name: String, dimensions: [UInt64], type: UInt32, offset: UInt64)], data: Int) -> RawGGUF {
        var file = RawGGUF(tensors: UInt64(list.count), pairs: 0)
        for tensor in list { file.tensor(tensor.name, tensor.dimensions, type: tensor.type, offset: tensor.offset) }
        file.data(data)
        return file
    }
}
