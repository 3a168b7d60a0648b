// Integer-panel linear kernels with vpdpbusd on 256 bits, for AVX-VNNI: the AVX-512 VNNI kernel's arithmetic, half a panel in a register.
//
// One 64-byte group is two registers, the sides: lane n of side s holds 4 consecutive k of output row 8s + n. There are 16 registers and the
// activations take one (no broadcast from memory as an operand in VEX), so with 4 activation rows a walk along k serves one side, sums of
// two terms included; with 1 or 2 rows, where weights may come from memory, it serves both.
// Weights are unpacked once for the rows of a tile. The arithmetic and its order are those of linear_scalar.c, bit for bit.
//
// Included inside a target region with AVX2, after <immintrin.h> and gemm/unpack_avx2.h; the includer provides
//     dot_bytes(sum, weights, activations)   sum + Σ of 4 products of unsigned weights and signed activations in each lane

#include "gemm/lanes_avx2.h"

enum { row_tile = 4, prefetch_bytes = 2048 };

// `count` activation rows by the sides [first_side, first_side + sides) of one panel.
CK_INLINE void tile(const ck_linear_args *args, const uint8_t *panel, int64_t first_row, int64_t column, ck_panel_format format, ck_activation_format terms, int count, int first_side, int sides) {
    const int64_t k = args->k;
    const int parts = ck_panel_parts(format), groups = 8 / parts;
    const size_t block_bytes = ck_panel_block_bytes(format), quant_offset = ck_panel_quant_offset(format), low_offset = ck_activation_low_offset(k);
    const size_t record_offset = ck_activation_block_offset(terms, k);
    const uint8_t *activations = (const uint8_t *)args->activations + args->activation_stride_bytes * (size_t)first_row;
    const uint8_t *block = panel + ck_panel_header_bytes;
    __m256 total[row_tile][2];
#pragma clang loop unroll(full)
    for (int m = 0; m < count; m++) total[m][0] = total[m][1] = _mm256_setzero_ps();
    for (int64_t b = 0; b < k / CK_BLOCK; b++, block += block_bytes) {
        if (count == 1) {
#pragma clang loop unroll(full)
            for (size_t line = 0; line < block_bytes; line += 64) _mm_prefetch((const char *)block + prefetch_bytes + line, _MM_HINT_T0);
        }
        const int8_t *high[row_tile];
        const ck_activation_block *record[row_tile];
#pragma clang loop unroll(full)
        for (int m = 0; m < count; m++) {
            const uint8_t *row = activations + args->activation_stride_bytes * (size_t)m;
            high[m] = (const int8_t *)row + CK_BLOCK * b;
            record[m] = (const ck_activation_block *)(const void *)(row + record_offset) + b;
        }
#pragma clang loop unroll(full)
        for (int part = 0; part < parts; part++) {
            __m256i top[row_tile][2], bottom[row_tile][2];
#pragma clang loop unroll(full)
            for (int m = 0; m < count; m++) top[m][0] = top[m][1] = bottom[m][0] = bottom[m][1] = _mm256_setzero_si256();
#pragma clang loop unroll(full)
            for (int g = groups * part; g < groups * (part + 1); g++) {
                __m256i weights[2];
#pragma clang loop unroll(full)
                for (int side = 0; side < sides; side++) weights[side] = ck_levels_avx2(block + quant_offset, format, g, first_side + side);
#pragma clang loop unroll(full)
                for (int m = 0; m < count; m++) {
                    const __m256i four = four_activations(high[m] + 4 * g);
#pragma clang loop unroll(full)
                    for (int side = 0; side < sides; side++) top[m][side] = dot_bytes(top[m][side], weights[side], four);
                    if (terms != CK_ACT_Q15) continue;
                    const __m256i low_four = four_activations(high[m] + low_offset + 4 * g);
#pragma clang loop unroll(full)
                    for (int side = 0; side < sides; side++) bottom[m][side] = dot_bytes(bottom[m][side], weights[side], low_four);
                }
            }
#pragma clang loop unroll(full)
            for (int side = 0; side < sides; side++) {
                const __m256 scale = eight_halves(block + 32 * part + 16 * (first_side + side));
#pragma clang loop unroll(full)
                for (int m = 0; m < count; m++) {
                    __m256i exact = top[m][side];
                    if (terms == CK_ACT_Q15) exact = _mm256_add_epi32(_mm256_slli_epi32(exact, 7), bottom[m][side]);
                    if (!ck_panel_has_minimum(format)) {
                        const int32_t sum = parts == 2 ? record[m]->half_sum[part] : record[m]->sum;
                        exact = _mm256_sub_epi32(exact, _mm256_set1_epi32(sum * ck_panel_zero(format)));
                    }
                    total[m][side] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(exact), _mm256_mul_ps(scale, _mm256_set1_ps(record[m]->scale)), total[m][side]);
                }
            }
        }
#pragma clang loop unroll(full)
        for (int part = 0; part < parts; part++) {
            if (!ck_panel_has_minimum(format)) continue;
#pragma clang loop unroll(full)
            for (int side = 0; side < sides; side++) {
                const __m256 minimum = eight_halves(block + 32 * (parts + part) + 16 * (first_side + side));
#pragma clang loop unroll(full)
                for (int m = 0; m < count; m++) {
                    const __m256 scaled = _mm256_set1_ps(parts == 2 ? record[m]->scaled_half_sum[part] : record[m]->scaled_sum);
                    total[m][side] = _mm256_fmadd_ps(minimum, scaled, total[m][side]);
                }
            }
        }
    }
#pragma clang loop unroll(full)
    for (int side = 0; side < sides; side++) {
        const __m256 factor = _mm256_loadu_ps((const float *)(const void *)panel + 8 * (first_side + side));
        const int64_t start = column + 8 * (first_side + side);
#pragma clang loop unroll(full)
        for (int m = 0; m < count; m++) {
            store_eight(args->output + (first_row + m) * args->output_stride + start, _mm256_mul_ps(total[m][side], factor), args->columns - start);
        }
    }
}

CK_INLINE void integer(const ck_linear_args *args, ck_panel_format format, ck_activation_format terms) {
    for (int64_t p = 0; p < args->panel_count; p++) {
        const uint8_t *panel = (const uint8_t *)args->panels + args->panel_stride_bytes * (size_t)p;
        const int64_t column = p * CK_PANEL_ROWS;
        int64_t m = 0;
        for (; m + 4 <= args->rows; m += 4) {
            tile(args, panel, m, column, format, terms, 4, 0, 1);
            tile(args, panel, m, column, format, terms, 4, 1, 1);
        }
        if (args->rows - m >= 2) {
            tile(args, panel, m, column, format, terms, 2, 0, 2);
            m += 2;
        }
        if (args->rows - m >= 1) tile(args, panel, m, column, format, terms, 1, 0, 2);
    }
}

#define CK_ENTRY_POINTS(name, panel) \
    static void name##_q8(const ck_linear_args *args) { integer(args, panel, CK_ACT_Q8); } \
    static void name##_q15(const ck_linear_args *args) { integer(args, panel, CK_ACT_Q15); }
CK_INTEGER_PANELS(CK_ENTRY_POINTS)
#undef CK_ENTRY_POINTS

// The includer's `isa` and CK_VNNI_NAME, the end of kernel names.
#define CK_VNNI_ROWS(name, panel) \
    {"linear_" #name "_q8_avxvnni" CK_VNNI_NAME, isa, panel, CK_ACT_Q8, row_tile, ck_any_rows, name##_q8, 0, 0}, \
    {"linear_" #name "_q15_avxvnni" CK_VNNI_NAME, isa, panel, CK_ACT_Q15, row_tile, ck_any_rows, name##_q15, 0, 0},
