// Attention of many queries on AMX bf16 tiles. Included inside a target region with 16 lanes, after isa/amx_tiles.h, weigh.h, few.h, exp2.h and
// transpose.h; compiled for tests over tiles in plain C as well (attention/twins.c).
//
// One bf16 keeps 8 bits of a number, far too few for scores. So every operand is a sum of two bf16 terms, x = x₀ + x₁: x₀ is x rounded, x₁ what
// that leaves, cut off at 8 bits: |x − x₀ − x₁| ≤ 2⁻¹⁵ |x|, and nothing at all for numbers of 11 bits (an f16 cache). A product is
//     x·y ≈ x₀·y₁ + x₁·y₀ + x₀·y₀           (x₁·y₁ ≤ 2⁻¹⁶ |x·y| is left out)
// added up in the f32 of the tiles: three tile products for one. Measured against Double (64-long heads, 3 query heads a key/value head, 512 causal
// tokens, f16 cache, normally distributed numbers; root mean square of the error over that of the output): 8e-6, where the 15-bit integers of
// many_int16.h leave 1.5e-4 and f32 5e-7. Leaving out any of the three, of the scores or of the values, leaves 1e-3 to 3e-3.
//
// The cache is walked in blocks of 64 keys, as in many.h. The keys and values of a block become terms once for all queries of the call, tokens and
// heads alike, which pass in units of 16. All is transposed, queries along lanes, so that what the softmax needs for a query (maximum, sum, correction)
// is a lane of a vector and nothing is added up across lanes:
//     scores  = keys · queriesᵀ                  [64][16]           a sum tile for 16 keys
//     weights = 2^(scores − maximum)             [64][16]           in vectors; queries carry scale · log₂ e, so scores need no factor
//     output  = output + valuesᵀ · weights       [value_dim][16]    a sum tile for 16 dimensions, loaded from and stored to scratch
// The maximum is one that was: it is raised, and sums and output corrected for it, only when a score passes it by more than 8 (a weight by 2⁸), which
// floats do not mind and which leaves little to correct after a query's first block.
//
// A product of tiles takes 32 k in pairs. Which k is whose partner is free as long as both operands agree, so k + 16 is the partner of k: two vectors
// make a vector of pairs with a shift and an or, in place of a permutation. In words of such pairs, [terms] outermost:
//     keys [2][64][paired head_dim / 2], queries [unit][2][paired head_dim / 2][16], weights [2][32][16], values [2][padded value_dim][32]
//
// Bound, cycles for 16 queries × 64 keys × head_dim 64, with the machine of gemm/linear_amx_int8_body.h (16 a tile product, 8 a tile load,
// 16 a tile store, two vector operations a cycle):
//     tile products    scores 3·2·4 and values 3·2·4 = 48 of 8,192 multiply-adds, a third of which a single product would take    768
//     tile loads       scores 2·(2 + 12), values 2·(2 + 12) + 4 = 60                                                              480
//     tile stores      4 + 4                                                                                                      128
//     vectors          64 of scores, each: maximum 1, 2^x 10, sum 1, terms 5                                                      544
// The vectors of a unit wait for nothing but its scores, so the scores of the next unit are multiplied before them: the tile unit works while the
// vectors do. The bound is 768 then, 171 multiply-adds a cycle that count, where VPDPWSSD (many_int16.h) has 64: 2,048 for the products alone.
// A product adds to another tile than the three before it, because its sum is ready only after about 52 cycles; that is what the 12 loads are for
// (8 would do with less distance). The vectors take as long as two of the three products.
// Making the terms of a block takes about 3,000 cycles (1,000 for keys, 2,000 for values, which have to be turned), as long as four units: a call
// should bring many queries. With the 12 units of 64 tokens by 3 heads it adds a third, with 6 units two thirds.
//
// Numbers: infinities in queries or cache give NaN here (∞ − ∞ is left of them). Denormals are zeros to the tiles.
// Tiles are configured when a call begins and released when it ends, in the one shape that the bf16 linear rows use.

enum {
    amx_terms = 2,
    amx_step = 32,  // k of a tile product
    amx_pairs = amx_step / 2,
    amx_block_pairs = ck_key_block / 2,
    amx_slack = 8,  // powers of 2 that a weight may reach before its maximum is raised
};
_Static_assert(lanes == tile_rows && ck_key_block == 4 * tile_rows, "a unit of queries is a vector, a block of keys four tiles");

/// 16 queries before one block.
typedef struct amx_unit {
    int64_t first;               // of the flattened (token, head) list; past its end queries are zeros
    int64_t last;                // one past the last key of the block that any of them sees
    bool sees_all;               // each sees each key of a whole block
    int32_t from[lanes], to[lanes];  // what each sees of the block
} amx_unit;

typedef struct amx_attention {
    const ck_attention_args *args;
    ck_attention_scratch s;
    ck_tiles *tiles;
    int64_t queries;
    int64_t depth, width;  // pairs of dimensions of a key; dimensions of a value, padded
    int64_t block, keys;   // the block's first cache position and its keys
    _Alignas(64) float scores[2][ck_key_block][lanes];  // of this unit and of the next
    _Alignas(64) uint32_t weights[amx_terms][amx_block_pairs][lanes];
} amx_attention;

/// The terms of two vectors as pairs, (low, high) in a word, the second term's `term` words after the first's.
CK_INLINE void amx_split(vf low, vf high, uint32_t *destination, int64_t term) {
    const vu top_low = ((vu)low + 0x8000u) & 0xffff0000u, top_high = ((vu)high + 0x8000u) & 0xffff0000u;
    const vu top = top_low >> 16 | top_high;
    // Cut off, not rounded: adding to the bits of a NaN might leave a number.
    const vu rest = (vu)(low - (vf)top_low) >> 16 | ((vu)(high - (vf)top_high) & 0xffff0000u);
    memcpy(destination, &top, sizeof top);
    memcpy(destination + term, &rest, sizeof rest);
}

CK_INLINE uint32_t *amx_query_pairs(const amx_attention *job, int64_t first) { return (uint32_t *)(void *)job->s.queries + amx_terms * first * job->depth; }
CK_INLINE uint32_t *amx_key_pairs(const amx_attention *job) { return (uint32_t *)(void *)job->s.keys; }
CK_INLINE uint32_t *amx_value_pairs(const amx_attention *job) { return (uint32_t *)(void *)job->s.values; }

/// 16 rows of `columns` words to `columns` rows of 16.
CK_INLINE void amx_transpose(const uint32_t *rows, int64_t columns, uint32_t *out, int64_t stride) {
    for (int64_t i = 0; i < columns; i += lanes) transpose_words(rows + i, sizeof *rows * (size_t)columns, out + i * stride, sizeof *out * (size_t)stride);
}

/// The terms of all queries, times what makes their products exponents of 2 (or what tanh takes); zeros for queries and dimensions there are not.
static void amx_split_queries(const amx_attention *job) {
    const ck_attention_args *a = job->args;
    const vf factor = v_set(a->softcap > 0 ? a->scale / a->softcap : a->scale * 1.44269504f);
    _Alignas(64) uint32_t rows[amx_terms * lanes * ck_head_limit / 2];
    for (int64_t first = 0; first < job->queries; first += lanes) {
        for (int64_t r = 0; r < lanes; r++) {
            const int64_t row = (first + r) / a->heads, head = (first + r) % a->heads;
            for (int64_t pair = 0; pair < job->depth; pair += amx_pairs) {
                vf x[2] = {{0}, {0}};
                for (int i = 0; i < 2 && first + r < job->queries; i++) {
                    const int64_t d = 2 * pair + lanes * i, left = a->head_dim - d;
                    if (left > 0) x[i] = (left >= lanes ? v_load(ck_query(a, row, head) + d) : v_load_n(ck_query(a, row, head) + d, left)) * factor;
                }
                amx_split(x[0], x[1], rows + r * job->depth + pair, lanes * job->depth);
            }
        }
        for (int64_t term = 0; term < amx_terms; term++) {
            amx_transpose(rows + term * lanes * job->depth, job->depth, amx_query_pairs(job, first) + term * lanes * job->depth, lanes);
        }
    }
}

/// The keys of a block, zeros for keys up to a whole tile and for dimensions there are not.
CK_INLINE void amx_split_keys(const amx_attention *job, ck_kv_format format) {
    const ck_attention_args *a = job->args;
    const int64_t dim = a->head_dim;
    for (int64_t j = 0; j < ck_padded(job->keys); j++) {
        uint32_t *pairs = amx_key_pairs(job) + j * job->depth;
        const uint8_t *row = cache_row(a->keys, a->key_stride_bytes, job->block + j);
        for (int64_t d = 0; d < 2 * job->depth; d += amx_step) {
            vf low = {0}, high = {0};
            if (j < job->keys) {
                low = cache_load_any(row, format, d, dim);
                if (d + lanes < dim) high = cache_load_any(row, format, d + lanes, dim);
            }
            amx_split(low, high, pairs + d / 2, ck_key_block * job->depth);
        }
    }
}

/// The values of a block, zeros for keys up to a whole step and for dimensions there are not.
CK_INLINE void amx_split_values(const amx_attention *job, ck_kv_format format) {
    const ck_attention_args *a = job->args;
    const int64_t dim = a->value_dim;
    _Alignas(64) uint32_t rows[amx_terms * amx_pairs * ck_head_limit];
    for (int64_t step = 0; step < job->keys; step += amx_step) {
        for (int64_t i = 0; i < amx_pairs; i++) {
            const int64_t j = step + i, partner = j + amx_pairs;
            for (int64_t d = 0; d < dim; d += lanes) {
                const vf low = j < job->keys ? cache_load_any(cache_row(a->values, a->value_stride_bytes, job->block + j), format, d, dim) : (vf){0};
                const vf high = partner < job->keys ? cache_load_any(cache_row(a->values, a->value_stride_bytes, job->block + partner), format, d, dim) : (vf){0};
                amx_split(low, high, rows + i * job->width + d, amx_pairs * job->width);
            }
        }
        for (int64_t term = 0; term < amx_terms; term++) {
            amx_transpose(rows + term * amx_pairs * job->width, job->width, amx_value_pairs(job) + term * amx_block_pairs * job->width + step / 2, amx_block_pairs);
        }
    }
}

/// One step of k: adds to sums 0 to `count` − 1 the products of as many tiles one below the other by one tile, `right`, which is stored whole.
CK_INLINE void amx_multiply(ck_tiles *tiles, const uint32_t *left, int64_t left_term, int64_t left_stride, const uint32_t *right, int64_t right_term, int count) {
    tile_load(tiles, tile_right, right, tile_row_bytes);
    tile_load(tiles, tile_right + 1, right + right_term, tile_row_bytes);
    // Small products first: (left 1, right 0), (left 0, right 1), (left 0, right 0).
#pragma clang loop unroll(full)
    for (int product = 0; product < 3; product++) {
#pragma clang loop unroll(full)
        for (int i = 0; i < count; i++) {
            tile_load(tiles, tile_left + i % 2, left + (product == 0 ? left_term : 0) + tile_rows * left_stride * i, sizeof *left * (size_t)left_stride);
            tile_dot_bf16(tiles, i, tile_left + i % 2, tile_right + (product == 1));
        }
    }
}

/// Scores of a unit with the first 16 · count keys of the block.
CK_INLINE void amx_score_tiles(const amx_attention *job, int64_t first, float scores[ck_key_block][lanes], int count) {
    const uint32_t *keys = amx_key_pairs(job), *queries = amx_query_pairs(job, first);
#pragma clang loop unroll(full)
    for (int i = 0; i < count; i++) tile_zero(job->tiles, i);
    for (int64_t pair = 0; pair < job->depth; pair += amx_pairs) {
        amx_multiply(job->tiles, keys + pair, ck_key_block * job->depth, job->depth, queries + lanes * pair, lanes * job->depth, count);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < count; i++) tile_store(job->tiles, i, scores[tile_rows * i], sizeof scores[0]);
}

static void amx_scores(const amx_attention *job, const amx_unit *unit, float scores[ck_key_block][lanes]) {
    switch ((unit->last + tile_rows - 1) / tile_rows) {
    case 1: amx_score_tiles(job, unit->first, scores, 1); break;
    case 2: amx_score_tiles(job, unit->first, scores, 2); break;
    case 3: amx_score_tiles(job, unit->first, scores, 3); break;
    default: amx_score_tiles(job, unit->first, scores, 4); break;
    }
}

/// Adds to dimensions [d, d + 16 · count) of a unit's output.
CK_INLINE void amx_value_tiles(const amx_attention *job, const amx_unit *unit, int64_t d, int count) {
    float *output = job->s.output + unit->first * job->width + d * lanes;
    const uint32_t *values = amx_value_pairs(job) + d * amx_block_pairs;
#pragma clang loop unroll(full)
    for (int i = 0; i < count; i++) tile_load(job->tiles, i, output + tile_rows * lanes * i, tile_row_bytes);
    for (int64_t pair = 0; 2 * pair < unit->last; pair += amx_pairs) {
        amx_multiply(job->tiles, values + pair, amx_block_pairs * job->width, amx_block_pairs, job->weights[0][pair], amx_block_pairs * lanes, count);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < count; i++) tile_store(job->tiles, i, output + tile_rows * lanes * i, tile_row_bytes);
}

static void amx_values(const amx_attention *job, const amx_unit *unit) {
    int64_t d = 0;
    for (; d + 4 * tile_rows <= job->width; d += 4 * tile_rows) amx_value_tiles(job, unit, d, 4);
    switch ((job->width - d) / tile_rows) {
    case 1: amx_value_tiles(job, unit, d, 1); break;
    case 2: amx_value_tiles(job, unit, d, 2); break;
    case 3: amx_value_tiles(job, unit, d, 3); break;
    default: break;
    }
}

/// Caps the scores of `keys` keys and hides what a query does not see.
static void amx_hide(const amx_attention *job, const amx_unit *unit, float scores[ck_key_block][lanes], int32_t keys) {
    const float softcap = job->args->softcap;
    vi from, to;
    memcpy(&from, unit->from, sizeof from);
    memcpy(&to, unit->to, sizeof to);
    for (int32_t j = 0; j < keys; j++) {
        vf x = v_set(-__builtin_inff());
        if (j < unit->last) {
            const vf score = v_load(scores[j]);
            x = v_select((from <= j) & (to > j), softcap > 0 ? v_set(softcap * 1.44269504f) * v_tanh(score) : score, x);
        }
        v_store(scores[j], x);
    }
}

/// Multiplies a unit's sums and output, which stand for a maximum that is no more.
static void amx_correct(const amx_attention *job, const amx_unit *unit, vf correction) {
    float *sum = job->s.sum + unit->first, *output = job->s.output + unit->first * job->width;
    v_store(sum, v_load(sum) * correction);
    for (int64_t d = 0; d < job->width; d++) v_store(output + d * lanes, v_load(output + d * lanes) * correction);
}

/// Scores of a unit to the terms of its weights; adds to its sums, and raises its maxima where they are too low.
static void amx_weigh(amx_attention *job, const amx_unit *unit, float scores[ck_key_block][lanes]) {
    const int32_t keys = (int32_t)ck_paired(unit->last);
    if (!unit->sees_all || job->args->softcap > 0) amx_hide(job, unit, scores, keys);
    vf tops[4];
    for (int i = 0; i < 4; i++) tops[i] = v_load(scores[i]);
    for (int32_t j = 4; j < keys; j += 4) {
#pragma clang loop unroll(full)
        for (int i = 0; i < 4; i++) tops[i] = v_max(v_load(scores[j + i]), tops[i]);
    }
    const vf top = v_max(v_max(tops[0], tops[1]), v_max(tops[2], tops[3]));
    float *maximum = job->s.maximum + unit->first;
    const vf before = v_load(maximum);
    const vi raised = top > before + v_set(amx_slack);
    const vf after = v_select(raised, top, before);
    // Where nothing was seen yet everything is 2^−∞, and ∞ − ∞ must not happen.
    const vf origin = v_select(after == v_set(-__builtin_inff()), v_set(0), after);
    if (__builtin_reduce_or(raised) != 0) {
        v_store(maximum, after);
        amx_correct(job, unit, exp2_negative(before - origin));
    }
    vf sums[2] = {{0}, {0}};
    for (int32_t step = 0; step < keys; step += amx_step) {
        for (int32_t i = 0; i < amx_pairs; i++) {
            const vf low = exp2_negative(v_load(scores[step + i]) - origin), high = exp2_negative(v_load(scores[step + amx_pairs + i]) - origin);
            sums[0] += low;
            sums[1] += high;
            amx_split(low, high, job->weights[0][step / 2 + i], amx_block_pairs * lanes);
        }
    }
    float *sum = job->s.sum + unit->first;
    v_store(sum, v_load(sum) + (sums[0] + sums[1]));
}

/// The first unit from query `first` on that sees anything of the block; false if there is none.
static bool amx_next_unit(const amx_attention *job, int64_t first, amx_unit *unit) {
    const ck_attention_args *a = job->args;
    for (; first < job->queries; first += lanes) {
        unit->first = first;
        unit->last = 0;
        unit->sees_all = job->keys == ck_key_block;
        // Queries of one token see the same.
        int64_t row = first / a->heads, head = first % a->heads;
        for (int64_t r = 0; r < lanes; row++, head = 0) {
            int64_t from = 0, to = 0;
            if (row < a->rows) {
                from = a->kv_begin[row] - job->block;
                to = a->kv_end[row] - job->block;
                if (from > 0 || to < job->keys) unit->sees_all = false;
                from = from > 0 ? from : 0;
                to = to < job->keys ? to : job->keys;
                if (from < to && to > unit->last) unit->last = to;
            }
            const int64_t next = row < a->rows && r + a->heads - head < lanes ? r + a->heads - head : lanes;
            for (; r < next; r++) {
                unit->from[r] = (int32_t)from;
                unit->to[r] = (int32_t)to;
            }
        }
        if (unit->last > 0) return true;
    }
    return false;
}

static void amx_block(amx_attention *job) {
    switch (job->args->kv_format) {
    case CK_KV_F32:
        amx_split_keys(job, CK_KV_F32);
        amx_split_values(job, CK_KV_F32);
        break;
    case CK_KV_F16:
        amx_split_keys(job, CK_KV_F16);
        amx_split_values(job, CK_KV_F16);
        break;
    case CK_KV_Q8_0:
        amx_split_keys(job, CK_KV_Q8_0);
        amx_split_values(job, CK_KV_Q8_0);
        break;
    }
    amx_unit units[2];
    bool more = amx_next_unit(job, 0, &units[0]);
    if (more) amx_scores(job, &units[0], job->scores[0]);
    for (int turn = 0; more; turn ^= 1) {
        amx_unit *next = &units[turn ^ 1];
        more = amx_next_unit(job, units[turn].first + lanes, next);
        if (more) amx_scores(job, next, job->scores[turn ^ 1]);
        amx_weigh(job, &units[turn], job->scores[turn]);
        amx_values(job, &units[turn]);
    }
}

/// Turns the outputs of a unit back and hands them out.
static void amx_finish(const amx_attention *job, int64_t first) {
    const ck_attention_args *a = job->args;
    _Alignas(64) float square[lanes][lanes];
    for (int64_t d = 0; d < a->value_dim; d += lanes) {
        const int64_t left = a->value_dim - d;
        transpose_words(job->s.output + first * job->width + d * lanes, sizeof square[0], square, sizeof square[0]);
        for (int64_t q = first; q < first + lanes && q < job->queries; q++) {
            float *output = ck_output(a, q / a->heads, q % a->heads) + d;
            if (left >= lanes) v_store(output, v_load(square[q - first]));
            else v_store_n(output, v_load(square[q - first]), left);
        }
    }
}

static void attend_many(const ck_attention_args *a, ck_attention_scratch s, int64_t begin, int64_t end) {
    ck_tiles tiles;
    amx_attention job = {.args = a, .s = s, .tiles = &tiles, .queries = a->rows * a->heads, .depth = ck_paired(a->head_dim) / 2, .width = ck_padded(a->value_dim)};
    const int64_t padded = ck_padded(job.queries);
    for (int64_t q = job.queries; q < padded; q++) {
        s.maximum[q] = -__builtin_inff();
        s.sum[q] = 0;
    }
    memset(s.output, 0, sizeof(float) * (size_t)(padded * job.width));
    amx_split_queries(&job);
    tiles_configure_whole(&tiles);
    for (job.block = begin; job.block < end; job.block += ck_key_block) {
        job.keys = end - job.block < ck_key_block ? end - job.block : ck_key_block;
        amx_block(&job);
    }
    tiles_release(&tiles);
    for (int64_t first = 0; first < job.queries; first += lanes) amx_finish(&job, first);
    for (int64_t q = 0; q < job.queries; q++) s.maximum[q] *= 0.693147181f;  // partial results speak of e^x
}
