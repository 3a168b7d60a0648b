// What one instruction set contributes to the table of sparse kernels: an array of rows in its own file. table.c lists the arrays, best first.
#pragma once

#include "ckernels/isa.h"
#include "ckernels/sparse.h"

typedef struct ck_sparse_group {
    const ck_sparse_row *rows;
    size_t count;
} ck_sparse_group;

extern const ck_sparse_group ck_sparse_avx512_vbmi2, ck_sparse_blocks_avx512_vnni, ck_sparse_avx2, ck_sparse_scalar;
