// Sparse kernels, the scalar twins: a panel's blocks are expanded one by one and summed as gemm/linear_scalar.c sums those of the dense panel, so that
// sparse and dense weights give the same bits.
#include "isa/bits.h"
#include "sparse/bitmap.h"
#include "sparse/blocks.h"
#include "sparse/rows.h"

#include <math.h>

// The 8 lines of a block, a byte a level (4-bit levels as well); returns the block behind.
static inline const uint8_t *expand_block(ck_sparse_format format, const uint8_t *block, uint8_t *lines) {
    if (format == CK_SPARSE_BLOCKS) {
        const uint8_t *values = block + ck_blocks_value_offset;
        memset(lines, ck_bitmap_zero, 8 * ck_bitmap_line);
        for (int half = 0; half < 2; half++) {
            for (int row = 0; row < CK_PANEL_ROWS; row++) {
                if (!(ck_blocks_mask(block, half) >> row & 1)) continue;
                for (int i = 0; i < ck_blocks_run; i++) lines[ck_bitmap_line * (4 * half + i / 4) + 4 * row + i % 4] = *values++ ^ ck_bitmap_zero;
            }
        }
        return values;
    }
    const uint8_t *values = block + ck_bitmap_value_offset;
    for (int g = 0; g < 8; g++) {
        const uint8_t *line = values + ck_bitmap_line_offset(format, block, g);
        const uint64_t mask = ck_bitmap_mask(block, g);
        int index = 0;
        for (int i = 0; i < ck_bitmap_line; i++) *lines++ = mask >> i & 1 ? ck_bitmap_level(format, line, g, index++) : ck_bitmap_zero_of(format);
    }
    return values + ck_bitmap_line_offset(format, block, 8);
}

static inline void expand(ck_sparse_format format, const void *panel, int64_t k, void *dense) {
    const ck_panel_format whole = ck_sparse_dense(format);
    const uint8_t *block = (const uint8_t *)panel + ck_panel_header_bytes;
    uint8_t *out = dense;
    memcpy(out, panel, ck_panel_header_bytes);
    out += ck_panel_header_bytes;
    for (int64_t b = 0; b < k / CK_BLOCK; b++) {
        uint8_t lines[8 * ck_bitmap_line], *quants = out + ck_bitmap_mask_offset;
        memcpy(out, block, ck_bitmap_mask_offset);
        block = expand_block(format, block, lines);
        if (whole == CK_PANEL_Q4) for (int i = 0; i < 4 * ck_bitmap_line; i++) quants[i] = (uint8_t)(lines[i] | lines[4 * ck_bitmap_line + i] << 4);
        else memcpy(quants, lines, sizeof lines);
        out += ck_panel_block_bytes(whole);
    }
    memset(out, 0, ck_panel_bytes(whole, k) - (size_t)(out - (uint8_t *)dense));
}

static inline void multiply(const ck_linear_args *args, ck_sparse_format format, ck_activation_format terms) {
    for (int64_t m = 0; m < args->rows; m++) {
        const uint8_t *activation = (const uint8_t *)args->activations + args->activation_stride_bytes * (size_t)m;
        const int8_t *high = (const int8_t *)activation, *low = high + ck_activation_low_offset(args->k);
        const ck_activation_block *records =
            (const ck_activation_block *)(const void *)(activation + ck_activation_block_offset(terms, args->k));
        for (int64_t n = 0; n < args->columns; n += CK_PANEL_ROWS) {
            const uint8_t *panel = ck_sparse_panel(args, n / CK_PANEL_ROWS);
            const uint8_t *block = panel + ck_panel_header_bytes;
            float total[CK_PANEL_ROWS] = {0};
            for (int64_t b = 0; b < args->k / CK_BLOCK; b++) {
                uint8_t lines[8 * ck_bitmap_line];
                uint16_t scales[CK_PANEL_ROWS];
                memcpy(scales, block, sizeof scales);
                block = expand_block(format, block, lines);
                for (int row = 0; row < CK_PANEL_ROWS; row++) {
                    int32_t sum = 0;
                    for (int i = 0; i < CK_BLOCK; i++) {
                        const int64_t at = b * CK_BLOCK + i;
                        const int32_t q = terms == CK_ACT_Q15 ? 128 * high[at] + low[at] : high[at];
                        sum += (lines[ck_bitmap_line * (i / 4) + 4 * row + i % 4] - ck_bitmap_zero_of(format)) * q;
                    }
                    total[row] = fmaf((float)sum, ck_half_to_float(scales[row]) * records[b].scale, total[row]);
                }
            }
            const float *factors = (const float *)(const void *)panel;
            for (int row = 0; row < CK_PANEL_ROWS && n + row < args->columns; row++) {
                args->output[m * args->output_stride + n + row] = total[row] * factors[row];
            }
        }
    }
}

static void bitmap_q8(const ck_linear_args *args) { multiply(args, CK_SPARSE_BITMAP, CK_ACT_Q8); }
static void bitmap_q15(const ck_linear_args *args) { multiply(args, CK_SPARSE_BITMAP, CK_ACT_Q15); }
static void bitmap_q4_q8(const ck_linear_args *args) { multiply(args, CK_SPARSE_BITMAP_Q4, CK_ACT_Q8); }
static void bitmap_q4_q15(const ck_linear_args *args) { multiply(args, CK_SPARSE_BITMAP_Q4, CK_ACT_Q15); }
static void blocks_q8(const ck_linear_args *args) { multiply(args, CK_SPARSE_BLOCKS, CK_ACT_Q8); }
static void blocks_q15(const ck_linear_args *args) { multiply(args, CK_SPARSE_BLOCKS, CK_ACT_Q15); }
static void bitmap_expand(const void *panel, int64_t k, void *dense) { expand(CK_SPARSE_BITMAP, panel, k, dense); }
static void bitmap_q4_expand(const void *panel, int64_t k, void *dense) { expand(CK_SPARSE_BITMAP_Q4, panel, k, dense); }
void ck_sparse_expand_blocks(const void *panel, int64_t k, void *dense) { expand(CK_SPARSE_BLOCKS, panel, k, dense); }

// One row at a time: more would expand every panel again. No crossover: arithmetic, not reading, is what takes the time here.
static const ck_sparse_row rows[] = {
    {"sparse_bitmap_q8_scalar", 0, CK_SPARSE_BITMAP, CK_ACT_Q8, 1, 1, bitmap_q8, bitmap_expand, 2},
    {"sparse_bitmap_q15_scalar", 0, CK_SPARSE_BITMAP, CK_ACT_Q15, 1, 1, bitmap_q15, bitmap_expand, 2},
    {"sparse_bitmap_q4_q8_scalar", 0, CK_SPARSE_BITMAP_Q4, CK_ACT_Q8, 1, 1, bitmap_q4_q8, bitmap_q4_expand, 2},
    {"sparse_bitmap_q4_q15_scalar", 0, CK_SPARSE_BITMAP_Q4, CK_ACT_Q15, 1, 1, bitmap_q4_q15, bitmap_q4_expand, 2},
    {"sparse_blocks_q8_scalar", 0, CK_SPARSE_BLOCKS, CK_ACT_Q8, 1, 1, blocks_q8, ck_sparse_expand_blocks, 2},
    {"sparse_blocks_q15_scalar", 0, CK_SPARSE_BLOCKS, CK_ACT_Q15, 1, 1, blocks_q15, ck_sparse_expand_blocks, 2},
};
const ck_sparse_group ck_sparse_scalar = {rows, sizeof rows / sizeof rows[0]};
