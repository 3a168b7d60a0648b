// The planes of an integer panel's block (ckernels/linear.h) to levels, AVX-512: one register a group, lane n holding 4 consecutive k of output
// row n. Included inside a target region with AVX-512 BW, after <immintrin.h>.
#pragma once

#include "gemm/layout.h"

/// Bits of every byte moved up by `shift` (down when negative) and masked: the shift is of 16-bit lanes, so the mask drops what crosses over.
static inline __attribute__((always_inline)) __m512i ck_moved_bits512(__m512i line, int shift, int mask) {
    const __m512i moved = shift > 0 ? _mm512_slli_epi16(line, (unsigned)shift) : shift < 0 ? _mm512_srli_epi16(line, (unsigned)-shift) : line;
    return _mm512_and_si512(moved, _mm512_set1_epi8((char)mask));
}

/// The levels (gemm/layout.h) of all 8 groups of the block whose planes start at `quants`.
static inline __attribute__((always_inline)) void ck_unpack_avx512(const uint8_t *quants, ck_panel_format format, __m512i levels[8]) {
    const int low_bits = ck_panel_low_bits(format), high_bits = ck_panel_high_bits(format);
    const uint8_t *high = quants + ck_panel_high_offset(format);
#pragma clang loop unroll(full)
    for (int g = 0; g < 8; g++) {
        if (low_bits == 8) levels[g] = _mm512_loadu_si512(quants + 64 * g);
        else if (low_bits == 4) levels[g] = ck_moved_bits512(_mm512_loadu_si512(quants + 64 * (g % 4)), g < 4 ? 0 : -4, 15);
        else levels[g] = ck_moved_bits512(_mm512_loadu_si512(quants + 64 * (g / 4)), -2 * (g % 4), 3);
    }
#pragma clang loop unroll(full)
    for (int g = 0; g < 8 && high_bits > 0; g++) {
        const __m512i bits = high_bits == 1 ? ck_moved_bits512(_mm512_loadu_si512(high), low_bits - g, 1 << low_bits)
                                            : ck_moved_bits512(_mm512_loadu_si512(high + 64 * (g / 4)), low_bits - 2 * (g % 4), 3 << low_bits);
        levels[g] = _mm512_or_si512(levels[g], bits);
    }
    if (ck_panel_code_book(format)) {
        const __m128i book = _mm_loadu_si128((const __m128i *)(const void *)ck_panel_code_book(format));
        const __m512i table = _mm512_broadcast_i32x4(_mm_add_epi8(book, _mm_set1_epi8((char)ck_panel_zero(format))));
#pragma clang loop unroll(full)
        for (int g = 0; g < 8; g++) levels[g] = _mm512_shuffle_epi8(table, levels[g]);
    }
}
