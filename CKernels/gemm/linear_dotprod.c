// Integer-panel linear kernels for Arm with the dot-product extension.
//
// One 64-byte group of a panel is four registers: lane n of register v holds 4 consecutive k of output row 4v + n. SDOT by element multiplies
// it with one 32-bit lane of an activation register, so 16 activations are loaded once and used lane by lane. SDOT wants signed weights:
// 8-bit numbers have their top bit flipped (u − 128), narrower ones are signed as they are; the rest of the zero point goes with the activation sums.
// The arithmetic and its order are those of linear_scalar.c, bit for bit.
#include "gemm/rows.h"

#if defined(__aarch64__)

#include "gemm/layout.h"

#include <arm_neon.h>

#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)

#include "gemm/unpack_neon.h"

#include "gemm/lanes_neon.h"

enum { row_tile = 2 };

CK_INLINE int32x4_t dot_lane(int32x4_t sum, int8x16_t weights, int8x16_t activations, int lane) {
    switch (lane) {
    case 0: return vdotq_laneq_s32(sum, weights, activations, 0);
    case 1: return vdotq_laneq_s32(sum, weights, activations, 1);
    case 2: return vdotq_laneq_s32(sum, weights, activations, 2);
    default: return vdotq_laneq_s32(sum, weights, activations, 3);
    }
}

CK_INLINE void tile(const ck_linear_args *args, const uint8_t *panel, int64_t first_row, int64_t column, ck_panel_format format, ck_activation_format terms, int count) {
    const int64_t k = args->k;
    const int parts = ck_panel_parts(format), groups = 8 / parts;
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
        int8x16_t high[row_tile][2], low[row_tile][2];
#pragma clang loop unroll(full)
        for (int m = 0; m < count; m++) {
            const uint8_t *row = (const uint8_t *)args->activations + args->activation_stride_bytes * (size_t)(first_row + m);
            const int8_t *numbers = (const int8_t *)row + CK_BLOCK * b;
            record[m] = (const ck_activation_block *)(const void *)(row + record_offset) + b;
#pragma clang loop unroll(full)
            for (int half = 0; half < 2; half++) {
                high[m][half] = vld1q_s8(numbers + 16 * half);
                if (terms == CK_ACT_Q15) low[m][half] = vld1q_s8(numbers + low_offset + 16 * half);
            }
        }
#pragma clang loop unroll(full)
        for (int part = 0; part < parts; part++) {
#pragma clang loop unroll(full)
            for (int v = 0; v < columns4; v++) {
                int32x4_t top[row_tile], bottom[row_tile];
#pragma clang loop unroll(full)
                for (int m = 0; m < count; m++) top[m] = bottom[m] = vdupq_n_s32(0);
#pragma clang loop unroll(full)
                for (int g = groups * part; g < groups * (part + 1); g++) {
                    const int8x16_t weights = ck_numbers_neon(block + quant_offset, format, g, v);
#pragma clang loop unroll(full)
                    for (int m = 0; m < count; m++) {
                        top[m] = dot_lane(top[m], weights, high[m][g / 4], g % 4);
                        if (terms == CK_ACT_Q15) bottom[m] = dot_lane(bottom[m], weights, low[m][g / 4], g % 4);
                    }
                }
                const float32x4_t scale = four_halves(block + 32 * part + 8 * v);
#pragma clang loop unroll(full)
                for (int m = 0; m < count; m++) {
                    const int32_t sum = parts == 2 ? record[m]->half_sum[part] : record[m]->sum;
                    int32x4_t exact = terms == CK_ACT_Q15 ? vaddq_s32(vshlq_n_s32(top[m], 7), bottom[m]) : top[m];
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
        int64_t m = 0;
        for (; m + row_tile <= args->rows; m += row_tile) tile(args, panel, m, p * CK_PANEL_ROWS, format, terms, row_tile);
        if (m < args->rows) tile(args, panel, m, p * CK_PANEL_ROWS, format, terms, 1);
    }
}

#define CK_ENTRY_POINTS(name, panel) \
    static void name##_q8(const ck_linear_args *args) { integer(args, panel, CK_ACT_Q8); } \
    static void name##_q15(const ck_linear_args *args) { integer(args, panel, CK_ACT_Q15); }
CK_INTEGER_PANELS(CK_ENTRY_POINTS)

#pragma clang attribute pop

#define CK_ROWS(name, panel) \
    {"linear_" #name "_q8_dotprod", CK_ISA_NEON | CK_ISA_DOTPROD, panel, CK_ACT_Q8, row_tile, ck_any_rows, name##_q8}, \
    {"linear_" #name "_q15_dotprod", CK_ISA_NEON | CK_ISA_DOTPROD, panel, CK_ACT_Q15, row_tile, ck_any_rows, name##_q15},

static const ck_linear_row rows[] = {
    CK_INTEGER_PANELS(CK_ROWS)
};
const ck_linear_group ck_linear_dotprod = {rows, sizeof rows / sizeof rows[0]};

#endif
