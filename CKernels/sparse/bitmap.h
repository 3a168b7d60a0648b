// The facts of the bitmap layout of include/ckernels/sparse.h.
#pragma once

#include "ckernels/sparse.h"
#include "gemm/layout.h"

enum {
    ck_bitmap_mask_offset = CK_PANEL_ROWS * sizeof(uint16_t),                 // the masks of a block, behind its scales
    ck_bitmap_value_offset = ck_bitmap_mask_offset + 8 * sizeof(uint64_t),    // the weights that are kept
    ck_bitmap_zero = 128,                                                     // the level of a weight of zero
    ck_bitmap_line = 64,                                                      // bytes of a line of a dense block: 16 rows of 4 k
};

static inline uint64_t ck_bitmap_mask(const uint8_t *block, int group) {
    uint64_t mask;
    memcpy(&mask, block + ck_bitmap_mask_offset + sizeof mask * (size_t)group, sizeof mask);
    return mask;
}

/// The block behind `block`.
static inline const uint8_t *ck_bitmap_next(const uint8_t *block) {
    size_t kept = 0;
    for (int g = 0; g < 8; g++) kept += (size_t)__builtin_popcountll(ck_bitmap_mask(block, g));
    return block + ck_bitmap_value_offset + kept;
}
