/// The best scale for a run of elements: x ~ s * q with q from a level set, least sum of w * (x - s * q)^2.
///
/// For fixed levels q the best scale is A / B, A = sum(w x q), B = sum(w q q), and it leaves the error sum(w x x) - A^2 / B; for a fixed
/// scale the best levels are the nearest ones. Alternating the two never raises the error but ends in the local optimum it started near, of
/// which there are many (each level that flips makes another). So: start from a grid of scales, as ratios between the largest magnitude
/// (and, for runs whose largest element does not matter, the weighted root mean square) and a level; keep the best of each lane; alternate
/// in all lanes.
#pragma once

#include "blocks/search.h"

/// Where scales are looked for. `from` and `to` are levels (perhaps fractional, perhaps beyond the last) that the largest magnitude is to
/// fall on. With `both_signs` odd lanes look for negative scales, which level sets that are not symmetric gain from.
typedef struct {
    level_set levels;
    float from, to;
    int groups;  ///< of eight candidates in the grid
    int rounds;  ///< of alternation
    bool both_signs;
} scale_search;

/// A and B of the head of this file, and thereby error and best scale, for eight reciprocals of scales.
typedef struct {
    lanes a, b;
} scale_sums;

INLINE scale_sums measure_scale(const float *x, const float *w, const float *wx, int count, lanes inverse, const level_set levels) {
    scale_sums sums = {(lanes)0.0f, (lanes)0.0f};
    for (int j = 0; j < count; j++) {
        const lanes q = nearest_level(x[j] * inverse, levels);
        sums.a += wx[j] * q;
        sums.b += w[j] * q * q;
    }
    return sums;
}

/// Eight good scales of as many regions, and the error each leaves less sum(w x x): lower is better, 0 is the error of all zeros.
typedef struct {
    lanes scale, error;
} scale_result;

/// Takes the candidates' best scales where they are better than what is there.
INLINE void keep_scales(scale_result *best, const scale_sums sums) {
    const lanes scale = sums.a * reciprocal(sums.b), error = -scale * sums.a;
    best->scale = error < best->error ? scale : best->scale;
    best->error = error < best->error ? error : best->error;
}

enum { CLIPPED_GROUPS = 2 };

INLINE scale_result search_scale(const float *x, const float *w, const float *wx, int count, const scale_search search) {
    scale_result best = {(lanes)0.0f, (lanes)0.0f};
    float largest = 0, squares = 0, weight = 0;
    for (int j = 0; j < count; j++) {
        largest = fabsf(x[j]) > largest ? fabsf(x[j]) : largest;
        squares += wx[j] * x[j];
        weight += w[j];
    }
    if (largest < 0x1p-100f) return best;
    // Neighbouring lanes hold distant regions: lane (or pair of lanes) i looks at the i-th part of [from, to].
    const lanes part = search.both_signs ? (lanes){0, 0, 1, 1, 2, 2, 3, 3} : (lanes){0, 1, 2, 3, 4, 5, 6, 7};
    const lanes sign = search.both_signs ? (lanes){1, -1, 1, -1, 1, -1, 1, -1} : (lanes)1.0f;
    const float parts = search.both_signs ? 4 : 8, step = (search.to - search.from) / parts;
    for (int g = 0; g < search.groups; g++) {
        const lanes level = search.from + step * (part + ((float)g + 0.5f) / (float)search.groups);
        keep_scales(&best, measure_scale(x, w, wx, count, sign * level / largest, search.levels));
    }
    // Beyond the grid the largest elements are cut off, down to the root mean square: right where they matter little.
    const float spread = sqrtf(squares / weight), first = search.to / largest, last = search.levels.highest / spread;
    if (spread > 0x1p-60f && last > first) {
        for (int g = 0; g < CLIPPED_GROUPS; g++) {
            const lanes share = (part + ((float)g + 0.5f) / CLIPPED_GROUPS) / parts;
            keep_scales(&best, measure_scale(x, w, wx, count, sign * (first + (last - first) * share * share), search.levels));
        }
    }
    for (int r = 0; r < search.rounds; r++) {
        keep_scales(&best, measure_scale(x, w, wx, count, reciprocal(best.scale), search.levels));
    }
    return best;
}

/// The error sum(w (x - s q)^2) of eight scales, from the differences themselves: where it decides between close candidates, or is small
/// beside sum(w x x), the difference of sums above has too few digits.
INLINE lanes exact_errors(const float *x, const float *w, int count, lanes scale, const level_set levels) {
    const lanes inverse = reciprocal(scale);
    lanes error = (lanes)0.0f;
    for (int j = 0; j < count; j++) {
        const lanes difference = x[j] - scale * nearest_level(x[j] * inverse, levels);
        error += w[j] * difference * difference;
    }
    return error;
}
