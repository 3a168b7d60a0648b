// Integer-panel linear kernels for AVX-512 VNNI.
//
// One 64-byte group of a panel is one register: lane n holds 4 consecutive k of output row n. vpdpbusd multiplies it with 4 activations that a
// memory operand broadcasts to all lanes, so activations cost no register and no shuffle. Weights stay unsigned; the zero point is taken off
// with the activation sums. A register tile is one panel by up to 8 activation rows: its 8 weight registers are unpacked once a tile.
// The arithmetic and its order are those of linear_scalar.c, bit for bit.
#include "gemm/rows.h"

#if defined(__x86_64__)

#include "gemm/layout.h"

#include <immintrin.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"))), apply_to = function)

#include "gemm/unpack_avx512.h"

#define CK_INLINE static inline __attribute__((always_inline))

enum { row_tile = 8, prefetch_bytes = 4096 };

CK_INLINE __m512i four_activations(const int8_t *activations) {
    int32_t word;
    memcpy(&word, activations, sizeof word);
    return _mm512_set1_epi32(word);
}

CK_INLINE __m512 sixteen_halves(const uint8_t *halves) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)halves)); }

// Σ (u − zero) · q over groups [first, first + count), where `sum` is Σ q of the same elements.
CK_INLINE __m512i exact_sum(const __m512i weights[8], const int8_t *high, const int8_t *low, int32_t sum, int first, int count, ck_panel_format format, ck_activation_format terms) {
    __m512i top = _mm512_setzero_si512();
#pragma clang loop unroll(full)
    for (int g = first; g < first + count; g++) top = _mm512_dpbusd_epi32(top, weights[g], four_activations(high + 4 * g));
    const int shift = ck_panel_zero_shift(format);
    if (terms == CK_ACT_Q8) {
        if (ck_panel_has_minimum(format)) return top;
        return _mm512_sub_epi32(top, _mm512_slli_epi32(_mm512_set1_epi32(sum), shift));
    }
    __m512i bottom = _mm512_setzero_si512();
#pragma clang loop unroll(full)
    for (int g = first; g < first + count; g++) bottom = _mm512_dpbusd_epi32(bottom, weights[g], four_activations(low + 4 * g));
    if (ck_panel_has_minimum(format)) return _mm512_add_epi32(_mm512_slli_epi32(top, 7), bottom);
    // 128·top + bottom − 2^shift · sum, with the sum as a memory operand.
    if (shift < 7) top = _mm512_slli_epi32(top, 7 - shift);
    return _mm512_add_epi32(_mm512_slli_epi32(_mm512_sub_epi32(top, _mm512_set1_epi32(sum)), shift), bottom);
}

// One panel by `count` activation rows.
CK_INLINE void tile(const ck_linear_args *args, const uint8_t *panel, int64_t first_row, int64_t column, ck_panel_format format, ck_activation_format terms, int count) {
    const int64_t k = args->k, valid = args->columns - column;
    const int parts = ck_panel_parts(format), groups = 8 / parts;
    const size_t block_bytes = ck_panel_block_bytes(format), quant_offset = ck_panel_quant_offset(format), low_offset = ck_activation_low_offset(k);
    const size_t record_offset = ck_activation_block_offset(terms, k);
    const uint8_t *activations = (const uint8_t *)args->activations + args->activation_stride_bytes * (size_t)first_row;
    const uint8_t *block = panel + ck_panel_header_bytes;
    // Blocks are fetched a fixed distance ahead of themselves, so the header between two panels needs its own request.
    if (first_row == 0) _mm_prefetch((const char *)panel + prefetch_bytes, _MM_HINT_T0);
    __m512 total[row_tile];
#pragma clang loop unroll(full)
    for (int m = 0; m < count; m++) total[m] = _mm512_setzero_ps();
    for (int64_t b = 0; b < k / CK_BLOCK; b++, block += block_bytes) {
        if (first_row == 0) {  // the first pass over a panel fetches it; later row tiles find it in the near cache
#pragma clang loop unroll(full)
            for (size_t line = 0; line < block_bytes; line += 64) _mm_prefetch((const char *)block + prefetch_bytes + line, _MM_HINT_T0);
        }
        __m512i weights[8];
        ck_unpack_avx512(block + quant_offset, format, weights);
        __m512 scale[2], minimum[2];
#pragma clang loop unroll(full)
        for (int part = 0; part < parts; part++) {
            scale[part] = sixteen_halves(block + 32 * part);
            if (ck_panel_has_minimum(format)) minimum[part] = sixteen_halves(block + 32 * (parts + part));
        }
#pragma clang loop unroll(full)
        for (int m = 0; m < count; m++) {
            const uint8_t *row = activations + args->activation_stride_bytes * (size_t)m;
            const int8_t *high = (const int8_t *)row + CK_BLOCK * b, *low = high + low_offset;
            const ck_activation_block *record = (const ck_activation_block *)(const void *)(row + record_offset) + b;
            const __m512 activation_scale = _mm512_set1_ps(record->scale);
#pragma clang loop unroll(full)
            for (int part = 0; part < parts; part++) {
                const int32_t sum = parts == 2 ? record->half_sum[part] : record->sum;
                const __m512i exact = exact_sum(weights, high, low, sum, groups * part, groups, format, terms);
                total[m] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(exact), _mm512_mul_ps(scale[part], activation_scale), total[m]);
            }
#pragma clang loop unroll(full)
            for (int part = 0; part < parts; part++) {
                if (!ck_panel_has_minimum(format)) continue;
                total[m] = _mm512_fmadd_ps(minimum[part], _mm512_set1_ps(parts == 2 ? record->scaled_half_sum[part] : record->scaled_sum), total[m]);
            }
        }
    }
    const __m512 factor = _mm512_loadu_ps(panel);
    const __mmask16 mask = valid >= 16 ? 0xffff : (__mmask16)((1u << valid) - 1);
#pragma clang loop unroll(full)
    for (int m = 0; m < count; m++) {
        _mm512_mask_storeu_ps(args->output + (first_row + m) * args->output_stride + column, mask, _mm512_mul_ps(total[m], factor));
    }
}

// A single activation row: the weights are read once, ahead of use, and nothing is reused.
CK_INLINE void vector(const ck_linear_args *args, ck_panel_format format, ck_activation_format terms) {
    for (int64_t m = 0; m < args->rows; m++) {
        for (int64_t p = 0; p < args->panel_count; p++) {
            tile(args, (const uint8_t *)args->panels + args->panel_stride_bytes * (size_t)p, m, p * CK_PANEL_ROWS, format, terms, 1);
        }
    }
}

// Several rows: each panel is walked once for every 8 of them, from the near cache after the first.
CK_INLINE void matrix(const ck_linear_args *args, ck_panel_format format, ck_activation_format terms) {
    for (int64_t p = 0; p < args->panel_count; p++) {
        const uint8_t *panel = (const uint8_t *)args->panels + args->panel_stride_bytes * (size_t)p;
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

#define CK_ENTRY_POINTS(name, panel) \
    static void vector_##name##_q8(const ck_linear_args *args) { vector(args, panel, CK_ACT_Q8); } \
    static void vector_##name##_q15(const ck_linear_args *args) { vector(args, panel, CK_ACT_Q15); } \
    static void matrix_##name##_q8(const ck_linear_args *args) { matrix(args, panel, CK_ACT_Q8); } \
    static void matrix_##name##_q15(const ck_linear_args *args) { matrix(args, panel, CK_ACT_Q15); }
CK_INTEGER_PANELS(CK_ENTRY_POINTS)

#pragma clang attribute pop

enum { isa = CK_ISA_AVX512 | CK_ISA_AVX512_VNNI };

#define CK_VECTOR_ROWS(name, panel) \
    {"linear_vector_" #name "_q8_avx512vnni", isa, panel, CK_ACT_Q8, 1, 1, vector_##name##_q8}, \
    {"linear_vector_" #name "_q15_avx512vnni", isa, panel, CK_ACT_Q15, 1, 1, vector_##name##_q15},
#define CK_MATRIX_ROWS(name, panel) \
    {"linear_matrix_" #name "_q8_avx512vnni", isa, panel, CK_ACT_Q8, row_tile, ck_any_rows, matrix_##name##_q8}, \
    {"linear_matrix_" #name "_q15_avx512vnni", isa, panel, CK_ACT_Q15, row_tile, ck_any_rows, matrix_##name##_q15},

static const ck_linear_row rows[] = {
    CK_INTEGER_PANELS(CK_VECTOR_ROWS)
    CK_INTEGER_PANELS(CK_MATRIX_ROWS)
};
const ck_linear_group ck_linear_avx512_vnni = {rows, sizeof rows / sizeof rows[0]};

#endif
