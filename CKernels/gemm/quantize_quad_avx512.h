// Four blocks of activations for AVX-512: a block is two vectors, and the terms of two blocks are one.
// Included by quantize_body.h's includers, inside a target region.
#include "isa/simd_4.h"

CK_INLINE vu4 largest_of_quad(const float *x) {
    __m512i block[4];
#pragma clang loop unroll(full)
    for (int b = 0; b < 4; b++) block[b] = (__m512i)__builtin_elementwise_max((vu)v_abs(v_load(x + CK_BLOCK * b)), (vu)v_abs(v_load(x + CK_BLOCK * b + lanes)));
    const __m512i ab = _mm512_max_epu32(_mm512_unpacklo_epi32(block[0], block[1]), _mm512_unpackhi_epi32(block[0], block[1]));
    const __m512i cd = _mm512_max_epu32(_mm512_unpacklo_epi32(block[2], block[3]), _mm512_unpackhi_epi32(block[2], block[3]));
    const __m512i all = _mm512_max_epu32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    const __m256i half = _mm256_max_epu32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
    return (vu4)_mm_max_epu32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

/// The low bytes of numbers that fit, in order.
CK_INLINE __m512i bytes_of_four(const __m512i x[4]) {
    const __m512i parts = _mm512_packs_epi16(_mm512_packs_epi32(x[0], x[1]), _mm512_packs_epi32(x[2], x[3]));  // 128-bit part by part
    return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), parts);
}

/// Sums of four neighbouring bytes.
CK_INLINE __m512i sums_of_bytes(__m512i x) { return _mm512_madd_epi16(_mm512_maddubs_epi16(_mm512_set1_epi8(1), x), _mm512_set1_epi16(1)); }

CK_INLINE void round_quad(const float *x, vf4 inverses, int8_t *high, int8_t *low, vi4 half_sums[2], ck_activation_format format) {
    __m512i sums[2];  // of two blocks, each half in four lanes
#pragma clang loop unroll(full)
    for (int pair = 0; pair < 2; pair++) {
        __m512i top[4], bottom[4];
#pragma clang loop unroll(full)
        for (int i = 0; i < 4; i++) {
            const __m512 scaled = v_load(x + 2 * CK_BLOCK * pair + lanes * i) * v_set(inverses[2 * pair + i / 2]);
            const __m512i q = _mm512_cvt_roundps_epi32(scaled, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
            top[i] = format == CK_ACT_Q15 ? _mm512_srai_epi32(_mm512_add_epi32(q, _mm512_set1_epi32(64)), 7) : q;
            if (format == CK_ACT_Q15) bottom[i] = _mm512_sub_epi32(q, _mm512_slli_epi32(top[i], 7));
        }
        const __m512i top_bytes = bytes_of_four(top);
        _mm512_storeu_si512(high + 2 * CK_BLOCK * pair, top_bytes);
        sums[pair] = sums_of_bytes(top_bytes);
        if (format == CK_ACT_Q15) {
            const __m512i bottom_bytes = bytes_of_four(bottom);
            _mm512_storeu_si512(low + 2 * CK_BLOCK * pair, bottom_bytes);
            sums[pair] = _mm512_add_epi32(_mm512_slli_epi32(sums[pair], 7), sums_of_bytes(bottom_bytes));
        }
    }
    const __m512i twos = _mm512_add_epi32(_mm512_unpacklo_epi32(sums[0], sums[1]), _mm512_unpackhi_epi32(sums[0], sums[1]));
    const __m512i fours = _mm512_add_epi32(twos, _mm512_shuffle_epi32(twos, _MM_PERM_BADC));  // part h of four: half h of blocks 0, 2; parts 2 and 3: of 1, 3
    half_sums[0] = (vi4)_mm_unpacklo_epi32(_mm512_castsi512_si128(fours), _mm512_extracti32x4_epi32(fours, 2));
    half_sums[1] = (vi4)_mm_unpacklo_epi32(_mm512_extracti32x4_epi32(fours, 1), _mm512_extracti32x4_epi32(fours, 3));
}
