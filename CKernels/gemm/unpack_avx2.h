// The planes of an integer panel's block (ckernels/linear.h) to levels, AVX2. Included inside a target region with AVX2, after <immintrin.h>.
#pragma once

#include "gemm/layout.h"

/// Bits of every byte moved up by `shift` (down when negative) and masked: the shift is of 16-bit lanes, so the mask drops what crosses over.
static inline __attribute__((always_inline)) __m256i ck_moved_bits256(__m256i line, int shift, int mask) {
    const __m256i moved = shift > 0 ? _mm256_slli_epi16(line, shift) : shift < 0 ? _mm256_srli_epi16(line, -shift) : line;
    return _mm256_and_si256(moved, _mm256_set1_epi8((char)mask));
}

/// The levels (gemm/layout.h) of group `group` of the block whose planes start at `quants`, output rows 8·side to 8·side + 7: lane n holds
/// 4 consecutive k of row 8·side + n.
static inline __attribute__((always_inline)) __m256i ck_levels_avx2(const uint8_t *quants, ck_panel_format format, int group, int side) {
    const int low_bits = ck_panel_low_bits(format), high_bits = ck_panel_high_bits(format);
    const uint8_t *low = quants + 32 * side, *high = low + ck_panel_high_offset(format);
    const size_t line = 64 * (size_t)(low_bits == 8 ? group : low_bits == 4 ? group % 4 : group / 4);
    const int down = low_bits == 8 ? 0 : low_bits == 4 ? group / 4 * 4 : group % 4 * 2;
    const __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)(low + line));
    __m256i levels = low_bits == 8 ? bytes : ck_moved_bits256(bytes, -down, (1 << low_bits) - 1);
    if (high_bits == 1) {
        const __m256i bits = _mm256_loadu_si256((const __m256i *)(const void *)high);
        levels = _mm256_or_si256(levels, ck_moved_bits256(bits, low_bits - group, 1 << low_bits));
    } else if (high_bits == 2) {
        const __m256i bits = _mm256_loadu_si256((const __m256i *)(const void *)(high + 64 * (group / 4)));
        levels = _mm256_or_si256(levels, ck_moved_bits256(bits, low_bits - group % 4 * 2, 3 << low_bits));
    }
    if (ck_panel_code_book(format)) {
        const __m128i book = _mm_loadu_si128((const __m128i *)(const void *)ck_panel_code_book(format));
        levels = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_add_epi8(book, _mm_set1_epi8((char)ck_panel_zero(format)))), levels);
    }
    return levels;
}
