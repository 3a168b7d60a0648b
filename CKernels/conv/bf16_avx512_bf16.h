// Convolution and pooling of bf16 images over AVX-512 BF16: vdpbf16ps adds the products of a pair, twice the rate of floats. Included inside a region with
// that target, after isa/simd.h and vector/math.h.

CK_INLINE vf conv_read_part(const uint16_t *p, int64_t n) {
    return (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), p)), 16);
}
CK_INLINE void conv_write_part(uint16_t *p, vf x, int64_t n) {
    _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1), (__m256i)_mm512_cvtneps_pbh(x));
}
CK_INLINE void conv_write_whole(uint16_t *p, vf x) { _mm256_storeu_si256((__m256i *)(void *)p, (__m256i)_mm512_cvtneps_pbh(x)); }
#define CONV_PARTS
#include "conv/numbers_bf16.h"
#undef CONV_PARTS

typedef __m512bh dense_weights;
typedef __m256bh dense_half_weights;

CK_INLINE __m512bh dense_load(const uint16_t *p) { return (__m512bh)_mm512_loadu_si512(p); }
CK_INLINE vf dense_multiply(vf sums, const uint16_t *x, __m512bh w, const bool whole) {
    return _mm512_dpbf16_ps(sums, (__m512bh)_mm512_set1_epi32(dense_pair(x, whole)), w);
}
CK_INLINE __m256bh dense_load_half(const uint16_t *p) { return (__m256bh)_mm256_loadu_si256((const __m256i *)(const void *)p); }
CK_INLINE vhalf dense_multiply_half(vhalf sums, const uint16_t *x, __m256bh w, const bool whole) {
    return _mm256_dpbf16_ps(sums, (__m256bh)_mm256_set1_epi32(dense_pair(x, whole)), w);
}

#include "conv/bodies_avx512.h"
