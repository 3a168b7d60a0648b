// Dequantisation of the formats with 256 elements a block. A fused multiply-add would round once where the oracle rounds twice: contraction is off.
#include "blocks/conversions.h"

#pragma STDC FP_CONTRACT OFF

void ck_dequantize_q2_k(const void *src, float *dst, int64_t elements) {
    const ck_block_q2_k *block = src;
    for (int64_t i = 0; i < elements; i += 256, block++, dst += 256) {
        const float d = ck_half_to_float(block->d), dmin = ck_half_to_float(block->dmin);
        for (int s = 0; s < 16; s++) {
            const float scale = d * (float)(block->scales[s] & 15), minimum = dmin * (float)(block->scales[s] >> 4);
            const uint8_t *qs = block->qs + 32 * (s / 8) + 16 * (s & 1);
            const int shift = 2 * (s / 2 & 3);
            for (int j = 0; j < 16; j++) dst[16 * s + j] = scale * (float)(qs[j] >> shift & 3) - minimum;
        }
    }
}

void ck_dequantize_q3_k(const void *src, float *dst, int64_t elements) {
    const ck_block_q3_k *block = src;
    for (int64_t i = 0; i < elements; i += 256, block++, dst += 256) {
        const float d = ck_half_to_float(block->d);
        int8_t scales[16];
        ck_q3_k_scales(block->scales, scales);
        for (int s = 0; s < 16; s++) {
            const float scale = d * (float)scales[s];
            const uint8_t *qs = block->qs + 32 * (s / 8) + 16 * (s & 1), *high = block->hmask + 16 * (s & 1);
            const int shift = 2 * (s / 2 & 3), bit = s / 2;
            for (int j = 0; j < 16; j++) {
                dst[16 * s + j] = scale * (float)((qs[j] >> shift & 3) + 4 * (high[j] >> bit & 1) - 4);
            }
        }
    }
}

void ck_dequantize_q4_k(const void *src, float *dst, int64_t elements) {
    const ck_block_q4_k *block = src;
    for (int64_t i = 0; i < elements; i += 256, block++, dst += 256) {
        const float d = ck_half_to_float(block->d), dmin = ck_half_to_float(block->dmin);
        uint8_t scales[8], mins[8];
        ck_k_scales(block->scales, scales, mins);
        for (int s = 0; s < 8; s++) {
            const float scale = d * (float)scales[s], minimum = dmin * (float)mins[s];
            const uint8_t *qs = block->qs + 32 * (s / 2);
            const int shift = 4 * (s & 1);
            for (int j = 0; j < 32; j++) dst[32 * s + j] = scale * (float)(qs[j] >> shift & 15) - minimum;
        }
    }
}

void ck_dequantize_q5_k(const void *src, float *dst, int64_t elements) {
    const ck_block_q5_k *block = src;
    for (int64_t i = 0; i < elements; i += 256, block++, dst += 256) {
        const float d = ck_half_to_float(block->d), dmin = ck_half_to_float(block->dmin);
        uint8_t scales[8], mins[8];
        ck_k_scales(block->scales, scales, mins);
        for (int s = 0; s < 8; s++) {
            const float scale = d * (float)scales[s], minimum = dmin * (float)mins[s];
            const uint8_t *qs = block->qs + 32 * (s / 2);
            const int shift = 4 * (s & 1);
            for (int j = 0; j < 32; j++) {
                dst[32 * s + j] = scale * (float)((qs[j] >> shift & 15) + 16 * (block->qh[j] >> s & 1)) - minimum;
            }
        }
    }
}

void ck_dequantize_q6_k(const void *src, float *dst, int64_t elements) {
    const ck_block_q6_k *block = src;
    for (int64_t i = 0; i < elements; i += 256, block++, dst += 256) {
        const float d = ck_half_to_float(block->d);
        for (int s = 0; s < 16; s++) {
            const float scale = d * (float)block->scales[s];
            // Within a half of 128 elements, quarter p (32 elements) takes nibble p / 2 of the ql bytes 32 * (p & 1) and bits 2p of qh.
            const int half = s / 8, quarter = s / 2 & 3, offset = 16 * (s & 1);
            const uint8_t *ql = block->ql + 64 * half + 32 * (quarter & 1) + offset, *qh = block->qh + 32 * half + offset;
            const int low_shift = 4 * (quarter / 2), high_shift = 2 * quarter;
            for (int j = 0; j < 16; j++) {
                dst[16 * s + j] = scale * (float)(((ql[j] >> low_shift & 15) | (qh[j] >> high_shift & 3) << 4) - 32);
            }
        }
    }
}

void ck_dequantize_iq4_xs(const void *src, float *dst, int64_t elements) {
    const ck_block_iq4_xs *block = src;
    for (int64_t i = 0; i < elements; i += 256, block++, dst += 256) {
        const float d = ck_half_to_float(block->d);
        for (int s = 0; s < 8; s++) {
            const float scale = d * (float)ck_iq4_xs_scale(block, s);
            const uint8_t *qs = block->qs + 16 * s;
            for (int j = 0; j < 16; j++) {
                dst[32 * s + j] = scale * (float)ck_iq4_values[qs[j] & 15];
                dst[32 * s + 16 + j] = scale * (float)ck_iq4_values[qs[j] >> 4];
            }
        }
    }
}

// A byte holds the fraction 0.abcde in base 3 (times 256, rounded up). Multiplying by 3^n modulo 256 drops the first n digits;
// three times what is left, over 256, is digit n.
static inline float ternary_digit(uint8_t byte, uint8_t power) {
    const uint8_t rest = (uint8_t)(byte * power);
    return (float)((rest * 3 >> 8) - 1);
}

void ck_dequantize_tq1_0(const void *src, float *dst, int64_t elements) {
    static const uint8_t powers[5] = {1, 3, 9, 27, 81};
    const ck_block_tq1_0 *block = src;
    for (int64_t i = 0; i < elements; i += 256, block++, dst += 256) {
        const float d = ck_half_to_float(block->d);
        for (int n = 0; n < 5; n++) {
            for (int j = 0; j < 32; j++) dst[32 * n + j] = d * ternary_digit(block->qs[j], powers[n]);
        }
        for (int n = 0; n < 5; n++) {
            for (int j = 0; j < 16; j++) dst[160 + 16 * n + j] = d * ternary_digit(block->qs[32 + j], powers[n]);
        }
        for (int n = 0; n < 4; n++) {
            for (int j = 0; j < 4; j++) dst[240 + 4 * n + j] = d * ternary_digit(block->qh[j], powers[n]);
        }
    }
}

void ck_dequantize_tq2_0(const void *src, float *dst, int64_t elements) {
    const ck_block_tq2_0 *block = src;
    for (int64_t i = 0; i < elements; i += 256, block++, dst += 256) {
        const float d = ck_half_to_float(block->d);
        for (int s = 0; s < 8; s++) {
            const uint8_t *qs = block->qs + 32 * (s / 4);
            const int shift = 2 * (s & 3);
            for (int j = 0; j < 32; j++) dst[32 * s + j] = d * (float)((qs[j] >> shift & 3) - 1);
        }
    }
}
