/// The best scale and minimum for a run of elements: x ~ s * q - m with q in 0...top, least sum of w * (x - s * q + m)^2.
///
/// The run is centred first: y = x - mean, n = m + mean, so that sum(w y) = 0 and a run far from zero loses no digits. For fixed levels q,
/// with W = sum(w), Q = sum(w q), QQ = sum(w q q), Y = sum(w y q), the best pair is s = W Y / (W QQ - Q^2), n = s Q / W; under a bound n >=
/// b that it breaks, n = b and s = (Y + b Q) / QQ. Either leaves the error sum(w y y) + s^2 QQ + n^2 W - 2 s (Y + n Q). For a fixed pair
/// the best levels are the nearest ones. As in search_scale.h: a grid of starts, here of how far the two ends of the range are drawn in,
/// then alternation in eight lanes.
#pragma once

#include "blocks/search.h"

/// A centred run.
typedef struct {
    float y[32], wy[32];
    const float *w;
    int count;
    float mean, weight;   ///< weighted mean, and W
    float lowest, highest;  ///< of y
} centred_run;

INLINE centred_run centre(const float *x, const float *w, const float *wx, int count) {
    centred_run run = {.w = w, .count = count};
    float sum = 0;
    for (int j = 0; j < count; j++) {
        sum += wx[j];
        run.weight += w[j];
    }
    run.mean = sum / run.weight;
    for (int j = 0; j < count; j++) {
        run.y[j] = x[j] - run.mean;
        run.wy[j] = w[j] * run.y[j];
        run.lowest = j == 0 || run.y[j] < run.lowest ? run.y[j] : run.lowest;
        run.highest = j == 0 || run.y[j] > run.highest ? run.y[j] : run.highest;
    }
    return run;
}

/// Q, QQ and Y of the head of this file.
typedef struct {
    lanes q, qq, y;
} pair_sums;

INLINE pair_sums measure_pair(const centred_run *run, lanes inverse, lanes n, float top) {
    pair_sums sums = {(lanes)0.0f, (lanes)0.0f, (lanes)0.0f};
    const lanes offset = n * inverse;
    for (int j = 0; j < run->count; j++) {
        const lanes q = rounded(most(least(run->y[j] * inverse + offset, (lanes)top), (lanes)0.0f)), wq = run->w[j] * q;
        sums.q += wq;
        sums.qq += wq * q;
        sums.y += run->wy[j] * q;
    }
    return sums;
}

/// The error of a pair whose levels have these sums, less sum(w y y).
INLINE lanes pair_error(const pair_sums sums, lanes s, lanes n, float weight) {
    return s * (s * sums.qq - 2 * (sums.y + n * sums.q)) + n * n * weight;
}

/// Eight good pairs and the error each leaves less sum(w y y).
typedef struct {
    lanes s, n, error;
} pair_result;

INLINE void keep_pairs(pair_result *best, const pair_sums sums, float weight, float bound) {
    const lanes determinant = weight * sums.qq - sums.q * sums.q, zero = (lanes)0.0f;
    lanes s = determinant > 1e-6f * weight * sums.qq ? weight * sums.y * reciprocal(determinant) : zero, n = s * sums.q / weight;
    const lane_mask outside = n < bound;
    n = outside ? (lanes)bound : n;
    s = outside ? (sums.y + bound * sums.q) * reciprocal(sums.qq) : s;
    s = most(s, zero);
    const lanes error = pair_error(sums, s, n, weight);
    const lane_mask better = error < best->error;
    best->s = better ? s : best->s;
    best->n = better ? n : best->n;
    best->error = better ? error : best->error;
}

/// How the range may be drawn in before it is divided into `top` steps: lanes take four insets of one end and two of the other, a group
/// each further two.
typedef struct {
    float top;
    float from, to;  ///< insets as shares of the range; negative ones widen it
    int groups;      ///< of eight starts: four insets of the lower end times 2 * groups of the upper end
    int rounds;      ///< of alternation
} pair_search;

/// `bound` is the least n allowed: the mean, for m >= 0.
INLINE pair_result search_pair(const centred_run *run, float bound, const pair_search search) {
    // All elements at zero, or at the mean if the bound allows: what a flat run is left with.
    pair_result best = {(lanes)0.0f, (lanes)most(bound, (lanes)0.0f), (lanes)0.0f};
    best.error = best.n * best.n * run->weight;
    const float low = run->lowest < -bound ? run->lowest : -bound, range = run->highest - low;
    if (range < 0x1p-60f) return best;
    const lanes lower = {0, 0, 1, 1, 2, 2, 3, 3}, upper = {0, 1, 0, 1, 0, 1, 0, 1};
    const float width = search.to - search.from;
    for (int g = 0; g < search.groups; g++) {
        const float count = (float)search.groups, step = width / (2 * count - 1);
        const lanes a = search.from + width / 3 * lower, b = search.from + step * (upper * count + (float)g);
        const lanes inverse = search.top / (range * (1 - a - b));
        keep_pairs(&best, measure_pair(run, inverse, -(low + a * range), search.top), run->weight, bound);
    }
    // The ends where the weight lies: some root mean squares to either side of the mean, for runs whose extremes matter little.
    float squares = 0;
    for (int j = 0; j < run->count; j++) squares += run->wy[j] * run->y[j];
    const float spread = sqrtf(squares / run->weight);
    const lanes below = least(spread * (1 + 0.7f * lower), (lanes)-low);
    const lanes above = least(spread * (1.3f + 0.9f * upper), (lanes)(low + range));
    keep_pairs(&best, measure_pair(run, search.top / (below + above), below, search.top), run->weight, bound);
    for (int r = 0; r < search.rounds; r++) {
        keep_pairs(&best, measure_pair(run, reciprocal(best.s), best.n, search.top), run->weight, bound);
    }
    return best;
}
