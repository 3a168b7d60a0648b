// What every quantiser does the same way: the scale of a block from its largest magnitude, and the record of a block.
#pragma once

#include "ckernels/linear.h"
#include "isa/bits.h"

/// The scale of a block whose largest |x| has the bit pattern `largest`, and in `inverse` the factor that quantises (0: all numbers become 0).
static inline float ck_activation_scale(uint32_t largest, ck_activation_format format, float *inverse) {
    const float top = format == CK_ACT_Q15 ? 127.0f * 128.0f : 127.0f;
    *inverse = 0;
    if (largest >= 0x7f800000u) return ck_bits_to_float(0x7fc00000u);
    if (largest < (127u - 100u) << 23) return 0;  // below 2^-100 the inverse scale would overflow
    const float magnitude = ck_bits_to_float(largest);
    *inverse = top / magnitude;
    return magnitude / top;
}

/// Fills in the record of a block from its scale and the sums of its two halves.
static inline void ck_activation_record(ck_activation_block *record, float scale, int32_t first, int32_t second) {
    record->scale = scale;
    record->sum = first + second;
    record->half_sum[0] = first;
    record->half_sum[1] = second;
    record->scaled_sum = scale * (float)(first + second);
    record->scaled_half_sum[0] = scale * (float)first;
    record->scaled_half_sum[1] = scale * (float)second;
    record->reserved = 0;
}
