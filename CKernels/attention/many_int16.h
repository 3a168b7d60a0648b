// Attention of many queries in 16-bit integers, for instruction sets that add two 16-bit products into 32 bits a lane (VPDPWSSD): twice the products of
// an f32 multiply-add. bf16 products run at the same rate but keep 8 bits of a number where this keeps 15. Included inside a target region with AVX-512
// and VNNI, after few.h, exp2.h and transpose.h.
//
// The cache is walked in blocks of 64 keys, as in many.h. What makes integers exact enough, and keeps sums inside 32 bits:
//   queries and keys   q = ‖q‖/32767 · q16, the Euclidean norm, so that by Cauchy and Schwarz |q16·k16| ≤ 2³⁰ whatever head_dim is
//   weights            w = p16 / c with c chosen a (query, block): p16 ≤ 32767 and Σ p16 ≤ 130,000
//   values             v = max |v| / 16383 · v16, the maximum of a dimension over the block, so that |Σ p16·v16| ≤ 130,000 · 16,383 < 2³¹
// Layout of a block: keys as [head_dim/2][64] pairs of dimensions, values as [32][padded value_dim] pairs of keys. A query's pairs are broadcast.
// Scores are kept times log₂ e, because 2^x is cheaper than e^x.

enum {
    int16_tile = 6,  // queries of a register tile; with 4 vectors each they fill 24 registers
    int16_vectors = ck_key_block / lanes,
};
_Static_assert(lanes == 16 && int16_vectors == 4, "a block of keys is four vectors of 16");

static const float int16_one = 32767, int16_value_one = 16383, int16_weight_sum = 130000;

CK_INLINE void store_int16(int16_t *p, vf x) { _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(x))); }

/// All queries to int16, and the factor that turns a product of integers with a key's factor into a score.
static void quantise_queries(const ck_attention_args *a, int16_t *out, float *factors) {
    const int64_t stride = ck_paired(a->head_dim);
    for (int64_t q = 0; q < a->rows * a->heads; q++, out += stride) {
        const float *query = ck_query(a, q / a->heads, q % a->heads);
        vf squares = {0};
        int64_t d = 0;
        for (; d + lanes <= a->head_dim; d += lanes) squares = v_fma(v_load(query + d), v_load(query + d), squares);
        const vf tail = d < a->head_dim ? v_load_n(query + d, a->head_dim - d) : (vf){0};
        const float norm = __builtin_sqrtf(v_add_lanes(v_fma(tail, tail, squares)));
        const vf inverse = v_set(norm == 0 ? 0 : int16_one / norm);
        for (d = 0; d + lanes <= a->head_dim; d += lanes) store_int16(out + d, v_load(query + d) * inverse);
        if (d < a->head_dim) store_int16(out + d, tail * inverse);
        factors[q] = norm / int16_one * a->scale;
    }
}

/// The keys of a block, zeros from `count` on, and the factor of each.
CK_INLINE void quantise_keys(const ck_attention_args *a, ck_kv_format format, int64_t block, int64_t count, int32_t *out, float *factors) {
    const int64_t dim = a->head_dim, stride = ck_paired(dim);
    int16_t rows[lanes * ck_head_limit];
    for (int64_t first = 0; first < ck_key_block; first += lanes) {
        vf quads[lanes / 4];
        for (int quad = 0; quad < lanes / 4; quad++) {
            vf squares[4] = {{0}, {0}, {0}, {0}};
            for (int r = 0; r < 4 && first + quad * 4 + r < count; r++) {
                const uint8_t *row = cache_row(a->keys, a->key_stride_bytes, block + first + quad * 4 + r);
                for (int64_t d = 0; d < dim; d += lanes) {
                    const vf x = cache_load_any(row, format, d, dim);
                    squares[r] = v_fma(x, x, squares[r]);
                }
            }
            quads[quad] = v_fold4(squares[0], squares[1], squares[2], squares[3]);
        }
        const vf norms = _mm512_sqrt_ps(v_fold_quads(quads));
        float inverses[lanes];
        v_store(inverses, v_select(norms == v_set(0), v_set(0), v_set(int16_one) / norms));
        v_store(factors + first, norms * v_set(1 / int16_one));
        for (int r = 0; r < lanes; r++) {
            if (first + r >= count) {
                memset(rows + r * stride, 0, (size_t)stride * sizeof(int16_t));
                continue;
            }
            const uint8_t *row = cache_row(a->keys, a->key_stride_bytes, block + first + r);
            const vf inverse = v_set(inverses[r]);
            for (int64_t d = 0; d < dim; d += lanes) store_int16(rows + r * stride + d, cache_load_any(row, format, d, dim) * inverse);
            if (stride - dim >= lanes) memset(rows + r * stride + stride - lanes, 0, lanes * sizeof(int16_t));
        }
        for (int64_t d = 0; d < stride; d += 2 * lanes) transpose_words(rows + d, (size_t)stride * sizeof(int16_t), out + d / 2 * ck_key_block + first, ck_key_block * sizeof(int32_t));
    }
}

/// The values of a block, a zero after an odd last one, and the factor of each dimension.
CK_INLINE void quantise_values(const ck_attention_args *a, ck_kv_format format, int64_t block, int64_t count, int32_t *out, float *factors) {
    const int64_t dim = a->value_dim, stride = ck_padded(dim);
    for (int64_t d = 0; d < dim; d += lanes) {
        vf largest = {0};
        for (int64_t j = 0; j < count; j++) largest = v_max(largest, v_abs(cache_load_any(cache_row(a->values, a->value_stride_bytes, block + j), format, d, dim)));
        const vf inverse = v_select(largest == v_set(0), v_set(0), v_set(int16_value_one) / largest);
        v_store(factors + d, largest * v_set(1 / int16_value_one));
        for (int64_t j = 0; j < count; j += 2) {
            const vf even = cache_load_any(cache_row(a->values, a->value_stride_bytes, block + j), format, d, dim);
            const vf odd = j + 1 < count ? cache_load_any(cache_row(a->values, a->value_stride_bytes, block + j + 1), format, d, dim) : (vf){0};
            const __m512i low = _mm512_cvtps_epi32(even * inverse), high = _mm512_slli_epi32(_mm512_cvtps_epi32(odd * inverse), 16);
            _mm512_storeu_si512(out + j / 2 * stride + d, _mm512_mask_blend_epi16(0xaaaaaaaa, low, high));
        }
    }
}

/// tile[q][v] = Σ left[q][i] · right[i][v] over `depth` pairs; right has `stride` pairs a row.
CK_INLINE void multiply_pairs(const int32_t *const left[int16_tile], int64_t depth, const int32_t *right, int64_t stride, __m512i tile[int16_tile][int16_vectors], int queries, int vectors) {
#pragma clang loop unroll(full)
    for (int q = 0; q < queries; q++) {
#pragma clang loop unroll(full)
        for (int v = 0; v < vectors; v++) tile[q][v] = _mm512_setzero_si512();
    }
    for (int64_t i = 0; i < depth; i++, right += stride) {
        __m512i row[int16_vectors];
#pragma clang loop unroll(full)
        for (int v = 0; v < vectors; v++) row[v] = _mm512_loadu_si512(right + v * lanes);
#pragma clang loop unroll(full)
        for (int q = 0; q < queries; q++) {
            const __m512i pair = _mm512_set1_epi32(left[q][i]);
#pragma clang loop unroll(full)
            for (int v = 0; v < vectors; v++) tile[q][v] = _mm512_dpwssd_epi32(tile[q][v], pair, row[v]);
        }
    }
}

/// Lane q of the result is the largest lane of rows[q], or the sum of its lanes, for up to eight rows; lanes from `count` on mean nothing.
#define CK_REDUCE_ROWS(name, fold4, fold_quads) \
    CK_INLINE vf name(const vf *rows, int count) { \
        const int last = count - 1; \
        const vf low = fold4(rows[0], rows[1 < last ? 1 : last], rows[2 < last ? 2 : last], rows[3 < last ? 3 : last]); \
        const vf high = count <= 4 ? low : fold4(rows[4 < last ? 4 : last], rows[5 < last ? 5 : last], rows[6 < last ? 6 : last], rows[last]); \
        const vf quads[4] = {low, high, low, high}; \
        return fold_quads(quads); \
    }
CK_REDUCE_ROWS(largest_of_rows, v_largest4, v_largest_quads)
CK_REDUCE_ROWS(sum_of_rows, v_fold4, v_fold_quads)

/// Scores (times log₂ e, −∞ where hidden) of a tile of queries to int16 weights; lane by lane, a query each: its maximum, sum and correction, and
/// what turns a sum of its weights into a sum of exponentials.
CK_INLINE void weigh_int16(vf scores[int16_tile][int16_vectors], float *maximum, float *sum, float *correction, float *unit, int16_t weights[int16_tile][ck_key_block], int queries) {
    vf tops[int16_tile], totals[int16_tile];
#pragma clang loop unroll(full)
    for (int q = 0; q < queries; q++) tops[q] = v_max(v_max(scores[q][0], scores[q][1]), v_max(scores[q][2], scores[q][3]));
    const vf largest = largest_of_rows(tops, queries), before = v_load_n(maximum, queries), after = v_max(largest, before);
    float afters[lanes], factors[lanes];
    v_store(afters, after);
#pragma clang loop unroll(full)
    for (int q = 0; q < queries; q++) {
#pragma clang loop unroll(full)
        for (int v = 0; v < int16_vectors; v++) scores[q][v] = exp2_negative(scores[q][v] - v_set(afters[q]));
        totals[q] = (scores[q][0] + scores[q][1]) + (scores[q][2] + scores[q][3]);
    }
    const vf total = sum_of_rows(totals, queries);
    // Nothing to see, or too little to change anything: weights of 0, the rest as it was.
    const vi nothing = (largest == v_set(-__builtin_inff())) | (total < v_set(1e-30f));
    const vf by_sum = v_set(int16_weight_sum) / total, by_peak = v_set(int16_one) / exp2_negative(largest - after);
    const vf factor = v_select(nothing, v_set(0), v_min(by_peak, by_sum));
    const vf change = v_select(nothing, v_set(1), exp2_negative(before - after));
    v_store(factors, factor);
    v_store_n(correction, change, queries);
    v_store_n(unit, v_select(nothing, v_set(0), v_set(1) / factor), queries);
    const vf old = v_load_n(sum, queries);
    v_store_n(sum, v_select(nothing, old, v_fma(old, change, total)), queries);
    v_store_n(maximum, v_select(nothing, before, after), queries);
#pragma clang loop unroll(full)
    for (int q = 0; q < queries; q++) {
        // Not by a factor of 0: what is hidden everywhere has no exponentials either.
        const vi keep = ~(v_set(factors[q]) == (vf){0});
#pragma clang loop unroll(full)
        for (int v = 0; v < int16_vectors; v++) store_int16(weights[q] + v * lanes, (vf)((vi)(scores[q][v] * v_set(factors[q])) & keep));
    }
}

CK_INLINE void int16_columns(float *const output[int16_tile], const int32_t *const weights[int16_tile], const float *correction, const float *unit, int64_t pairs, const int32_t *values, const float *factors, int64_t stride, int64_t d, int64_t valid, int queries, int vectors) {
    __m512i tile[int16_tile][int16_vectors];
    multiply_pairs(weights, pairs, values + d, stride, tile, queries, vectors);
    const bool whole = valid >= vectors * lanes;
#pragma clang loop unroll(full)
    for (int q = 0; q < queries; q++) {
#pragma clang loop unroll(full)
        for (int v = 0; v < vectors; v++) {
            float *out = output[q] + d + v * lanes;
            const vf added = _mm512_cvtepi32_ps(tile[q][v]) * (v_load(factors + d + v * lanes) * v_set(unit[q]));
            if (whole) v_store(out, v_fma(v_load(out), v_set(correction[q]), added));
            else v_store_n(out, v_fma(v_load_n(out, valid), v_set(correction[q]), added), valid);
        }
    }
}

/// One tile of queries over one block.
CK_INLINE void int16_queries(const ck_attention_args *a, ck_attention_scratch s, int64_t first, int64_t block, int64_t keys, const float *key_factors, const float *value_factors, int queries) {
    float *output[int16_tile], unit[int16_tile], correction[int16_tile];
    const int32_t *query[int16_tile], *weights[int16_tile];
    uint64_t visible[int16_tile], any = 0;
    int64_t last = 0;
    for (int q = 0; q < queries; q++) {
        const int64_t row = (first + q) / a->heads, head = (first + q) % a->heads;
        output[q] = ck_output(a, row, head);
        query[q] = (const int32_t *)(const void *)(s.queries + (first + q) * ck_paired(a->head_dim));
        const int64_t from = a->kv_begin[row] > block ? a->kv_begin[row] - block : 0, to = a->kv_end[row] - block < keys ? a->kv_end[row] - block : keys;
        visible[q] = from < to ? ~0ull >> (ck_key_block - (to - from)) << from : 0;
        if (from < to && to > last) last = to;
        any |= visible[q];
    }
    if (any == 0) return;
    __m512i products[int16_tile][int16_vectors];
    multiply_pairs(query, a->head_dim / 2, (const int32_t *)(const void *)s.keys, ck_key_block, products, queries, int16_vectors);
    int16_t integers[int16_tile][ck_key_block];
    vf scores[int16_tile][int16_vectors];
    const float log2_e = 1.44269504f;
#pragma clang loop unroll(full)
    for (int q = 0; q < queries; q++) {
        // s.correction holds the factors of the queries here: corrections live on the stack.
        const vf factor = v_set(s.correction[first + q] * (a->softcap > 0 ? 1 : log2_e));
#pragma clang loop unroll(full)
        for (int v = 0; v < int16_vectors; v++) {
            vf x = _mm512_cvtepi32_ps(products[q][v]) * (v_load(key_factors + v * lanes) * factor);
            if (a->softcap > 0) x = v_set(a->softcap * log2_e) * v_tanh(x * v_set(1 / a->softcap));
            scores[q][v] = _mm512_mask_blend_ps((__mmask16)(visible[q] >> (v * lanes)), v_set(-__builtin_inff()), x);
        }
        weights[q] = (const int32_t *)(const void *)integers[q];
    }
    weigh_int16(scores, s.maximum + first, s.sum + first, correction, unit, integers, queries);
    const int64_t pairs = (last + 1) / 2, stride = ck_padded(a->value_dim);
    const int32_t *values = (const int32_t *)(const void *)s.values;
    int64_t d = 0;
    for (; d + ck_key_block <= a->value_dim; d += ck_key_block) int16_columns(output, weights, correction, unit, pairs, values, value_factors, stride, d, ck_key_block, queries, int16_vectors);
    for (; d < a->value_dim; d += lanes) int16_columns(output, weights, correction, unit, pairs, values, value_factors, stride, d, a->value_dim - d < lanes ? a->value_dim - d : lanes, queries, 1);
}

static void int16_block(const ck_attention_args *a, ck_attention_scratch s, int64_t block, int64_t keys) {
    float key_factors[ck_key_block], value_factors[ck_head_limit];
    int32_t *key_pairs = (int32_t *)(void *)s.keys, *value_pairs = (int32_t *)(void *)s.values;
    switch (a->kv_format) {
    case CK_KV_F32:
        quantise_keys(a, CK_KV_F32, block, keys, key_pairs, key_factors);
        quantise_values(a, CK_KV_F32, block, keys, value_pairs, value_factors);
        break;
    case CK_KV_F16:
        quantise_keys(a, CK_KV_F16, block, keys, key_pairs, key_factors);
        quantise_values(a, CK_KV_F16, block, keys, value_pairs, value_factors);
        break;
    case CK_KV_Q8_0:
        quantise_keys(a, CK_KV_Q8_0, block, keys, key_pairs, key_factors);
        quantise_values(a, CK_KV_Q8_0, block, keys, value_pairs, value_factors);
        break;
    }
    const int64_t queries = a->rows * a->heads;
    for (int64_t first = 0; first < queries; first += int16_tile) {
        switch (queries - first) {
        case 1: int16_queries(a, s, first, block, keys, key_factors, value_factors, 1); break;
        case 2: int16_queries(a, s, first, block, keys, key_factors, value_factors, 2); break;
        case 3: int16_queries(a, s, first, block, keys, key_factors, value_factors, 3); break;
        case 4: int16_queries(a, s, first, block, keys, key_factors, value_factors, 4); break;
        case 5: int16_queries(a, s, first, block, keys, key_factors, value_factors, 5); break;
        default: int16_queries(a, s, first, block, keys, key_factors, value_factors, 6); break;
        }
    }
}

static void attend_many(const ck_attention_args *a, ck_attention_scratch s, int64_t begin, int64_t end) {
    quantise_queries(a, s.queries, s.correction);
    for (int64_t block = begin; block < end; block += ck_key_block) int16_block(a, s, block, end - block < ck_key_block ? end - block : ck_key_block);
    for (int64_t q = 0; q < a->rows * a->heads; q++) s.maximum[q] *= 0.693147181f;  // partial results speak of e^x
}
