// The facts of the block layout of include/ckernels/sparse.h.
#pragma once

#include "ckernels/sparse.h"
#include "gemm/layout.h"

enum {
    ck_blocks_mask_offset = CK_PANEL_ROWS * sizeof(uint16_t),               // the masks of a 32-block, behind its scales
    ck_blocks_value_offset = ck_blocks_mask_offset + 2 * sizeof(uint16_t),  // the runs that are kept
    ck_blocks_run = 16,                                                     // neighbouring k of one output row
};

/// Rows of a 32-block whose run `half` (0: k 0..15, 1: k 16..31) is kept.
static inline uint32_t ck_blocks_mask(const uint8_t *block, int half) {
    uint16_t mask;
    memcpy(&mask, block + ck_blocks_mask_offset + sizeof mask * (size_t)half, sizeof mask);
    return mask;
}

/// The 32-block behind `block`.
static inline const uint8_t *ck_blocks_next(const uint8_t *block) {
    return block + ck_blocks_value_offset + ck_blocks_run * (size_t)__builtin_popcount(ck_blocks_mask(block, 0) | ck_blocks_mask(block, 1) << 16);
}
