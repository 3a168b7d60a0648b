// The bit patterns of floats; with ckernels/blocks.h (half and bfloat16 conversions) all a kernel needs to pick numbers apart in plain C.
#pragma once

#include "ckernels/blocks.h"

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
