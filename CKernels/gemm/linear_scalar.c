// Linear kernels, the scalar twins: plain loops that specify what every other row computes.
//
// Integer panels. In each 32-block (or each 16-half of it) the products are summed exactly in int32, then, block after block,
//     acc = fma(float(Σ (u − zero) · q), weight_scale · activation_scale, acc)       (code books: Σ code_book[u] · q) and for the M formats, with Σ u · q,
//     acc = fma(weight_minimum, activation_scale · Σ q, acc)
// and out = acc · row_factor. Every instruction set keeps this order, so all rows give the same bits.
// The largest sum, 32 · 255 · 127·128, is below 2^28.
#include "gemm/layout.h"
#include "gemm/rows.h"
#include "isa/bits.h"

#include <math.h>

static float integer_dot(const uint8_t *panel, int row, const uint8_t *activation, int64_t k, ck_panel_format format, ck_activation_format terms) {
    const int parts = ck_panel_parts(format), width = CK_BLOCK / parts;
    const int8_t *high = (const int8_t *)activation, *low = high + ck_activation_low_offset(k);
    const ck_activation_block *records = (const ck_activation_block *)(const void *)(activation + ck_activation_block_offset(terms, k));
    float total = 0;
    for (int64_t b = 0; b < k / CK_BLOCK; b++) {
        const uint8_t *block = panel + ck_panel_header_bytes + ck_panel_block_bytes(format) * (size_t)b;
        const uint8_t *quants = block + ck_panel_quant_offset(format);
        const uint16_t *halves = (const uint16_t *)(const void *)block;
        for (int part = 0; part < parts; part++) {
            int32_t sum = 0;
            for (int i = part * width; i < (part + 1) * width; i++) {
                const int64_t at = b * CK_BLOCK + i;
                const int32_t q = terms == CK_ACT_Q15 ? 128 * high[at] + low[at] : high[at];
                sum += ck_panel_number(quants, format, row, i) * q;
            }
            total = fmaf((float)sum, ck_half_to_float(halves[CK_PANEL_ROWS * part + row]) * records[b].scale, total);
        }
        for (int part = 0; part < parts && ck_panel_has_minimum(format); part++) {
            const float minimum = ck_half_to_float(halves[CK_PANEL_ROWS * (parts + part) + row]);
            total = fmaf(minimum, parts == 2 ? records[b].scaled_half_sum[part] : records[b].scaled_sum, total);
        }
    }
    return total * ((const float *)(const void *)panel)[row];
}

static inline void integer(const ck_linear_args *args, ck_panel_format format, ck_activation_format terms) {
    for (int64_t m = 0; m < args->rows; m++) {
        const uint8_t *activation = (const uint8_t *)args->activations + args->activation_stride_bytes * (size_t)m;
        for (int64_t n = 0; n < args->columns; n++) {
            const uint8_t *panel = (const uint8_t *)args->panels + args->panel_stride_bytes * (size_t)(n / CK_PANEL_ROWS);
            args->output[m * args->output_stride + n] = integer_dot(panel, (int)(n % CK_PANEL_ROWS), activation, args->k, format, terms);
        }
    }
}

static inline float dense_weight(const void *panel, ck_panel_format format, int64_t k, int64_t row) {
    if (format == CK_PANEL_F32) return ((const float *)panel)[k * CK_PANEL_ROWS + row];
    if (format == CK_PANEL_F16) return ck_half_to_float(((const uint16_t *)panel)[k * CK_PANEL_ROWS + row]);
    return ck_bfloat_to_float(((const uint16_t *)panel)[k / 2 * 2 * CK_PANEL_ROWS + 2 * row + k % 2]);
}

static inline void dense(const ck_linear_args *args, ck_panel_format format) {
    for (int64_t m = 0; m < args->rows; m++) {
        const float *activation = (const float *)(const void *)((const uint8_t *)args->activations + args->activation_stride_bytes * (size_t)m);
        for (int64_t n = 0; n < args->columns; n += CK_PANEL_ROWS) {
            const void *panel = (const uint8_t *)args->panels + args->panel_stride_bytes * (size_t)(n / CK_PANEL_ROWS);
            float total[CK_PANEL_ROWS] = {0};
            for (int64_t k = 0; k < args->k; k++) {
                for (int row = 0; row < CK_PANEL_ROWS; row++) total[row] += activation[k] * dense_weight(panel, format, k, row);
            }
            for (int row = 0; row < CK_PANEL_ROWS && n + row < args->columns; row++) args->output[m * args->output_stride + n + row] = total[row];
        }
    }
}

#define CK_ENTRY_POINTS(name, panel) \
    static void name##_q8(const ck_linear_args *args) { integer(args, panel, CK_ACT_Q8); } \
    static void name##_q15(const ck_linear_args *args) { integer(args, panel, CK_ACT_Q15); }
CK_INTEGER_PANELS(CK_ENTRY_POINTS)
static void f32(const ck_linear_args *args) { dense(args, CK_PANEL_F32); }
static void f16(const ck_linear_args *args) { dense(args, CK_PANEL_F16); }
static void bf16(const ck_linear_args *args) { dense(args, CK_PANEL_BF16); }

#define CK_ROWS(name, panel) \
    {"linear_" #name "_q8_scalar", 0, panel, CK_ACT_Q8, 1, ck_any_rows, name##_q8}, \
    {"linear_" #name "_q15_scalar", 0, panel, CK_ACT_Q15, 1, ck_any_rows, name##_q15},

static const ck_linear_row rows[] = {
    CK_INTEGER_PANELS(CK_ROWS)
    {"linear_f32_scalar", 0, CK_PANEL_F32, CK_ACT_F32, 1, ck_any_rows, f32},
    {"linear_f16_scalar", 0, CK_PANEL_F16, CK_ACT_F32, 1, ck_any_rows, f16},
    {"linear_bf16_scalar", 0, CK_PANEL_BF16, CK_ACT_F32, 1, ck_any_rows, bf16},
};
const ck_linear_group ck_linear_scalar = {rows, sizeof rows / sizeof rows[0]};
