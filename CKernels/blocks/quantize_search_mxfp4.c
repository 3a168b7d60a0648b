// The searching quantiser of MXFP4. Its scales are powers of two, and only eight of them can be best: no sums, just the error of each.
// Rounding to nearest takes the power that leaves the largest element at most 4 to 8 (6 is the last level); it is among the eight.
#include "blocks/search.h"

/// The nearest of the magnitudes 0, 1, 2, 3, 4, 6, 8, 12 of ck_mxfp4_values.
INLINE lanes nearest_magnitude(lanes v) {
    const lanes zero = (lanes)0.0f;
    return rounded(least(v, (lanes)4.0f)) + (v > 5 ? (lanes)2.0f : zero) + (v > 7 ? (lanes)2.0f : zero) + (v > 10 ? (lanes)4.0f : zero);
}

void ck_search_mxfp4(const float *src, const float *importance, void *dst, int64_t elements) {
    ck_block_mxfp4 *out = dst;
    for (int64_t i = 0; i < elements; i += 32, out++) {
        search_block block;
        prepare(&block, src + i, importance ? importance + i : NULL, 32);
        int exponent;  // of the source's unit, a power of two: 2^(exponent - 1)
        frexpf(block.unit, &exponent);
        // A level of 1 stands for 2^(e - 128), and the largest element is 1 to 2 units, which is 8 to 16 levels at this e; other elements
        // may matter more.
        const int top = exponent - 1 - 3 + 128 + 1;
        // Above 252 the last level, 12 of the scale, is no finite float.
        int codes[LANES];
        lanes scale;
        for (int c = 0; c < LANES; c++) {
            codes[c] = top - c < 0 ? 0 : top - c > 252 ? 252 : top - c;
            scale[c] = ck_mxfp4_scale((uint8_t)codes[c]) * block.inverse;
        }
        const lanes inverse = reciprocal(scale);
        lanes error = (lanes)0.0f;
        for (int j = 0; j < 32; j++) {
            const lanes difference = fabsf(block.x[j]) - scale * nearest_magnitude(fabsf(block.x[j]) * inverse);
            error += block.w[j] * difference * difference;
        }
        const int best = smallest_lane(error);
        uint8_t levels[32];
        for (int j = 0; j < 32; j++) {
            const float v = fabsf(block.x[j]) * inverse[best];
            int index = 0;
            for (int k = 1; k < 8; k++) index += v > 0.5f * (float)(ck_mxfp4_values[k - 1] + ck_mxfp4_values[k]);
            levels[j] = (uint8_t)(index | (block.x[j] < 0 && index > 0 ? 8 : 0));
        }
        out->e = block.largest == 0 ? 0 : (uint8_t)codes[best];
        for (int j = 0; j < 16; j++) out->qs[j] = (uint8_t)(levels[j] | levels[16 + j] << 4);
    }
}
