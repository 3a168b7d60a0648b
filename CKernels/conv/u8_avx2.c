// Quantised convolutions for AVX2, on tiles of 4 pixels by 16 channels; depthwise on blocks of 32 channels.
#include "conv/u8_layout.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#include "isa/simd_avx2.h"
#include "isa/simd.h"
#include "conv/u8_narrow_avx2.h"
#include "conv/u8_finish.h"
#include "conv/u8_split_256.h"

typedef u8_split u8_weight, u8_input;
CK_INLINE u8_weight u8_load_weights(const uint8_t *line) { return u8_split_signed(_mm256_loadu_si256((const __m256i *)(const void *)line)); }
CK_INLINE u8_input u8_load_input(const uint8_t *pixel) {
    int32_t four;
    memcpy(&four, pixel, sizeof four);
    return u8_split_unsigned(_mm256_set1_epi32(four));
}
CK_INLINE vi u8_dot(vi sums, u8_input x, u8_weight w) { return (vi)u8_split_dot((__m256i)sums, x, w); }

enum { u8_pixels = 4, u8_vectors = 2 };
#define U8_COUNTS(each) each(4) each(2) each(1)
#include "conv/u8_dense.h"

#include "conv/u8_block_256.h"
typedef u8_split u8_tap_weight, u8_tap_input;
CK_INLINE u8_tap_weight u8_tap_weight_of(ub bytes) { return u8_split_signed(bytes); }
CK_INLINE u8_tap_input u8_tap_input_of(ub bytes) { return u8_split_unsigned(bytes); }
CK_INLINE ub u8_tap_dot(ub sums, u8_tap_input x, u8_tap_weight w) { return u8_split_dot(sums, x, w); }
CK_INLINE ub u8_load_channels(const uint8_t *p, int64_t n) {
    if (n == 32) return _mm256_loadu_si256((const __m256i *)(const void *)p);
    if (n == 16) return _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)p));
    __m256i bytes = _mm256_setzero_si256();
    memcpy(&bytes, p, (size_t)n);
    return bytes;
}
CK_INLINE void u8_store_channels(uint8_t *p, ub x, int64_t n) { memcpy(p, &x, n == 32 ? sizeof x : (size_t)n); }
#include "conv/u8_depthwise.h"

static void depthwise(const ck_conv_u8_args *args) {
    for (int64_t channel = args->first_panel * CK_CONV_PANEL, end = u8_end_channel(args); channel < end; channel += u8_channels) {
        u8_depthwise_block(args, channel, end - channel < u8_channels ? end - channel : u8_channels);
    }
}

void ck_conv_u8_depthwise_avx2(const ck_conv_u8_args *args, int64_t channel, int64_t n) { u8_depthwise_block(args, channel, n); }

#pragma clang attribute pop

const ck_conv_u8_set ck_conv_u8_avx2 = {
    .name = "conv_u8_avx2", .isa = CK_ISA_AVX2, .pixel_tile = u8_pixels, .panel_tile = u8_panels, .depthwise_panel_tile = 2, .dense = u8_dense,
    .depthwise = depthwise,
};

#endif
