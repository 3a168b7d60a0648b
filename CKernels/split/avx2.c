// Fine sums for AVX2.
#include "split/layout.h"
#include "split/rows.h"

#if defined(__x86_64__)

#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

// Stored numbers are at most 15, so pairs of products fit 16 bits.
static inline __attribute__((always_inline)) __m256i dot(__m256i sum, __m256i numbers, __m256i activations) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(numbers, activations), _mm256_set1_epi16(1)));
}

#include "split/sums_256.h"

#include "split/refine.h"

#pragma clang attribute pop

const ck_split_row ck_split_avx2 = {.name = "split_avx2", .isa = CK_ISA_AVX2, .refine = refine, .pays = 1};

#endif
