// Searching quantisers of the formats with one scale and one minimum a block: Q4_1 and Q5_1, value = d * q + m. The eight results of
// search_minimum.h are rounded to halves and compared once more by their differences, with the pair of rounding to nearest in the place of
// the worst, so a block never comes out worse than `quantize` would leave it.
#include "blocks/search_minimum.h"

/// Finds d and m of a prepared block of 32 as halves, and each element's level.
INLINE void search_block_pair(const search_block *block, const pair_search search, uint16_t *d, uint16_t *m, uint8_t *levels) {
    const centred_run run = centre(block->x, block->w, block->wx, 32);
    pair_result found = search_pair(&run, -INFINITY, search);
    const int worst = smallest_lane(-found.error);
    found.s[worst] = (run.highest - run.lowest) / search.top;
    found.n[worst] = -run.lowest;
    const lanes scale = through_scale(found.s, block), inverse = reciprocal(scale), minimum = through_half(run.mean - found.n, block);
    lanes error = (lanes)0.0f;
    for (int j = 0; j < 32; j++) {
        const lanes q = rounded(most(least((block->x[j] - minimum) * inverse, (lanes)search.top), (lanes)0.0f));
        const lanes difference = block->x[j] - minimum - scale * q;
        error += block->w[j] * difference * difference;
    }
    const int best = smallest_lane(error);
    for (int j = 0; j < 32; j++) {
        levels[j] = nearest_index((block->x[j] - minimum[best]) * inverse[best], (level_set){0, search.top, false});
    }
    *d = stored_scale(scale[best], block->unit);
    *m = stored_half(minimum[best], block->unit);
}

void ck_search_q4_1(const float *src, const float *importance, void *dst, int64_t elements) {
    const pair_search search = {15, -0.06f, 0.08f, 4, 3};
    ck_block_q4_1 *out = dst;
    for (int64_t i = 0; i < elements; i += 32, out++) {
        search_block block;
        uint8_t levels[32];
        prepare(&block, src + i, importance ? importance + i : NULL, 32);
        search_block_pair(&block, search, &out->d, &out->m, levels);
        for (int j = 0; j < 16; j++) out->qs[j] = (uint8_t)(levels[j] | levels[16 + j] << 4);
    }
}

void ck_search_q5_1(const float *src, const float *importance, void *dst, int64_t elements) {
    const pair_search search = {31, -0.04f, 0.05f, 4, 3};
    ck_block_q5_1 *out = dst;
    for (int64_t i = 0; i < elements; i += 32, out++) {
        search_block block;
        uint8_t levels[32];
        prepare(&block, src + i, importance ? importance + i : NULL, 32);
        search_block_pair(&block, search, &out->d, &out->m, levels);
        uint32_t fifth = 0;
        for (int j = 0; j < 32; j++) fifth |= (uint32_t)(levels[j] >> 4) << j;
        for (int j = 0; j < 4; j++) out->qh[j] = (uint8_t)(fifth >> 8 * j);
        for (int j = 0; j < 16; j++) out->qs[j] = (uint8_t)((levels[j] & 15) | (levels[16 + j] & 15) << 4);
    }
}
