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

// 64 bytes in a register of their own. Folded into vpexpandb, as compilers like to, the load turns the instruction into one that reads each byte by
// itself: a block of half zeros then takes 14.6 ns instead of 8.9 (Zen 4, from the near cache).
CK_INLINE __m512i stream(const uint8_t *values) {
    __m512i bytes = _mm512_loadu_si512(values);
    __asm__("" : "+v"(bytes));
    return bytes;
}

// The 8 lines of a block, a byte a level; returns the block behind.
CK_INLINE const uint8_t *expand_block(ck_sparse_format format, const uint8_t *block, __m512i lines[8]) {
    const __m512i zero = _mm512_set1_epi8((char)ck_bitmap_zero_of(format));
    const uint8_t *values = block + ck_bitmap_value_offset;
    if (format == CK_SPARSE_BITMAP_Q4) {
        const __m512i low = _mm512_set1_epi8(15);
#pragma clang loop unroll(full)
        for (int g = 0; g < 4; g++) {
            const uint64_t mask = ck_bitmap_mask(block, g), other = ck_bitmap_mask(block, g + 4);
            const __m512i bytes = stream(values);
            lines[g] = _mm512_mask_expand_epi8(zero, mask, _mm512_and_si512(bytes, low));
            lines[g + 4] = _mm512_mask_expand_epi8(zero, other, _mm512_and_si512(_mm512_srli_epi16(bytes, 4), low));
            const int64_t kept = _mm_popcnt_u64(mask), more = _mm_popcnt_u64(other);
            values += kept > more ? kept : more;
        }
        return values;
    }
#pragma clang loop unroll(full)
    for (int g = 0; g < 8; g++) {
        const uint64_t mask = ck_bitmap_mask(block, g);
        lines[g] = _mm512_mask_expand_epi8(zero, mask, stream(values));
        values += _mm_popcnt_u64(mask);
    }
    return values;
}

// One panel by `count` activation rows.
CK_INLINE void tile(const ck_linear_args *args, const uint8_t *panel, int64_t first_row, int64_t column, ck_sparse_format format, ck_activation_format terms, int count) {
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
        block = expand_block(format, block, lines);
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
            const __m512i both = terms == CK_ACT_Q15 ? _mm512_add_epi32(_mm512_slli_epi32(top, 7), bottom) : top;
            const __m512i exact = _mm512_sub_epi32(both, _mm512_set1_epi32(record->sum * ck_bitmap_zero_of(format)));
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

CK_INLINE void multiply(const ck_linear_args *args, ck_sparse_format format, ck_activation_format terms) {
    for (int64_t p = 0; p < args->panel_count; p++) {
        const uint8_t *panel = ck_sparse_panel(args, p);
        const int64_t column = p * CK_PANEL_ROWS;
        int64_t m = 0;
        for (; m + 8 <= args->rows; m += 8) tile(args, panel, m, column, format, terms, 8);
        if (args->rows - m >= 4) {
            tile(args, panel, m, column, format, terms, 4);
            m += 4;
        }
        if (args->rows - m >= 2) {
            tile(args, panel, m, column, format, terms, 2);
            m += 2;
        }
        if (args->rows - m >= 1) tile(args, panel, m, column, format, terms, 1);
    }
}

static void q8_q8(const ck_linear_args *args) { multiply(args, CK_SPARSE_BITMAP, CK_ACT_Q8); }
static void q8_q15(const ck_linear_args *args) { multiply(args, CK_SPARSE_BITMAP, CK_ACT_Q15); }
static void q4_q8(const ck_linear_args *args) { multiply(args, CK_SPARSE_BITMAP_Q4, CK_ACT_Q8); }
static void q4_q15(const ck_linear_args *args) { multiply(args, CK_SPARSE_BITMAP_Q4, CK_ACT_Q15); }

CK_INLINE void expand(ck_sparse_format format, const void *panel, int64_t k, void *dense) {
    const ck_panel_format whole = format == CK_SPARSE_BITMAP_Q4 ? CK_PANEL_Q4 : CK_PANEL_Q8;
    const uint8_t *block = (const uint8_t *)panel + ck_panel_header_bytes;
    uint8_t *out = dense;
    memcpy(out, panel, ck_panel_header_bytes);
    out += ck_panel_header_bytes;
    for (int64_t b = 0; b < k / CK_BLOCK; b++) {
        __m512i lines[8];
        memcpy(out, block, ck_bitmap_mask_offset);
        block = expand_block(format, block, lines);
        const int count = whole == CK_PANEL_Q4 ? 4 : 8;
#pragma clang loop unroll(full)
        for (int g = 0; g < count; g++) {
            const __m512i line = whole == CK_PANEL_Q4 ? _mm512_or_si512(lines[g], _mm512_slli_epi16(lines[g + 4], 4)) : lines[g];
            _mm512_storeu_si512(out + ck_bitmap_mask_offset + ck_bitmap_line * g, line);
        }
        out += ck_panel_block_bytes(whole);
    }
    memset(out, 0, ck_panel_bytes(whole, k) - (size_t)(out - (uint8_t *)dense));
}

static void expand_q8(const void *panel, int64_t k, void *dense) { expand(CK_SPARSE_BITMAP, panel, k, dense); }
static void expand_q4(const void *panel, int64_t k, void *dense) { expand(CK_SPARSE_BITMAP_Q4, panel, k, dense); }

#pragma clang attribute pop

enum { isa = CK_ISA_AVX512 | CK_ISA_AVX512_VNNI | CK_ISA_AVX512_VBMI2, most_rows = 16 };

// Crossover measured on Zen 4, weights streaming from memory (1536 × 576 and 576 × 1536), 1 and 2 threads: with 15 % of zeros 0.87 to 1.06 times the dense row's
// speed, with 25 % 0.97 to 1.23, 35 % 1.24 to 1.35, 50 % 1.5 to 1.85; 4096 × 4096 with 70 % 1.7 to 2.2. Of 4 bits, whose dense row reads half as much: with 50 % 1.03 (1 thread) and 1.24 (2) for one term, 0.86 and
// 1.11 for two; with 70 % 1.08 and 1.52, 0.97 and 1.58.

static const ck_sparse_row rows[] = {
    {"sparse_bitmap_q8_avx512vbmi2", isa, CK_SPARSE_BITMAP, CK_ACT_Q8, row_tile, most_rows, q8_q8, expand_q8, 0.3f},
    {"sparse_bitmap_q15_avx512vbmi2", isa, CK_SPARSE_BITMAP, CK_ACT_Q15, row_tile, most_rows, q8_q15, expand_q8, 0.3f},
    {"sparse_bitmap_q4_q8_avx512vbmi2", isa, CK_SPARSE_BITMAP_Q4, CK_ACT_Q8, row_tile, most_rows, q4_q8, expand_q4, 0.5f},
    {"sparse_bitmap_q4_q15_avx512vbmi2", isa, CK_SPARSE_BITMAP_Q4, CK_ACT_Q15, row_tile, most_rows, q4_q15, expand_q4, 0.6f},
};
const ck_sparse_group ck_sparse_avx512_vbmi2 = {rows, sizeof rows / sizeof rows[0]};

#endif
