// Dense-panel linear kernels and activation quantisers for AVX2 with FMA and F16C: the bodies shared by all instruction sets.
#include "gemm/layout.h"
#include "gemm/quantize.h"
#include "gemm/rows.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

enum { dense_row_tile = 4 };

#include "isa/simd_avx2.h"
#include "isa/simd.h"

#include "gemm/dense_body.h"
#include "gemm/quantize_quad.h"
#include "gemm/quantize_body.h"

#pragma clang attribute pop

static const ck_linear_row rows[] = {
    {"linear_f32_avx2", CK_ISA_AVX2, CK_PANEL_F32, CK_ACT_F32, dense_row_tile, ck_any_rows, dense_f32},
    {"linear_f16_avx2", CK_ISA_AVX2, CK_PANEL_F16, CK_ACT_F32, dense_row_tile, ck_any_rows, dense_f16},
    {"linear_bf16_avx2", CK_ISA_AVX2, CK_PANEL_BF16, CK_ACT_F32, dense_row_tile, ck_any_rows, dense_bf16},
};
const ck_linear_group ck_linear_dense_avx2 = {rows, sizeof rows / sizeof rows[0]};

static const ck_quantize_row quantize_rows[] = {
    {"quantize_q8_avx2", CK_ISA_AVX2, CK_ACT_Q8, quantize_q8},
    {"quantize_q15_avx2", CK_ISA_AVX2, CK_ACT_Q15, quantize_q15},
};
const ck_quantize_group ck_quantize_avx2 = {quantize_rows, sizeof quantize_rows / sizeof quantize_rows[0]};

#endif
