// The sparse 1×1 convolution for AVX2 with FMA.
#include "sparse/convolution_layout.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#include "isa/simd_avx2.h"
#include "isa/simd.h"

#include "vector/math.h"

#include "conv/numbers_f32.h"
#include "conv/epilogue.h"

enum { spmm_sets = 1 };

// Pairs, then pairs of pairs inside parts of 128 bits, then the parts.
CK_INLINE void v_transpose(vf rows[lanes]) {
    __m256 t[lanes];
#pragma clang loop unroll(full)
    for (int i = 0; i < lanes; i += 2) {
        t[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
    __m256 u[lanes];
#pragma clang loop unroll(full)
    for (int i = 0; i < lanes; i += 4) {
#pragma clang loop unroll(full)
        for (int h = 0; h < 2; h++) {
            u[i + 2 * h] = _mm256_shuffle_ps(t[i + h], t[i + 2 + h], 0x44);
            u[i + 2 * h + 1] = _mm256_shuffle_ps(t[i + h], t[i + 2 + h], 0xee);
        }
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) {
        rows[i] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
        rows[i + 4] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
    }
}

#include "sparse/convolution.h"

#pragma clang attribute pop

// Crossover: as for AVX-512, against conv_avx2: 1.00 to 1.36 times as fast at 50 %, 1.04 to 1.48 at 55 %, 1.28 to 2.1 at 70 %, 1.45 to 2.9 at 80 %.
const ck_sparse_conv_row ck_sparse_conv_avx2 = {
    .name = "sparse_conv_avx2", .isa = CK_ISA_AVX2, .function = sparse_pointwise, .crossover = 0.55f, .least_inputs = 24, .least_pixels = 32,
};

#endif
