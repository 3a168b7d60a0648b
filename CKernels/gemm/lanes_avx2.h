// What the integer kernels on 256-bit vectors do the same way at the edges of a tile: activations to all lanes, scales in, outputs out.
// Included inside a target region with AVX2, FMA and F16C, after <immintrin.h>.
#pragma once

#include <stdint.h>
#include <string.h>

#define CK_INLINE static inline __attribute__((always_inline))

CK_INLINE __m256i four_activations(const int8_t *activations) {
    int32_t word;
    memcpy(&word, activations, sizeof word);
    return _mm256_set1_epi32(word);
}

CK_INLINE __m256 eight_halves(const uint8_t *halves) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)halves)); }

// The first `valid` of 8 outputs; none when that is not positive.
CK_INLINE void store_eight(float *output, __m256 values, int64_t valid) {
    if (valid >= 8) {
        _mm256_storeu_ps(output, values);
    } else if (valid > 0) {
        const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        _mm256_maskstore_ps(output, _mm256_cmpgt_epi32(_mm256_set1_epi32((int32_t)valid), lane), values);
    }
}
