/// Blocks as grids: once the scales of a block are fixed, each element is one of a few numbers. For quantisers that choose levels one by one
/// (GPTQ) and for looking at how a file uses its levels.
#pragma once

#include "ckernels/blocks.h"

/// What the elements of a block can be: value = scale[j / sub_elements] * codes[level] + offset[j / sub_elements].
typedef struct {
    int32_t elements;      ///< in the block
    int32_t sub_elements;  ///< that share a scale and an offset
    int32_t levels;
    const int8_t *codes;   ///< `levels` numbers; ascending but for MXFP4
    float scale[16], offset[16];
} ck_block_grid;

/// The grid of a block as its scales are now. Returns 1, or 0 for formats whose elements have no field of their own (F16, BF16, TQ1_0).
int ck_block_grid_of(uint32_t type, const void *block, ck_block_grid *grid);

/// Reads the level of each element of a block of a format that has a grid.
void ck_block_levels(uint32_t type, const void *block, uint8_t *levels);

/// Writes the level of each element; the scales stay as they are.
void ck_block_set_levels(uint32_t type, void *block, const uint8_t *levels);
