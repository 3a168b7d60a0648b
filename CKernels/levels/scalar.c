// Single 8-bit numbers: the table of sets, and the scalar set, which is the specification.
#include "levels/sets.h"

#pragma STDC FP_CONTRACT OFF

#include "levels/one.h"

static void quantize(const float *x, int64_t count, float scale, uint8_t zero, uint8_t *out) {
    for (int64_t i = 0; i < count; i++) out[i] = level_of(x[i] / scale, zero, 0, 255);
}

static void quantize_planes(const float *x, int64_t plane, int64_t planes, int64_t first, int64_t count, float scale, uint8_t zero, uint8_t *out) {
    for (int64_t i = first; i < first + count; i++) {
        for (int64_t p = 0; p < planes; p++) out[i * planes + p] = level_of(x[p * plane + i] / scale, zero, 0, 255);
    }
}

static void dequantize(const uint8_t *x, int64_t count, float scale, uint8_t zero, float *out) {
    for (int64_t i = 0; i < count; i++) out[i] = (float)(x[i] - zero) * scale;
}

static void sum(const ck_levels_sum *s, const uint8_t *a, const uint8_t *b, int64_t count, uint8_t *out) {
    for (int64_t i = 0; i < count; i++) out[i] = level_sum(s, a[i], b[i]);
}

static void mean(const ck_levels_mean *m, const uint8_t *x, uint8_t *out) {
    for (int64_t channel = 0; channel < m->channels; channel++) out[channel] = level_mean(m, x + channel);
}

const ck_levels_set ck_levels_scalar = {
    .name = "levels_scalar", .isa = 0, .quantize = quantize, .quantize_planes = quantize_planes, .dequantize = dequantize, .sum = sum, .mean = mean,
};

// MARK: - The table

static const ck_levels_set *const sets[] = {
#if defined(__x86_64__)
    &ck_levels_avx512,
    &ck_levels_avx2,
#elif defined(__aarch64__)
    &ck_levels_neon,
#endif
    &ck_levels_scalar,
};

enum { set_count = sizeof sets / sizeof sets[0] };

size_t ck_levels_set_count(void) { return set_count; }

const ck_levels_set *ck_levels_set_at(size_t index) { return index < set_count ? sets[index] : 0; }

const ck_levels_set *ck_levels_find(uint32_t isa_mask) {
    for (int i = 0; i < set_count; i++) {
        if ((sets[i]->isa & ~isa_mask) == 0) return sets[i];
    }
    return &ck_levels_scalar;
}
