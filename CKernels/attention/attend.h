// The functions of a row of the attention table: attention by few or many queries, merging, and storing in the cache's formats. Included inside an
// instruction set's target region, after few.h and one of the ways to answer many queries (many.h, many_int16.h).

CK_INLINE void scale_output(float *x, int64_t n, float factor) {
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) v_store(x + i, v_load(x + i) * v_set(factor));
    if (i < n) v_store_n(x + i, v_load_n(x + i, n - i) * v_set(factor), n - i);
}

static void attend(const ck_attention_args *a) {
    const ck_attention_scratch s = ck_attention_carve(a);
    const int64_t queries = a->rows * a->heads;
    int64_t begin = INT32_MAX, end = 0;
    for (int64_t row = 0; row < a->rows; row++) {
        if (a->kv_begin[row] >= a->kv_end[row]) continue;
        if (a->kv_begin[row] < begin) begin = a->kv_begin[row];
        if (a->kv_end[row] > end) end = a->kv_end[row];
    }
    for (int64_t q = 0; q < queries; q++) {
        s.maximum[q] = -__builtin_inff();
        s.sum[q] = 0;
        memset(ck_output(a, q / a->heads, q % a->heads), 0, (size_t)a->value_dim * sizeof(float));
    }
    if (queries >= many_queries) {
        attend_many(a, s, begin, end);
    } else if (a->kv_format == CK_KV_F16) {
        few_f16(a, s, begin, end);
    } else if (a->kv_format == CK_KV_Q8_0) {
        few_q8_0(a, s, begin, end);
    } else {
        few_f32(a, s, begin, end);
    }
    for (int64_t q = 0; q < queries; q++) {
        if (a->partial_maximum) {
            a->partial_maximum[q] = s.maximum[q];
            a->partial_sum[q] = s.sum[q];
        } else {
            scale_output(ck_output(a, q / a->heads, q % a->heads), a->value_dim, s.sum[q] > 0 ? 1 / s.sum[q] : 0);
        }
    }
}

static void merge(const ck_attention_merge_args *a) {
    const int64_t count = a->rows * a->heads;
    for (int64_t c = 0; c < count; c++) {
        float maximum = -__builtin_inff(), sum = 0;
        float *out = a->output + c / a->heads * a->output_row_stride + c % a->heads * a->output_head_stride;
        for (int64_t p = 0; p < a->parts; p++) maximum = a->maximum[p * count + c] > maximum ? a->maximum[p * count + c] : maximum;
        memset(out, 0, (size_t)a->value_dim * sizeof(float));
        if (maximum == -__builtin_inff()) continue;
        for (int64_t p = 0; p < a->parts; p++) {
            const int64_t at = p * count + c;
            const float weight = v_exp(v_set(a->maximum[at] - maximum))[0];
            const float *part = a->accumulators + at * a->value_dim;
            sum += weight * a->sum[at];
            int64_t i = 0;
            for (; i + lanes <= a->value_dim; i += lanes) v_store(out + i, v_fma(v_load(part + i), v_set(weight), v_load(out + i)));
            if (i < a->value_dim) {
                const int64_t left = a->value_dim - i;
                v_store_n(out + i, v_fma(v_load_n(part + i, left), v_set(weight), v_load_n(out + i, left)), left);
            }
        }
        if (sum > 0) scale_output(out, a->value_dim, 1 / sum);
    }
}

static void store_f32(const float *source, int64_t n, void *destination) { memcpy(destination, source, (size_t)n * sizeof(float)); }

static void store_f16(const float *source, int64_t n, void *destination) {
    uint16_t *halves = (uint16_t *)destination;
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) v_store_f16(halves + i, v_load(source + i));
    for (; i < n; i++) halves[i] = ck_float_to_half(source[i]);
}

// The bits of the scalar twin.
static void store_q8_0(const float *source, int64_t n, void *destination) {
    uint8_t *bytes = (uint8_t *)destination;
    for (int64_t b = 0; b < n / ck_q8_block; b++, bytes += ck_q8_bytes) {
        const float *block = source + b * ck_q8_block;
        vu largest = {0};
        for (int i = 0; i < ck_q8_block; i += lanes) largest = __builtin_elementwise_max(largest, (vu)v_abs(v_load(block + i)));
        float inverse;
        const uint16_t half = ck_q8_scale(__builtin_reduce_max(largest), &inverse);
        memcpy(bytes, &half, sizeof half);
        if (inverse == 0) {
            memset(bytes + 2, 0, ck_q8_block);
        } else {
            for (int i = 0; i < ck_q8_block; i += lanes) v_store_i8((int8_t *)bytes + 2 + i, v_load(block + i) * v_set(inverse));
        }
    }
}
