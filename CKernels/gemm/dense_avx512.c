// Dense-panel linear kernels and activation quantisers for AVX-512: the bodies shared by all instruction sets.
#include "gemm/layout.h"
#include "gemm/quantize.h"
#include "gemm/rows.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), apply_to = function)

enum { dense_row_tile = 8 };

#include "isa/simd_avx512.h"
#include "isa/simd.h"

#include "gemm/dense_body.h"
#include "gemm/quantize_quad_avx512.h"
#include "gemm/quantize_body.h"

#pragma clang attribute pop

static const ck_linear_row rows[] = {
    {"linear_f32_avx512", CK_ISA_AVX512, CK_PANEL_F32, CK_ACT_F32, dense_row_tile, ck_any_rows, dense_f32},
    {"linear_f16_avx512", CK_ISA_AVX512, CK_PANEL_F16, CK_ACT_F32, dense_row_tile, ck_any_rows, dense_f16},
    {"linear_bf16_avx512", CK_ISA_AVX512, CK_PANEL_BF16, CK_ACT_F32, dense_row_tile, ck_any_rows, dense_bf16},
};
const ck_linear_group ck_linear_dense_avx512 = {rows, sizeof rows / sizeof rows[0]};

static const ck_quantize_row quantize_rows[] = {
    {"quantize_q8_avx512", CK_ISA_AVX512, CK_ACT_Q8, quantize_q8},
    {"quantize_q15_avx512", CK_ISA_AVX512, CK_ACT_Q15, quantize_q15},
};
const ck_quantize_group ck_quantize_avx512 = {quantize_rows, sizeof quantize_rows / sizeof quantize_rows[0]};

#endif
