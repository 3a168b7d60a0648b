// Reading the raw integers and scales of GGUF's blocks, 32 elements at a time, in the form the integer panels want.
#pragma once

#include "ckernels/linear.h"

#include <stdbool.h>

/// Reads the scales (and minimums) of 32-block `block` of a file row: one or two of each, by the panel's parts.
typedef void (*ck_scale_reader)(const uint8_t *row, int64_t block, float scale[2], float minimum[2]);
/// Reads the 32 stored numbers u of that block, as the panel format defines them.
typedef void (*ck_quant_reader)(const uint8_t *row, int64_t block, uint8_t quants[32]);

typedef struct ck_block_reader {
    ck_weight_type type;
    ck_panel_format panel;
    int elements;           // of one file block
    int bytes;              // of one file block
    bool exact_scales;      // scales are f16 in the file: the panel keeps them as they are, with a row factor of 1
    int nibble_offset;      // where a 32-block keeps 16 bytes in exactly the panel's nibble order, or −1
    ck_scale_reader scales;
    ck_quant_reader quants;
} ck_block_reader;

/// The reader of a block format, or null for dense and unknown types.
const ck_block_reader *ck_block_reader_for(ck_weight_type type);
