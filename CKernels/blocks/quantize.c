// Round-to-nearest quantisation, for the formats whose levels follow from a block's extremes alone.
// The order of operations is that of the gguf Python package, so the bytes are the same. Inputs are finite.
#include "blocks/conversions.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

// The element of largest magnitude, the first of equals, with its sign.
static float signed_extreme(const float *x) {
    float extreme = x[0];
    for (int j = 1; j < 32; j++) {
        if (fabsf(x[j]) > fabsf(extreme)) extreme = x[j];
    }
    return extreme;
}

static float largest_magnitude(const float *x, int count) {
    float largest = 0;
    for (int j = 0; j < count; j++) largest = fabsf(x[j]) > largest ? fabsf(x[j]) : largest;
    return largest;
}

static float reciprocal(float d) { return d == 0 ? 0 : 1 / d; }

// Truncates to an integer in [0, top]. A block of subnormals makes the reciprocal infinite; NaN then becomes 0 and the scale is 0 as well.
static uint8_t level(float value, int top) { return (uint8_t)(value >= 0 ? (value < (float)top ? (int)value : top) : 0); }

// Half away from zero; magnitudes here stay below 128.
static int8_t rounded(float value) {
    const float magnitude = fabsf(value) < 127 ? fabsf(value) : 127;
    const int whole = (int)magnitude, up = magnitude - (float)whole >= 0.5f;
    return (int8_t)(value < 0 ? -(whole + up) : whole + up);
}

void ck_quantize_q4_0(const float *src, void *dst, int64_t elements) {
    ck_block_q4_0 *block = dst;
    for (int64_t i = 0; i < elements; i += 32, block++, src += 32) {
        const float d = signed_extreme(src) / -8, inverse = reciprocal(d);
        block->d = ck_float_to_half(d);
        for (int j = 0; j < 16; j++) {
            const uint8_t low = level(src[j] * inverse + 8.5f, 15), high = level(src[16 + j] * inverse + 8.5f, 15);
            block->qs[j] = (uint8_t)(low | high << 4);
        }
    }
}

static void extremes(const float *x, float *minimum, float *maximum) {
    *minimum = *maximum = x[0];
    for (int j = 1; j < 32; j++) {
        *minimum = x[j] < *minimum ? x[j] : *minimum;
        *maximum = x[j] > *maximum ? x[j] : *maximum;
    }
}

void ck_quantize_q4_1(const float *src, void *dst, int64_t elements) {
    ck_block_q4_1 *block = dst;
    for (int64_t i = 0; i < elements; i += 32, block++, src += 32) {
        float minimum, maximum;
        extremes(src, &minimum, &maximum);
        const float d = (maximum - minimum) / 15, inverse = reciprocal(d);
        block->d = ck_float_to_half(d);
        block->m = ck_float_to_half(minimum);
        for (int j = 0; j < 16; j++) {
            const uint8_t low = level((src[j] - minimum) * inverse + 0.5f, 15), high = level((src[16 + j] - minimum) * inverse + 0.5f, 15);
            block->qs[j] = (uint8_t)(low | high << 4);
        }
    }
}

// Splits 32 five-bit levels into nibbles and the bits above them.
static void pack_five_bits(const uint8_t levels[32], uint8_t qh[4], uint8_t qs[16]) {
    uint32_t high = 0;
    for (int j = 0; j < 32; j++) high |= (uint32_t)(levels[j] >> 4) << j;
    for (int j = 0; j < 4; j++) qh[j] = (uint8_t)(high >> 8 * j);
    for (int j = 0; j < 16; j++) qs[j] = (uint8_t)((levels[j] & 15) | (levels[16 + j] & 15) << 4);
}

void ck_quantize_q5_0(const float *src, void *dst, int64_t elements) {
    ck_block_q5_0 *block = dst;
    for (int64_t i = 0; i < elements; i += 32, block++, src += 32) {
        const float d = signed_extreme(src) / -16, inverse = reciprocal(d);
        block->d = ck_float_to_half(d);
        uint8_t levels[32];
        for (int j = 0; j < 32; j++) levels[j] = level(src[j] * inverse + 16.5f, 31);
        pack_five_bits(levels, block->qh, block->qs);
    }
}

void ck_quantize_q5_1(const float *src, void *dst, int64_t elements) {
    ck_block_q5_1 *block = dst;
    for (int64_t i = 0; i < elements; i += 32, block++, src += 32) {
        float minimum, maximum;
        extremes(src, &minimum, &maximum);
        const float d = (maximum - minimum) / 31, inverse = reciprocal(d);
        block->d = ck_float_to_half(d);
        block->m = ck_float_to_half(minimum);
        uint8_t levels[32];
        for (int j = 0; j < 32; j++) levels[j] = level((src[j] - minimum) * inverse + 0.5f, 31);
        pack_five_bits(levels, block->qh, block->qs);
    }
}

void ck_quantize_q8_0(const float *src, void *dst, int64_t elements) {
    ck_block_q8_0 *block = dst;
    for (int64_t i = 0; i < elements; i += 32, block++, src += 32) {
        const float d = largest_magnitude(src, 32) / 127, inverse = reciprocal(d);
        block->d = ck_float_to_half(d);
        for (int j = 0; j < 32; j++) block->qs[j] = rounded(src[j] * inverse);
    }
}

void ck_quantize_mxfp4(const float *src, void *dst, int64_t elements) {
    ck_block_mxfp4 *block = dst;
    for (int64_t i = 0; i < elements; i += 32, block++, src += 32) {
        const float largest = largest_magnitude(src, 32);
        const float exponent = largest > 0 ? floorf(log2f(largest)) - 2 + 127 : 0;
        block->e = (uint8_t)(exponent > 0 ? (exponent < 254 ? (int)exponent : 254) : 0);
        const float d = ck_mxfp4_scale(block->e);
        uint8_t levels[32];
        for (int j = 0; j < 32; j++) {
            float least = INFINITY;
            levels[j] = 0;
            for (int k = 0; k < 16; k++) {
                const float error = fabsf(d * (float)ck_mxfp4_values[k] - src[j]);
                if (error < least) {
                    least = error;
                    levels[j] = (uint8_t)k;
                }
            }
        }
        for (int j = 0; j < 16; j++) block->qs[j] = (uint8_t)(levels[j] | levels[16 + j] << 4);
    }
}

// Digits 0, 1, 2 for the levels -1, 0, 1 of a block of 256; returns the scale.
static float ternary_levels(const float *x, uint8_t levels[256]) {
    const float d = largest_magnitude(x, 256), inverse = reciprocal(d);
    for (int j = 0; j < 256; j++) {
        const int digit = rounded(x[j] * inverse) + 1;
        levels[j] = (uint8_t)(digit < 0 ? 0 : digit > 2 ? 2 : digit);
    }
    return d;
}

// `digits` levels, `stride` apart, as the fraction 0.abcde in base 3 times 256, rounded up. Four digits leave the last place empty.
static uint8_t ternary_byte(const uint8_t *levels, int stride, int digits) {
    unsigned value = 0;
    for (int n = 0; n < 5; n++) value = value * 3 + (n < digits ? levels[n * stride] : 0);
    return (uint8_t)((value * 256 + 242) / 243);
}

void ck_pack_tq1_0(const uint8_t digits[256], ck_block_tq1_0 *block) {
    for (int j = 0; j < 32; j++) block->qs[j] = ternary_byte(digits + j, 32, 5);
    for (int j = 0; j < 16; j++) block->qs[32 + j] = ternary_byte(digits + 160 + j, 16, 5);
    for (int j = 0; j < 4; j++) block->qh[j] = ternary_byte(digits + 240 + j, 4, 4);
}

void ck_pack_two_bits(const uint8_t values[256], uint8_t qs[64]) {
    for (int j = 0; j < 64; j++) {
        const uint8_t *first = values + 128 * (j / 32) + j % 32;
        qs[j] = (uint8_t)(first[0] | first[32] << 2 | first[64] << 4 | first[96] << 6);
    }
}

void ck_quantize_tq1_0(const float *src, void *dst, int64_t elements) {
    ck_block_tq1_0 *block = dst;
    for (int64_t i = 0; i < elements; i += 256, block++, src += 256) {
        uint8_t digits[256];
        block->d = ck_float_to_half(ternary_levels(src, digits));
        ck_pack_tq1_0(digits, block);
    }
}

void ck_quantize_tq2_0(const float *src, void *dst, int64_t elements) {
    ck_block_tq2_0 *block = dst;
    for (int64_t i = 0; i < elements; i += 256, block++, src += 256) {
        uint8_t digits[256];
        block->d = ck_float_to_half(ternary_levels(src, digits));
        ck_pack_two_bits(digits, block->qs);
    }
}
