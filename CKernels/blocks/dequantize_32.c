// Dequantisation of the formats with 32 elements a block. A fused multiply-add would round once where the oracle rounds twice: contraction is off.
#include "blocks/conversions.h"

#pragma STDC FP_CONTRACT OFF

void ck_dequantize_q4_0(const void *src, float *dst, int64_t elements) {
    const ck_block_q4_0 *block = src;
    for (int64_t i = 0; i < elements; i += 32, block++, dst += 32) {
        const float d = ck_half_to_float(block->d);
        for (int j = 0; j < 16; j++) {
            dst[j] = d * (float)((block->qs[j] & 15) - 8);
            dst[16 + j] = d * (float)((block->qs[j] >> 4) - 8);
        }
    }
}

void ck_dequantize_q4_1(const void *src, float *dst, int64_t elements) {
    const ck_block_q4_1 *block = src;
    for (int64_t i = 0; i < elements; i += 32, block++, dst += 32) {
        const float d = ck_half_to_float(block->d), m = ck_half_to_float(block->m);
        for (int j = 0; j < 16; j++) {
            dst[j] = d * (float)(block->qs[j] & 15) + m;
            dst[16 + j] = d * (float)(block->qs[j] >> 4) + m;
        }
    }
}

static uint32_t fifth_bits(const uint8_t qh[4]) {
    return (uint32_t)qh[0] | (uint32_t)qh[1] << 8 | (uint32_t)qh[2] << 16 | (uint32_t)qh[3] << 24;
}

void ck_dequantize_q5_0(const void *src, float *dst, int64_t elements) {
    const ck_block_q5_0 *block = src;
    for (int64_t i = 0; i < elements; i += 32, block++, dst += 32) {
        const float d = ck_half_to_float(block->d);
        const uint32_t high = fifth_bits(block->qh);
        for (int j = 0; j < 16; j++) {
            dst[j] = d * (float)((int)((block->qs[j] & 15) | (high >> j & 1) << 4) - 16);
            dst[16 + j] = d * (float)((int)(block->qs[j] >> 4 | (high >> (16 + j) & 1) << 4) - 16);
        }
    }
}

void ck_dequantize_q5_1(const void *src, float *dst, int64_t elements) {
    const ck_block_q5_1 *block = src;
    for (int64_t i = 0; i < elements; i += 32, block++, dst += 32) {
        const float d = ck_half_to_float(block->d), m = ck_half_to_float(block->m);
        const uint32_t high = fifth_bits(block->qh);
        for (int j = 0; j < 16; j++) {
            dst[j] = d * (float)(int)((block->qs[j] & 15) | (high >> j & 1) << 4) + m;
            dst[16 + j] = d * (float)(int)(block->qs[j] >> 4 | (high >> (16 + j) & 1) << 4) + m;
        }
    }
}

void ck_dequantize_q8_0(const void *src, float *dst, int64_t elements) {
    const ck_block_q8_0 *block = src;
    for (int64_t i = 0; i < elements; i += 32, block++, dst += 32) {
        const float d = ck_half_to_float(block->d);
        for (int j = 0; j < 32; j++) dst[j] = d * (float)block->qs[j];
    }
}

void ck_dequantize_iq4_nl(const void *src, float *dst, int64_t elements) {
    const ck_block_iq4_nl *block = src;
    for (int64_t i = 0; i < elements; i += 32, block++, dst += 32) {
        const float d = ck_half_to_float(block->d);
        for (int j = 0; j < 16; j++) {
            dst[j] = d * (float)ck_iq4_values[block->qs[j] & 15];
            dst[16 + j] = d * (float)ck_iq4_values[block->qs[j] >> 4];
        }
    }
}

void ck_dequantize_mxfp4(const void *src, float *dst, int64_t elements) {
    const ck_block_mxfp4 *block = src;
    for (int64_t i = 0; i < elements; i += 32, block++, dst += 32) {
        const float d = ck_mxfp4_scale(block->e);
        for (int j = 0; j < 16; j++) {
            dst[j] = d * (float)ck_mxfp4_values[block->qs[j] & 15];
            dst[16 + j] = d * (float)ck_mxfp4_values[block->qs[j] >> 4];
        }
    }
}
