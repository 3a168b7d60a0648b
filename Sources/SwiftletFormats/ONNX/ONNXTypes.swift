// The types an ONNX file can give a value: element types, shapes with open dimensions, sequences, maps, optionals.
// Source: onnx-ml.proto (TensorProto.DataType, TypeProto) and docs/IR.md of github.com/onnx/onnx.
import SwiftletTensor

/// The element type of a tensor, by its number in the file.
public enum ONNXElementType: Int32, Sendable, Hashable, CaseIterable {
    case f32 = 1
    case u8, i8, u16, i16, i32, i64, string, bool, f16, f64, u32, u64
    /// Two f32 or two f64 an element, the real part first.
    case c64, c128
    case bf16
    case f8e4m3fn, f8e4m3fnuz, f8e5m2, f8e5m2fnuz
    /// Two elements a byte, the first one in the low bits.
    case u4, i4, f4e2m1
    /// A power of two: the scale of a microscaling block.
    case f8e8m0
    /// Four elements a byte, the first one in the low bits.
    case u2, i2
    /// Four elements in three bytes, low bits first.
    case f6e2m3, f6e3m2

    /// Bits of one element as tensors store it; nil for strings.
    public var bitCount: Int? {
        switch self {
        case .string: nil
        case .u2, .i2: 2
        case .u4, .i4, .f4e2m1: 4
        case .f6e2m3, .f6e3m2: 6
        case .u8, .i8, .bool, .f8e4m3fn, .f8e4m3fnuz, .f8e5m2, .f8e5m2fnuz, .f8e8m0: 8
        case .u16, .i16, .f16, .bf16: 16
        case .f32, .i32, .u32: 32
        case .f64, .i64, .u64, .c64: 64
        case .c128: 128
        }
    }

    /// Bytes of `elements` elements, the last byte padded; nil for strings and on overflow.
    public func byteCount(elements: Int) -> Int? {
        guard let bitCount else { return nil }
        let (bits, overflow) = elements.multipliedReportingOverflow(by: bitCount)
        return overflow || bits > Int.max - 7 ? nil : (bits + 7) / 8
    }

    /// The engine's own type of the same numbers, where there is one. Types of fewer than 8 bits take a byte an element there.
    public var dtype: DType? {
        switch self {
        case .f64: .f64
        case .f32: .f32
        case .f16: .f16
        case .bf16: .bf16
        case .i64: .i64
        case .i32: .i32
        case .i16: .i16
        case .i8: .i8
        case .u64: .u64
        case .u32: .u32
        case .u16: .u16
        case .u8: .u8
        case .bool: .bool
        case .f8e4m3fn: .f8e4m3fn
        case .f8e4m3fnuz: .f8e4m3fnuz
        case .f8e5m2: .f8e5m2
        case .f8e5m2fnuz: .f8e5m2fnuz
        case .f8e8m0: .f8e8m0
        case .f4e2m1: .f4e2m1
        case .u4: .u4
        case .i4: .i4
        case .u2: .u2
        case .i2: .i2
        case .string, .c64, .c128, .f6e2m3, .f6e3m2: nil
        }
    }
}

/// One dimension of a declared shape.
public enum ONNXDimension: Sendable, Hashable, CustomStringConvertible {
    case fixed(Int)
    /// Unknown until run time; equal names are equal sizes.
    case symbol(String)
    case unknown

    public var description: String {
        switch self {
        case .fixed(let size): "\(size)"
        case .symbol(let name): name
        case .unknown: "?"
        }
    }
}

/// The type of a value as the file declares it.
public indirect enum ONNXType: Sendable, Hashable, CustomStringConvertible {
    /// `shape` is nil when not even the rank is known; an empty shape is a scalar.
    case tensor(ONNXElementType, shape: [ONNXDimension]?)
    case sparseTensor(ONNXElementType, shape: [ONNXDimension]?)
    case sequence(ONNXType)
    case optional(ONNXType)
    case map(key: ONNXElementType, value: ONNXType)
    case opaque(domain: String, name: String)

    public var description: String {
        switch self {
        case .tensor(let type, let shape): Self.text(type, shape)
        case .sparseTensor(let type, let shape): "sparse \(Self.text(type, shape))"
        case .sequence(let type): "sequence(\(type))"
        case .optional(let type): "optional(\(type))"
        case .map(let key, let value): "map(\(key), \(value))"
        case .opaque(let domain, let name): "opaque(\(domain).\(name))"
        }
    }

    private static func text(_ type: ONNXElementType, _ shape: [ONNXDimension]?) -> String {
        guard let shape else { return "\(type)[...]" }
        return "\(type)[\(shape.map(\.description).joined(separator: ", "))]"
    }

    /// Whether a tensor of that element type and shape is a value of this type; open dimensions take any size.
    func accepts(_ element: ONNXElementType, _ dimensions: [Int]) -> Bool {
        guard case .tensor(element, let shape) = self else { return false }
        guard let shape else { return true }
        guard shape.count == dimensions.count else { return false }
        return zip(shape, dimensions).allSatisfy { declared, actual in if case .fixed(let size) = declared { size == actual } else { true }
        }
    }
}

extension ONNXType {
    /// Whether no value can be of both types. Open dimensions agree with any.
    func contradicts(_ other: ONNXType) -> Bool {
        guard case .tensor(let element, let shape) = self, case .tensor(let otherElement, let otherShape) = other else {
            return self != other
        }
        guard element == otherElement else { return true }
        guard let shape, let otherShape else { return false }
        guard shape.count == otherShape.count else { return true }
        return zip(shape, otherShape).contains { if case (.fixed(let one), .fixed(let two)) = $0 { one != two } else { false } }
    }
}

/// A named value with the type the file declares for it.
public struct ONNXValueInfo: Sendable, Hashable {
    public let name: String
    /// Nil when the file leaves it to inference, as sub-graphs often do. An input of the main graph always has one.
    public let type: ONNXType?
}
