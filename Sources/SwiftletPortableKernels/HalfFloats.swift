// Half-precision numbers in Swift's vectors, by integer arithmetic alone: Float16 does not exist on every platform, and its conversion is a library
// call a lane on x86 without F16C.

/// Four halves as floats; infinities, NaNs and subnormal numbers included.
@_transparent
func floats(_ halves: UnsafeRawPointer) -> SIMD4<Float> {
    floats(halves.loadUnaligned(as: SIMD4<UInt16>.self))
}

/// Eight halves as floats. LLVM leaves the low bits of widened numbers to whatever the register held, which makes one conversion wait for the one before
/// it: by eights there are two such chains, half as long.
@_transparent
func eightFloats(_ halves: UnsafeRawPointer) -> SIMD8<Float> {
    let eight = halves.loadUnaligned(as: SIMD8<UInt16>.self)
    return SIMD8(lowHalf: floats(eight.lowHalf), highHalf: floats(eight.highHalf))
}

@_transparent
func floats(_ halves: SIMD4<UInt16>) -> SIMD4<Float> {
    // At the top of 32 bits first, so that one shift to the right puts exponent and fraction in place and copies the sign; the copies above the exponent
    // are taken out.
    let high = SIMD4<Int32>(truncatingIfNeeded: halves) &<< 16
    let shifted = (high &>> 3) & Int32(bitPattern: 0x8fff_e000)
    // The product with 2^112 corrects the exponent's bias and makes normal numbers of subnormal ones.
    let value = unsafeBitCast(shifted, to: SIMD4<Float>.self) * 0x1p112
    // The largest exponent stands for infinities and NaNs in both formats.
    let isSpecial = (shifted & 0x0f80_0000) .== SIMD4(repeating: 0x0f80_0000)
    let exponent = unsafeBitCast(isSpecial, to: SIMD4<Int32>.self) & 0x7f80_0000
    return unsafeBitCast(unsafeBitCast(value, to: SIMD4<Int32>.self) | exponent, to: SIMD4<Float>.self)
}

/// Four floats as halves, to nearest, ties to even; what is too large becomes infinity.
@_transparent
func halves(_ values: SIMD4<Float>) -> SIMD4<UInt16> {
    let bits = unsafeBitCast(values, to: SIMD4<Int32>.self), size = bits & 0x7fff_ffff
    // Normal halves: the exponent's bias is changed and half of what is cut off added, less a little where the last bit kept is even.
    let last = (size &>> 13) & 1
    var result = (size &+ last &- 0x37ff_f001) &>> 13
    // Below 2^-14 a half's last bit is 2^-24, which is the last bit of a float next to 0.5: an addition rounds.
    let small = unsafeBitCast(unsafeBitCast(size, to: SIMD4<Float>.self) + 0.5, to: SIMD4<Int32>.self) &- 0x3f00_0000
    result.replace(with: small, where: size .< 0x3880_0000)
    result.replace(with: 0x7c00, where: size .>= 0x4780_0000)
    result.replace(with: 0x7e00, where: size .> 0x7f80_0000)
    let sign = (bits &>> 16) & 0x8000
    return SIMD4<UInt16>(truncatingIfNeeded: result | sign)
}

/// One half as a float.
@_transparent
func float(_ half: UInt16) -> Float {
    withUnsafeBytes(of: SIMD4<UInt16>(half, 0, 0, 0)) { bytes in bytes.baseAddress.map { floats($0)[0] } ?? 0 }
}
