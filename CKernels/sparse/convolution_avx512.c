// The sparse 1×1 convolution for AVX-512.
#include "sparse/convolution_layout.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), apply_to = function)

#include "isa/simd_avx512.h"
#include "isa/simd.h"

#include "vector/math.h"

#include "conv/numbers_f32.h"
#include "conv/epilogue.h"

enum { spmm_sets = 2 };

// Pairs, then pairs of pairs inside parts of 128 bits, then the parts.
CK_INLINE void v_transpose(vf rows[lanes]) {
    __m512 t[lanes];
#pragma clang loop unroll(full)
    for (int i = 0; i < lanes; i += 2) {
        t[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < lanes; i += 4) {
#pragma clang loop unroll(full)
        for (int h = 0; h < 2; h++) {
            const __m512d low = _mm512_castps_pd(t[i + h]), high = _mm512_castps_pd(t[i + 2 + h]);
            rows[i + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
            rows[i + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
        }
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_f32x4(rows[i], rows[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_f32x4(rows[i], rows[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_f32x4(rows[i + 8], rows[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_f32x4(rows[i + 8], rows[i + 12], 0xdd);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < 8; i++) {
        rows[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
        rows[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
    }
}

#include "sparse/convolution.h"

#pragma clang attribute pop

// Crossover: 1×1 layers of EfficientNet-Lite0 and of text recognition, zeros at random, 1 thread, Zen 4, against conv_avx512: 0.99 to 1.31 times as fast at 50 %
// (24 to 144 channels the least), 1.07 to 1.41 at 55 %, 1.34 to 1.92 at 70 %, 1.6 to 2.6 at 80 %, 2.0 to 4.3 at 90 %. 16 inputs: never more than 1.2. 16 and 25
// pixels fill a half of their vectors: 0.9 and 0.96 at 55 %.
const ck_sparse_conv_row ck_sparse_conv_avx512 = {
    .name = "sparse_conv_avx512", .isa = CK_ISA_AVX512, .function = sparse_pointwise, .crossover = 0.55f, .least_inputs = 24, .least_pixels = 32,
};

#endif
