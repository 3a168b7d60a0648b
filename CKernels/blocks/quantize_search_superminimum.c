// Searching quantisers of the formats whose sub-blocks have integer scales and minimums under two halves: Q4_K and Q5_K (8 sub-blocks of
// 32), Q2_K (16 of 16).
//
// value = d * l * q - dmin * k with the integers l and k of the sub-block. In four steps:
//  1. Each sub-block on its own: its best real pair s, m (search_minimum.h), and how much an error of each would cost: QQ for s, W for m.
//  2. d and dmin such that whole multiples of them come near all s and all m: searches like those for one scale, eight candidates each.
//  3. What those really cost, first the eight d beside the best dmin, then the eight dmin beside the best d: every sub-block tries the
//     integers next to s / d and, as m should follow the scale that results, the k nearest to what is then best.
//  4. With one d and dmin left, every sub-block tries eight pairs of integers around the best; the sums of those it takes give the best d
//     and dmin for the levels and integers found (two normal equations), for another round. The cheapest seen wins.
#include "blocks/search_minimum.h"
#include "blocks/search_scale.h"

typedef struct {
    int parts, size;        ///< sub-blocks and elements of each
    pair_search elements;   ///< for a sub-block's pair
    scale_search integers;  ///< for d and dmin; its levels are the integers l and k
    int rounds;             ///< of step 4
} super_format;

/// A block on its way: the centred sub-blocks with what each would choose alone, and the best found.
typedef struct {
    centred_run runs[16];
    float s[16], m[16], average[16];  ///< `average` is Q / W, the mean level
    float error, d, dmin;
    int scales[16], minimums[16];
} super_state;

/// Step 3: the error of eight pairs d, dmin.
INLINE lanes measure_super(const super_state *state, lanes d, lanes dmin, const super_format format) {
    const level_set range = format.integers.levels;
    const lanes inverse = reciprocal(d), inverse_minimum = reciprocal(dmin);
    lanes total = (lanes)0.0f;
    for (int p = 0; p < format.parts; p++) {
        const centred_run *run = &state->runs[p];
        const lanes ratio = state->s[p] * inverse, near = nearest_level(ratio, range);
        const lanes next = most(least(ratio > near ? near + 1 : near - 1, (lanes)range.highest), (lanes)0.0f);
        lanes best = (lanes)INFINITY;
        for (int i = 0; i < 2; i++) {
            const lanes scale = d * (i == 0 ? near : next);
            // The mean of x is (scale * average - m): m moves with the scale.
            const lanes m = state->m[p] + (scale - state->s[p]) * state->average[p];
            const lanes n = dmin * nearest_level(m * inverse_minimum, range) + run->mean;
            best = least(best, pair_error(measure_pair(run, reciprocal(scale), n, format.elements.top), scale, n, run->weight));
        }
        total += best;
    }
    return total;
}

/// Step 4: integers for one pair d, dmin; keeps them if they are the best so far; returns the best d and dmin for the levels and integers.
INLINE void refine_super(super_state *state, const search_block *block, float *d, float *dmin, const super_format format) {
    const float top = format.integers.levels.highest;
    *d = through_scale((lanes)*d, block)[0];
    *dmin = through_scale((lanes)*dmin, block)[0];
    const float inverse = *d == 0 ? 0 : 1 / *d, inverse_minimum = *dmin == 0 ? 0 : 1 / *dmin;
    float total = 0, ll = 0, lk = 0, kk = 0, lx = 0, kx = 0;  // the sums of the normal equations
    int scales[16], minimums[16];
    for (int p = 0; p < format.parts; p++) {
        const centred_run *run = &state->runs[p];
        const float near = floorf(state->s[p] * inverse);
        const lanes steps = {-1, -1, 0, 0, 1, 1, 2, 2}, l = most(least(near + steps, (lanes)top), (lanes)0.0f), scale = *d * l;
        const lanes m = (state->m[p] + (scale - state->s[p]) * state->average[p]) * inverse_minimum;
        const lanes middle = rounded(most(least(m, (lanes)top), (lanes)0.0f)), side = m > middle ? (lanes)1.0f : (lanes)-1.0f;
        const lanes k = most(least(middle + (lanes){0, 1, 0, 1, 0, 1, 0, 1} * side, (lanes)top), (lanes)0.0f), n = *dmin * k + run->mean;
        const pair_sums sums = measure_pair(run, reciprocal(scale), n, format.elements.top);
        const lanes error = pair_error(sums, scale, n, run->weight);
        const int best = smallest_lane(error);
        total += error[best];
        const float bl = l[best], bk = k[best];
        scales[p] = (int)bl;
        minimums[p] = (int)bk;
        ll += bl * bl * sums.qq[best];
        lk += bl * bk * sums.q[best];
        kk += bk * bk * run->weight;
        lx += bl * (sums.y[best] + run->mean * sums.q[best]);
        kx += bk * run->mean * run->weight;
    }
    if (total < state->error) {
        state->error = total;
        state->d = *d;
        state->dmin = *dmin;
        memcpy(state->scales, scales, sizeof scales);
        memcpy(state->minimums, minimums, sizeof minimums);
    }
    // ll d - lk dmin = lx, -lk d + kk dmin = -kx
    const float determinant = ll * kk - lk * lk;
    if (determinant > 1e-6f * ll * kk) {
        *d = (kk * lx - lk * kx) / determinant;
        *dmin = (lk * lx - ll * kx) / determinant;
    } else {
        *d = ll > 0 ? lx / ll : *d;
    }
}

/// Finds d, dmin and the integers of a prepared block, and each element's level.
INLINE void search_super(super_state *state, const search_block *block, const super_format format, uint8_t *levels) {
    float costs[16], products[16], weights[16], weighted[16];
    for (int p = 0; p < format.parts; p++) {
        const int first = p * format.size;
        state->runs[p] = centre(block->x + first, block->w + first, block->wx + first, format.size);
        const centred_run *run = &state->runs[p];
        const pair_result found = search_pair(run, run->mean, format.elements);
        const int best = smallest_lane(found.error);
        const lanes s = (lanes)found.s[best], n = (lanes)found.n[best];
        const pair_sums sums = measure_pair(run, reciprocal(s), n, format.elements.top);
        state->s[p] = s[0];
        state->m[p] = n[0] - run->mean;
        state->average[p] = sums.q[0] / run->weight;
        costs[p] = sums.qq[0];
        products[p] = costs[p] * s[0];
        weights[p] = run->weight;
        weighted[p] = run->weight * state->m[p];
    }
    const scale_result scales = search_scale(state->s, costs, products, format.parts, format.integers);
    const scale_result minimums = search_scale(state->m, weights, weighted, format.parts, format.integers);
    const lanes d = through_scale(scales.scale, block), dmin = through_scale(minimums.scale, block);
    float best_d, best_dmin = dmin[smallest_lane(minimums.error)];
    best_d = d[smallest_lane(measure_super(state, d, (lanes)best_dmin, format))];
    best_dmin = dmin[smallest_lane(measure_super(state, (lanes)best_d, dmin, format))];
    state->error = INFINITY;
    state->d = state->dmin = 0;
    memset(state->scales, 0, sizeof state->scales);
    memset(state->minimums, 0, sizeof state->minimums);
    for (int r = 0; r < format.rounds; r++) refine_super(state, block, &best_d, &best_dmin, format);
    for (int p = 0; p < format.parts; p++) {
        const float scale = state->d * (float)state->scales[p], inverse = scale == 0 ? 0 : 1 / scale;
        const float minimum = state->dmin * (float)state->minimums[p];
        for (int j = p * format.size; j < (p + 1) * format.size; j++) {
            levels[j] = nearest_index((block->x[j] + minimum) * inverse, (level_set){0, format.elements.top, false});
        }
    }
}

/// The twelve bytes of eight 6-bit scales and minimums: the inverse of ck_k_scales.
static void pack_k_scales(const int *scales, const int *minimums, uint8_t packed[12]) {
    for (int j = 0; j < 4; j++) {
        packed[j] = (uint8_t)(scales[j] | scales[4 + j] >> 4 << 6);
        packed[4 + j] = (uint8_t)(minimums[j] | minimums[4 + j] >> 4 << 6);
        packed[8 + j] = (uint8_t)((scales[4 + j] & 15) | (minimums[4 + j] & 15) << 4);
    }
}

/// Nibbles of 256 levels in the order of q4_k.
static void pack_k_nibbles(const uint8_t levels[256], uint8_t qs[128]) {
    for (int j = 0; j < 128; j++) {
        const uint8_t *first = levels + 64 * (j / 32) + j % 32;
        qs[j] = (uint8_t)((first[0] & 15) | (first[32] & 15) << 4);
    }
}

void ck_search_q4_k(const float *src, const float *importance, void *dst, int64_t elements) {
    const super_format format = {8, 32, {15, -0.06f, 0.08f, 4, 2}, {{0, 63, false}, 52, 64.5f, 2, 2, false}, 3};
    ck_block_q4_k *out = dst;
    for (int64_t i = 0; i < elements; i += 256, out++) {
        search_block block;
        super_state state;
        uint8_t levels[256];
        prepare(&block, src + i, importance ? importance + i : NULL, 256);
        search_super(&state, &block, format, levels);
        out->d = stored_scale(state.d, block.unit);
        out->dmin = stored_scale(state.dmin, block.unit);
        pack_k_scales(state.scales, state.minimums, out->scales);
        pack_k_nibbles(levels, out->qs);
    }
}

void ck_search_q5_k(const float *src, const float *importance, void *dst, int64_t elements) {
    const super_format format = {8, 32, {31, -0.04f, 0.05f, 4, 2}, {{0, 63, false}, 52, 64.5f, 2, 2, false}, 3};
    ck_block_q5_k *out = dst;
    for (int64_t i = 0; i < elements; i += 256, out++) {
        search_block block;
        super_state state;
        uint8_t levels[256];
        prepare(&block, src + i, importance ? importance + i : NULL, 256);
        search_super(&state, &block, format, levels);
        out->d = stored_scale(state.d, block.unit);
        out->dmin = stored_scale(state.dmin, block.unit);
        pack_k_scales(state.scales, state.minimums, out->scales);
        pack_k_nibbles(levels, out->qs);
        memset(out->qh, 0, sizeof out->qh);
        for (int j = 0; j < 256; j++) out->qh[j & 31] |= (uint8_t)(levels[j] >> 4 << j / 32);
    }
}

void ck_search_q2_k(const float *src, const float *importance, void *dst, int64_t elements) {
    const super_format format = {16, 16, {3, -0.1f, 0.3f, 4, 3}, {{0, 15, false}, 8, 16.5f, 3, 2, false}, 4};
    ck_block_q2_k *out = dst;
    for (int64_t i = 0; i < elements; i += 256, out++) {
        search_block block;
        super_state state;
        uint8_t levels[256];
        prepare(&block, src + i, importance ? importance + i : NULL, 256);
        search_super(&state, &block, format, levels);
        out->d = stored_scale(state.d, block.unit);
        out->dmin = stored_scale(state.dmin, block.unit);
        for (int p = 0; p < 16; p++) out->scales[p] = (uint8_t)(state.scales[p] | state.minimums[p] << 4);
        ck_pack_two_bits(levels, out->qs);
    }
}
