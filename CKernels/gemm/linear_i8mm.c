// Integer-panel linear kernels for Arm with the int8 matrix extension, for two and more activation rows.
//
// SMMLA multiplies 2 rows × 8 k of signed bytes with 2 rows × 8 k into 2 × 2 sums: twice the products of a dot-product instruction. Two
// neighbouring groups of a panel, register for register, interleave by 32-bit lanes into pairs of output rows with 8 consecutive k; two
// activation rows give the other operand half and half. A register tile is 4 activation rows by one panel, 4 output rows at a time: sums of
// [output row pair][activation row pair], which two more interleavings turn into 4 outputs of each activation row.
// A single row is left to the dot-product kernels. The arithmetic and its order are those of linear_scalar.c, bit for bit.
#include "gemm/rows.h"

#if defined(__aarch64__)

#include "gemm/layout.h"

#include <arm_neon.h>

#pragma clang attribute push(__attribute__((target("dotprod,i8mm"))), apply_to = function)

#include "gemm/unpack_neon.h"

#include "gemm/lanes_neon.h"

enum { row_tile = 4, row_pairs = row_tile / 2, eights = CK_BLOCK / 8 };

// The 8 k from `k` on of two activation rows.
CK_INLINE int8x16_t two_rows(const int8_t *first, const int8_t *second, int k) { return vcombine_s8(vld1_s8(first + k), vld1_s8(second + k)); }

// 2 × 2 sums of output rows (0, 1) and (2, 3), [output row][activation row], to the 4 outputs of one activation row.
CK_INLINE int32x4_t outputs_of(int32x4_t low_pair, int32x4_t high_pair, int activation_row) {
    return activation_row == 0 ? vuzp1q_s32(low_pair, high_pair) : vuzp2q_s32(low_pair, high_pair);
}

// One panel by `count` activation rows: an odd last row is multiplied twice and stored once.
CK_INLINE void tile(const ck_linear_args *args, const uint8_t *panel, int64_t first_row, int64_t column, ck_panel_format format, ck_activation_format terms, int count) {
    const int64_t k = args->k;
    const int parts = ck_panel_parts(format), pairs = (count + 1) / 2, steps = eights / parts;
    const size_t block_bytes = ck_panel_block_bytes(format), quant_offset = ck_panel_quant_offset(format), low_offset = ck_activation_low_offset(k);
    const size_t record_offset = ck_activation_block_offset(terms, k);
    const uint8_t *block = panel + ck_panel_header_bytes;
    float32x4_t total[row_tile][columns4];
#pragma clang loop unroll(full)
    for (int m = 0; m < count; m++) {
#pragma clang loop unroll(full)
        for (int v = 0; v < columns4; v++) total[m][v] = vdupq_n_f32(0);
    }
    for (int64_t b = 0; b < k / CK_BLOCK; b++, block += block_bytes) {
        const ck_activation_block *record[row_tile];
        int8x16_t high[row_pairs][eights], low[row_pairs][eights];
#pragma clang loop unroll(full)
        for (int pair = 0; pair < pairs; pair++) {
            const uint8_t *first = (const uint8_t *)args->activations + args->activation_stride_bytes * (size_t)(first_row + 2 * pair);
            const uint8_t *second = 2 * pair + 1 < count ? first + args->activation_stride_bytes : first;
            const int8_t *first_numbers = (const int8_t *)first + CK_BLOCK * b, *second_numbers = (const int8_t *)second + CK_BLOCK * b;
            record[2 * pair] = (const ck_activation_block *)(const void *)(first + record_offset) + b;
            record[2 * pair + 1] = (const ck_activation_block *)(const void *)(second + record_offset) + b;
#pragma clang loop unroll(full)
            for (int i = 0; i < eights; i++) {
                high[pair][i] = two_rows(first_numbers, second_numbers, 8 * i);
                if (terms == CK_ACT_Q15) low[pair][i] = two_rows(first_numbers + low_offset, second_numbers + low_offset, 8 * i);
            }
        }
#pragma clang loop unroll(full)
        for (int part = 0; part < parts; part++) {
#pragma clang loop unroll(full)
            for (int v = 0; v < columns4; v++) {
                int32x4_t top[row_pairs][2], bottom[row_pairs][2];  // [.][output rows 0 and 1, or 2 and 3, of the 4]
#pragma clang loop unroll(full)
                for (int pair = 0; pair < pairs; pair++) top[pair][0] = top[pair][1] = bottom[pair][0] = bottom[pair][1] = vdupq_n_s32(0);
#pragma clang loop unroll(full)
                for (int i = steps * part; i < steps * (part + 1); i++) {
                    const int32x4_t even = vreinterpretq_s32_s8(ck_numbers_neon(block + quant_offset, format, 2 * i, v));
                    const int32x4_t odd = vreinterpretq_s32_s8(ck_numbers_neon(block + quant_offset, format, 2 * i + 1, v));
                    const int8x16_t weights[2] = {vreinterpretq_s8_s32(vzip1q_s32(even, odd)), vreinterpretq_s8_s32(vzip2q_s32(even, odd))};
#pragma clang loop unroll(full)
                    for (int pair = 0; pair < pairs; pair++) {
#pragma clang loop unroll(full)
                        for (int half = 0; half < 2; half++) {
                            top[pair][half] = vmmlaq_s32(top[pair][half], weights[half], high[pair][i]);
                            if (terms == CK_ACT_Q15) bottom[pair][half] = vmmlaq_s32(bottom[pair][half], weights[half], low[pair][i]);
                        }
                    }
                }
                const float32x4_t scale = four_halves(block + 32 * part + 8 * v);
#pragma clang loop unroll(full)
                for (int m = 0; m < count; m++) {
                    const int32_t sum = parts == 2 ? record[m]->half_sum[part] : record[m]->sum;
                    int32x4_t exact = outputs_of(top[m / 2][0], top[m / 2][1], m % 2);
                    if (terms == CK_ACT_Q15) exact = vaddq_s32(vshlq_n_s32(exact, 7), outputs_of(bottom[m / 2][0], bottom[m / 2][1], m % 2));
                    if (ck_numbers_offset(format) != 0) exact = vaddq_s32(exact, vdupq_n_s32(ck_numbers_offset(format) * sum));
                    total[m][v] = vfmaq_f32(total[m][v], vcvtq_f32_s32(exact), vmulq_n_f32(scale, record[m]->scale));
                }
            }
        }
        add_minimums(total, block, record, parts, count, format);
    }
    store_tile(args, panel, first_row, column, total, count);
}

// Panels outside, row tiles inside: a panel is read from memory once.
CK_INLINE void integer(const ck_linear_args *args, ck_panel_format format, ck_activation_format terms) {
    for (int64_t p = 0; p < args->panel_count; p++) {
        const uint8_t *panel = (const uint8_t *)args->panels + args->panel_stride_bytes * (size_t)p;
        const int64_t column = p * CK_PANEL_ROWS;
        int64_t m = 0;
        for (; m + row_tile <= args->rows; m += row_tile) tile(args, panel, m, column, format, terms, row_tile);
        if (args->rows - m >= 2) {
            tile(args, panel, m, column, format, terms, 2);
            m += 2;
        }
        if (m < args->rows) tile(args, panel, m, column, format, terms, 1);
    }
}

#define CK_ENTRY_POINTS(name, panel) \
    static void name##_q8(const ck_linear_args *args) { integer(args, panel, CK_ACT_Q8); } \
    static void name##_q15(const ck_linear_args *args) { integer(args, panel, CK_ACT_Q15); }
CK_INTEGER_PANELS(CK_ENTRY_POINTS)

#pragma clang attribute pop

enum { isa = CK_ISA_NEON | CK_ISA_DOTPROD | CK_ISA_I8MM };

#define CK_ROWS(name, panel) \
    {"linear_" #name "_q8_i8mm", isa, panel, CK_ACT_Q8, row_tile, ck_any_rows, name##_q8, 2, 0}, \
    {"linear_" #name "_q15_i8mm", isa, panel, CK_ACT_Q15, row_tile, ck_any_rows, name##_q15, 2, 0},

static const ck_linear_row rows[] = {CK_INTEGER_PANELS(CK_ROWS)};
const ck_linear_group ck_linear_i8mm = {rows, sizeof rows / sizeof rows[0]};

#endif
