// Attention of a few queries (decoding): keys and values are read once, straight from the cache's format, for up to four queries at a time.
// Included inside an instruction set's target region, after weigh.h; attend.h chooses between this and the ways to answer many queries.
//
// The bound is the cache itself: a key costs its bytes, so nothing may be written on the way. Scores are dot products along head_dim: each vector of
// a key meets all queries while it is in a register, and the partial sums of `lanes` keys are added by a tree of transposing additions, which costs
// one vector addition a key instead of a horizontal sum a key. The values of a block are added up in registers, a column of vectors at a time.
// While the keys of a block are scored its values are fetched, and while its values are added the next block's keys are, or those of the next call.

enum { few_tile = 4 };  // queries at once

CK_INLINE const uint8_t *cache_row(const void *base, size_t stride, int64_t position) { return (const uint8_t *)base + stride * (size_t)position; }

/// `lanes` numbers of a cache row from dimension d on.
CK_INLINE vf cache_load(const uint8_t *row, ck_kv_format format, int64_t d) {
    if (format == CK_KV_F32) return v_load((const float *)(const void *)row + d);
    if (format == CK_KV_F16) return v_load_f16((const uint16_t *)(const void *)row + d);
    const uint8_t *block = row + d / ck_q8_block * ck_q8_bytes;
    uint16_t half;
    memcpy(&half, block, sizeof half);
    return v_load_i8((const int8_t *)block + 2 + d % ck_q8_block) * v_set_f16(half);
}

/// The same for the last n < lanes numbers of a row, zeros after them. Q8_0 rows are whole blocks and have no such end.
CK_INLINE vf cache_load_n(const uint8_t *row, ck_kv_format format, int64_t d, int64_t n) {
    return format == CK_KV_F32 ? v_load_n((const float *)(const void *)row + d, n) : v_load_f16_n((const uint16_t *)(const void *)row + d, n);
}

/// `lanes` numbers of a cache row from d < dimensions on, zeros past its end.
CK_INLINE vf cache_load_any(const uint8_t *row, ck_kv_format format, int64_t d, int64_t dimensions) {
    return d + lanes <= dimensions ? cache_load(row, format, d) : cache_load_n(row, format, d, dimensions - d);
}

/// Into the second-level cache: a core waits for few lines of its first level at once, too few for what memory can bring (15 of 33 GB/s on Zen 4).
CK_INLINE void prefetch_row(const uint8_t *row, size_t bytes) {
    for (size_t offset = 0; offset < bytes; offset += 64) __builtin_prefetch(row + offset, 0, 2);
}

/// scores[q][j] = queries[q] · key[j] for `lanes` keys from `first` on; keys from `last` on read as the one before it.
CK_INLINE void few_scores(const float *const query[few_tile], const ck_attention_args *a, ck_kv_format format, int queries, int64_t first, int64_t last, float *scores) {
    const int64_t dim = a->head_dim;
    vf quads[few_tile][lanes / 4];
    for (int quad = 0; quad < lanes / 4; quad++) {
        const uint8_t *row[4];
        for (int r = 0; r < 4; r++) {
            const int64_t position = first + quad * 4 + r;
            row[r] = cache_row(a->keys, a->key_stride_bytes, position < last ? position : last - 1);
        }
        vf sum[few_tile][4];
        // Sixteen registers hold the sums of two keys and four queries, or four keys and two queries.
        const int together = lanes == 8 && queries > 2 ? 2 : 4;
#pragma clang loop unroll(full)
        for (int start = 0; start < 4; start += together) {
#pragma clang loop unroll(full)
            for (int q = 0; q < queries; q++) {
#pragma clang loop unroll(full)
                for (int r = start; r < start + together; r++) sum[q][r] = (vf){0};
            }
            int64_t d = 0;
#pragma clang loop unroll_count(2)
            for (; d + lanes <= dim; d += lanes) {
                vf key[4];
#pragma clang loop unroll(full)
                for (int r = start; r < start + together; r++) key[r] = cache_load(row[r], format, d);
#pragma clang loop unroll(full)
                for (int q = 0; q < queries; q++) {
                    const vf x = v_load(query[q] + d);
#pragma clang loop unroll(full)
                    for (int r = start; r < start + together; r++) sum[q][r] = v_fma(x, key[r], sum[q][r]);
                }
            }
            if (format != CK_KV_Q8_0 && d < dim) {
                for (int q = 0; q < queries; q++) {
                    const vf x = v_load_n(query[q] + d, dim - d);
                    for (int r = start; r < start + together; r++) sum[q][r] = v_fma(x, cache_load_n(row[r], format, d, dim - d), sum[q][r]);
                }
            }
        }
#pragma clang loop unroll(full)
        for (int q = 0; q < queries; q++) quads[q][quad] = v_fold4(sum[q][0], sum[q][1], sum[q][2], sum[q][3]);
    }
#pragma clang loop unroll(full)
    for (int q = 0; q < queries; q++) v_store(scores + q * ck_key_block, v_fold_quads(quads[q]));
}

/// output[q] = output[q] · correction[q] + Σ weights[q][j] · value[j] over `count` keys, for `vectors` vectors from dimension d on.
/// `next_key`, when given, leads to the keys fetched meanwhile.
CK_INLINE void few_columns(float *const output[few_tile], const float *correction, const float *weights, const uint8_t *values, size_t stride, ck_kv_format format, int64_t count, int64_t d, int64_t valid, int queries, int vectors, const uint8_t *next_key, size_t key_stride, size_t key_bytes) {
    vf sum[few_tile][tile_vectors];
    const bool whole = valid >= vectors * lanes;
#pragma clang loop unroll(full)
    for (int q = 0; q < queries; q++) {
#pragma clang loop unroll(full)
        for (int v = 0; v < vectors; v++) sum[q][v] = (whole ? v_load(output[q] + d + v * lanes) : v_load_n(output[q] + d, valid)) * v_set(correction[q]);
    }
    for (int64_t j = 0; j < count; j++, values += stride) {
        if (next_key) prefetch_row(next_key + key_stride * (size_t)j, key_bytes);
        vf value[tile_vectors];
#pragma clang loop unroll(full)
        for (int v = 0; v < vectors; v++) value[v] = whole ? cache_load(values, format, d + v * lanes) : cache_load_n(values, format, d, valid);
#pragma clang loop unroll(full)
        for (int q = 0; q < queries; q++) {
            const vf weight = v_set(weights[q * ck_key_block + j]);
#pragma clang loop unroll(full)
            for (int v = 0; v < vectors; v++) sum[q][v] = v_fma(weight, value[v], sum[q][v]);
        }
    }
#pragma clang loop unroll(full)
    for (int q = 0; q < queries; q++) {
#pragma clang loop unroll(full)
        for (int v = 0; v < vectors; v++) {
            if (whole) v_store(output[q] + d + v * lanes, sum[q][v]);
            else v_store_n(output[q] + d, sum[q][v], valid);
        }
    }
}

/// One tile of queries over one block of keys.
CK_INLINE void few_block(const ck_attention_args *a, ck_attention_scratch s, ck_kv_format format, int64_t tile, int64_t block, int64_t keys, int64_t end, int queries) {
    const float *query[few_tile];
    float *output[few_tile];
    int64_t from[few_tile], to[few_tile], first = keys, last = 0;
    for (int q = 0; q < queries; q++) {
        const int64_t row = (tile + q) / a->heads, head = (tile + q) % a->heads;
        query[q] = ck_query(a, row, head);
        output[q] = ck_output(a, row, head);
        from[q] = a->kv_begin[row] > block ? a->kv_begin[row] - block : 0;
        to[q] = a->kv_end[row] - block < keys ? a->kv_end[row] - block : keys;
        if (from[q] >= to[q]) continue;
        if (from[q] < first) first = from[q];
        if (to[q] > last) last = to[q];
    }
    if (first >= last) return;
    const size_t key_bytes = ck_kv_row_bytes(format, a->head_dim), value_bytes = ck_kv_row_bytes(format, a->value_dim);
    float *scores = s.scores + tile * ck_key_block;
    float *correction = s.correction + tile;
    for (int64_t j = first / lanes * lanes; j < last; j += lanes) {
        for (int64_t r = j < first ? first : j; r < last && r < j + lanes; r++) prefetch_row(cache_row(a->values, a->value_stride_bytes, block + r), value_bytes);
        few_scores(query, a, format, queries, block + j, block + last, scores + j);
    }
    for (int q = 0; q < queries; q++) {
        if (from[q] < to[q]) {
            weigh(a, scores + q * ck_key_block, from[q], to[q], s.maximum + tile + q, s.sum + tile + q, correction + q);
        } else {
            memset(scores + q * ck_key_block, 0, ck_key_block * sizeof(float));
            correction[q] = 1;
        }
    }
    const uint8_t *values = cache_row(a->values, a->value_stride_bytes, block + first);
    const uint8_t *next_key = block + keys < end ? cache_row(a->keys, a->key_stride_bytes, block + keys) : a->next_keys;
    const int64_t dim = a->value_dim, columns = tile_vectors * lanes;
    int64_t d = 0;
    for (; d + columns <= dim; d += columns) {
        few_columns(output, correction, scores + first, values, a->value_stride_bytes, format, last - first, d, columns, queries, tile_vectors, d == 0 ? next_key : 0, a->key_stride_bytes, key_bytes);
    }
    for (; d < dim; d += lanes) {
        few_columns(output, correction, scores + first, values, a->value_stride_bytes, format, last - first, d, dim - d < lanes ? dim - d : lanes, queries, 1, d == 0 ? next_key : 0, a->key_stride_bytes, key_bytes);
    }
}

CK_INLINE void few_queries(const ck_attention_args *a, ck_attention_scratch s, ck_kv_format format, int64_t begin, int64_t end) {
    const int64_t queries = a->rows * a->heads;
    for (int64_t block = begin; block < end; block += ck_key_block) {
        const int64_t keys = end - block < ck_key_block ? end - block : ck_key_block;
        for (int64_t tile = 0; tile < queries; tile += few_tile) {
            switch (queries - tile) {
            case 1: few_block(a, s, format, tile, block, keys, end, 1); break;
            case 2: few_block(a, s, format, tile, block, keys, end, 2); break;
            case 3: few_block(a, s, format, tile, block, keys, end, 3); break;
            default: few_block(a, s, format, tile, block, keys, end, 4); break;
            }
        }
    }
}

static void few_f32(const ck_attention_args *a, ck_attention_scratch s, int64_t begin, int64_t end) { few_queries(a, s, CK_KV_F32, begin, end); }
static void few_f16(const ck_attention_args *a, ck_attention_scratch s, int64_t begin, int64_t end) { few_queries(a, s, CK_KV_F16, begin, end); }
static void few_q8_0(const ck_attention_args *a, ck_attention_scratch s, int64_t begin, int64_t end) { few_queries(a, s, CK_KV_Q8_0, begin, end); }
