// Half-precision and bfloat16 conversions in plain C, for code that must run anywhere (packing, scalar rows).
// Rounding is to nearest, ties to even, as the hardware converts; NaNs stay quiet NaNs.
#pragma once

#include <stdint.h>
#include <string.h>

static inline float ck_bits_to_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t ck_float_to_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float ck_half_to_float(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = half >> 10 & 31, mantissa = half & 0x3ffu;
    if (exponent == 31) return ck_bits_to_float(sign | 0x7f800000u | mantissa << 13 | (mantissa ? 0x400000u : 0));
    if (exponent != 0) return ck_bits_to_float(sign | (exponent + 112) << 23 | mantissa << 13);
    const float magnitude = (float)mantissa * 0x1p-24f;  // zero and subnormals
    return ck_bits_to_float(sign | ck_float_to_bits(magnitude));
}

static inline uint16_t ck_float_to_half(float value) {
    const uint32_t bits = ck_float_to_bits(value), magnitude = bits & 0x7fffffffu;
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (magnitude >> 13 & 0x1ffu));
    if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u);  // 65520 and above round to infinity
    if (magnitude < 0x38800000u) {
        // Below 2^-14: adding 0.5 lines the subnormal's bits up with the last places of the float's mantissa, and the addition rounds.
        const float shifted = ck_bits_to_float(magnitude) + 0.5f;
        return (uint16_t)(sign | (ck_float_to_bits(shifted) - 0x3f000000u));
    }
    const uint32_t odd = magnitude >> 13 & 1;
    return (uint16_t)(sign | ((magnitude - (112u << 23) + 0xfffu + odd) >> 13));
}

static inline float ck_bfloat_to_float(uint16_t bfloat) { return ck_bits_to_float((uint32_t)bfloat << 16); }

static inline uint16_t ck_float_to_bfloat(float value) {
    const uint32_t bits = ck_float_to_bits(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}
