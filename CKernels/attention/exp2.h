// 2^x for softmax weights: cheaper than e^x, so rows that fold log₂ e into their scores use it. Included inside an instruction set's target region,
// after isa/simd.h, where simd_<isa>.h has v_fraction and v_scale_power.

/// 2^x for x ≤ 0 as 2^⌊x⌋ · 2^(x − ⌊x⌋), the second by a polynomial with 8e-8 relative (our own weighted least-squares fit), 1.4e-7 as evaluated;
/// 1 at 0, 0 at −∞, NaN stays NaN.
CK_INLINE vf exp2_negative(vf x) {
    const vf r = v_fraction(x);
    vf p = v_fma(v_set(0.0018671417f), r, v_set(0.009017006f));
    p = v_fma(p, r, v_set(0.05579993f));
    p = v_fma(p, r, v_set(0.24016444f));
    p = v_fma(p, r, v_set(0.6931513f));
    return v_scale_power(v_fma(p, r, v_set(1)), x);
}
