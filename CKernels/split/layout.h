// A fine row of include/ckernels/split.h, taken apart.
#pragma once

#include "ckernels/split.h"

enum {
    ck_split_step = 8,  // units of a coarse number
    ck_split_zero = 8,  // the fine number 0 as it is stored
};

static inline const uint16_t *ck_split_scales(const void *fine_row) { return fine_row; }
/// The 32 bytes of blocks 2·pair and 2·pair + 1.
static inline const uint8_t *ck_split_pair(const void *fine_row, int64_t k, int64_t pair) {
    return (const uint8_t *)fine_row + sizeof(uint16_t) * (size_t)(k / CK_BLOCK) + CK_BLOCK * (size_t)pair;
}
