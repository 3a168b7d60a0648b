// Products of bf16 for conv/dense.h without instructions for them: both numbers of a pair become floats. Included after conv/numbers_bf16.h.

typedef int32_t vhalf_i __attribute__((vector_size(lanes * 2)));

// The even and the odd numbers of `lanes` pairs.
typedef struct dense_weights {
    vf even, odd;
} dense_weights;
typedef struct dense_half_weights {
    vhalf even, odd;
} dense_half_weights;

CK_INLINE dense_weights dense_load(const uint16_t *p) {
    vi pairs;
    memcpy(&pairs, p, sizeof pairs);
    return (dense_weights){(vf)(pairs << 16), (vf)(pairs & (int32_t)0xffff0000u)};
}
CK_INLINE vf dense_multiply(vf sums, const uint16_t *x, dense_weights w, const bool whole) {
    const vi pair = vi_set(dense_pair(x, whole));
    sums = v_fma((vf)(pair << 16), w.even, sums);
    return whole ? v_fma((vf)(pair & (int32_t)0xffff0000u), w.odd, sums) : sums;
}
CK_INLINE dense_half_weights dense_load_half(const uint16_t *p) {
    vhalf_i pairs;
    memcpy(&pairs, p, sizeof pairs);
    return (dense_half_weights){(vhalf)(pairs << 16), (vhalf)(pairs & (int32_t)0xffff0000u)};
}
CK_INLINE vhalf dense_multiply_half(vhalf sums, const uint16_t *x, dense_half_weights w, const bool whole) {
    const vhalf_i pair = dense_pair(x, whole) - (vhalf_i){0};
    sums = __builtin_elementwise_fma((vhalf)(pair << 16), w.even, sums);
    return whole ? __builtin_elementwise_fma((vhalf)(pair & (int32_t)0xffff0000u), w.odd, sums) : sums;
}
