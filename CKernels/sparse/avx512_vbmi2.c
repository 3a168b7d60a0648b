// Sparse kernels for AVX-512 with VNNI and VBMI2.
//
// vpexpandb puts the next bytes of the stream where a mask has ones and leaves 128, the level of zero, elsewhere: a line of the dense panel in one
// register, made faster than memory would bring it. From there on everything is as in gemm/linear_avx512_vnni.c, and so are the bits. Where a line's
// bytes start is the sum of the ones before it, a chain of additions that is shorter than the expanding it feeds.
#include "sparse/rows.h"

#if defined(__x86_64__)

#include "sparse/bitmap.h"

#include <immintrin.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt"))), apply_to = function)

#define CK_INLINE static inline __attribute__((always_inline))

enum { row_tile = 8, prefetch_bytes = 4096, prefetch_lines = 6 };

CK_INLINE __m512i four_activations(const int8_t *activations) {
    int32_t word;
    memcpy(&word, activations, sizeof word);
    return _mm512_set1_epi32(word);
}

// The 8 lines of a dense block; returns the block behind.
CK_INLINE const uint8_t *expand_block(const uint8_t *block, __m512i lines[8]) {
    const __m512i zero = _mm512_set1_epi8((char)ck_bitmap_zero);
    const uint8_t *values = block + ck_bitmap_value_offset;
#pragma clang loop unroll(full)
    for (int g = 0; g < 8; g++) {
        const uint64_t mask = ck_bitmap_mask(block, g);
        lines[g] = _mm512_mask_expand_epi8(zero, mask, _mm512_loadu_si512(values));
        values += _mm_popcnt_u64(mask);
    }
    return values;
}

// One panel by `count` activation rows.
CK_INLINE void tile(const ck_linear_args *args, const uint8_t *panel, int64_t first_row, int64_t column, ck_activation_format terms, int count) {
    const int64_t k = args->k, valid = args->columns - column;
    const size_t low_offset = ck_activation_low_offset(k), record_offset = ck_activation_block_offset(terms, k);
    const uint8_t *activations = (const uint8_t *)args->activations + args->activation_stride_bytes * (size_t)first_row;
    const uint8_t *block = panel + ck_panel_header_bytes;
    __m512 total[row_tile];
#pragma clang loop unroll(full)
    for (int m = 0; m < count; m++) total[m] = _mm512_setzero_ps();
    for (int64_t b = 0; b < k / CK_BLOCK; b++) {
        if (first_row == 0) {  // the first pass over a panel fetches it; later row tiles find it in the near cache
#pragma clang loop unroll(full)
            for (int line = 0; line < prefetch_lines; line++) _mm_prefetch((const char *)block + prefetch_bytes + 64 * line, _MM_HINT_T0);
        }
        const __m512 scale = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)block));
        __m512i lines[8];
        block = expand_block(block, lines);
#pragma clang loop unroll(full)
        for (int m = 0; m < count; m++) {
            const uint8_t *row = activations + args->activation_stride_bytes * (size_t)m;
            const int8_t *high = (const int8_t *)row + CK_BLOCK * b, *low = high + low_offset;
            const ck_activation_block *record = (const ck_activation_block *)(const void *)(row + record_offset) + b;
            __m512i top = _mm512_setzero_si512(), bottom = _mm512_setzero_si512();
#pragma clang loop unroll(full)
            for (int g = 0; g < 8; g++) {
                top = _mm512_dpbusd_epi32(top, lines[g], four_activations(high + 4 * g));
                if (terms == CK_ACT_Q15) bottom = _mm512_dpbusd_epi32(bottom, lines[g], four_activations(low + 4 * g));
            }
            // (top − Σ hi·128) with one term; 128·(top − Σ q) + bottom with two: 128 is both the zero and the weight of the high term.
            const __m512i sum = _mm512_set1_epi32(record->sum);
            const __m512i exact = terms == CK_ACT_Q15 ? _mm512_add_epi32(_mm512_slli_epi32(_mm512_sub_epi32(top, sum), 7), bottom)
                                                      : _mm512_sub_epi32(top, _mm512_slli_epi32(sum, 7));
            total[m] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(exact), _mm512_mul_ps(scale, _mm512_set1_ps(record->scale)), total[m]);
        }
    }
    const __m512 factor = _mm512_loadu_ps(panel);
    const __mmask16 mask = valid >= 16 ? 0xffff : (__mmask16)((1u << valid) - 1);
#pragma clang loop unroll(full)
    for (int m = 0; m < count; m++) {
        _mm512_mask_storeu_ps(args->output + (first_row + m) * args->output_stride + column, mask, _mm512_mul_ps(total[m], factor));
    }
}

CK_INLINE void multiply(const ck_linear_args *args, ck_activation_format terms) {
    for (int64_t p = 0; p < args->panel_count; p++) {
        const uint8_t *panel = (const uint8_t *)args->panels + args->panel_stride_bytes * (size_t)p;
        const int64_t column = p * CK_PANEL_ROWS;
        int64_t m = 0;
        for (; m + 8 <= args->rows; m += 8) tile(args, panel, m, column, terms, 8);
        if (args->rows - m >= 4) {
            tile(args, panel, m, column, terms, 4);
            m += 4;
        }
        if (args->rows - m >= 2) {
            tile(args, panel, m, column, terms, 2);
            m += 2;
        }
        if (args->rows - m >= 1) tile(args, panel, m, column, terms, 1);
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
        __m512i lines[8];
        memcpy(out, block, ck_bitmap_mask_offset);
        block = expand_block(block, lines);
#pragma clang loop unroll(full)
        for (int g = 0; g < 8; g++) _mm512_storeu_si512(out + ck_bitmap_mask_offset + ck_bitmap_line * g, lines[g]);
        out += ck_panel_block_bytes(CK_PANEL_Q8);
    }
    memset(out, 0, ck_panel_bytes(CK_PANEL_Q8, k) - (size_t)(out - (uint8_t *)dense));
}

#pragma clang attribute pop

enum { isa = CK_ISA_AVX512 | CK_ISA_AVX512_VNNI | CK_ISA_AVX512_VBMI2, most_rows = 16 };

// Crossover measured on Zen 4, weights streaming from memory (1536 × 576): with 30 % of zeros 0.96 to 1.36 times the dense row's speed, with 40 % 1.3 to 1.5,
// 50 % 1.5 to 1.8, 70 % 1.9 to 2.5.

static const ck_sparse_row rows[] = {
    {"sparse_bitmap_q8_avx512vbmi2", isa, CK_SPARSE_BITMAP, CK_ACT_Q8, row_tile, most_rows, multiply_q8, expand, 0.35f},
    {"sparse_bitmap_q15_avx512vbmi2", isa, CK_SPARSE_BITMAP, CK_ACT_Q15, row_tile, most_rows, multiply_q15, expand, 0.35f},
};
const ck_sparse_group ck_sparse_avx512_vbmi2 = {rows, sizeof rows / sizeof rows[0]};

#endif
