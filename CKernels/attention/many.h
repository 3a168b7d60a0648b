// Attention of many queries in f32 over the vector vocabulary (isa/simd.h). Included inside an instruction set's target region, after its simd header,
// vector/math.h and weigh.h.
//
// The cache is walked in blocks of 64 keys. A block's keys and values are turned into f32 once, for all tokens and heads of the call; then
//     scores  = queries · keysᵀ              [queries][64]   (queries = rows · heads)
//     weights = exp(scores − new maximum), correction = exp(old maximum − new maximum)
//     output  = output · correction + weights · values
// Both products share one register tile of 4 queries by tile_vectors vectors. With few queries (decoding) turning a block into f32 and transposing
// its keys would cost more than it saves: few.h answers them straight from the cache.

enum { tile_queries = 4 };

// A cache row to f32, `padded` long with zeros at the end.
CK_INLINE void widen_row(const void *row, ck_kv_format format, int64_t n, int64_t padded, float *out) {
    int64_t i = 0;
    if (format == CK_KV_F32) {
        memcpy(out, row, (size_t)n * sizeof(float));
        i = n;
    } else if (format == CK_KV_F16) {
        const uint16_t *halves = (const uint16_t *)row;
        for (; i + lanes <= n; i += lanes) v_store(out + i, v_load_f16(halves + i));
        for (; i < n; i++) out[i] = ck_half_to_float(halves[i]);
    } else {
        for (const uint8_t *block = (const uint8_t *)row; i < n; i += ck_q8_block, block += ck_q8_bytes) {
            uint16_t half;
            memcpy(&half, block, sizeof half);
            const vf scale = v_set(ck_half_to_float(half));
            for (int j = 0; j < ck_q8_block; j += lanes) v_store(out + i + j, v_load_i8((const int8_t *)block + 2 + j) * scale);
        }
    }
    for (; i < padded; i++) out[i] = 0;
}

typedef float quad __attribute__((vector_size(16)));

// Keys [count][head_dim] of the cache to [head_dim][64], zeros from `count` on.
static void transpose_keys(const ck_attention_args *a, int64_t first, int64_t count, float *out) {
    float rows[4][ck_head_limit];
    for (int64_t j = 0; j < ck_key_block; j += 4) {
        for (int64_t r = 0; r < 4; r++) {
            if (j + r < count) widen_row((const uint8_t *)a->keys + a->key_stride_bytes * (size_t)(first + j + r), a->kv_format, a->head_dim, a->head_dim, rows[r]);
            else memset(rows[r], 0, (size_t)a->head_dim * sizeof(float));
        }
        for (int64_t d = 0; d < a->head_dim; d += 4) {
            quad r[4];
            for (int i = 0; i < 4; i++) memcpy(&r[i], rows[i] + d, sizeof r[i]);
            const quad low01 = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5), high01 = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
            const quad low23 = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5), high23 = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
            const quad c[4] = {
                __builtin_shufflevector(low01, low23, 0, 1, 4, 5), __builtin_shufflevector(low01, low23, 2, 3, 6, 7),
                __builtin_shufflevector(high01, high23, 0, 1, 4, 5), __builtin_shufflevector(high01, high23, 2, 3, 6, 7),
            };
            for (int i = 0; i < 4; i++) memcpy(out + (d + i) * ck_key_block + j, &c[i], sizeof c[i]);
        }
    }
}

// tile[q][v] += Σ_i left[q][i] · right[i][v]: left is up to 4 rows by pointer, right has `stride` floats a row.
CK_INLINE void multiply_tile(const float *const left[tile_queries], int64_t depth, const float *right, int64_t stride, vf tile[tile_queries][tile_vectors], int queries, int vectors) {
    for (int64_t i = 0; i < depth; i++, right += stride) {
        vf row[tile_vectors];
#pragma clang loop unroll(full)
        for (int v = 0; v < vectors; v++) row[v] = v_load(right + v * lanes);
#pragma clang loop unroll(full)
        for (int q = 0; q < queries; q++) {
            const vf weight = v_set(left[q][i]);
#pragma clang loop unroll(full)
            for (int v = 0; v < vectors; v++) tile[q][v] = v_fma(weight, row[v], tile[q][v]);
        }
    }
}

CK_INLINE void score_tile(const float *const queries[tile_queries], int64_t head_dim, const float *keys, float *scores, int count) {
    for (int64_t j = 0; j < ck_key_block; j += tile_vectors * lanes) {
        vf tile[tile_queries][tile_vectors];
        for (int q = 0; q < count; q++) {
            for (int v = 0; v < tile_vectors; v++) tile[q][v] = (vf){0};
        }
        multiply_tile(queries, head_dim, keys + j, ck_key_block, tile, count, tile_vectors);
        for (int q = 0; q < count; q++) {
            for (int v = 0; v < tile_vectors; v++) v_store(scores + q * ck_key_block + j + v * lanes, tile[q][v]);
        }
    }
}

// output[q] = output[q] · correction[q] + weights[q] · values, for `vectors` vectors from dimension d.
CK_INLINE void value_columns(float *const output[tile_queries], const float *const weights[tile_queries], const float *correction, int64_t count, const float *values, int64_t stride, int64_t d, int64_t valid, int queries, int vectors) {
    vf tile[tile_queries][tile_vectors];
#pragma clang loop unroll(full)
    for (int q = 0; q < queries; q++) {
#pragma clang loop unroll(full)
        for (int v = 0; v < vectors; v++) {
            const vf old = valid >= (v + 1) * lanes ? v_load(output[q] + d + v * lanes) : v_load_n(output[q] + d + v * lanes, valid - v * lanes);
            tile[q][v] = old * v_set(correction[q]);
        }
    }
    multiply_tile(weights, count, values + d, stride, tile, queries, vectors);
#pragma clang loop unroll(full)
    for (int q = 0; q < queries; q++) {
#pragma clang loop unroll(full)
        for (int v = 0; v < vectors; v++) {
            if (valid >= (v + 1) * lanes) v_store(output[q] + d + v * lanes, tile[q][v]);
            else v_store_n(output[q] + d + v * lanes, tile[q][v], valid - v * lanes);
        }
    }
}

CK_INLINE void value_tile(float *const output[tile_queries], const float *const weights[tile_queries], const float *correction, int64_t count, const float *values, int64_t value_dim, int queries) {
    const int64_t stride = ck_padded(value_dim);
    int64_t d = 0;
    for (; d + tile_vectors * lanes <= value_dim; d += tile_vectors * lanes) {
        value_columns(output, weights, correction, count, values, stride, d, tile_vectors * lanes, queries, tile_vectors);
    }
    for (; d < value_dim; d += lanes) {
        const int64_t left = value_dim - d;
        value_columns(output, weights, correction, count, values, stride, d, left < lanes ? left : lanes, queries, 1);
    }
}

// Where query tile [first, first + count) of the flattened (token, head) list lives, and which keys of the block its tokens see.
typedef struct query_tile {
    const float *query[tile_queries];
    float *output[tile_queries];
    int64_t from[tile_queries], to[tile_queries];
    int count;
    int visible;
} query_tile;

CK_INLINE query_tile tile_at(const ck_attention_args *a, int64_t first, int64_t block, int64_t keys) {
    query_tile t;
    const int64_t left = a->rows * a->heads - first;
    t.count = left < tile_queries ? (int)left : tile_queries;
    t.visible = 0;
    for (int q = 0; q < t.count; q++) {
        const int64_t row = (first + q) / a->heads, head = (first + q) % a->heads;
        t.query[q] = ck_query(a, row, head);
        t.output[q] = ck_output(a, row, head);
        t.from[q] = a->kv_begin[row] > block ? a->kv_begin[row] - block : 0;
        t.to[q] = a->kv_end[row] - block < keys ? a->kv_end[row] - block : keys;
        t.visible |= t.from[q] < t.to[q];
    }
    return t;
}

static void attend_block(const ck_attention_args *a, ck_attention_scratch s, int64_t block, int64_t keys) {
    const int64_t queries = a->rows * a->heads, value_stride = ck_padded(a->value_dim);
    transpose_keys(a, block, keys, s.keys);
    for (int64_t j = 0; j < keys; j++) {
        widen_row((const uint8_t *)a->values + a->value_stride_bytes * (size_t)(block + j), a->kv_format, a->value_dim, value_stride, s.values + j * value_stride);
    }
    for (int64_t first = 0; first < queries; first += tile_queries) {
        const query_tile t = tile_at(a, first, block, keys);
        if (!t.visible) continue;
        float *scores = s.scores + first * ck_key_block;
        switch (t.count) {
        case 4: score_tile(t.query, a->head_dim, s.keys, scores, 4); break;
        case 3: score_tile(t.query, a->head_dim, s.keys, scores, 3); break;
        case 2: score_tile(t.query, a->head_dim, s.keys, scores, 2); break;
        default: score_tile(t.query, a->head_dim, s.keys, scores, 1); break;
        }
        const float *weights[tile_queries];
        for (int q = 0; q < t.count; q++) {
            float *row = scores + q * ck_key_block;
            weights[q] = row;
            if (t.from[q] < t.to[q]) {
                weigh(a, row, t.from[q], t.to[q], s.maximum + first + q, s.sum + first + q, s.correction + first + q);
            } else {
                memset(row, 0, ck_key_block * sizeof(float));
                s.correction[first + q] = 1;
            }
        }
        const float *correction = s.correction + first;
        switch (t.count) {
        case 4: value_tile(t.output, weights, correction, keys, s.values, a->value_dim, 4); break;
        case 3: value_tile(t.output, weights, correction, keys, s.values, a->value_dim, 3); break;
        case 2: value_tile(t.output, weights, correction, keys, s.values, a->value_dim, 2); break;
        default: value_tile(t.output, weights, correction, keys, s.values, a->value_dim, 1); break;
        }
    }
}

static void attend_many(const ck_attention_args *a, ck_attention_scratch s, int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; block += ck_key_block) {
        attend_block(a, s, block, end - block < ck_key_block ? end - block : ck_key_block);
    }
}
