/// What every searching quantiser shares: eight candidates measured side by side, weights, and scales that survive being stored.
///
/// A candidate is a scale (or a scale and a minimum). Its error needs every element of a block, and there are many candidates, so the
/// candidates lie in the lanes of a vector and the elements come one after another: no sum is ever taken across lanes, blocks of 16 cost no
/// more per element than blocks of 256, and the order of every addition is fixed, which makes the bytes the same on every machine. The
/// vectors are the compiler's own type; it makes of them what the target has.
///
/// Blocks are brought to magnitudes below 2 by a power of two first. That is exact, and neither a square nor a reciprocal overflows
/// afterwards.
#pragma once

#include "blocks/conversions.h"

#include <math.h>
#include <stdbool.h>

#pragma STDC FP_CONTRACT OFF

// Everything below is inlined: no vector is ever passed from one function to another by an ABI that could differ.
#pragma clang diagnostic ignored "-Wpsabi"

enum { LANES = 8 };
typedef float lanes __attribute__((ext_vector_type(8)));
typedef int32_t lane_mask __attribute__((ext_vector_type(8)));

#define INLINE static inline __attribute__((always_inline))

INLINE lanes least(lanes a, lanes b) { return a < b ? a : b; }
INLINE lanes most(lanes a, lanes b) { return a > b ? a : b; }
/// To the nearest integer, ties to even, for magnitudes below 2^22: the sum has no bits left for fractions.
INLINE lanes rounded(lanes v) { return (v + 12582912.0f) - 12582912.0f; }
/// 1 / v, and 0 for 0.
INLINE lanes reciprocal(lanes v) { return v == 0 ? (lanes)0.0f : 1.0f / (v == 0 ? (lanes)1.0f : v); }
/// The index of the smallest lane, the first of equals.
INLINE int smallest_lane(lanes v) {
    int best = 0;
    for (int c = 1; c < LANES; c++) best = v[c] < v[best] ? c : best;
    return best;
}

/// A block of up to 256 elements made ready: x = source / unit, w the weights, wx their product.
typedef struct {
    float x[256], w[256], wx[256];
    float largest;        ///< of |x|: in [1, 2), smaller where the source is subnormal, 0 where it is zero
    float unit, inverse;  ///< a power of two and its reciprocal
} search_block;

/// Weights are relative to the block's largest; one that is (nearly) nothing keeps a trace, so that its element stays a value of sensible
/// size.
INLINE void prepare(search_block *block, const float *source, const float *importance, int count) {
    float largest = 0, heaviest = 0;
    for (int j = 0; j < count; j++) largest = fabsf(source[j]) > largest ? fabsf(source[j]) : largest;
    if (importance) {
        for (int j = 0; j < count; j++) heaviest = importance[j] > heaviest ? importance[j] : heaviest;
    }
    int exponent;
    frexpf(largest, &exponent);
    exponent = exponent < -124 ? -124 : exponent;
    block->unit = ldexpf(1, exponent - 1);
    block->inverse = 1 / block->unit;
    for (int j = 0; j < count; j++) {
        const float share = heaviest > 0 ? importance[j] / heaviest : 1, x = source[j] * block->inverse;
        block->x[j] = x;
        block->w[j] = share > 0x1p-24f ? share : 0x1p-24f;
        block->wx[j] = block->w[j] * x;
    }
    block->largest = largest * block->inverse;
}

/// The finite half nearest to v * unit.
INLINE uint16_t stored_half(float v, float unit) {
    const float magnitude = fabsf(v * unit);
    return (uint16_t)((magnitude >= 65504 ? 0x7bff : ck_float_to_half(magnitude)) | (v < 0 ? 0x8000 : 0));
}

/// The same for a scale, which is not zero unless d is: levels of 2^-24 beat having none.
INLINE uint16_t stored_scale(float d, float unit) {
    const uint16_t half = stored_half(d, unit);
    return d != 0 && (half & 0x7fff) == 0 ? half | 1 : half;
}

/// Each lane as a reader of the stored half will see it, in the measure of the prepared block.
INLINE lanes through_half(lanes v, const search_block *block) {
    for (int c = 0; c < LANES; c++) v[c] = ck_half_to_float(stored_half(v[c], block->unit)) * block->inverse;
    return v;
}

/// Each lane as a reader of the stored scale will see it.
INLINE lanes through_scale(lanes d, const search_block *block) {
    for (int c = 0; c < LANES; c++) d[c] = ck_half_to_float(stored_scale(d[c], block->unit)) * block->inverse;
    return d;
}

/// The levels that a scale multiplies: the integers from `lowest` to `highest`, or the sixteen of ck_iq4_values.
typedef struct {
    float lowest, highest;
    bool is_iq4;
} level_set;

/// The nearest level to each lane.
INLINE lanes nearest_level(lanes v, const level_set levels) {
    if (!levels.is_iq4) return rounded(most(least(v, (lanes)levels.highest), (lanes)levels.lowest));
    // Fifteen comparisons a lane would cost more than sixteen loads for all.
    const lanes halves = most(least(2 * v + 256, (lanes)511.0f), (lanes)0.0f);
    lanes level;
    for (int c = 0; c < LANES; c++) level[c] = ck_iq4_nearest[(int)halves[c]];
    return level;
}

/// The position of the nearest level: q - lowest, or the index in ck_iq4_values.
INLINE uint8_t nearest_index(float v, const level_set levels) {
    if (!levels.is_iq4) {
        const float clamped = v < levels.lowest ? levels.lowest : v > levels.highest ? levels.highest : v;
        return (uint8_t)((clamped + 12582912.0f) - 12582912.0f - levels.lowest);
    }
    int index = 0;
    for (int k = 1; k < 16; k++) index += v > 0.5f * (float)(ck_iq4_values[k - 1] + ck_iq4_values[k]);
    return (uint8_t)index;
}
