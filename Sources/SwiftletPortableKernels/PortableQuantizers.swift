// Activation quantisers in Swift's vector types: the bits of gemm/quantize_scalar.c (formats: ckernels/linear.h).
import CKernels

/// The largest |x| of 32 numbers, as bits: a NaN or an infinity is larger than any number.
@inline(__always)
func largestMagnitude(_ x: UnsafePointer<Float>) -> UInt32 {
    var largest = Quad()
    for index in 0..<8 {
        let bits = (UnsafeRawPointer(x) + 16 * index).loadUnaligned(as: Quad.self) & 0x7fff_ffff
        largest.replace(with: bits, where: bits .> largest)
    }
    return UInt32(bitPattern: largest.max())
}

/// The scale of a block and the factor that quantises; 0: all numbers become 0, even those that are not finite.
@inline(__always)
func quantizationFactors(largest: UInt32, top: Float) -> (scale: Float, inverse: Float) {
    if largest >= 0x7f80_0000 { return (Float(bitPattern: 0x7fc0_0000), 0) }
    // Below 2^-100 the inverse scale would overflow.
    if largest < (127 - 100) << 23 { return (0, 0) }
    let magnitude = Float(bitPattern: largest)
    return (magnitude / top, top / magnitude)
}

/// The blocks of elements [first, first + count) of a row of `k`, into the format's sections. `x` is where element `first` lies.
@inline(__always)
private func quantizeRow<Terms: ActivationTerms>(
    _: Terms.Type, _ x: UnsafePointer<Float>, _ k: Int64, _ first: Int64, _ count: Int64, _ destination: UnsafeMutableRawPointer
) {
    let x = x - Int(first)
    let low = destination + ck_activation_low_offset(k)
    let records = (destination + ck_activation_block_offset(Terms.format, k)).assumingMemoryBound(to: ck_activation_block.self)
    for index in Int(first / Int64(CK_BLOCK))..<Int((first + count) / Int64(CK_BLOCK)) {
        let block = x + index * Int(CK_BLOCK)
        let (scale, inverse) = quantizationFactors(largest: largestMagnitude(block), top: Terms.isTwoTerms ? 127 * 128 : 127)
        var sums = (Int32(0), Int32(0))
        for half in 0..<2 {
            let start = index * Int(CK_BLOCK) + 16 * half
            if inverse == 0 {
                (destination + start).storeBytes(of: SIMD16<Int8>(), as: SIMD16<Int8>.self)
                if Terms.isTwoTerms { (low + start).storeBytes(of: SIMD16<Int8>(), as: SIMD16<Int8>.self) }
                continue
            }
            @inline(__always)
            func four(_ offset: Int) -> Quad { rounded((UnsafeRawPointer(x + start) + 4 * offset).loadUnaligned(as: Floats.self) * inverse) }
            let a = four(0), b = four(4), c = four(8), d = four(12)
            let sum = (a &+ b) &+ (c &+ d)
            let total = sum.wrappedSum()
            if half == 0 { sums.0 = total } else { sums.1 = total }
            // 16 bits hold every number, and shifts need no more.
            let q = SIMD16<Int16>(
                lowHalf: SIMD8(truncatingIfNeeded: SIMD8<Int32>(lowHalf: a, highHalf: b)),
                highHalf: SIMD8(truncatingIfNeeded: SIMD8<Int32>(lowHalf: c, highHalf: d)))
            if Terms.isTwoTerms {
                let top = (q &+ 64) &>> 7
                (destination + start).storeBytes(of: SIMD16<Int8>(truncatingIfNeeded: top), as: SIMD16<Int8>.self)
                (low + start).storeBytes(of: SIMD16<Int8>(truncatingIfNeeded: q &- (top &<< 7)), as: SIMD16<Int8>.self)
            } else {
                (destination + start).storeBytes(of: SIMD16<Int8>(truncatingIfNeeded: q), as: SIMD16<Int8>.self)
            }
        }
        let (first, second) = sums
        records[index] = ck_activation_block(
            scale: scale, sum: first &+ second, half_sum: (first, second), scaled_sum: scale * Float(first &+ second),
            scaled_half_sum: (scale * Float(first), scale * Float(second)), reserved: 0)
    }
}

@inline(__always)
private func quantize<Terms: ActivationTerms>(
    _ terms: Terms.Type, _ source: UnsafePointer<Float>?, _ sourceStride: Int64, _ rows: Int64, _ k: Int64, _ first: Int64, _ count: Int64,
    _ destination: UnsafeMutableRawPointer?, _ rowStride: Int
) {
    guard let source, let destination else { return }
    for row in 0..<Int(rows) { quantizeRow(terms, source + row * Int(sourceStride), k, first, count, destination + row * rowStride) }
}

extension PortableKernels {
    /// The quantisers, one an activation format.
    ///
    /// `nonisolated(unsafe)`: constants; the pointers in them lead to static strings.
    package nonisolated(unsafe) static let quantizers: [ck_quantize_row] = [
        ck_quantize_row(name: name("quantize_q8_portable"), isa: isa, activation: CK_ACT_Q8) { quantize(OneTerm.self, $0, $1, $2, $3, $4, $5, $6, $7) },
        ck_quantize_row(name: name("quantize_q15_portable"), isa: isa, activation: CK_ACT_Q15) { quantize(TwoTerms.self, $0, $1, $2, $3, $4, $5, $6, $7) },
    ]
}
