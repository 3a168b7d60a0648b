/// Single numbers of eight bits: to and from floats, and their sums and means. A number q with scale s and zero point z stands for s·(q − z).
///
/// Results are `clamp(round(y) + zero, low, high)`, y in float with each step rounded to nearest even, ties of the last rounding too; a y that is NaN
/// counts as 0. All rows of the table give the same bits.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// A sum of two: y = (a − zero_a) · factor_a + (b − zero_b) · factor_b, factors the operand's scale divided by the result's.
typedef struct ck_levels_sum {
    uint8_t zero_a, zero_b;
    float factor_a, factor_b;
    uint8_t zero, low, high;
} ck_levels_sum;

/// The mean over pixels of an image whose channels lie last: y = float(Σ (x − zero_x)) · factor, factor = scale_x / (scale · pixels).
typedef struct ck_levels_mean {
    int64_t pixels;        ///< at most 2²³
    int64_t pixel_stride;  ///< bytes
    int64_t channels;
    uint8_t zero_x;
    float factor;
    uint8_t zero, low, high;
} ck_levels_mean;

typedef struct ck_levels_set {
    const char *name;
    uint32_t isa;  ///< instruction sets needed (ck_isa bits)
    /// y = x / scale, from 0 to 255.
    void (*quantize)(const float *x, int64_t count, float scale, uint8_t zero, uint8_t *out);
    /// The same of an image whose planes lie one after another, `plane` elements from one to the next: pixels [first, first + count) of up to
    /// CK_LEVELS_PLANES planes become pixels of `planes` bytes.
    void (*quantize_planes)(const float *x, int64_t plane, int64_t planes, int64_t first, int64_t count, float scale, uint8_t zero, uint8_t *out);
    /// (q − zero) · scale
    void (*dequantize)(const uint8_t *x, int64_t count, float scale, uint8_t zero, float *out);
    void (*sum)(const ck_levels_sum *sum, const uint8_t *a, const uint8_t *b, int64_t count, uint8_t *out);  ///< out may be a
    void (*mean)(const ck_levels_mean *mean, const uint8_t *x, uint8_t *out);
} ck_levels_set;

enum { CK_LEVELS_PLANES = 4 };

/// The sets, best first, scalar last.
size_t ck_levels_set_count(void);
const ck_levels_set *ck_levels_set_at(size_t index);
/// The best set within `isa_mask`; the scalar set when nothing else fits, never null.
const ck_levels_set *ck_levels_find(uint32_t isa_mask);
