// The element types of dense tensors.

/// The type of one element of a dense tensor.
///
/// Types narrower than a byte take a byte each in memory, so that every element has an address; files pack them.
public enum DType: String, Sendable, Hashable, CaseIterable, Codable {
    case f64, f32, f16, bf16
    case i64, i32, i16, i8
    case u64, u32, u16, u8
    case bool
    case i4, u4, i2, u2
    /// Micikevicius et al., 2022 (`fn`: no infinities; `fnuz`: no infinities and no negative zero, Noune et al., 2022).
    case f8e4m3fn, f8e4m3fnuz, f8e5m2, f8e5m2fnuz
    /// A power of two, `2^(bits − 127)`: the scale of a microscaling block (OCP MX 1.0).
    case f8e8m0
    /// The four-bit float of OCP MX 1.0: ±0, 0.5, 1, 1.5, 2, 3, 4, 6.
    case f4e2m1

    /// Bytes of one element in memory.
    public var byteCount: Int {
        switch self {
        case .f64, .i64, .u64: 8
        case .f32, .i32, .u32: 4
        case .f16, .bf16, .i16, .u16: 2
        case .i8, .u8, .bool, .i4, .u4, .i2, .u2, .f8e4m3fn, .f8e4m3fnuz, .f8e5m2, .f8e5m2fnuz, .f8e8m0, .f4e2m1: 1
        }
    }

    public var isFloat: Bool {
        switch self {
        case .f64, .f32, .f16, .bf16, .f8e4m3fn, .f8e4m3fnuz, .f8e5m2, .f8e5m2fnuz, .f8e8m0, .f4e2m1: true
        case .i64, .i32, .i16, .i8, .u64, .u32, .u16, .u8, .bool, .i4, .u4, .i2, .u2: false
        }
    }

    /// Whether elements are whole numbers; bools are not.
    public var isInteger: Bool { !isFloat && self != .bool }

    /// The whole numbers the type holds; nil for floats, bools and u64, whose largest number no `Int` holds.
    public var integerRange: ClosedRange<Int>? {
        switch self {
        case .i64: Int.min...Int.max
        case .i32: Int(Int32.min)...Int(Int32.max)
        case .i16: Int(Int16.min)...Int(Int16.max)
        case .i8: -128...127
        case .i4: -8...7
        case .i2: -2...1
        case .u32: 0...Int(UInt32.max)
        case .u16: 0...Int(UInt16.max)
        case .u8: 0...255
        case .u4: 0...15
        case .u2: 0...3
        case .u64, .bool, .f64, .f32, .f16, .bf16, .f8e4m3fn, .f8e4m3fnuz, .f8e5m2, .f8e5m2fnuz, .f8e8m0, .f4e2m1: nil
        }
    }
}
