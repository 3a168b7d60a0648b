// Quantised convolutions for AVX-512 with VNNI: vpdpbusd on tiles of 14 pixels by 32 channels; depthwise on blocks of 64 channels, the last 32 in 256 bits.
#include "conv/u8_layout.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"))), apply_to = function)

#include "isa/simd_avx512.h"
#include "isa/simd.h"
#include "conv/u8_narrow_avx512.h"
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

#include "conv/u8_block_512.h"
typedef ub u8_tap_weight, u8_tap_input;
CK_INLINE u8_tap_weight u8_tap_weight_of(ub bytes) { return bytes; }
CK_INLINE u8_tap_input u8_tap_input_of(ub bytes) { return bytes; }
CK_INLINE ub u8_tap_dot(ub sums, u8_tap_input x, u8_tap_weight w) { return _mm512_dpbusd_epi32(sums, x, w); }
CK_INLINE ub u8_load_channels(const uint8_t *p, int64_t n) {
    return n == 64 ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi8((__mmask64)((1ull << n) - 1), p);
}
CK_INLINE void u8_store_channels(uint8_t *p, ub x, int64_t n) {
    if (n == 64) _mm512_storeu_si512(p, x);
    else _mm512_mask_storeu_epi8(p, (__mmask64)((1ull << n) - 1), x);
}
#include "conv/u8_depthwise.h"

static void depthwise(const ck_conv_u8_args *args) {
    int64_t left;
    for (int64_t channel = args->first_panel * CK_CONV_PANEL, end = u8_end_channel(args); channel < end; channel += u8_channels) {
        left = end - channel;
        // A block that is filled for the smaller part costs as much as a full one.
        if (left > u8_channels / 2) u8_depthwise_block(args, channel, left < u8_channels ? left : u8_channels);
        else ck_conv_u8_depthwise_vnni(args, channel, left);
    }
}

#pragma clang attribute pop

const ck_conv_u8_set ck_conv_u8_avx512_vnni = {
    .name = "conv_u8_avx512vnni", .isa = CK_ISA_AVX512 | CK_ISA_AVX512_VNNI, .pixel_tile = u8_pixels, .panel_tile = u8_panels, .depthwise_panel_tile = 4,
    .dense = u8_dense, .depthwise = depthwise,
};

#endif
