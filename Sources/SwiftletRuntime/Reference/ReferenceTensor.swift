// A tensor in memory as the reference sees it: an address, a concrete shape and a storage format; read and written as Doubles.
import CKernels

/// Elements in memory: a value, a weight in a file, or a cache.
struct ReferenceTensor {
    let shape: [Int]
    let format: WeightFormat
    /// Row-major; nil only when there are no bytes.
    let bytes: UnsafeMutableRawPointer?

    /// Whether a cache in this format can be stored.
    static func storesCache(in format: WeightFormat) -> Bool {
        switch format {
        case .dense(let element): element.isFloat
        case .block(let block): block == .q8_0
        }
    }

    /// Elements of the last axis, and how many such rows there are. A scalar is one row of one.
    var width: Int { shape.last ?? 1 }
    var rows: Int { shape.dropLast().reduce(1, *) }
    var count: Int { rows * width }

    // MARK: Reading

    /// All elements.
    func values() throws -> [Double] { try elements(from: 0, count: count, isRow: false) }

    /// Row `index`: a run of `width` elements.
    func row(_ index: Int) throws -> [Double] { try elements(from: index * width, count: width, isRow: true) }

    /// `start` and `count` are whole rows, so they divide into blocks.
    private func elements(from start: Int, count: Int, isRow: Bool) throws -> [Double] {
        guard let bytes, count > 0 else { return [] }
        switch format {
        case .dense(.f64): return (start..<start + count).map { bytes.loadUnaligned(fromByteOffset: $0 * 8, as: Double.self) }
        case .dense(.f32): return (start..<start + count).map { Double(bytes.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self)) }
        // Not by way of f32, which does not hold every index.
        case .dense(.i64): return (start..<start + count).map { Double(bytes.loadUnaligned(fromByteOffset: $0 * 8, as: Int64.self)) }
        case .dense(.u64): return (start..<start + count).map { Double(bytes.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self)) }
        case .dense(.i32): return (start..<start + count).map { Double(bytes.loadUnaligned(fromByteOffset: $0 * 4, as: Int32.self)) }
        case .dense(.u32): return (start..<start + count).map { Double(bytes.loadUnaligned(fromByteOffset: $0 * 4, as: UInt32.self)) }
        // All others fit into f32.
        case .dense, .block: break
        }
        guard let offset = format.rowBytes(elements: start), let size = format.rowBytes(elements: count) else {
            throw SwiftletError.invalidArgument(
                name: "\(format)", reason: "rows of \(width) elements do not divide into blocks", remedy: "Store the tensor in another format.")
        }
        return try format.dequantizeRow(UnsafeRawBufferPointer(start: bytes + offset, count: size), elements: count).map(Double.init)
    }

    /// All elements of an i32 tensor, each checked to be inside `0..<limit`. Throws `SwiftletError.invalidArgument` naming `node`.
    func indices(below limit: Int, node: String) throws -> [Int] {
        try integers().enumerated().map { position, index in
            guard index >= 0, index < limit else {
                throw SwiftletError.invalidArgument(
                    name: node, reason: "index \(index) (element \(position)) is outside 0..<\(limit)",
                    remedy: "Give indices inside the tensor they select from.")
            }
            return index
        }
    }

    /// All elements of an i32 tensor.
    func integers() throws -> [Int] { try values().map { Int($0) } }

    // MARK: Writing

    /// Replaces all elements, rounding each to the format.
    func store(_ values: [Double]) throws { try store(values, at: 0) }

    /// Replaces the elements from `start` on, each rounded once to nearest, ties to even. Whole numbers are cut towards zero and wrapped; what
    /// no 64-bit integer holds becomes 0. Bools are whether it is not 0. Floats of a byte or less keep to their range when they saturate.
    func store(_ values: [Double], at start: Int, saturates: Bool = true) throws {
        guard let bytes else { return }
        switch format {
        case .dense(.f64): write(values, to: bytes, start) { $0 }
        case .dense(.f32): write(values, to: bytes, start) { Float($0) }
        case .dense(.f16): write(values, to: bytes, start) { ck_float_to_half(Float(oddlyRounding: $0)) }
        case .dense(.bf16): write(values, to: bytes, start) { ck_float_to_bfloat(Float(oddlyRounding: $0)) }
        case .dense(.i64), .dense(.u64): write(values, to: bytes, start) { Int64(wrapping: $0) }
        case .dense(.i32), .dense(.u32): write(values, to: bytes, start) { Int32(truncatingIfNeeded: Int64(wrapping: $0)) }
        case .dense(.i16), .dense(.u16): write(values, to: bytes, start) { Int16(truncatingIfNeeded: Int64(wrapping: $0)) }
        case .dense(.i8), .dense(.u8): write(values, to: bytes, start) { Int8(truncatingIfNeeded: Int64(wrapping: $0)) }
        case .dense(.i4): write(values, to: bytes, start) { (Int8(truncatingIfNeeded: Int64(wrapping: $0)) << 4) >> 4 }
        case .dense(.i2): write(values, to: bytes, start) { (Int8(truncatingIfNeeded: Int64(wrapping: $0)) << 6) >> 6 }
        case .dense(.u4): write(values, to: bytes, start) { UInt8(truncatingIfNeeded: Int64(wrapping: $0)) & 15 }
        case .dense(.u2): write(values, to: bytes, start) { UInt8(truncatingIfNeeded: Int64(wrapping: $0)) & 3 }
        case .dense(.bool): write(values, to: bytes, start) { $0 == 0 ? 0 : 1 as UInt8 }
        case .dense(.f8e4m3fn), .dense(.f8e4m3fnuz), .dense(.f8e5m2), .dense(.f8e5m2fnuz), .dense(.f8e8m0), .dense(.f4e2m1):
            if let narrow = NarrowFloat(element) { write(values, to: bytes, start) { narrow.bits(of: $0, saturates: saturates) } }
        case .block(.q8_0): storeQ8(values, to: bytes + start / 32 * 34)
        case .block:
            throw SwiftletError.unsupported(
                file: "reference", place: "\(format)", reason: "results are not stored in this format", remedy: "Convert to f32 first.")
        }
    }

    private func write<Element: BitwiseCopyable>(
        _ values: [Double], to bytes: UnsafeMutableRawPointer, _ start: Int, _ round: (Double) -> Element
    ) {
        for (index, value) in values.enumerated() {
            bytes.storeBytes(of: round(value), toByteOffset: (start + index) * MemoryLayout<Element>.stride, as: Element.self)
        }
    }

    /// Blocks of an f16 scale and 32 int8: `scale = max|x|/127`, `q = x·(127/max|x|)`, ties to even, in f32 (so that every backend can give
    /// the same bytes). A block that holds an infinity or a NaN gets the scale NaN; one below 2⁻¹⁰⁰ becomes zeros.
    private func storeQ8(_ values: [Double], to target: UnsafeMutableRawPointer) {
        for first in stride(from: 0, to: values.count, by: 32) {
            let block = values[first..<min(first + 32, values.count)].map { Float($0) }
            let largest = block.reduce(0) { $1.isNaN || $0.isNaN ? .nan : max($0, abs($1)) }
            let (scale, inverse): (UInt16, Float) =
                if !largest.isFinite { (0x7e00, 0) } else if largest < 0x1p-100 { (0, 0) } else { (ck_float_to_half(largest / 127), 127 / largest) }
            let bytes = target + first / 32 * 34
            bytes.storeBytes(of: scale, as: UInt16.self)
            for (index, value) in block.enumerated() {
                let level = inverse == 0 ? 0 : (value * inverse).rounded(.toNearestOrEven)
                bytes.storeBytes(of: Int8(level), toByteOffset: 2 + index, as: Int8.self)
            }
        }
    }
}
