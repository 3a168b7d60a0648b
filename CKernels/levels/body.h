// Single 8-bit numbers over the vector vocabulary (isa/simd.h): `lanes` at a time, what is left over one by one. Included inside an instruction set's
// target region.
#include "levels/one.h"

typedef uint8_t vu8 __attribute__((vector_size(lanes)));

enum { levels_block = 256 };  // pixels of planes that are quantised before they are interleaved

// What numbers are cut to, before the zero point is added.
typedef struct levels_range {
    vf least, most;
    vi zero;
} levels_range;

CK_INLINE levels_range levels_range_of(uint8_t zero, uint8_t low, uint8_t high) {
    return (levels_range){v_set((float)(low - zero)), v_set((float)(high - zero)), vi_set(zero)};
}

CK_INLINE vu8 levels_of(vf y, const levels_range *range) {
    const vf known = v_select(y == y, y, (vf){0});
    const vf near = v_round(v_max(range->least, v_min(range->most, known)));
    return __builtin_convertvector(__builtin_convertvector(near, vi) + range->zero, vu8);
}

CK_INLINE vf levels_load(const uint8_t *p, vi zero) {
    vu8 bytes;
    memcpy(&bytes, p, sizeof bytes);
    return __builtin_convertvector(__builtin_convertvector(bytes, vi) - zero, vf);
}

CK_INLINE void levels_store(uint8_t *p, vu8 bytes) { memcpy(p, &bytes, sizeof bytes); }

CK_INLINE void levels_quantize_run(const float *x, int64_t count, float scale, uint8_t zero, uint8_t *out) {
    const levels_range range = levels_range_of(zero, 0, 255);
    int64_t i = 0;
    for (; i + lanes <= count; i += lanes) levels_store(out + i, levels_of(v_load(x + i) / v_set(scale), &range));
    for (; i < count; i++) out[i] = level_of(x[i] / scale, zero, 0, 255);
}

static void levels_quantize(const float *x, int64_t count, float scale, uint8_t zero, uint8_t *out) { levels_quantize_run(x, count, scale, zero, out); }

static void levels_quantize_planes(const float *x, int64_t plane, int64_t planes, int64_t first, int64_t count, float scale, uint8_t zero, uint8_t *out) {
    uint8_t rows[CK_LEVELS_PLANES][levels_block];
    for (int64_t start = first; start < first + count; start += levels_block) {
        const int64_t n = first + count - start < levels_block ? first + count - start : levels_block;
        for (int64_t p = 0; p < planes; p++) levels_quantize_run(x + p * plane + start, n, scale, zero, rows[p]);
        uint8_t *to = out + start * planes;
        if (planes == 3) {
            for (int64_t i = 0; i < n; i++) {
                to[3 * i] = rows[0][i];
                to[3 * i + 1] = rows[1][i];
                to[3 * i + 2] = rows[2][i];
            }
        } else {
            for (int64_t p = 0; p < planes; p++) {
                for (int64_t i = 0; i < n; i++) to[planes * i + p] = rows[p][i];
            }
        }
    }
}

static void levels_dequantize(const uint8_t *x, int64_t count, float scale, uint8_t zero, float *out) {
    int64_t i = 0;
    for (; i + lanes <= count; i += lanes) v_store(out + i, levels_load(x + i, vi_set(zero)) * v_set(scale));
    for (; i < count; i++) out[i] = (float)(x[i] - zero) * scale;
}

static void levels_sum(const ck_levels_sum *s, const uint8_t *a, const uint8_t *b, int64_t count, uint8_t *out) {
    const ck_levels_sum sum = *s;  // in registers, whatever the bytes that are stored overwrite
    const levels_range range = levels_range_of(sum.zero, sum.low, sum.high);
    const vi zero_a = vi_set(sum.zero_a), zero_b = vi_set(sum.zero_b);
    const vf factor_a = v_set(sum.factor_a), factor_b = v_set(sum.factor_b);
    int64_t i = 0;
    for (; i + lanes <= count; i += lanes) {
        const vf left = levels_load(a + i, zero_a) * factor_a, right = levels_load(b + i, zero_b) * factor_b;
        levels_store(out + i, levels_of(left + right, &range));
    }
    for (; i < count; i++) out[i] = level_sum(&sum, a[i], b[i]);
}

static void levels_mean(const ck_levels_mean *m, const uint8_t *x, uint8_t *out) {
    const ck_levels_mean mean = *m;
    const levels_range range = levels_range_of(mean.zero, mean.low, mean.high);
    int64_t channel = 0;
    for (; channel + lanes <= mean.channels; channel += lanes) {
        vi sums = {0};
        for (int64_t pixel = 0; pixel < mean.pixels; pixel++) {
            vu8 bytes;
            memcpy(&bytes, x + pixel * mean.pixel_stride + channel, sizeof bytes);
            sums += __builtin_convertvector(bytes, vi) - vi_set(mean.zero_x);
        }
        levels_store(out + channel, levels_of(__builtin_convertvector(sums, vf) * v_set(mean.factor), &range));
    }
    for (; channel < mean.channels; channel++) out[channel] = level_mean(&mean, x + channel);
}
