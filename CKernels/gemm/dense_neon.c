// Dense-panel linear kernels and activation quantisers for Armv8 Advanced SIMD: the bodies shared by all instruction sets.
#include "gemm/layout.h"
#include "gemm/quantize.h"
#include "gemm/rows.h"

#if defined(__aarch64__)

#include <arm_neon.h>
#include <string.h>


enum { dense_row_tile = 4 };

#include "isa/simd_neon.h"
#include "isa/simd.h"

#include "gemm/dense_body.h"
#include "gemm/quantize_quad.h"
#include "gemm/quantize_body.h"


static const ck_linear_row rows[] = {
    {"linear_f32_neon", CK_ISA_NEON, CK_PANEL_F32, CK_ACT_F32, dense_row_tile, ck_any_rows, dense_f32},
    {"linear_f16_neon", CK_ISA_NEON, CK_PANEL_F16, CK_ACT_F32, dense_row_tile, ck_any_rows, dense_f16},
    {"linear_bf16_neon", CK_ISA_NEON, CK_PANEL_BF16, CK_ACT_F32, dense_row_tile, ck_any_rows, dense_bf16},
};
const ck_linear_group ck_linear_dense_neon = {rows, sizeof rows / sizeof rows[0]};

static const ck_quantize_row quantize_rows[] = {
    {"quantize_q8_neon", CK_ISA_NEON, CK_ACT_Q8, quantize_q8},
    {"quantize_q15_neon", CK_ISA_NEON, CK_ACT_Q15, quantize_q15},
};
const ck_quantize_group ck_quantize_neon = {quantize_rows, sizeof quantize_rows / sizeof quantize_rows[0]};

#endif
