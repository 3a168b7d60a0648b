// The numbers operations compute with: Double for all floats, 64-bit integers for whole numbers and bools. Whole numbers wrap: they are exact
// modulo 2⁶⁴ in between and cut to the width when they are stored. Unsigned types have a domain of their own, so that comparisons, divisions
// and shifts are unsigned without a word about it.
import CKernels

/// A domain of numbers: what the definitions of operations are generic over.
protocol ReferenceNumber: Comparable, BitwiseCopyable, Sendable {
    static var zero: Self { get }
    static var one: Self { get }
    /// What every number (of the type) is larger, or smaller, than or equal to.
    static func lowest(of type: DType) -> Self
    static func highest(of type: DType) -> Self

    static func sum(_ a: Self, _ b: Self) -> Self
    static func product(_ a: Self, _ b: Self) -> Self
    /// NaN when one of them is.
    static func larger(_ a: Self, _ b: Self) -> Self
    static func smaller(_ a: Self, _ b: Self) -> Self
    /// The function that divides by a count; nil when there is nothing to divide by.
    static func quotient(by count: Int) -> ((Self) -> Self)?
    var magnitudeNumber: Self { get }
    var isNotANumber: Bool { get }

    static func load(_ tensor: ReferenceTensor) throws -> [Self]
    static func store(_ values: [Self], in tensor: ReferenceTensor) throws
}

extension Double: ReferenceNumber {
    static var one: Double { 1 }
    static func lowest(of type: DType) -> Double { -.infinity }
    static func highest(of type: DType) -> Double { .infinity }
    static func sum(_ a: Double, _ b: Double) -> Double { a + b }
    static func product(_ a: Double, _ b: Double) -> Double { a * b }
    static func larger(_ a: Double, _ b: Double) -> Double { a.isNaN || b.isNaN ? .nan : Swift.max(a, b) }
    static func smaller(_ a: Double, _ b: Double) -> Double { a.isNaN || b.isNaN ? .nan : Swift.min(a, b) }
    static func quotient(by count: Int) -> ((Double) -> Double)? { { $0 / Double(count) } }
    var magnitudeNumber: Double { Swift.abs(self) }
    var isNotANumber: Bool { isNaN }
    static func load(_ tensor: ReferenceTensor) throws -> [Double] { try tensor.values() }
    static func store(_ values: [Double], in tensor: ReferenceTensor) throws { try tensor.store(values) }
}

extension ReferenceNumber where Self: FixedWidthInteger {
    static var one: Self { 1 }
    static func sum(_ a: Self, _ b: Self) -> Self { a &+ b }
    static func product(_ a: Self, _ b: Self) -> Self { a &* b }
    static func larger(_ a: Self, _ b: Self) -> Self { Swift.max(a, b) }
    static func smaller(_ a: Self, _ b: Self) -> Self { Swift.min(a, b) }
    static func quotient(by count: Int) -> ((Self) -> Self)? { count == 0 ? nil : { $0 / Self(count) } }
    var magnitudeNumber: Self { self < 0 ? 0 &- self : self }
    var isNotANumber: Bool { false }
    static func load(_ tensor: ReferenceTensor) throws -> [Self] { try tensor.wholeNumbers() }
    static func store(_ values: [Self], in tensor: ReferenceTensor) throws { try tensor.store(wholeNumbers: values) }
}

extension Int64: ReferenceNumber {
    static func lowest(of type: DType) -> Int64 { type.integerRange.map { Int64($0.lowerBound) } ?? .min }
    static func highest(of type: DType) -> Int64 { type.integerRange.map { Int64($0.upperBound) } ?? .max }
}

extension UInt64: ReferenceNumber {
    static func lowest(of type: DType) -> UInt64 { 0 }
    static func highest(of type: DType) -> UInt64 { type == .bool ? 1 : type.integerRange.map { UInt64($0.upperBound) } ?? .max }
}

extension DType {
    /// Which numbers an operation on elements of the type computes with.
    enum Domain { case float, signed, unsigned }

    var domain: Domain {
        switch self {
        case .f64, .f32, .f16, .bf16, .f8e4m3fn, .f8e4m3fnuz, .f8e5m2, .f8e5m2fnuz, .f8e8m0, .f4e2m1: .float
        case .i64, .i32, .i16, .i8, .i4, .i2: .signed
        case .u64, .u32, .u16, .u8, .u4, .u2, .bool: .unsigned
        }
    }
}

// MARK: Whole numbers in memory

extension ReferenceTensor {
    /// The type of the elements as operations see it: blocks are read as f32.
    var element: DType { if case .dense(let type) = format { type } else { .f32 } }

    /// All elements of a tensor of integers or bools.
    func wholeNumbers<Number: FixedWidthInteger>() throws -> [Number] {
        guard let bytes, count > 0 else { return [] }
        func read<Element: FixedWidthInteger & BitwiseCopyable>(_ type: Element.Type) -> [Number] {
            [Number](unsafeUninitializedCapacity: count) { target, initialized in
                for index in 0..<count {
                    let element = bytes.loadUnaligned(fromByteOffset: index * MemoryLayout<Element>.stride, as: type)
                    target.initializeElement(at: index, to: Number(truncatingIfNeeded: element))
                }
                initialized = count
            }
        }
        switch element {
        case .i64: return read(Int64.self)
        case .i32: return read(Int32.self)
        case .i16: return read(Int16.self)
        case .i8, .i4, .i2: return read(Int8.self)
        case .u64: return read(UInt64.self)
        case .u32: return read(UInt32.self)
        case .u16: return read(UInt16.self)
        case .u8, .u4, .u2: return read(UInt8.self)
        case .bool: return read(UInt8.self).map { $0 == 0 ? 0 : 1 }
        case .f64, .f32, .f16, .bf16, .f8e4m3fn, .f8e4m3fnuz, .f8e5m2, .f8e5m2fnuz, .f8e8m0, .f4e2m1:
            throw SwiftletError.invalidArgument(name: "\(element)", reason: "holds no whole numbers", remedy: "Cast it first.")
        }
    }

    /// Replaces all elements of a tensor of integers, cut to their width, or of bools (anything but 0 is true).
    func store<Number: FixedWidthInteger>(wholeNumbers values: [Number]) throws {
        guard let bytes else { return }
        func write<Element: FixedWidthInteger & BitwiseCopyable>(_ convert: (Number) -> Element) {
            for (index, value) in values.enumerated() {
                bytes.storeBytes(of: convert(value), toByteOffset: index * MemoryLayout<Element>.stride, as: Element.self)
            }
        }
        switch element {
        case .i64: write { Int64(truncatingIfNeeded: $0) }
        case .i32: write { Int32(truncatingIfNeeded: $0) }
        case .i16: write { Int16(truncatingIfNeeded: $0) }
        case .i8: write { Int8(truncatingIfNeeded: $0) }
        case .i4: write { (Int8(truncatingIfNeeded: $0) << 4) >> 4 }
        case .i2: write { (Int8(truncatingIfNeeded: $0) << 6) >> 6 }
        case .u64: write { UInt64(truncatingIfNeeded: $0) }
        case .u32: write { UInt32(truncatingIfNeeded: $0) }
        case .u16: write { UInt16(truncatingIfNeeded: $0) }
        case .u8: write { UInt8(truncatingIfNeeded: $0) }
        case .u4: write { UInt8(truncatingIfNeeded: $0) & 15 }
        case .u2: write { UInt8(truncatingIfNeeded: $0) & 3 }
        case .bool: write { $0 == 0 ? 0 : 1 as UInt8 }
        case .f64: try store(values.map { Double($0) })
        case .f32, .f16, .bf16, .f8e4m3fn, .f8e4m3fnuz, .f8e5m2, .f8e5m2fnuz, .f8e8m0, .f4e2m1: try store(values.map { Double(oddlyRounding: $0) })
        }
    }
}

extension Double {
    /// The integer, or next to it the Double whose last bit is set: rounding that to a narrower type gives what rounding the integer itself
    /// would (Boldo and Melquiond, 2008).
    init<Number: FixedWidthInteger>(oddlyRounding number: Number) {
        let rounded = Double(number)
        self = rounded
        guard let exact = Number(exactly: rounded), exact != number else {
            // 2⁶³ and 2⁶⁴ are no such integers: they come from rounding up.
            if Number(exactly: rounded) == nil { self = rounded.nextDown }
            return
        }
        if rounded.significandBitPattern & 1 == 0 { self = exact < number ? rounded.nextUp : rounded.nextDown }
    }
}

extension Float {
    /// The f32 next to `x` whose last bit is set where it is not exact: rounding it to a type of fewer bits rounds `x` once.
    init(oddlyRounding x: Double) {
        let nearest = Float(x)
        guard nearest.isFinite, Double(nearest) != x, nearest.bitPattern & 1 == 0 else {
            self = nearest
            return
        }
        self = Double(nearest) < x ? nearest.nextUp : nearest.nextDown
    }
}

extension Int64 {
    /// Cut towards zero, modulo 2⁶⁴ for what 64 bits hold one way or the other, else 0.
    init(wrapping x: Double) {
        if x >= -0x1p63, x < 0x1p63 { self = Int64(x) } else if x >= 0x1p63, x < 0x1p64 { self = Int64(bitPattern: UInt64(x)) } else { self = 0 }
    }
}
