// Searching quantisers of the formats whose sub-blocks have integer scales under one half: Q3_K and Q6_K (16 sub-blocks of 16), IQ4_XS (8
// of 32).
//
// value = d * l * q with l the integer of the sub-block. In three steps:
//  1. Each sub-block on its own: its best real scale s, and how much an error of the scale would cost, B = sum(w q q).
//  2. d such that whole multiples of it come near all s: the same search once more, over the numbers s with the weights B. Eight
//     candidates.
//  3. What those really cost, rounded to halves: every sub-block tries the integers next to s / d, takes the one with the least error, and
//     reports its sums; from these follows the best d for the levels and integers found, for another round. The cheapest d seen wins.
#include "blocks/search_scale.h"

/// A format's shape and searches.
typedef struct {
    int parts, size;        ///< sub-blocks and elements of each
    scale_search elements;  ///< for a sub-block's scale
    scale_search scales;    ///< for d; its levels are the integers l
    int rounds;             ///< of step 3
} super_format;

/// Eight d, all sub-blocks: the error each leaves less sum(w x x), the best d for the levels and integers it took, and the integers.
typedef struct {
    lanes error, better;
    lanes integers[16];
} super_result;

INLINE super_result measure_super(const search_block *block, const float *scales, lanes d, const super_format format) {
    const level_set range = format.scales.levels;
    const lanes inverse = reciprocal(d);
    super_result result;
    lanes a = (lanes)0.0f, b = (lanes)0.0f;
    result.error = (lanes)0.0f;
    for (int s = 0; s < format.parts; s++) {
        const int first = s * format.size;
        const lanes middle = nearest_level(scales[s] * inverse, range);
        lanes least_error = (lanes)0.0f, part_a = (lanes)0.0f, part_b = (lanes)0.0f;  // of the integer 0: all elements zero
        result.integers[s] = (lanes)0.0f;
        for (int step = -1; step <= 1; step++) {
            const lanes l = most(least(middle + (float)step, (lanes)range.highest), (lanes)range.lowest), scale = d * l;
            const scale_sums sums = measure_scale(
                block->x + first, block->w + first, block->wx + first, format.size, reciprocal(scale), format.elements.levels);
            const lanes error = scale * (scale * sums.b - 2 * sums.a);
            const lane_mask better = error < least_error;
            least_error = better ? error : least_error;
            part_a = better ? l * sums.a : part_a;
            part_b = better ? l * l * sums.b : part_b;
            result.integers[s] = better ? l : result.integers[s];
        }
        result.error += least_error;
        a += part_a;
        b += part_b;
    }
    result.better = a * reciprocal(b);
    return result;
}

/// Finds d of a prepared block as a half, the integer of each sub-block, and each element's position in the level set.
INLINE uint16_t search_super(const search_block *block, const super_format format, int *integers, uint8_t *indices) {
    float scales[16], costs[16], products[16];
    for (int s = 0; s < format.parts; s++) {
        const float *x = block->x + s * format.size, *w = block->w + s * format.size, *wx = block->wx + s * format.size;
        const scale_result found = search_scale(x, w, wx, format.size, format.elements);
        const int best = smallest_lane(found.error);
        scales[s] = found.scale[best];
        // error = -s^2 B
        costs[s] = scales[s] == 0 ? 0 : -found.error[best] / (scales[s] * scales[s]);
        products[s] = costs[s] * scales[s];
    }
    lanes d = search_scale(scales, costs, products, format.parts, format.scales).scale;
    float best_error = 0, best_d = 0;
    for (int s = 0; s < format.parts; s++) integers[s] = 0;
    for (int r = 0; r < format.rounds; r++) {
        d = through_scale(d, block);
        const super_result result = measure_super(block, scales, d, format);
        const int best = smallest_lane(result.error);
        if (result.error[best] < best_error) {
            best_error = result.error[best];
            best_d = d[best];
            for (int s = 0; s < format.parts; s++) integers[s] = (int)result.integers[s][best];
        }
        d = result.better;
    }
    for (int s = 0; s < format.parts; s++) {
        const float scale = best_d * (float)integers[s], inverse = scale == 0 ? 0 : 1 / scale;
        for (int j = 0; j < format.size; j++) {
            indices[s * format.size + j] = nearest_index(block->x[s * format.size + j] * inverse, format.elements.levels);
        }
    }
    return stored_scale(best_d, block->unit);
}

void ck_search_q3_k(const float *src, const float *importance, void *dst, int64_t elements) {
    const super_format format = {
        16, 16, {{-4, 3, false}, 1.9f, 5.1f, 4, 3, true}, {{-32, 31, false}, 22, 36, 3, 2, true}, 3};
    ck_block_q3_k *out = dst;
    for (int64_t i = 0; i < elements; i += 256, out++) {
        search_block block;
        int integers[16];
        uint8_t indices[256], low[256];
        prepare(&block, src + i, importance ? importance + i : NULL, 256);
        out->d = search_super(&block, format, integers, indices);
        for (int j = 0; j < 256; j++) low[j] = indices[j] & 3;
        ck_pack_two_bits(low, out->qs);
        memset(out->hmask, 0, sizeof out->hmask);
        for (int j = 0; j < 256; j++) out->hmask[j & 31] |= (uint8_t)(indices[j] >> 2 << j / 32);
        memset(out->scales, 0, sizeof out->scales);
        for (int s = 0; s < 16; s++) {
            const int stored = integers[s] + 32;
            out->scales[s & 7] |= (uint8_t)((stored & 15) << (s < 8 ? 0 : 4));
            out->scales[8 + (s & 3)] |= (uint8_t)(stored >> 4 << 2 * (s >> 2));
        }
    }
}

void ck_search_q6_k(const float *src, const float *importance, void *dst, int64_t elements) {
    const super_format format = {
        16, 16, {{-32, 31, false}, 25, 34, 4, 2, true}, {{-128, 127, false}, 100, 129, 2, 2, true}, 3};
    ck_block_q6_k *out = dst;
    for (int64_t i = 0; i < elements; i += 256, out++) {
        search_block block;
        int integers[16];
        uint8_t indices[256];
        prepare(&block, src + i, importance ? importance + i : NULL, 256);
        out->d = search_super(&block, format, integers, indices);
        for (int s = 0; s < 16; s++) out->scales[s] = (int8_t)integers[s];
        for (int half = 0; half < 2; half++) {
            const uint8_t *q = indices + 128 * half;
            for (int j = 0; j < 64; j++) out->ql[64 * half + j] = (uint8_t)((q[j] & 15) | (q[64 + j] & 15) << 4);
            for (int j = 0; j < 32; j++) {
                out->qh[32 * half + j] = (uint8_t)(q[j] >> 4 | q[32 + j] >> 4 << 2 | q[64 + j] >> 4 << 4 | q[96 + j] >> 4 << 6);
            }
        }
    }
}

void ck_search_iq4_xs(const float *src, const float *importance, void *dst, int64_t elements) {
    const super_format format = {
        8, 32, {{-127, 113, true}, 85, 145, 3, 2, true}, {{-32, 31, false}, 22, 36, 3, 2, true}, 2};
    ck_block_iq4_xs *out = dst;
    for (int64_t i = 0; i < elements; i += 256, out++) {
        search_block block;
        int integers[16];
        uint8_t indices[256];
        prepare(&block, src + i, importance ? importance + i : NULL, 256);
        out->d = search_super(&block, format, integers, indices);
        unsigned high = 0;
        memset(out->scales_l, 0, sizeof out->scales_l);
        for (int s = 0; s < 8; s++) {
            const unsigned stored = (unsigned)(integers[s] + 32);
            out->scales_l[s / 2] |= (uint8_t)((stored & 15) << 4 * (s & 1));
            high |= stored >> 4 << 2 * s;
            for (int j = 0; j < 16; j++) out->qs[16 * s + j] = (uint8_t)(indices[32 * s + j] | indices[32 * s + 16 + j] << 4);
        }
        out->scales_h = (uint16_t)high;
    }
}
