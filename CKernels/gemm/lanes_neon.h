// What the integer kernels for Arm do the same way with the sums of a tile, [activation row][4 outputs a vector]: minimums in, outputs out.
// Included inside their target region, after <arm_neon.h>.
#pragma once

#include "gemm/layout.h"

#define CK_INLINE static inline __attribute__((always_inline))

enum { columns4 = CK_PANEL_ROWS / 4 };

CK_INLINE float32x4_t four_halves(const uint8_t *halves) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16((const uint16_t *)(const void *)halves)));
}

// The minimums of a block times the sums of its activations.
CK_INLINE void add_minimums(float32x4_t total[][columns4], const uint8_t *block, const ck_activation_block *const record[], int parts, int count, ck_panel_format format) {
#pragma clang loop unroll(full)
    for (int part = 0; part < parts && ck_panel_has_minimum(format); part++) {
#pragma clang loop unroll(full)
        for (int v = 0; v < columns4; v++) {
            const float32x4_t minimum = four_halves(block + 32 * (parts + part) + 8 * v);
#pragma clang loop unroll(full)
            for (int m = 0; m < count; m++) {
                total[m][v] = vfmaq_n_f32(total[m][v], minimum, parts == 2 ? record[m]->scaled_half_sum[part] : record[m]->scaled_sum);
            }
        }
    }
}

// The finished outputs of `count` rows, as many of the panel's columns as are valid.
CK_INLINE void store_tile(const ck_linear_args *args, const uint8_t *panel, int64_t first_row, int64_t column, float32x4_t total[][columns4], int count) {
    const int64_t valid = args->columns - column;
#pragma clang loop unroll(full)
    for (int m = 0; m < count; m++) {
        float *output = args->output + (first_row + m) * args->output_stride + column;
#pragma clang loop unroll(full)
        for (int v = 0; v < columns4; v++) {
            const float32x4_t values = vmulq_f32(total[m][v], vld1q_f32((const float *)(const void *)panel + 4 * v));
            if (valid >= 4 * (v + 1)) {
                vst1q_f32(output + 4 * v, values);
            } else {
                float buffer[4];
                vst1q_f32(buffer, values);
                for (int64_t i = 4 * v; i < valid; i++) output[i] = buffer[i - 4 * v];
            }
        }
    }
}
