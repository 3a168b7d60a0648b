// Integer-panel linear kernels for AVX-VNNI (VEX vpdpbusd), on processors without AVX-512: see gemm/linear_vnni256_body.h.
#include "gemm/rows.h"

#if defined(__x86_64__)

#include "gemm/layout.h"

#include <immintrin.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avxvnni,avx2,fma,f16c"))), apply_to = function)

#include "gemm/unpack_avx2.h"

static inline __attribute__((always_inline)) __m256i dot_bytes(__m256i sum, __m256i weights, __m256i activations) {
    return _mm256_dpbusd_avx_epi32(sum, weights, activations);
}

#include "gemm/linear_vnni256_body.h"

#pragma clang attribute pop

enum { isa = CK_ISA_AVX2 | CK_ISA_AVX_VNNI };

#define CK_VNNI_NAME ""
static const ck_linear_row rows[] = {CK_INTEGER_PANELS(CK_VNNI_ROWS)};
const ck_linear_group ck_linear_avx_vnni = {rows, sizeof rows / sizeof rows[0]};

#endif
