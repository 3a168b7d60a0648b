// The values of GGUF metadata: thirteen types, numbered as in the specification (github.com/ggml-org/ggml, docs/gguf.md).

/// The type numbers of metadata values in a file.
enum GGUFValueType: UInt32 {
    case uint8 = 0
    case int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

    /// Bytes of one value; nil for strings and arrays, whose length the file states.
    var byteCount: Int? {
        switch self {
        case .uint8, .int8, .bool: 1
        case .uint16, .int16: 2
        case .uint32, .int32, .float32: 4
        case .uint64, .int64, .float64: 8
        case .string, .array: nil
        }
    }
}

/// One metadata value.
public enum GGUFValue: Sendable, Equatable {
    case uint8(UInt8), int8(Int8), uint16(UInt16), int16(Int16), uint32(UInt32), int32(Int32), uint64(UInt64), int64(Int64)
    case float32(Float), float64(Double)
    case bool(Bool)
    case string(String)
    case array(GGUFArray)

    /// The value as an `Int` when it is an integer that fits.
    public var int: Int? {
        switch self {
        case .uint8(let value): Int(value)
        case .int8(let value): Int(value)
        case .uint16(let value): Int(value)
        case .int16(let value): Int(value)
        case .uint32(let value): Int(value)
        case .int32(let value): Int(value)
        case .uint64(let value): Int(exactly: value)
        case .int64(let value): Int(value)
        case .float32, .float64, .bool, .string, .array: nil
        }
    }

    /// The value as a `Float` when it is a number.
    public var float: Float? {
        switch self {
        case .float32(let value): value
        case .float64(let value): Float(value)
        default: int.map(Float.init)
        }
    }

    public var bool: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    public var string: String? {
        if case .string(let value) = self { value } else { nil }
    }

    public var array: GGUFArray? {
        if case .array(let value) = self { value } else { nil }
    }

    /// What messages call the type, for example `u32` or `[string]`.
    public var typeName: String {
        switch self {
        case .uint8: "u8"
        case .int8: "i8"
        case .uint16: "u16"
        case .int16: "i16"
        case .uint32: "u32"
        case .int32: "i32"
        case .uint64: "u64"
        case .int64: "i64"
        case .float32: "f32"
        case .float64: "f64"
        case .bool: "bool"
        case .string: "string"
        case .array(let array): "[\(array.elementTypeName)]"
        }
    }
}

/// An array of metadata values of one type. Numbers are Swift arrays; strings are decoded on demand.
public enum GGUFArray: Sendable, Equatable {
    case uint8([UInt8]), int8([Int8]), uint16([UInt16]), int16([Int16]), uint32([UInt32]), int32([Int32]), uint64([UInt64]), int64([Int64])
    case float32([Float]), float64([Double])
    case bool([Bool])
    case string(GGUFStrings)
    case array([GGUFArray])

    public var count: Int {
        switch self {
        case .uint8(let values): values.count
        case .int8(let values): values.count
        case .uint16(let values): values.count
        case .int16(let values): values.count
        case .uint32(let values): values.count
        case .int32(let values): values.count
        case .uint64(let values): values.count
        case .int64(let values): values.count
        case .float32(let values): values.count
        case .float64(let values): values.count
        case .bool(let values): values.count
        case .string(let values): values.count
        case .array(let values): values.count
        }
    }

    /// The elements as `Int`s when they are integers that all fit.
    public var ints: [Int]? {
        switch self {
        case .uint8(let values): return values.map(Int.init)
        case .int8(let values): return values.map(Int.init)
        case .uint16(let values): return values.map(Int.init)
        case .int16(let values): return values.map(Int.init)
        case .uint32(let values): return values.map(Int.init)
        case .int32(let values): return values.map(Int.init)
        case .uint64(let values):
            let exact = values.compactMap { Int(exactly: $0) }
            return exact.count == values.count ? exact : nil
        case .int64(let values): return values.map(Int.init)
        case .float32, .float64, .bool, .string, .array: return nil
        }
    }

    /// The elements as `Float`s when they are numbers.
    public var floats: [Float]? {
        switch self {
        case .float32(let values): values
        case .float64(let values): values.map(Float.init)
        default: ints.map { $0.map(Float.init) }
        }
    }

    public var bools: [Bool]? {
        if case .bool(let values) = self { values } else { nil }
    }

    public var strings: GGUFStrings? {
        if case .string(let values) = self { values } else { nil }
    }

    var elementTypeName: String {
        switch self {
        case .uint8: "u8"
        case .int8: "i8"
        case .uint16: "u16"
        case .int16: "i16"
        case .uint32: "u32"
        case .int32: "i32"
        case .uint64: "u64"
        case .int64: "i64"
        case .float32: "f32"
        case .float64: "f64"
        case .bool: "bool"
        case .string: "string"
        case .array: "array"
        }
    }
}
