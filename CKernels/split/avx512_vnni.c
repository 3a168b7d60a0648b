// Fine sums for AVX-512 VNNI: two pairs of blocks at a time, the first blocks of both beside each other, and the second ones.
#include "split/layout.h"
#include "split/rows.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"))), apply_to = function)

enum { most_blocks = CK_SPLIT_MOST_K / CK_BLOCK, group = 4 };

/// What one row of activations is to all fine rows: its numbers, those of blocks 0 and 2 of each four, then those of 1 and 3; its scales; and what the
/// stored numbers of fine rows make sums too large by. Zeros fill up the last four.
typedef struct {
    int8_t high[CK_SPLIT_MOST_K], low[CK_SPLIT_MOST_K];
    float scale[most_blocks], offset[most_blocks];
} activation_facts;

static inline __attribute__((always_inline)) void learn(activation_facts *facts, const ck_split_args *args, ck_activation_format terms) {
    const int8_t *high = args->activations, *low = high + ck_activation_low_offset(args->k);
    const ck_activation_block *record = (const void *)((const uint8_t *)args->activations + ck_activation_block_offset(terms, args->k));
    const int64_t blocks = args->k / CK_BLOCK, padded = (blocks + 15) / 16 * 16;  // scales are read 16 at a time
    for (int64_t b = 0; b < padded; b++) {
        const int64_t place = CK_BLOCK * (b / group * group + (b % 2) * 2 + b % group / 2);
        if (b < blocks) {
            memcpy(facts->high + place, high + CK_BLOCK * b, CK_BLOCK);
            if (terms == CK_ACT_Q15) memcpy(facts->low + place, low + CK_BLOCK * b, CK_BLOCK);
        } else {
            memset(facts->high + place, 0, CK_BLOCK);
            memset(facts->low + place, 0, CK_BLOCK);
        }
        facts->scale[b] = b < blocks ? record[b].scale : 0;
        facts->offset[b] = b < blocks ? ck_split_zero * record[b].scaled_sum : 0;
    }
}

/// Stored numbers of two blocks times the activations at `place`, in 8 sums a block.
static inline __attribute__((always_inline)) __m512 block_sums(__m512i numbers, const activation_facts *facts, int64_t place, ck_activation_format terms) {
    __m512i sums = _mm512_dpbusd_epi32(_mm512_setzero_si512(), numbers, _mm512_loadu_si512(facts->high + place));
    if (terms == CK_ACT_Q15) sums = _mm512_dpbusd_epi32(_mm512_slli_epi32(sums, 7), numbers, _mm512_loadu_si512(facts->low + place));
    return _mm512_cvtepi32_ps(sums);
}

static inline __attribute__((always_inline)) float fine_sum(const uint8_t *fine, int64_t k, const activation_facts *facts, ck_activation_format terms) {
    const int64_t blocks = k / CK_BLOCK;
    const uint8_t *numbers = ck_split_pair(fine, k, 0);
    const __m512i mask = _mm512_set1_epi8(15);
    const __m512i evens = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2), odds = _mm512_or_si512(evens, _mm512_set1_epi32(1));
    float scales[most_blocks];
    __m512 even = _mm512_setzero_ps(), odd = _mm512_setzero_ps();
    for (int64_t b = 0; b < blocks; b += 16) {
        const __mmask16 present = blocks - b < 16 ? (__mmask16)((1u << (blocks - b)) - 1) : 0xffff;
        const __m512 d = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(present, ck_split_scales(fine) + b));
        _mm512_storeu_ps(scales + b, _mm512_mul_ps(d, _mm512_loadu_ps(facts->scale + b)));
        even = _mm512_fnmadd_ps(d, _mm512_loadu_ps(facts->offset + b), even);
    }
    for (int64_t b = 0; b < blocks; b += group, numbers += 2 * CK_BLOCK) {
        const __mmask64 present = blocks - b > 2 ? ~(__mmask64)0 : 0xffffffff;
        const __m512i both = _mm512_maskz_loadu_epi8(present, numbers);
        const __m512 scale = _mm512_broadcast_f32x4(_mm_loadu_ps(scales + b));
        const __m512 first = block_sums(_mm512_and_si512(both, mask), facts, CK_BLOCK * b, terms);
        const __m512 second = block_sums(_mm512_and_si512(_mm512_srli_epi16(both, 4), mask), facts, CK_BLOCK * (b + 2), terms);
        even = _mm512_fmadd_ps(first, _mm512_permutexvar_ps(evens, scale), even);
        odd = _mm512_fmadd_ps(second, _mm512_permutexvar_ps(odds, scale), odd);
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(even, odd));
}

#include "split/refine.h"

#pragma clang attribute pop

const ck_split_row ck_split_avx512_vnni = {
    .name = "split_avx512vnni", .isa = CK_ISA_AVX512 | CK_ISA_AVX512_VNNI, .refine = refine, .pays = 1,
};

#endif
