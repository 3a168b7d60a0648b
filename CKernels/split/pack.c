// Splitting rows of Q8_0 into coarse panels and fine rows, and joining them.
#include "split/layout.h"

#include "gemm/layout.h"
#include "isa/bits.h"

#include <math.h>
#include <string.h>

enum {
    coarse_zero = 16,  // the coarse number 0 as it is stored
    whole_zero = 128,  // the whole number 0 as panels of CK_PANEL_Q8 store it
    scale_bytes = CK_PANEL_ROWS * sizeof(uint16_t),
    line_bytes = 64,
    lines = 4,  // of a plane of 4 bits
    coarse_block = scale_bytes + (lines + 1) * line_bytes,
    whole_block = scale_bytes + 2 * lines * line_bytes,
};

size_t ck_split_fine_bytes(int64_t k) {
    const size_t blocks = (size_t)(k / CK_BLOCK);
    return sizeof(uint16_t) * blocks + CK_BLOCK * ((blocks + 1) / 2);
}

int ck_split_pack(const void *rows, size_t row_stride_bytes, int64_t valid_rows, int64_t k, void *coarse, void *fine, float *norms) {
    if (valid_rows < 1 || valid_rows > CK_PANEL_ROWS || k < 0 || k > CK_SPLIT_MOST_K || k % CK_BLOCK != 0) return -1;
    memset(coarse, 0, ck_panel_bytes(CK_PANEL_Q5, k));
    for (int64_t row = 0; row < valid_rows; row++) {
        const ck_block_q8_0 *source = (const void *)((const uint8_t *)rows + row_stride_bytes * (size_t)row);
        uint8_t *rest = (uint8_t *)fine + ck_split_fine_bytes(k) * (size_t)row, *block = (uint8_t *)coarse + ck_panel_header_bytes;
        uint8_t *pairs = (uint8_t *)ck_split_pair(rest, k, 0);
        ((float *)coarse)[row] = ck_split_step;
        memset(pairs, ck_split_zero | ck_split_zero << 4, ck_split_fine_bytes(k) - (size_t)(pairs - rest));
        double squares = 0;
        for (int64_t b = 0; b < k / CK_BLOCK; b++, block += coarse_block) {
            uint8_t c[CK_BLOCK], *pair = pairs + CK_BLOCK * (b / 2);
            int sum = 0;
            for (int i = 0; i < CK_BLOCK; i++) {
                const int w = source[b].qs[i] + whole_zero, nearest = (w + ck_split_step / 2) / ck_split_step;  // ≥ 0, where division rounds down
                const int number = nearest < 2 * coarse_zero ? nearest : 2 * coarse_zero - 1, left = w - ck_split_step * number;
                c[i] = (uint8_t)number;
                pair[i] = (uint8_t)(b % 2 ? (pair[i] & 15) | (left + ck_split_zero) << 4 : (pair[i] & 0xf0) | (left + ck_split_zero));
                sum += left * left;
            }
            memcpy(block + 2 * row, &source[b].d, 2);
            memcpy(rest + 2 * b, &source[b].d, 2);
            ck_pack_plane(block + scale_bytes + 4 * row, c, 4, 0);
            ck_pack_plane(block + scale_bytes + lines * line_bytes + 4 * row, c, 1, 4);
            const double d = ck_half_to_float(source[b].d);
            squares += d * d * sum;
        }
        norms[row] = (float)(sqrt(squares) * 1.001);
    }
    return 0;
}

void ck_split_join(const void *coarse, const void *fine, int64_t valid_rows, int64_t k, void *panel) {
    const uint8_t *coarse_at = (const uint8_t *)coarse + ck_panel_header_bytes;
    uint8_t *whole_at = (uint8_t *)panel + ck_panel_header_bytes;
    memset((uint8_t *)panel + ck_panel_bytes(CK_PANEL_Q8, k) - line_bytes, 0, line_bytes);
    for (int row = 0; row < CK_PANEL_ROWS; row++) ((float *)panel)[row] = row < valid_rows ? 1 : 0;
    for (int64_t b = 0; b < k / CK_BLOCK; b++, coarse_at += coarse_block, whole_at += whole_block) {
        // The fine numbers in the order of panels: line g holds 4 of each row.
        uint8_t rest[2 * lines][line_bytes] = {{0}};
        const int shift = b % 2 ? 4 : 0;
        for (int64_t row = 0; row < valid_rows; row++) {
            const uint8_t *pair = ck_split_pair((const uint8_t *)fine + ck_split_fine_bytes(k) * (size_t)row, k, b / 2);
            for (int g = 0; g < 2 * lines; g++) memcpy(rest[g] + 4 * row, pair + 4 * g, 4);
        }
        memcpy(whole_at, coarse_at, scale_bytes);
        const uint8_t *bits = coarse_at + scale_bytes + lines * line_bytes;
        for (int g = 0; g < lines; g++) {
            const uint8_t *c = coarse_at + scale_bytes + line_bytes * g;
            // Groups g and g + 4 share bytes of the coarse part. Bytes wrap around: the sum is one that fits.
            uint8_t *low = whole_at + scale_bytes + line_bytes * g, *high = low + lines * line_bytes;
            for (int i = 0; i < line_bytes; i++) {
                low[i] = (uint8_t)(((c[i] & 15) | (bits[i] >> g & 1) << 4) * ck_split_step + (rest[g][i] >> shift & 15) - ck_split_zero);
                high[i] = (uint8_t)((c[i] >> 4 | (bits[i] >> (g + lines) & 1) << 4) * ck_split_step + (rest[g + lines][i] >> shift & 15) - ck_split_zero);
            }
        }
        if (valid_rows < CK_PANEL_ROWS) {
            for (int g = 0; g < 2 * lines; g++) memset(whole_at + scale_bytes + line_bytes * g + 4 * valid_rows, 0, (size_t)(line_bytes - 4 * valid_rows));
        }
    }
}

void ck_split_read_row(const void *coarse, int64_t row, const void *fine, int64_t k, float *output) {
    const uint8_t *block = (const uint8_t *)coarse + ck_panel_header_bytes;
    for (int64_t b = 0; b < k / CK_BLOCK; b++, block += coarse_block) {
        const float d = ck_half_to_float(ck_split_scales(fine)[b]);
        const uint8_t *pair = ck_split_pair(fine, k, b / 2);
        for (int i = 0; i < CK_BLOCK; i++) {
            const int c = ck_panel_number(block + scale_bytes, CK_PANEL_Q5, (int)row, i), f = (pair[i] >> (b % 2 ? 4 : 0) & 15) - ck_split_zero;
            output[CK_BLOCK * b + i] = d * (float)(ck_split_step * c + f);
        }
    }
}
