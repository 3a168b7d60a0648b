// What one instruction set contributes to the tables: an array of rows in its own file, ended by its count. table.c lists the arrays, best first.
#pragma once

#include "ckernels/isa.h"
#include "ckernels/linear.h"

typedef struct ck_linear_group {
    const ck_linear_row *rows;
    size_t count;
} ck_linear_group;

typedef struct ck_quantize_group {
    const ck_quantize_row *rows;
    size_t count;
} ck_quantize_group;

enum { ck_any_rows = INT32_MAX };  // maximum_rows of a kernel for any number of rows

extern const ck_linear_group ck_linear_amx, ck_linear_amx_software, ck_linear_amx_software_avx512, ck_linear_avx_vnni, ck_linear_avx_vnni_evex;
extern const ck_linear_group ck_linear_scalar, ck_linear_avx512_vnni, ck_linear_avx2, ck_linear_dotprod, ck_linear_i8mm;
extern const ck_linear_group ck_linear_dense_avx512, ck_linear_dense_avx2, ck_linear_dense_neon;
extern const ck_quantize_group ck_quantize_scalar, ck_quantize_avx2, ck_quantize_avx512, ck_quantize_neon;
