// Sums of products rounded once a term, on machines with and without a fused multiply-add. The integer kernels accumulate with it, so that all of them
// give the same bits.

#if arch(arm64)
    /// Four sums, each a float.
    typealias FusedSum = SIMD4<Float>

    /// `total + a · b`. Nothing is ever in doubt.
    @_transparent
    func fused(_ total: FusedSum, _ a: SIMD4<Float>, _ b: SIMD4<Float>, _ doubt: inout SIMD4<UInt32>) -> FusedSum { total.addingProduct(a, b) }
#else
    /// Four sums, each a float kept as Double: the product of two is exact there. Their sum is rounded to 53 bits and then to 24, which differs from rounding
    /// once only where the first result lies exactly between two floats, or where the float is subnormal or nearly so.
    typealias FusedSum = SIMD4<Double>

    /// `total + a · b`. Where a lane of `doubt` becomes other than 0 the sum may be wrong, and is to be done again with `fusedExactly`.
    @_transparent
    func fused(_ total: FusedSum, _ a: SIMD4<Float>, _ b: SIMD4<Float>, _ doubt: inout SIMD4<UInt32>) -> FusedSum {
        let sum = SIMD4<Double>(a) * SIMD4<Double>(b) + total
        let result = SIMD4<Float>(sum)
        let rest = SIMD4<UInt32>(truncatingIfNeeded: unsafeBitCast(sum, to: SIMD4<UInt64>.self)) & 0x1fff_ffff
        let exponent = unsafeBitCast(result, to: SIMD4<UInt32>.self) & 0x7f00_0000
        doubt = doubt | unsafeBitCast(rest .== SIMD4<UInt32>(repeating: 0x1000_0000), to: SIMD4<UInt32>.self)
        doubt = doubt | unsafeBitCast(exponent .== SIMD4<UInt32>(), to: SIMD4<UInt32>.self)
        return SIMD4<Double>(result)
    }
#endif

/// `total + a · b`, lane by lane where the machine has no instruction for it.
func fusedExactly(_ total: FusedSum, _ a: SIMD4<Float>, _ b: SIMD4<Float>) -> FusedSum { FusedSum(SIMD4<Float>(total).addingProduct(a, b)) }
