// Rows of 16-bit floats to and from f32. Without branches in the widening loops, so that the compiler vectorises them on every target.
#include "blocks/conversions.h"

void ck_dequantize_f16(const void *src, float *dst, int64_t elements) {
    const uint16_t *halves = src;
    for (int64_t i = 0; i < elements; i++) dst[i] = ck_half_to_float(halves[i]);
}

void ck_dequantize_bf16(const void *src, float *dst, int64_t elements) {
    const uint16_t *bfloats = src;
    for (int64_t i = 0; i < elements; i++) dst[i] = ck_bfloat_to_float(bfloats[i]);
}

void ck_quantize_f16(const float *src, void *dst, int64_t elements) {
    uint16_t *halves = dst;
    for (int64_t i = 0; i < elements; i++) halves[i] = ck_float_to_half(src[i]);
}

void ck_quantize_bf16(const float *src, void *dst, int64_t elements) {
    uint16_t *bfloats = dst;
    for (int64_t i = 0; i < elements; i++) bfloats[i] = ck_float_to_bfloat(src[i]);
}
