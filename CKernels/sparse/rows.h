// What one instruction set contributes to the table of sparse kernels: an array of rows in its own file. table.c lists the arrays, best first.
#pragma once

#include "ckernels/isa.h"
#include "ckernels/sparse.h"

typedef struct ck_sparse_group {
    const ck_sparse_row *rows;
    size_t count;
} ck_sparse_group;

/// Panel `p` of a product.
static inline const uint8_t *ck_sparse_panel(const ck_linear_args *args, int64_t p) {
    const uint8_t *panels = (const uint8_t *)args->panels;
    return args->panel_offsets ? panels + 64 * (size_t)args->panel_offsets[p * args->panel_offset_stride] : panels + args->panel_stride_bytes * (size_t)p;
}

/// Makes the dense panel of one of which runs are kept: `ck_sparse_expand_function` of the rows that have no faster way.
void ck_sparse_expand_blocks(const void *panel, int64_t k, void *dense);

extern const ck_sparse_group ck_sparse_avx512_vbmi2, ck_sparse_blocks_avx512_vnni, ck_sparse_avx2, ck_sparse_blocks_avx2, ck_sparse_scalar;
