// Attention, the scalar twin: each (token, head) by itself, scores computed twice (for the maximum, then for the sums) instead of stored,
// sums in double. Slow and plain: the specification of include/ckernels/attention.h.
#include "attention/rows.h"

#include <math.h>

static float cache_element(const void *row, ck_kv_format format, int64_t i) {
    const uint8_t *bytes = row;
    uint16_t half;
    switch (format) {
    case CK_KV_F32: return ((const float *)row)[i];
    case CK_KV_F16: return ck_half_to_float(((const uint16_t *)row)[i]);
    case CK_KV_Q8_0:
        bytes += i / ck_q8_block * ck_q8_bytes;
        memcpy(&half, bytes, sizeof half);
        return ck_half_to_float(half) * (float)(int8_t)bytes[2 + i % ck_q8_block];
    }
    return 0;
}

static float score_of(const ck_attention_args *a, const float *query, int64_t position) {
    const uint8_t *key = (const uint8_t *)a->keys + a->key_stride_bytes * (size_t)position;
    double total = 0;
    for (int64_t i = 0; i < a->head_dim; i++) total += (double)query[i] * cache_element(key, a->kv_format, i);
    const float score = (float)total * a->scale;
    return a->softcap > 0 ? a->softcap * tanhf(score / a->softcap) : score;
}

static void attend(const ck_attention_args *a) {
    for (int64_t row = 0; row < a->rows; row++) {
        for (int64_t head = 0; head < a->heads; head++) {
            const float *query = ck_query(a, row, head);
            double accumulator[ck_head_limit] = {0}, sum = 0;
            float maximum = -INFINITY;
            for (int64_t j = a->kv_begin[row]; j < a->kv_end[row]; j++) maximum = fmaxf(maximum, score_of(a, query, j));
            for (int64_t j = a->kv_begin[row]; j < a->kv_end[row]; j++) {
                const uint8_t *value = (const uint8_t *)a->values + a->value_stride_bytes * (size_t)j;
                const double weight = exp((double)score_of(a, query, j) - maximum);
                sum += weight;
                for (int64_t i = 0; i < a->value_dim; i++) accumulator[i] += weight * cache_element(value, a->kv_format, i);
            }
            if (a->partial_maximum) {
                a->partial_maximum[row * a->heads + head] = maximum;
                a->partial_sum[row * a->heads + head] = (float)sum;
            }
            const double factor = a->partial_maximum ? 1 : sum > 0 ? 1 / sum : 0;
            for (int64_t i = 0; i < a->value_dim; i++) ck_output(a, row, head)[i] = (float)(accumulator[i] * factor);
        }
    }
}

static void merge(const ck_attention_merge_args *a) {
    const int64_t count = a->rows * a->heads;
    for (int64_t c = 0; c < count; c++) {
        float maximum = -INFINITY, sum = 0;
        float *out = a->output + c / a->heads * a->output_row_stride + c % a->heads * a->output_head_stride;
        for (int64_t p = 0; p < a->parts; p++) maximum = fmaxf(maximum, a->maximum[p * count + c]);
        for (int64_t i = 0; i < a->value_dim; i++) out[i] = 0;
        for (int64_t p = 0; p < a->parts; p++) {
            const int64_t at = p * count + c;
            const float weight = a->maximum[at] == -INFINITY ? 0 : expf(a->maximum[at] - maximum);
            sum += weight * a->sum[at];
            for (int64_t i = 0; i < a->value_dim; i++) out[i] += weight * a->accumulators[at * a->value_dim + i];
        }
        const float factor = sum > 0 ? 1 / sum : 0;
        for (int64_t i = 0; i < a->value_dim; i++) out[i] *= factor;
    }
}

static void store_f32(const float *source, int64_t n, void *destination) { memcpy(destination, source, (size_t)n * sizeof(float)); }

static void store_f16(const float *source, int64_t n, void *destination) {
    for (int64_t i = 0; i < n; i++) ((uint16_t *)destination)[i] = ck_float_to_half(source[i]);
}

// Q8_0 blocks: scale = max |x| / 127, rounded to f16 for the cache but not for the division, halves to even. The largest magnitude is found on
// the bit patterns, so an infinity or a NaN is the largest and makes the block's scale NaN; blocks below 2^-100 become zeros.
static void store_q8_0(const float *source, int64_t n, void *destination) {
    for (int64_t b = 0; b < n / ck_q8_block; b++) {
        const float *block = source + b * ck_q8_block;
        uint8_t *bytes = (uint8_t *)destination + b * ck_q8_bytes;
        uint32_t largest = 0;
        for (int i = 0; i < ck_q8_block; i++) {
            const uint32_t magnitude = ck_float_to_bits(block[i]) & 0x7fffffffu;
            if (magnitude > largest) largest = magnitude;
        }
        float inverse;
        const uint16_t half = ck_q8_scale(largest, &inverse);
        memcpy(bytes, &half, sizeof half);
        for (int i = 0; i < ck_q8_block; i++) bytes[2 + i] = (uint8_t)(int8_t)(inverse == 0 ? 0 : rintf(block[i] * inverse));
    }
}

const ck_attention_row ck_attention_scalar = {"attention_scalar", 0, 0, 0, attend, merge, store_f32, store_f16, store_q8_0};
