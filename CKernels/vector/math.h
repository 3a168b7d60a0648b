// exp, tanh, sigmoid and erfc over the vector vocabulary (isa/simd.h). The polynomials are our own weighted least-squares (Lawson) fits;
// each comment gives the fit's error before f32 rounding. Included inside an instruction set's target region, after its simd header.

/// e^x = 2^n · e^r, n = round(x / ln 2), |r| ≤ ln 2 / 2; e^r = 1 + r + r²·P(r), fit 3e-9 relative.
/// Overflows to infinity above 88.72, reaches 0 through the subnormals below −87.3; NaN stays NaN.
CK_INLINE vf v_exp(vf x) {
    x = v_min(v_set(89), v_max(v_set(-104), x));
    const vf n = v_round(x * v_set(1.44269504f));
    vf r = v_fma(n, v_set(-0.693145752f), x);     // ln 2 in two parts, the first exact in few bits
    r = v_fma(n, v_set(-1.42860677e-6f), r);
    vf p = v_set(0.00138146f);
    p = v_fma(p, r, v_set(0.00836872f));
    p = v_fma(p, r, v_set(0.04166839f));
    p = v_fma(p, r, v_set(0.16666521f));
    p = v_fma(p, r, v_set(0.49999993f));
    p = v_fma(p * r, r, r) + v_set(1);
    // 2^n in two factors, because n runs from −150 to 128.
    const vi whole = __builtin_convertvector(n, vi), half = whole >> 1;
    return p * (vf)((half + 127) << 23) * (vf)((whole - half + 127) << 23);
}

/// |x| < 0.625: x + x³·P(x²), fit 4e-9 relative; otherwise 1 − 2 / (e^2|x| + 1) with the sign of x.
CK_INLINE vf v_tanh(vf x) {
    const vf square = x * x, magnitude = v_abs(x);
    vf p = v_set(-0.00570499f);
    p = v_fma(p, square, v_set(0.02063909f));
    p = v_fma(p, square, v_set(-0.05373971f));
    p = v_fma(p, square, v_set(0.13331442f));
    p = v_fma(p, square, v_set(-0.33333282f));
    const vf small = v_fma(p * square, magnitude, magnitude);
    const vf large = v_set(1) - v_set(2) / (v_exp(magnitude + magnitude) + v_set(1));
    return v_copysign(v_select(magnitude < v_set(0.625f), small, large), x);
}

CK_INLINE vf v_sigmoid(vf x) { return v_set(1) / (v_set(1) + v_exp(-x)); }

/// erfc(z) for z ≥ 0 as e^(−z·P(z)), fit 2e-9 absolute; 0 above 4.2, where erfc < 3e-9.
CK_INLINE vf v_erfc(vf z) {
    const vf t = v_min(v_set(4.2f), z);
    vf p = v_set(-8.043824023731366e-06f);
    p = v_fma(p, t, v_set(0.00010602666238969278f));
    p = v_fma(p, t, v_set(-0.0005879507253448267f));
    p = v_fma(p, t, v_set(0.00157676019730655f));
    p = v_fma(p, t, v_set(-5.878157979006495e-05f));
    p = v_fma(p, t, v_set(-0.019217142968279616f));
    p = v_fma(p, t, v_set(0.10279921050618207f));
    p = v_fma(p, t, v_set(0.6366161070003016f));
    p = v_fma(p, t, v_set(1.128379332490688f));
    return v_select(z > v_set(4.2f), v_set(0), v_exp(-(p * t)));
}

CK_INLINE vf v_relu(vf x) { return v_max(x, v_set(0)); }
CK_INLINE vf v_silu(vf x) { return x / (v_set(1) + v_exp(-x)); }

/// x·Φ(x): Φ(−|x|) = erfc(|x|/√2)/2 keeps the tail, the other side is its complement.
CK_INLINE vf v_gelu(vf x) {
    const vf tail = v_set(0.5f) * v_erfc(v_abs(x) * v_set(0.70710678f));
    return x * v_select(x > v_set(0), v_set(1) - tail, tail);
}

/// x/2·(1 + tanh(y)) = x·sigmoid(2y), y = √(2/π)·(x + 0.044715·x³).
CK_INLINE vf v_gelu_tanh(vf x) {
    const vf inner = x * v_fma(x * x, v_set(2 * 0.79788456f * 0.044715f), v_set(2 * 0.79788456f));
    return x * v_sigmoid(inner);
}
