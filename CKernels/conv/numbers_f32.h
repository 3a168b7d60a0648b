// Images of floats (conv/epilogue.h says what a header of numbers gives), and their products for conv/dense.h, over the vector vocabulary (isa/simd.h).
#include "conv/numbers.h"

typedef float conv_number;

CK_INLINE vf conv_read(const float *p, int64_t n) { return conv_load(p, n); }
CK_INLINE void conv_write(float *p, vf x, int64_t n) { conv_store(p, x, n); }

enum { dense_group = 1 };
typedef vf dense_weights;
typedef vhalf dense_half_weights;

CK_INLINE vf dense_load(const float *p) { return v_load(p); }
CK_INLINE vf dense_multiply(vf sums, const float *x, vf w, const bool whole) {
    (void)whole;
    return v_fma(w, v_set(*x), sums);
}
CK_INLINE vhalf dense_load_half(const float *p) {
    vhalf w;
    memcpy(&w, p, sizeof w);
    return w;
}
CK_INLINE vhalf dense_multiply_half(vhalf sums, const float *x, vhalf w, const bool whole) {
    (void)whole;
    return __builtin_elementwise_fma(w, *x - (vhalf){0}, sums);
}
