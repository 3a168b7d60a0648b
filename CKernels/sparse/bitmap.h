// The facts of the bitmap layout of include/ckernels/sparse.h.
#pragma once

#include "ckernels/sparse.h"
#include "gemm/layout.h"

enum {
    ck_bitmap_mask_offset = CK_PANEL_ROWS * sizeof(uint16_t),                 // the masks of a block, behind its scales
    ck_bitmap_value_offset = ck_bitmap_mask_offset + 8 * sizeof(uint64_t),    // the weights that are kept
    ck_bitmap_zero = 128,                                                     // the level of a weight of zero
    ck_bitmap_q4_zero = 8,                                                    // the same of 4 bits
    ck_bitmap_line = 64,                                                      // bytes of a line of a dense block: 16 rows of 4 k
};

static inline uint64_t ck_bitmap_mask(const uint8_t *block, int group) {
    uint64_t mask;
    memcpy(&mask, block + ck_bitmap_mask_offset + sizeof mask * (size_t)group, sizeof mask);
    return mask;
}

/// The level of a weight of zero.
static inline uint8_t ck_bitmap_zero_of(ck_sparse_format format) { return format == CK_SPARSE_BITMAP_Q4 ? ck_bitmap_q4_zero : ck_bitmap_zero; }

/// Where the levels of line `group` begin, counted from the block's first; where the block ends for `group` 8.
static inline size_t ck_bitmap_line_offset(ck_sparse_format format, const uint8_t *block, int group) {
    const bool pairs = format == CK_SPARSE_BITMAP_Q4;
    const int before = !pairs ? group : group == 8 ? 4 : group % 4;
    int bytes = 0;
    for (int g = 0; g < before; g++) {
        const int kept = __builtin_popcountll(ck_bitmap_mask(block, g)), other = pairs ? __builtin_popcountll(ck_bitmap_mask(block, g + 4)) : 0;
        bytes += kept > other ? kept : other;
    }
    return (size_t)bytes;
}

/// The level `index` of those that line `group` keeps, its first being at `line`.
static inline uint8_t ck_bitmap_level(ck_sparse_format format, const uint8_t *line, int group, int index) {
    return format == CK_SPARSE_BITMAP_Q4 ? line[index] >> (group < 4 ? 0 : 4) & 15 : line[index];
}
