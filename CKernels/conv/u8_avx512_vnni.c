// Quantised convolutions for AVX-512 with VNNI: vpdpbusd on tiles of 14 pixels by 32 channels.
#include "conv/u8_layout.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"))), apply_to = function)

#include "isa/simd_avx512.h"
#include "isa/simd.h"

CK_INLINE vi u8_round(vf x) { return (vi)_mm512_cvtps_epi32(x); }
#include "conv/u8_finish.h"

typedef __m512i u8_weight;
typedef __m512i u8_input;
CK_INLINE u8_weight u8_load_weights(const uint8_t *line) { return _mm512_loadu_si512(line); }
CK_INLINE u8_input u8_load_input(const uint8_t *pixel) {
    int32_t four;
    memcpy(&four, pixel, sizeof four);
    return _mm512_set1_epi32(four);
}
CK_INLINE vi u8_dot(vi sums, u8_input x, u8_weight w) { return (vi)_mm512_dpbusd_epi32((__m512i)sums, x, w); }

enum { u8_pixels = 14, u8_vectors = 2 };
#define U8_COUNTS(each) each(14) each(7) each(4) each(2) each(1)
#include "conv/u8_dense.h"
#include "conv/depthwise.h"

#pragma clang attribute pop

const ck_conv_u8_set ck_conv_u8_avx512_vnni = {
    .name = "conv_u8_avx512vnni", .isa = CK_ISA_AVX512 | CK_ISA_AVX512_VNNI, .pixel_tile = u8_pixels, .panel_tile = u8_panels,
    .dense = u8_dense, .depthwise = depthwise,
};

#endif
