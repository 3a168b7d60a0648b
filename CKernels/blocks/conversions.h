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
