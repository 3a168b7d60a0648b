// The quantised depthwise convolution for AVX-512 with VNNI on blocks of 32 channels: what is left behind the blocks of 64 (conv/u8_avx512_vnni.c).
#include "conv/u8_layout.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"))), apply_to = function)

#include "isa/simd_avx512.h"
#include "isa/simd.h"
#include "conv/u8_block_256.h"

typedef ub u8_tap_weight, u8_tap_input;
CK_INLINE u8_tap_weight u8_tap_weight_of(ub bytes) { return bytes; }
CK_INLINE u8_tap_input u8_tap_input_of(ub bytes) { return bytes; }
CK_INLINE ub u8_tap_dot(ub sums, u8_tap_input x, u8_tap_weight w) { return _mm256_dpbusd_epi32(sums, x, w); }
CK_INLINE ub u8_load_channels(const uint8_t *p, int64_t n) {
    return n == 32 ? _mm256_loadu_si256((const __m256i *)(const void *)p) : _mm256_maskz_loadu_epi8((__mmask32)((1ull << n) - 1), p);
}
CK_INLINE void u8_store_channels(uint8_t *p, ub x, int64_t n) {
    if (n == 32) _mm256_storeu_si256((__m256i *)(void *)p, x);
    else if (n == 16) _mm_storeu_si128((__m128i *)(void *)p, _mm256_castsi256_si128(x));
    else _mm256_mask_storeu_epi8(p, (__mmask32)((1ull << n) - 1), x);
}
#include "conv/u8_depthwise.h"

void ck_conv_u8_depthwise_vnni(const ck_conv_u8_args *args, int64_t channel, int64_t n) { u8_depthwise_block(args, channel, n); }

#pragma clang attribute pop

#endif
