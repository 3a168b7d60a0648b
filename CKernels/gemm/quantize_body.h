// The activation quantisers over the vector vocabulary (isa/simd.h): same bits as quantize_scalar.c.
// Included inside an instruction set's target region, after its simd header and the quantize_quad_*.h that suits it.
//
// Blocks go four at a time: what there is once a block (its largest magnitude, its scale, its sums) is four lanes of a 128-bit vector, so that the
// reductions of four blocks end in lanes of one another instead of each in a scalar. All scales come first: their divisions then wait for nothing.

enum { quads_at_once = 16 };

/// What four blocks are scaled with. A block that is all zeros or not finite has the inverse 0.
typedef struct quad_scales {
    vf4 scale, inverse;
} quad_scales;

/// `ck_activation_scale`, for four blocks whose largest |x| have these bit patterns.
CK_INLINE quad_scales scales_of_quad(vu4 largest, ck_activation_format format) {
    const float top = format == CK_ACT_Q15 ? 127.0f * 128.0f : 127.0f;
    const vu4 infinite = (vu4)(largest >= 0x7f800000u), counts = (vu4)(largest >= (127u - 100u) << 23) & ~infinite;
    return (quad_scales){
        .scale = (vf4)((counts & (vu4)((vf4)largest / top)) | (infinite & 0x7fc00000u)),
        .inverse = (vf4)(counts & (vu4)(top / (vf4)largest)),
    };
}

/// `ck_activation_record`, for four blocks with these sums of their halves.
CK_INLINE void store_records(ck_activation_block *records, vf4 scale, vi4 first, vi4 second) {
    vu4 begins[4] = {(vu4)scale, (vu4)(first + second), (vu4)first, (vu4)second};
    vu4 ends[4] = {
        (vu4)(scale * __builtin_convertvector(first + second, vf4)), (vu4)(scale * __builtin_convertvector(first, vf4)),
        (vu4)(scale * __builtin_convertvector(second, vf4)), {0},
    };
    transpose_4(begins);
    transpose_4(ends);
#pragma clang loop unroll(full)
    for (int b = 0; b < 4; b++) {
        memcpy(&records[b], &begins[b], sizeof begins[b]);
        memcpy((uint8_t *)&records[b] + sizeof begins[b], &ends[b], sizeof ends[b]);
    }
}

CK_INLINE void quantize_quad(const float *x, const quad_scales *scales, int8_t *high, int8_t *low, ck_activation_block *records, ck_activation_format format) {
    float finite[4 * CK_BLOCK];
    const vi4 undefined = scales->scale != scales->scale;
    if (__builtin_reduce_or(undefined) != 0) {  // what is not finite has no nearest integer: such a block is rounded as zeros
        for (int i = 0; i < 4 * CK_BLOCK; i++) finite[i] = undefined[i / CK_BLOCK] ? 0 : x[i];
        x = finite;
    }
    vi4 half_sums[2];
    round_quad(x, scales->inverse, high, low, half_sums, format);
    store_records(records, scales->scale, half_sums[0], half_sums[1]);
}

/// One to three blocks, as four of which the last are zeros.
CK_INLINE void quantize_few(const float *x, int64_t blocks, int8_t *high, int8_t *low, ck_activation_block *records, ck_activation_format format) {
    float padded[4 * CK_BLOCK] = {0};
    int8_t high_terms[4 * CK_BLOCK], low_terms[4 * CK_BLOCK];
    ck_activation_block padded_records[4];
    memcpy(padded, x, sizeof(float) * CK_BLOCK * (size_t)blocks);
    const quad_scales scales = scales_of_quad(largest_of_quad(padded), format);
    quantize_quad(padded, &scales, high_terms, low_terms, padded_records, format);
    memcpy(high, high_terms, CK_BLOCK * (size_t)blocks);
    if (format == CK_ACT_Q15) memcpy(low, low_terms, CK_BLOCK * (size_t)blocks);
    memcpy(records, padded_records, sizeof *records * (size_t)blocks);
}

CK_INLINE void quantize_row(const float *x, int64_t blocks, int8_t *high, int8_t *low, ck_activation_block *records, ck_activation_format format) {
    if (blocks < 4) {
        if (blocks > 0) quantize_few(x, blocks, high, low, records, format);
        return;
    }
    // The last four blocks may reach back into the four before them, and are then made again.
    for (int64_t done = 0; done < blocks; done += 4 * quads_at_once) {
        quad_scales scales[quads_at_once];
        const int64_t end = blocks < done + 4 * quads_at_once ? blocks : done + 4 * quads_at_once;
        int quads = 0;
        for (int64_t b = done; b < end; b += 4) {
            scales[quads++] = scales_of_quad(largest_of_quad(x + CK_BLOCK * (b < blocks - 4 ? b : blocks - 4)), format);
        }
        for (int q = 0; q < quads; q++) {
            const int64_t b = done + 4 * q < blocks - 4 ? done + 4 * q : blocks - 4;
            quantize_quad(x + CK_BLOCK * b, &scales[q], high + CK_BLOCK * b, low + CK_BLOCK * b, records + b, format);
        }
    }
}

CK_INLINE void quantize(
    const float *source, int64_t source_stride, int64_t rows, int64_t k, int64_t first, int64_t count, void *destination, size_t row_stride_bytes,
    ck_activation_format format) {
    const size_t low_offset = ck_activation_low_offset(k), record_offset = ck_activation_block_offset(format, k);
    for (int64_t r = 0; r < rows; r++) {
        uint8_t *row = (uint8_t *)destination + row_stride_bytes * (size_t)r;
        int8_t *high = (int8_t *)row + first;
        ck_activation_block *records = (ck_activation_block *)(void *)(row + record_offset) + first / CK_BLOCK;
        quantize_row(source + r * source_stride, count / CK_BLOCK, high, high + low_offset, records, format);
    }
}

static void quantize_q8(
    const float *source, int64_t source_stride, int64_t rows, int64_t k, int64_t first, int64_t count, void *destination, size_t row_stride_bytes) {
    quantize(source, source_stride, rows, k, first, count, destination, row_stride_bytes, CK_ACT_Q8);
}

static void quantize_q15(
    const float *source, int64_t source_stride, int64_t rows, int64_t k, int64_t first, int64_t count, void *destination, size_t row_stride_bytes) {
    quantize(source, source_stride, rows, k, first, count, destination, row_stride_bytes, CK_ACT_Q15);
}
