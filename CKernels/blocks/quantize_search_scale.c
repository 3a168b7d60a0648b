// Searching quantisers of the formats with one scale a block: Q4_0, Q5_0, Q8_0, IQ4_NL, and the ternary TQ1_0 and TQ2_0. The search is that
// of search_scale.h; its eight results are rounded to halves and compared once more, with the scale of rounding to nearest in the place of
// the worst, so a block never comes out worse than `quantize` would leave it.
#include "blocks/search_scale.h"

/// Finds the scale of a prepared block as a half, and each element's position in the level set. `plain` is the scale of rounding to nearest
/// in the measure of the block, 0 where the format has none.
INLINE uint16_t search_levels(const search_block *block, int count, const scale_search search, float plain, uint8_t *indices) {
    const scale_result found = search_scale(block->x, block->w, block->wx, count, search);
    lanes scale = found.scale;
    if (plain != 0) scale[smallest_lane(-found.error)] = plain;
    scale = through_scale(scale, block);
    // Sets without a zero (IQ4_NL) cannot come near values below the least scale: no scale at all is then better.
    const lanes errors = exact_errors(block->x, block->w, count, scale, search.levels);
    const int best = smallest_lane(errors);
    float none = 0;
    for (int j = 0; j < count; j++) none += block->wx[j] * block->x[j];
    const float d = errors[best] <= none ? scale[best] : 0, inverse = d == 0 ? 0 : 1 / d;
    for (int j = 0; j < count; j++) indices[j] = nearest_index(block->x[j] * inverse, search.levels);
    return stored_scale(d, block->unit);
}

/// The element of largest magnitude over `level`, the scale of rounding to nearest.
INLINE float extreme_over(const search_block *block, int count, float level) {
    float extreme = 0;
    for (int j = 0; j < count; j++) extreme = fabsf(block->x[j]) > fabsf(extreme) ? block->x[j] : extreme;
    return extreme / level;
}

/// Nibbles of 32 elements: the first half low, the second high.
INLINE void pack_nibbles(const uint8_t *indices, uint8_t *qs) {
    for (int j = 0; j < 16; j++) qs[j] = (uint8_t)((indices[j] & 15) | (indices[16 + j] & 15) << 4);
}

void ck_search_q4_0(const float *src, const float *importance, void *dst, int64_t elements) {
    const scale_search search = {{-8, 7, false}, 4.9f, 9.3f, 5, 3, true};
    ck_block_q4_0 *out = dst;
    for (int64_t i = 0; i < elements; i += 32, out++) {
        search_block block;
        uint8_t indices[32];
        prepare(&block, src + i, importance ? importance + i : NULL, 32);
        out->d = search_levels(&block, 32, search, extreme_over(&block, 32, -8), indices);
        pack_nibbles(indices, out->qs);
    }
}

void ck_search_q5_0(const float *src, const float *importance, void *dst, int64_t elements) {
    const scale_search search = {{-16, 15, false}, 11, 18, 6, 3, true};
    ck_block_q5_0 *out = dst;
    for (int64_t i = 0; i < elements; i += 32, out++) {
        search_block block;
        uint8_t indices[32];
        prepare(&block, src + i, importance ? importance + i : NULL, 32);
        out->d = search_levels(&block, 32, search, extreme_over(&block, 32, -16), indices);
        pack_nibbles(indices, out->qs);
        uint32_t fifth = 0;
        for (int j = 0; j < 32; j++) fifth |= (uint32_t)(indices[j] >> 4) << j;
        for (int j = 0; j < 4; j++) out->qh[j] = (uint8_t)(fifth >> 8 * j);
    }
}

void ck_search_q8_0(const float *src, const float *importance, void *dst, int64_t elements) {
    const scale_search search = {{-127, 127, false}, 90, 130, 8, 2, false};
    ck_block_q8_0 *out = dst;
    for (int64_t i = 0; i < elements; i += 32, out++) {
        search_block block;
        uint8_t indices[32];
        prepare(&block, src + i, importance ? importance + i : NULL, 32);
        out->d = search_levels(&block, 32, search, block.largest / 127, indices);
        for (int j = 0; j < 32; j++) out->qs[j] = (int8_t)((int)indices[j] - 127);
    }
}

void ck_search_iq4_nl(const float *src, const float *importance, void *dst, int64_t elements) {
    const scale_search search = {{-127, 113, true}, 85, 145, 4, 3, true};
    ck_block_iq4_nl *out = dst;
    for (int64_t i = 0; i < elements; i += 32, out++) {
        search_block block;
        uint8_t indices[32];
        prepare(&block, src + i, importance ? importance + i : NULL, 32);
        out->d = search_levels(&block, 32, search, 0, indices);
        pack_nibbles(indices, out->qs);
    }
}

/// Digits 0, 1, 2 for the levels -1, 0, 1 of 256 elements; returns the scale.
static uint16_t ternary_digits(const float *src, const float *importance, uint8_t digits[256]) {
    const scale_search search = {{-1, 1, false}, 0.5f, 6.0f, 4, 4, false};
    search_block block;
    prepare(&block, src, importance, 256);
    return search_levels(&block, 256, search, block.largest, digits);
}

void ck_search_tq1_0(const float *src, const float *importance, void *dst, int64_t elements) {
    ck_block_tq1_0 *out = dst;
    for (int64_t i = 0; i < elements; i += 256, out++) {
        uint8_t digits[256];
        out->d = ternary_digits(src + i, importance ? importance + i : NULL, digits);
        ck_pack_tq1_0(digits, out);
    }
}

void ck_search_tq2_0(const float *src, const float *importance, void *dst, int64_t elements) {
    ck_block_tq2_0 *out = dst;
    for (int64_t i = 0; i < elements; i += 256, out++) {
        uint8_t digits[256];
        out->d = ternary_digits(src + i, importance ? importance + i : NULL, digits);
        ck_pack_two_bits(digits, out->qs);
    }
}
