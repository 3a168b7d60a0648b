// Quantised convolutions for AVX2: vpmaddwd on the even and the odd bytes apart, exact where vpmaddubsw would saturate, on tiles of 4 pixels by 16
// channels.
#include "conv/u8_layout.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#include "isa/simd_avx2.h"
#include "isa/simd.h"

CK_INLINE vi u8_round(vf x) { return (vi)_mm256_cvtps_epi32(x); }
#include "conv/u8_finish.h"

// Bytes 0 and 2, and 1 and 3, of each group of four as 16-bit numbers.
typedef struct u8_weight {
    __m256i even, odd;
} u8_weight;
typedef u8_weight u8_input;

CK_INLINE u8_weight u8_load_weights(const uint8_t *line) {
    const __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)line);
    return (u8_weight){_mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8), _mm256_srai_epi16(bytes, 8)};
}
CK_INLINE u8_input u8_load_input(const uint8_t *pixel) {
    int32_t four;
    memcpy(&four, pixel, sizeof four);
    const __m256i bytes = _mm256_set1_epi32(four);
    return (u8_input){_mm256_and_si256(bytes, _mm256_set1_epi16(0xff)), _mm256_srli_epi16(bytes, 8)};
}
CK_INLINE vi u8_dot(vi sums, u8_input x, u8_weight w) {
    return sums + (vi)_mm256_add_epi32(_mm256_madd_epi16(x.even, w.even), _mm256_madd_epi16(x.odd, w.odd));
}

enum { u8_pixels = 4, u8_vectors = 2 };
#define U8_COUNTS(each) each(4) each(2) each(1)
#include "conv/u8_dense.h"
#include "conv/depthwise.h"

#pragma clang attribute pop

const ck_conv_u8_set ck_conv_u8_avx2 = {
    .name = "conv_u8_avx2", .isa = CK_ISA_AVX2, .pixel_tile = u8_pixels, .panel_tile = u8_panels, .dense = u8_dense, .depthwise = depthwise,
};

#endif
