// Elements of tensors of any type, for operations on values in memory: looked at, ordered, picked, written.
import CKernels
import SwiftletGraph

extension DType {
    /// The elements of integers or bools in `bytes`, which are at any address; u64 above `Int.max` wraps. Nil for floats.
    func wholeNumbers(in bytes: UnsafeRawBufferPointer) -> [Int]? {
        func read<Element: FixedWidthInteger & BitwiseCopyable>(_ element: Element.Type) -> [Int] {
            stride(from: 0, to: bytes.count, by: MemoryLayout<Element>.size).map {
                Int(truncatingIfNeeded: bytes.loadUnaligned(fromByteOffset: $0, as: element))
            }
        }
        return switch self {
        case .i64: read(Int64.self)
        case .u64: read(UInt64.self)
        case .i32: read(Int32.self)
        case .u32: read(UInt32.self)
        case .i16: read(Int16.self)
        case .u16: read(UInt16.self)
        case .i8, .i4, .i2: read(Int8.self)
        case .u8, .u4, .u2: read(UInt8.self)
        case .bool: bytes.map { $0 == 0 ? 0 : 1 }
        case .f64, .f32, .f16, .bf16, .f8e4m3fn, .f8e4m3fnuz, .f8e5m2, .f8e5m2fnuz, .f8e8m0, .f4e2m1: nil
        }
    }
}

extension Tensor {
    /// All elements of a tensor of integers or bools; u64 above `Int.max` wraps. Throws `SwiftletError.invalidArgument` for floats.
    func wholeNumbers() throws -> [Int] {
        if let numbers = withBytes({ type.wholeNumbers(in: $0) }) { return numbers }
        throw SwiftletError.invalidArgument(name: "\(self)", reason: "holds no whole numbers", remedy: "Give the model integers there.")
    }

    /// All elements of a tensor of floats, or of integers of up to 32 bits, none rounded.
    func doubles() throws -> [Double] { type == .f64 ? try elements(as: Double.self) : try floats().map(Double.init) }

    /// Which elements are not zero. A NaN is not.
    func nonZeros() throws -> [Bool] { type.isFloat ? try doubles().map { $0 != 0 } : try wholeNumbers().map { $0 != 0 } }

    /// A number for each element, in the order of the elements. Equal elements have equal numbers: both zeros one, all NaNs one, the largest.
    func orderedKeys() throws -> [UInt64] {
        guard type.isFloat else {
            // With the sign bit turned over, negative numbers come first.
            return try wholeNumbers().map { type == .u64 ? UInt64(bitPattern: Int64($0)) : UInt64(bitPattern: Int64($0)) ^ 1 << 63 }
        }
        return try doubles().map { number in
            if number.isNaN { return .max }
            let bits = (number == 0 ? 0 : number).bitPattern
            return bits >> 63 == 1 ? ~bits : bits | 1 << 63
        }
    }

    /// The parts at `places` of an axis, in that order. Every place is inside the axis.
    func taking(_ places: [Int], axis: Int) throws -> Tensor {
        guard elementCount > 0, !places.isEmpty else {
            var empty = shape.dimensions
            empty[axis] = places.count
            return try Tensor(zeros: type, shape: Shape(empty))
        }
        let outer = shape.dimensions[..<axis].reduce(1, *)
        let part = shape.dimensions[(axis + 1)...].reduce(type.byteCount, *)
        let row = shape[axis] * part
        var result = shape.dimensions
        result[axis] = places.count
        return try withBytes { source in
            try Tensor(type, shape: Shape(result)) { target in
                var next = 0
                for start in stride(from: 0, to: outer * row, by: row) {
                    for place in places {
                        let from = start + place * part
                        UnsafeMutableRawBufferPointer(rebasing: target[next..<next + part]).copyMemory(
                            from: UnsafeRawBufferPointer(rebasing: source[from..<from + part]))
                        next += part
                    }
                }
            }
        }
    }

    /// Numbers in a type that holds them: rounded to it, or cut to whole numbers in its range.
    init(_ values: [Double], shape: Shape, as type: DType) throws {
        func whole<Element: FixedWidthInteger & TensorElement>(_ element: Element.Type) throws -> Tensor {
            try Tensor(values.map { Element(exactly: $0.rounded(.towardZero)) ?? ($0 > 0 ? .max : $0 < 0 ? .min : 0) }, shape: shape)
        }
        switch type {
        case .f64: self = try Tensor(values, shape: shape)
        case .f32: self = try Tensor(values.map(Float.init), shape: shape)
        case .f16, .bf16:
            let isHalf = type == .f16
            self = try Tensor(type, shape: shape) { bytes in
                for (index, value) in values.enumerated() {
                    let bits = isHalf ? ck_float_to_half(Float(value)) : ck_float_to_bfloat(Float(value))
                    bytes.storeBytes(of: bits, toByteOffset: 2 * index, as: UInt16.self)
                }
            }
        case .i64: self = try whole(Int64.self)
        case .i32: self = try whole(Int32.self)
        case .i16: self = try whole(Int16.self)
        case .i8: self = try whole(Int8.self)
        case .u64: self = try whole(UInt64.self)
        case .u32: self = try whole(UInt32.self)
        case .u16: self = try whole(UInt16.self)
        case .u8: self = try whole(UInt8.self)
        case .bool: self = try Tensor(values.map { $0 != 0 }, shape: shape)
        case .i4, .u4, .i2, .u2, .f8e4m3fn, .f8e4m3fnuz, .f8e5m2, .f8e5m2fnuz, .f8e8m0, .f4e2m1:
            throw SwiftletError.invalidArgument(name: "type", reason: "\(type.rawValue) is not made here", remedy: "Ask for f32 and cast.")
        }
    }
}

extension StringTensor {
    /// The parts at `places` of an axis, in that order. Every place is inside the axis.
    func taking(_ places: [Int], axis: Int) -> StringTensor {
        guard !values.isEmpty, !places.isEmpty else {
            var empty = shape.dimensions
            empty[axis] = places.count
            return StringTensor(shape: Shape(empty), values: [])
        }
        let outer = shape.dimensions[..<axis].reduce(1, *)
        let part = shape.dimensions[(axis + 1)...].reduce(1, *)
        var result = shape.dimensions
        result[axis] = places.count
        var taken: [String] = []
        taken.reserveCapacity(outer * places.count * part)
        for start in 0..<outer {
            for place in places {
                let from = (start * shape[axis] + place) * part
                taken += values[from..<from + part]
            }
        }
        return StringTensor(shape: Shape(result), values: taken)
    }

    /// A number for each text, in the order of their code points. Texts with the same code points, and only they, have equal numbers.
    func orderedKeys() -> [UInt64] {
        let texts = values.map { Array($0.utf8) }
        let sorted = Set(texts).sorted { $0.lexicographicallyPrecedes($1) }
        let places = Dictionary(uniqueKeysWithValues: zip(sorted, 0...))
        return texts.map { UInt64(places[$0] ?? 0) }
    }
}

extension ModelValue {
    /// The shape of a tensor of numbers or texts; nil for other values.
    var shape: Shape? {
        switch self {
        case .tensor(let tensor): tensor.shape
        case .strings(let strings): strings.shape
        case .sequence, .absent: nil
        }
    }

    /// The parts at `places` of an axis of a tensor of numbers or texts, in that order.
    func taking(_ places: [Int], axis: Int) throws -> ModelValue {
        switch self {
        case .tensor(let tensor): .tensor(try tensor.taking(places, axis: axis))
        case .strings(let strings): .strings(strings.taking(places, axis: axis))
        case .sequence, .absent: self
        }
    }

    /// The same elements under another shape.
    func reshaped(to shape: Shape) throws -> ModelValue {
        switch self {
        case .tensor(let tensor): .tensor(try tensor.reshaped(to: shape))
        case .strings(let strings): .strings(StringTensor(shape: shape, values: strings.values))
        case .sequence, .absent: self
        }
    }

    /// A number for each element, in their order; equal elements have equal numbers.
    func orderedKeys() throws -> [UInt64] {
        switch self {
        case .tensor(let tensor): try tensor.orderedKeys()
        case .strings(let strings): strings.orderedKeys()
        case .sequence, .absent: []
        }
    }
}
