// Sums of products of floats, with the instruction every machine of a kind has.

/// `total + a · b`: rounded once on 64-bit Arm, which has an instruction for it, and twice elsewhere. Asking for one rounding on a machine whose oldest
/// form lacks the instruction (x86) would be a library call a lane.
@_transparent
func multiplyAdd(_ total: SIMD4<Float>, _ a: SIMD4<Float>, _ b: SIMD4<Float>) -> SIMD4<Float> {
    #if arch(arm64)
        total.addingProduct(a, b)
    #else
        total + a * b
    #endif
}
