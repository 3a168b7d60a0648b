// A tensor of an ONNX file: initialisers and constants. Its bytes stay where the file, or an external data file, has them.
import SwiftletTensor

/// A constant of an ONNX model.
public struct ONNXTensor: Sendable {
    public enum Content: Sendable {
        /// Elements in row-major order, little-endian, packed as `ONNXElementType` tells.
        ///
        /// The file places them at any address: a reader that needs elements aligned takes `ONNXTensor.alignedStore()`.
        case elements(WeightStore)
        /// The elements of a tensor of strings; UTF-8 by the specification.
        case strings([[UInt8]])
    }

    /// Where the elements lie as bytes.
    public struct Place: Sendable, Hashable {
        /// The model's file, or an external data file.
        public let path: String
        /// In bytes from the start of that file.
        public let offset: Int
    }

    /// Empty for most constants of nodes.
    public let name: String
    public let type: ONNXElementType
    public let shape: Shape
    public let content: Content
    /// Nil when the elements are not in a file in this layout: decoded from a typed array, or strings.
    public let place: Place?

    /// Bytes of all elements.
    public var byteCount: Int {
        switch content {
        case .elements(let store): store.byteCount
        case .strings(let strings): strings.reduce(0) { $0 + $1.count }
        }
    }

    /// The elements at an address that suits their type: the store itself where that holds, else a copy. Nil for strings.
    package func alignedStore() throws -> WeightStore? {
        guard case .elements(let store) = content else { return nil }
        let alignment = max(1, (type.bitCount ?? 8) / 8)
        if Int(bitPattern: store.bytes.baseAddress) % alignment == 0 { return store }
        return try store.withBytes { bytes in try WeightStore(byteCount: bytes.count) { $0.copyMemory(from: bytes) } }
    }

    /// The elements as the engine keeps them: aligned, and a byte each where the file packs several into one. Nil for strings and for types
    /// that the engine does not have.
    package func elementStore() throws -> WeightStore? {
        guard let type = type.dtype, case .elements(let store) = content else { return nil }
        guard let bits = self.type.bitCount, bits < 8 else { return try alignedStore() }
        let perByte = 8 / bits
        let isSigned = type == .i4 || type == .i2
        return try store.withBytes { packed in
            try WeightStore(byteCount: shape.elementCount) { target in
                for index in target.indices {
                    let code = packed[index / perByte] >> UInt8(index % perByte * bits) & (1 << bits - 1)
                    // The sign bit of the narrow number moves to the top and back.
                    target[index] = isSigned ? UInt8(bitPattern: Int8(bitPattern: code << (8 - bits)) >> (8 - bits)) : code
                }
            }
        }
    }

    /// A copy of all elements, for small tensors. Nil unless `Element` has the size of the tensor's elements.
    package func elements<Element: BitwiseCopyable>(as element: Element.Type) -> [Element]? {
        guard case .elements(let store) = content, type.bitCount == 8 * MemoryLayout<Element>.size else { return nil }
        return store.withBytes { bytes in
            (0..<shape.elementCount).map { bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Element>.size, as: Element.self) }
        }
    }

    /// The elements of a tensor of integers or bools, for shapes, axes and the like. Nil for other types.
    package var integers: [Int]? {
        switch type {
        case .i64: elements(as: Int64.self)?.map(Int.init)
        case .i32: elements(as: Int32.self)?.map(Int.init)
        case .i16: elements(as: Int16.self)?.map(Int.init)
        case .i8: elements(as: Int8.self)?.map(Int.init)
        case .u32: elements(as: UInt32.self)?.map(Int.init)
        case .u16: elements(as: UInt16.self)?.map(Int.init)
        case .u8, .bool: elements(as: UInt8.self)?.map(Int.init)
        default: nil
        }
    }
}
