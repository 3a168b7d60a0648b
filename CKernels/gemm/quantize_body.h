// The activation quantisers over the vector vocabulary (isa/simd.h): same bits as quantize_scalar.c.
// Included inside an instruction set's target region, after its simd header.

CK_INLINE void quantize_block(const float *x, int8_t *high, int8_t *low, ck_activation_block *record, ck_activation_format format) {
    vu largest = {0};
    vf values[CK_BLOCK / lanes];
#pragma clang loop unroll(full)
    for (int i = 0; i < CK_BLOCK / lanes; i++) {
        values[i] = v_load(x + i * lanes);
        largest = __builtin_elementwise_max(largest, (vu)v_abs(values[i]));
    }
    float inverse;
    const float scale = ck_activation_scale(__builtin_reduce_max(largest), format, &inverse);
    if (inverse == 0) {  // q is 0 even where x is not finite
        memset(high, 0, CK_BLOCK);
        if (format == CK_ACT_Q15) memset(low, 0, CK_BLOCK);
        ck_activation_record(record, scale, 0, 0);
        return;
    }
    vi sums[2] = {{0}, {0}};
#pragma clang loop unroll(full)
    for (int i = 0; i < CK_BLOCK / lanes; i++) {
        const vi q = __builtin_convertvector(v_round(values[i] * v_set(inverse)), vi);
        sums[i * lanes / 16] += q;
        const vi top = format == CK_ACT_Q15 ? (q + 64) >> 7 : q;
        const vi8 top_bytes = __builtin_convertvector(top, vi8);
        memcpy(high + i * lanes, &top_bytes, sizeof top_bytes);
        if (format == CK_ACT_Q15) {
            const vi8 bottom_bytes = __builtin_convertvector(q - (top << 7), vi8);
            memcpy(low + i * lanes, &bottom_bytes, sizeof bottom_bytes);
        }
    }
    ck_activation_record(record, scale, __builtin_reduce_add(sums[0]), __builtin_reduce_add(sums[1]));
}

CK_INLINE void quantize(const float *source, int64_t source_stride, int64_t rows, int64_t k, void *destination, size_t row_stride_bytes, ck_activation_format format) {
    for (int64_t r = 0; r < rows; r++) {
        uint8_t *row = (uint8_t *)destination + row_stride_bytes * (size_t)r;
        int8_t *high = (int8_t *)row, *low = high + ck_activation_low_offset(k);
        ck_activation_block *records = (ck_activation_block *)(void *)(row + ck_activation_block_offset(format, k));
        for (int64_t b = 0; b < k / CK_BLOCK; b++) {
            quantize_block(source + r * source_stride + CK_BLOCK * b, high + CK_BLOCK * b, low + CK_BLOCK * b, &records[b], format);
        }
    }
}

static void quantize_q8(const float *source, int64_t source_stride, int64_t rows, int64_t k, void *destination, size_t row_stride_bytes) {
    quantize(source, source_stride, rows, k, destination, row_stride_bytes, CK_ACT_Q8);
}

static void quantize_q15(const float *source, int64_t source_stride, int64_t rows, int64_t k, void *destination, size_t row_stride_bytes) {
    quantize(source, source_stride, rows, k, destination, row_stride_bytes, CK_ACT_Q15);
}
