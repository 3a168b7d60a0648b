// Sparse kernels for AVX2.
//
// There is no instruction that expands bytes; 8 weights at a time, a shuffle does: a table gives for the 8 bits of a mask where each weight comes from,
// the next bytes of the stream or the constant 128 that lies behind them in the register. Products are taken in int16, as gemm/linear_avx2.c takes
// those of 8-bit weights, and give the same bits.
#include "sparse/rows.h"

#if defined(__x86_64__)

#include "sparse/bitmap.h"

#include <immintrin.h>
#include <string.h>

// Where byte i of 8 comes from for mask m: the weights kept are bytes 0..7 of the register, 128 is byte 8.
#define CK_FROM(m, i) ((m) >> (i) & 1 ? __builtin_popcount((m) & ((1 << (i)) - 1)) : 8)
#define CK_ENTRY(m) {CK_FROM(m, 0), CK_FROM(m, 1), CK_FROM(m, 2), CK_FROM(m, 3), CK_FROM(m, 4), CK_FROM(m, 5), CK_FROM(m, 6), CK_FROM(m, 7)},
#define CK_ENTRIES_4(m) CK_ENTRY(m) CK_ENTRY((m) + 1) CK_ENTRY((m) + 2) CK_ENTRY((m) + 3)
#define CK_ENTRIES_16(m) CK_ENTRIES_4(m) CK_ENTRIES_4((m) + 4) CK_ENTRIES_4((m) + 8) CK_ENTRIES_4((m) + 12)
#define CK_ENTRIES_64(m) CK_ENTRIES_16(m) CK_ENTRIES_16((m) + 16) CK_ENTRIES_16((m) + 32) CK_ENTRIES_16((m) + 48)
static const uint8_t places[256][8] __attribute__((aligned(64))) = {CK_ENTRIES_64(0) CK_ENTRIES_64(64) CK_ENTRIES_64(128) CK_ENTRIES_64(192)};

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,popcnt"))), apply_to = function)

#include "gemm/lanes_avx2.h"

enum { row_tile = 4, prefetch_bytes = 4096, prefetch_lines = 6 };

// 8 bytes of a line.
CK_INLINE __m128i expand_eight(const uint8_t **values, uint8_t mask) {
    int64_t word;
    memcpy(&word, *values, sizeof word);
    const __m128i kept = _mm_unpacklo_epi64(_mm_cvtsi64_si128(word), _mm_set1_epi8((char)ck_bitmap_zero));
    *values += __builtin_popcount(mask);
    return _mm_shuffle_epi8(kept, _mm_loadl_epi64((const __m128i *)(const void *)places[mask]));
}

// 32 bytes of a line.
CK_INLINE __m256i expand_half(const uint8_t **values, uint32_t mask) {
    const __m128i a = expand_eight(values, (uint8_t)mask), b = expand_eight(values, (uint8_t)(mask >> 8));
    const __m128i c = expand_eight(values, (uint8_t)(mask >> 16)), d = expand_eight(values, (uint8_t)(mask >> 24));
    return _mm256_set_m128i(_mm_unpacklo_epi64(c, d), _mm_unpacklo_epi64(a, b));
}

// The 32 activations of a block as int16, the even ones of each group of 4 before the odd ones.
CK_INLINE void widen_activations(const int8_t *high, const int8_t *low, ck_activation_format terms, int16_t wide[CK_BLOCK]) {
#pragma clang loop unroll(full)
    for (int i = 0; i < CK_BLOCK; i += 16) {
        __m256i q = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(high + i)));
        if (terms == CK_ACT_Q15) q = _mm256_add_epi16(_mm256_slli_epi16(q, 7), _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(low + i))));
        _mm256_storeu_si256((__m256i *)(void *)(wide + i), _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(q, 0xd8), 0xd8));
    }
}

CK_INLINE __m256i two_activations(const int16_t *activations) {
    int32_t word;
    memcpy(&word, activations, sizeof word);
    return _mm256_set1_epi32(word);
}

// One panel by `count` activation rows.
CK_INLINE void tile(const ck_linear_args *args, const uint8_t *panel, int64_t first_row, int64_t column, ck_activation_format terms, int count) {
    const int64_t k = args->k, valid = args->columns - column;
    const size_t low_offset = ck_activation_low_offset(k), record_offset = ck_activation_block_offset(terms, k);
    const uint8_t *activations = (const uint8_t *)args->activations + args->activation_stride_bytes * (size_t)first_row;
    const uint8_t *block = panel + ck_panel_header_bytes;
    const __m256i even = _mm256_set1_epi16(0xff);
    __m256 total[row_tile][2];
#pragma clang loop unroll(full)
    for (int m = 0; m < count; m++) total[m][0] = total[m][1] = _mm256_setzero_ps();
    for (int64_t b = 0; b < k / CK_BLOCK; b++) {
        if (first_row == 0) {
#pragma clang loop unroll(full)
            for (int line = 0; line < prefetch_lines; line++) _mm_prefetch((const char *)block + prefetch_bytes + 64 * line, _MM_HINT_T0);
        }
        int16_t wide[row_tile][CK_BLOCK];
        __m256i sums[row_tile][2];
#pragma clang loop unroll(full)
        for (int m = 0; m < count; m++) {
            const int8_t *high = (const int8_t *)activations + args->activation_stride_bytes * (size_t)m + CK_BLOCK * b;
            widen_activations(high, high + low_offset, terms, wide[m]);
            sums[m][0] = sums[m][1] = _mm256_setzero_si256();
        }
        const uint8_t *values = block + ck_bitmap_value_offset;
#pragma clang loop unroll(full)
        for (int g = 0; g < 8; g++) {
            const uint64_t mask = ck_bitmap_mask(block, g);
#pragma clang loop unroll(full)
            for (int side = 0; side < 2; side++) {
                const __m256i levels = expand_half(&values, (uint32_t)(mask >> 32 * side));
                const __m256i first = _mm256_and_si256(levels, even), second = _mm256_srli_epi16(levels, 8);
#pragma clang loop unroll(full)
                for (int m = 0; m < count; m++) {
                    sums[m][side] = _mm256_add_epi32(sums[m][side], _mm256_madd_epi16(first, two_activations(wide[m] + 4 * g)));
                    sums[m][side] = _mm256_add_epi32(sums[m][side], _mm256_madd_epi16(second, two_activations(wide[m] + 4 * g + 2)));
                }
            }
        }
#pragma clang loop unroll(full)
        for (int m = 0; m < count; m++) {
            const uint8_t *row = activations + args->activation_stride_bytes * (size_t)m;
            const ck_activation_block *record = (const ck_activation_block *)(const void *)(row + record_offset) + b;
            const __m256i sum = _mm256_slli_epi32(_mm256_set1_epi32(record->sum), 7);
#pragma clang loop unroll(full)
            for (int side = 0; side < 2; side++) {
                const __m256 both_scales = _mm256_mul_ps(eight_halves(block + 16 * side), _mm256_set1_ps(record->scale));
                total[m][side] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(sums[m][side], sum)), both_scales, total[m][side]);
            }
        }
        block = values;
    }
    const float *factor = (const float *)(const void *)panel;
#pragma clang loop unroll(full)
    for (int m = 0; m < count; m++) {
        float *output = args->output + (first_row + m) * args->output_stride + column;
        store_eight(output, _mm256_mul_ps(total[m][0], _mm256_loadu_ps(factor)), valid);
        store_eight(output + 8, _mm256_mul_ps(total[m][1], _mm256_loadu_ps(factor + 8)), valid - 8);
    }
}

CK_INLINE void multiply(const ck_linear_args *args, ck_activation_format terms) {
    for (int64_t p = 0; p < args->panel_count; p++) {
        const uint8_t *panel = ck_sparse_panel(args, p);
        int64_t m = 0;
        for (; m + row_tile <= args->rows; m += row_tile) tile(args, panel, m, p * CK_PANEL_ROWS, terms, row_tile);
        if (args->rows - m >= 2) {
            tile(args, panel, m, p * CK_PANEL_ROWS, terms, 2);
            m += 2;
        }
        if (m < args->rows) tile(args, panel, m, p * CK_PANEL_ROWS, terms, 1);
    }
}

static void multiply_q8(const ck_linear_args *args) { multiply(args, CK_ACT_Q8); }
static void multiply_q15(const ck_linear_args *args) { multiply(args, CK_ACT_Q15); }

static void expand(const void *panel, int64_t k, void *dense) {
    const uint8_t *block = (const uint8_t *)panel + ck_panel_header_bytes;
    uint8_t *out = dense;
    memcpy(out, panel, ck_panel_header_bytes);
    out += ck_panel_header_bytes;
    for (int64_t b = 0; b < k / CK_BLOCK; b++) {
        memcpy(out, block, ck_bitmap_mask_offset);
        const uint8_t *values = block + ck_bitmap_value_offset;
        for (int half = 0; half < 16; half++) {
            const uint32_t mask = (uint32_t)(ck_bitmap_mask(block, half / 2) >> 32 * (half % 2));
            _mm256_storeu_si256((__m256i *)(void *)(out + ck_bitmap_mask_offset + 32 * half), expand_half(&values, mask));
        }
        block = values;
        out += ck_panel_block_bytes(CK_PANEL_Q8);
    }
    memset(out, 0, ck_panel_bytes(CK_PANEL_Q8, k) - (size_t)(out - (uint8_t *)dense));
}

#pragma clang attribute pop

enum { most_rows = 4 };

// No crossover: measured on Zen 4 the shuffles take longer than memory does to bring the zeros, 0.5 to 0.7 times the dense row's speed at every part of
// zeros. Kept for comparison, as a twin that more machines run, and to expand panels.

static const ck_sparse_row rows[] = {
    {"sparse_bitmap_q8_avx2", CK_ISA_AVX2, CK_SPARSE_BITMAP, CK_ACT_Q8, row_tile, most_rows, multiply_q8, expand, 2},
    {"sparse_bitmap_q15_avx2", CK_ISA_AVX2, CK_SPARSE_BITMAP, CK_ACT_Q15, row_tile, most_rows, multiply_q15, expand, 2},
};
const ck_sparse_group ck_sparse_avx2 = {rows, sizeof rows / sizeof rows[0]};

#endif
