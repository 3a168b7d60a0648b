/// The functions of the block table, one file a group of formats; reached through ck_block_formats only.
#pragma once

#include "ckernels/blocks.h"

void ck_dequantize_f16(const void *src, float *dst, int64_t elements);
void ck_dequantize_bf16(const void *src, float *dst, int64_t elements);
void ck_dequantize_q4_0(const void *src, float *dst, int64_t elements);
void ck_dequantize_q4_1(const void *src, float *dst, int64_t elements);
void ck_dequantize_q5_0(const void *src, float *dst, int64_t elements);
void ck_dequantize_q5_1(const void *src, float *dst, int64_t elements);
void ck_dequantize_q8_0(const void *src, float *dst, int64_t elements);
void ck_dequantize_iq4_nl(const void *src, float *dst, int64_t elements);
void ck_dequantize_mxfp4(const void *src, float *dst, int64_t elements);
void ck_dequantize_q2_k(const void *src, float *dst, int64_t elements);
void ck_dequantize_q3_k(const void *src, float *dst, int64_t elements);
void ck_dequantize_q4_k(const void *src, float *dst, int64_t elements);
void ck_dequantize_q5_k(const void *src, float *dst, int64_t elements);
void ck_dequantize_q6_k(const void *src, float *dst, int64_t elements);
void ck_dequantize_iq4_xs(const void *src, float *dst, int64_t elements);
void ck_dequantize_tq1_0(const void *src, float *dst, int64_t elements);
void ck_dequantize_tq2_0(const void *src, float *dst, int64_t elements);

void ck_quantize_f16(const float *src, void *dst, int64_t elements);
void ck_quantize_bf16(const float *src, void *dst, int64_t elements);
void ck_quantize_q4_0(const float *src, void *dst, int64_t elements);
void ck_quantize_q4_1(const float *src, void *dst, int64_t elements);
void ck_quantize_q5_0(const float *src, void *dst, int64_t elements);
void ck_quantize_q5_1(const float *src, void *dst, int64_t elements);
void ck_quantize_q8_0(const float *src, void *dst, int64_t elements);
void ck_quantize_mxfp4(const float *src, void *dst, int64_t elements);
void ck_quantize_tq1_0(const float *src, void *dst, int64_t elements);
void ck_quantize_tq2_0(const float *src, void *dst, int64_t elements);

/// ck_iq4_nearest[floor(2 * v) + 256] is the one of ck_iq4_values nearest to v: the midpoints between them are multiples of a half.
extern const float ck_iq4_nearest[512];

/// Packs 256 base-3 digits (0, 1, 2) as the bytes of a tq1_0 block; its scale is left alone.
void ck_pack_tq1_0(const uint8_t digits[256], ck_block_tq1_0 *block);
/// Packs 256 two-bit values in the order of tq2_0, q2_k and the low bits of q3_k.
void ck_pack_two_bits(const uint8_t values[256], uint8_t qs[64]);

void ck_search_q4_0(const float *src, const float *importance, void *dst, int64_t elements);
void ck_search_q4_1(const float *src, const float *importance, void *dst, int64_t elements);
void ck_search_q5_0(const float *src, const float *importance, void *dst, int64_t elements);
void ck_search_q5_1(const float *src, const float *importance, void *dst, int64_t elements);
void ck_search_q8_0(const float *src, const float *importance, void *dst, int64_t elements);
void ck_search_iq4_nl(const float *src, const float *importance, void *dst, int64_t elements);
void ck_search_mxfp4(const float *src, const float *importance, void *dst, int64_t elements);
void ck_search_q2_k(const float *src, const float *importance, void *dst, int64_t elements);
void ck_search_q3_k(const float *src, const float *importance, void *dst, int64_t elements);
void ck_search_q4_k(const float *src, const float *importance, void *dst, int64_t elements);
void ck_search_q5_k(const float *src, const float *importance, void *dst, int64_t elements);
void ck_search_q6_k(const float *src, const float *importance, void *dst, int64_t elements);
void ck_search_iq4_xs(const float *src, const float *importance, void *dst, int64_t elements);
void ck_search_tq1_0(const float *src, const float *importance, void *dst, int64_t elements);
void ck_search_tq2_0(const float *src, const float *importance, void *dst, int64_t elements);
