// Activation quantisers, the scalar twins: they specify the bits (formats in include/ckernels/linear.h).
//
// Per 32 elements: largest = max |x|, found on the bit patterns so that a NaN or an infinity is the largest of all;
// scale = largest / top, q = round-half-even(x · (top / largest)), top = 127 or 127·128.
#include "gemm/layout.h"
#include "gemm/quantize.h"
#include "gemm/rows.h"
#include "isa/bits.h"

#include <math.h>

static void quantize_row(const float *x, int64_t k, int64_t first, int64_t count, uint8_t *destination, ck_activation_format format) {
    int8_t *high = (int8_t *)destination, *low = high + ck_activation_low_offset(k);
    ck_activation_block *records = (ck_activation_block *)(void *)(destination + ck_activation_block_offset(format, k));
    for (int64_t b = first / CK_BLOCK; b < (first + count) / CK_BLOCK; b++) {
        const float *block = x + (b * CK_BLOCK - first);
        uint32_t largest = 0;
        for (int i = 0; i < CK_BLOCK; i++) {
            const uint32_t magnitude = ck_float_to_bits(block[i]) & 0x7fffffffu;
            if (magnitude > largest) largest = magnitude;
        }
        float inverse;
        const float scale = ck_activation_scale(largest, format, &inverse);
        int32_t sums[2] = {0, 0};
        for (int i = 0; i < CK_BLOCK; i++) {
            const int32_t q = inverse == 0 ? 0 : (int32_t)rintf(block[i] * inverse);
            sums[i / 16] += q;
            if (format == CK_ACT_Q8) {
                high[b * CK_BLOCK + i] = (int8_t)q;
            } else {
                const int32_t top = (q + 64) >> 7;
                high[b * CK_BLOCK + i] = (int8_t)top;
                low[b * CK_BLOCK + i] = (int8_t)(q - 128 * top);
            }
        }
        ck_activation_record(&records[b], scale, sums[0], sums[1]);
    }
}

static void q8(const float *source, int64_t source_stride, int64_t rows, int64_t k, int64_t first, int64_t count, void *destination, size_t row_stride_bytes) {
    for (int64_t r = 0; r < rows; r++) {
        quantize_row(source + r * source_stride, k, first, count, (uint8_t *)destination + row_stride_bytes * (size_t)r, CK_ACT_Q8);
    }
}

static void q15(const float *source, int64_t source_stride, int64_t rows, int64_t k, int64_t first, int64_t count, void *destination, size_t row_stride_bytes) {
    for (int64_t r = 0; r < rows; r++) {
        quantize_row(source + r * source_stride, k, first, count, (uint8_t *)destination + row_stride_bytes * (size_t)r, CK_ACT_Q15);
    }
}

static const ck_quantize_row rows[] = {
    {"quantize_q8_scalar", 0, CK_ACT_Q8, q8},
    {"quantize_q15_scalar", 0, CK_ACT_Q15, q15},
};
const ck_quantize_group ck_quantize_scalar = {rows, sizeof rows / sizeof rows[0]};
