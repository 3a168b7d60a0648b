// Where the parts of packed weights and of the scratch are (include/ckernels/sparse_conv.h), and the rows of the table.
#pragma once

#include "ckernels/isa.h"
#include "ckernels/sparse_conv.h"

extern const ck_sparse_conv_row ck_sparse_conv_scalar, ck_sparse_conv_avx2, ck_sparse_conv_avx512;

static inline int64_t ck_sparse_conv_blocks(int64_t input_channels) { return (input_channels + CK_SPARSE_CONV_BLOCK - 1) / CK_SPARSE_CONV_BLOCK; }

/// The number of starts but the last.
static inline int64_t ck_sparse_conv_lists(int64_t output_channels, int64_t input_channels) {
    return (output_channels + CK_CONV_PANEL - 1) / CK_CONV_PANEL * ck_sparse_conv_blocks(input_channels) * CK_CONV_PANEL;
}

/// Elements of 4 bytes, to a multiple of 64 bytes.
static inline int64_t ck_sparse_conv_whole(int64_t elements) { return (elements + 15) / 16 * 16; }

typedef struct ck_sparse_conv_parts {
    const uint32_t *starts;
    const float *weights;
    const uint16_t *places;
} ck_sparse_conv_parts;

static inline ck_sparse_conv_parts ck_sparse_conv_open(const ck_conv_shape *shape, const void *packed) {
    const int64_t lists = ck_sparse_conv_lists(shape->output_channels, shape->input_channels);
    ck_sparse_conv_parts parts = {.starts = packed};
    parts.weights = (const float *)packed + ck_sparse_conv_whole(lists + 1);
    parts.places = (const uint16_t *)(const void *)(parts.weights + ck_sparse_conv_whole(parts.starts[lists]));
    return parts;
}
