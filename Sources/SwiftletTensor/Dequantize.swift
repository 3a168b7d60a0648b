// Weights as plain floats: the checked Swift side of the conversions of CKernels/blocks. The way back is in Quantize.swift.
// The arithmetic is the format's definition (bit for bit that of the `gguf` Python package); fast paths are compared with it.
import CKernels

extension BlockFormat {
    /// Converts whole blocks to f32. `source` is at an even address (any tensor of a GGUF file is), except for MXFP4, which has no
    /// 16-bit fields.
    ///
    /// Throws `SwiftletError.invalidArgument` unless `source` holds exactly `target.count` elements.
    package func dequantize(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableBufferPointer<Float>) throws {
        try checkSizes(elements: target.count, bytes: source)
        guard let dequantize = ck_block_format_find(rawValue)?.pointee.dequantize else {
            throw SwiftletError.invalidArgument(
                name: "format", reason: "the kernel table has no row for \(name)", remedy: "Build the package again, all of it.")
        }
        if let from = source.baseAddress, let to = target.baseAddress, !target.isEmpty { dequantize(from, to, Int64(target.count)) }
    }

    /// The elements of whole blocks. Throws `SwiftletError.invalidArgument` when `bytes` is not a multiple of the block's size.
    package func dequantize(_ bytes: [UInt8]) throws -> [Float] {
        let elements = bytes.count / blockBytes * blockElements  // a rest of bytes fails the size check below
        if bytes.isEmpty { return [] }
        return try [Float](unsafeUninitializedCapacity: elements) { target, initialized in
            try bytes.withUnsafeBytes { try dequantize($0, into: UnsafeMutableBufferPointer(rebasing: target[..<elements])) }
            initialized = elements
        }
    }

    /// Throws unless `bytes` are the whole blocks of `elements` elements, at an address their 16-bit fields allow.
    func checkSizes(elements: Int, bytes: UnsafeRawBufferPointer) throws {
        guard WeightFormat.block(self).rowBytes(elements: elements) == bytes.count else {
            throw SwiftletError.invalidArgument(
                name: "elements", reason: "\(elements) elements of \(name) do not take \(bytes.count) bytes",
                remedy: "Pass whole blocks of \(blockElements) elements and \(blockBytes) bytes.")
        }
        // MXFP4 alone is all bytes: rows of an odd number of its 17-byte blocks start anywhere.
        guard self == .mxfp4 || Int(bitPattern: bytes.baseAddress) % 2 == 0 else {
            throw SwiftletError.invalidArgument(name: "bytes", reason: "blocks of \(name) start at an odd address", remedy: "Copy them first.")
        }
    }
}

extension WeightFormat {
    /// Converts `target.count` consecutive elements to f32: whole blocks, or dense numbers of any type (64-bit ones are rounded).
    ///
    /// Throws `SwiftletError.invalidArgument` unless `source` holds exactly that many elements.
    package func dequantizeRow(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableBufferPointer<Float>) throws {
        switch self {
        case .block(let format): try format.dequantize(source, into: target)
        case .dense(let type):
            guard rowBytes(elements: target.count) == source.count else {
                throw SwiftletError.invalidArgument(
                    name: "elements", reason: "\(target.count) elements of \(self) do not take \(source.count) bytes",
                    remedy: "Pass the bytes of exactly the elements wanted.")
            }
            type.widen(source, into: target)
        }
    }

    /// `elements` elements from the start of `source` as f32, as `dequantizeRow(_:into:)`.
    package func dequantizeRow(_ source: UnsafeRawBufferPointer, elements: Int) throws -> [Float] {
        guard let bytes = rowBytes(elements: elements), bytes <= source.count else {
            throw SwiftletError.invalidArgument(
                name: "elements", reason: "\(source.count) bytes do not hold \(elements) elements of \(self)", remedy: "Pass a whole row.")
        }
        // An array without capacity is one object that all threads share, and the initialiser below writes its count.
        if elements == 0 { return [] }
        return try [Float](unsafeUninitializedCapacity: elements) { target, initialized in
            try dequantizeRow(
                UnsafeRawBufferPointer(rebasing: source[..<bytes]), into: UnsafeMutableBufferPointer(rebasing: target[..<elements]))
            initialized = elements
        }
    }
}

extension DType {
    /// Dense elements of this type as f32; `source` may be unaligned and its size has been checked.
    fileprivate func widen(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableBufferPointer<Float>) {
        // Closures, not `Float.init`: for UInt32 that name would also mean `init(bitPattern:)`.
        switch self {
        case .f32: UnsafeMutableRawBufferPointer(target).copyMemory(from: source)
        case .f16: convert(source, UInt16.self, target, ck_half_to_float)
        case .bf16: convert(source, UInt16.self, target, ck_bfloat_to_float)
        case .f64: convert(source, Double.self, target) { Float($0) }
        case .i64: convert(source, Int64.self, target) { Float($0) }
        case .i32: convert(source, Int32.self, target) { Float($0) }
        case .i16: convert(source, Int16.self, target) { Float($0) }
        case .i8, .i4, .i2: convert(source, Int8.self, target) { Float($0) }
        case .u64: convert(source, UInt64.self, target) { Float($0) }
        case .u32: convert(source, UInt32.self, target) { Float($0) }
        case .u16: convert(source, UInt16.self, target) { Float($0) }
        case .u8, .u4, .u2: convert(source, UInt8.self, target) { Float($0) }
        case .bool: convert(source, UInt8.self, target) { $0 == 0 ? 0 : 1 }
        case .f8e4m3fn, .f8e4m3fnuz, .f8e5m2, .f8e5m2fnuz, .f8e8m0, .f4e2m1:
            if let format = NarrowFloat(self) { convert(source, UInt8.self, target) { Float(format.value($0)) } }
        }
    }

    private func convert<Element: BitwiseCopyable>(
        _ source: UnsafeRawBufferPointer, _ type: Element.Type, _ target: UnsafeMutableBufferPointer<Float>, _ toFloat: (Element) -> Float
    ) {
        for index in target.indices {
            target[index] = toFloat(source.loadUnaligned(fromByteOffset: index * MemoryLayout<Element>.stride, as: Element.self))
        }
    }
}

extension Float {
    /// The bits of the nearest bf16, ties to even; a NaN stays one.
    package var brainFloatBits: UInt16 { ck_float_to_bfloat(self) }
}
