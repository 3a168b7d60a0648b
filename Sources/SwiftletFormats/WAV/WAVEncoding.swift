// How the samples of a WAVE file are stored, and what each stored number means as a float.
import SwiftletTensor

/// The stored form of one sample. Integers map to -1 ..< 1: the smallest is -1; 8-bit samples are unsigned around 128.
public enum WAVEncoding: String, Sendable, Hashable, CaseIterable, Codable {
    case int8, int16, int24, int32, float32, float64

    /// Bytes of one sample.
    public var byteCount: Int {
        switch self {
        case .int8: 1
        case .int16: 2
        case .int24: 3
        case .int32, .float32: 4
        case .float64: 8
        }
    }

    var isFloat: Bool { self == .float32 || self == .float64 }

    /// Samples at `source`, `source + stride` ... as floats. The caller has checked that all of them lie in memory.
    func decode(_ source: UnsafeRawPointer, stride: Int, into target: UnsafeMutableBufferPointer<Float>) {
        switch self {
        case .int8: Self.each(target, source, stride) { Float(Int32($0.load(as: UInt8.self)) - 128) * 0x1p-7 }
        case .int16: Self.each(target, source, stride) { Float(Int16(littleEndian: $0.loadUnaligned(as: Int16.self))) * 0x1p-15 }
        case .int24:
            Self.each(target, source, stride) {
                let low = Int32(UInt16(littleEndian: $0.loadUnaligned(as: UInt16.self)))
                return Float(Int32($0.load(fromByteOffset: 2, as: Int8.self)) << 16 | low) * 0x1p-23
            }
        case .int32: Self.each(target, source, stride) { Float(Int32(littleEndian: $0.loadUnaligned(as: Int32.self))) * 0x1p-31 }
        case .float32:
            Self.each(target, source, stride) { Float(bitPattern: UInt32(littleEndian: $0.loadUnaligned(as: UInt32.self))) }
        case .float64:
            Self.each(target, source, stride) { Float(Double(bitPattern: UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)))) }
        }
    }

    @inline(__always)
    private static func each(
        _ target: UnsafeMutableBufferPointer<Float>, _ source: UnsafeRawPointer, _ stride: Int, _ sample: (UnsafeRawPointer) -> Float
    ) {
        for index in target.indices { target[index] = sample(source + index * stride) }
    }

    /// The stored form of a sample, appended. Integers are rounded to the nearest (ties to even) and clamped; a NaN has become an error before.
    func encode(_ sample: Float, into bytes: inout [UInt8]) {
        func integer(_ bits: Int) -> Int64 {
            let limit = Double(Int64(1) << (bits - 1))
            return Int64(min(max((Double(sample) * limit).rounded(.toNearestOrEven), -limit), limit - 1))
        }
        func append(_ value: UInt64) {
            for index in 0..<byteCount { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * UInt64(index)))) }
        }
        switch self {
        case .int8: append(UInt64(bitPattern: integer(8) + 128))
        case .int16: append(UInt64(bitPattern: integer(16)))
        case .int24: append(UInt64(bitPattern: integer(24)))
        case .int32: append(UInt64(bitPattern: integer(32)))
        case .float32: append(UInt64(sample.bitPattern))
        case .float64: append(Double(sample).bitPattern)
        }
    }
}
