// Four blocks of activations over the vector vocabulary, whatever its width: their largest magnitudes, their terms and sums.
// Included by quantize_body.h's includers, inside a target region.
#include "isa/simd_4.h"

CK_INLINE vu4 largest_of_quad(const float *x) {
    vu4 blocks[4];
#pragma clang loop unroll(full)
    for (int b = 0; b < 4; b++) {
        vu largest = {0};
#pragma clang loop unroll(full)
        for (int i = 0; i < CK_BLOCK; i += lanes) largest = __builtin_elementwise_max(largest, (vu)v_abs(v_load(x + CK_BLOCK * b + i)));
        vu4 parts[lanes / 4];
        memcpy(parts, &largest, sizeof largest);
        blocks[b] = parts[0];
#pragma clang loop unroll(full)
        for (int part = 1; part < lanes / 4; part++) blocks[b] = __builtin_elementwise_max(blocks[b], parts[part]);
    }
    transpose_4(blocks);
    return __builtin_elementwise_max(__builtin_elementwise_max(blocks[0], blocks[1]), __builtin_elementwise_max(blocks[2], blocks[3]));
}

/// The sums of the lanes of four vectors.
CK_INLINE vi4 sums_of_four(const vi x[4]) {
    vu4 sums[4];
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) {
        vu4 parts[lanes / 4];
        memcpy(parts, &x[i], sizeof x[i]);
        sums[i] = parts[0];
#pragma clang loop unroll(full)
        for (int part = 1; part < lanes / 4; part++) sums[i] += parts[part];
    }
    transpose_4(sums);
    return (vi4)(sums[0] + sums[1] + sums[2] + sums[3]);
}

CK_INLINE void round_quad(const float *x, vf4 inverses, int8_t *high, int8_t *low, vi4 half_sums[2], ck_activation_format format) {
    vi halves[2][4] = {{{0}}};
#pragma clang loop unroll(full)
    for (int i = 0; i < 4 * CK_BLOCK; i += lanes) {
        const vi q = __builtin_convertvector(v_round(v_load(x + i) * v_set(inverses[i / CK_BLOCK])), vi);
        halves[i / 16 % 2][i / CK_BLOCK] += q;
        const vi top = format == CK_ACT_Q15 ? (q + 64) >> 7 : q;
        const vi8 top_bytes = __builtin_convertvector(top, vi8);
        memcpy(high + i, &top_bytes, sizeof top_bytes);
        if (format == CK_ACT_Q15) {
            const vi8 bottom_bytes = __builtin_convertvector(q - (top << 7), vi8);
            memcpy(low + i, &bottom_bytes, sizeof bottom_bytes);
        }
    }
    half_sums[0] = sums_of_four(halves[0]);
    half_sums[1] = sums_of_four(halves[1]);
}
