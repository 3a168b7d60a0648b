// What the attention files share: the rows of the table, the cache's row formats, and how the scratch memory is cut up.
#pragma once

#include "ckernels/attention.h"
#include "ckernels/isa.h"
#include "isa/bits.h"

extern const ck_attention_row ck_attention_amx, ck_attention_amx_software, ck_attention_amx_software_avx512;
extern const ck_attention_row ck_attention_scalar, ck_attention_avx2, ck_attention_avx512, ck_attention_avx512_vnni, ck_attention_neon;

enum {
    ck_key_block = 64,    // keys in one step of the online softmax
    ck_q8_block = 32,     // elements of a Q8_0 block
    ck_q8_bytes = 34,     // f16 scale, 32 int8
    ck_head_limit = 256,  // the largest head_dim and value_dim
};

static inline const float *ck_query(const ck_attention_args *a, int64_t row, int64_t head) {
    return a->queries + row * a->query_row_stride + head * a->query_head_stride;
}

static inline float *ck_output(const ck_attention_args *a, int64_t row, int64_t head) {
    return a->output + row * a->output_row_stride + head * a->output_head_stride;
}

/// Dimensions are padded to a whole number of the widest vectors in scratch, with zeros.
static inline int64_t ck_padded(int64_t dimensions) { return (dimensions + 15) / 16 * 16; }

/// Dimensions as 16-bit pairs, padded to a whole number of vectors of 16 pairs.
static inline int64_t ck_paired(int64_t dimensions) { return (dimensions + 31) / 32 * 32; }

/// Queries (rows · heads) padded to whole tiles of 16.
static inline int64_t ck_padded_queries(int64_t rows, int64_t heads) { return ck_padded(rows * heads); }

/// Scratch, f32 where not said otherwise: keys [64][paired head_dim]; values [64][padded value_dim]; and for each of the padded queries
/// scores [64]; maximum, sum, correction; queries [2][paired head_dim] 16-bit; output [padded value_dim].
/// What a row of the table keeps in each of these is its own.
typedef struct ck_attention_scratch {
    float *keys, *values, *scores, *maximum, *sum, *correction;
    int16_t *queries;
    float *output;
} ck_attention_scratch;

static inline ck_attention_scratch ck_attention_carve(const ck_attention_args *a) {
    const int64_t queries = ck_padded_queries(a->rows, a->heads);
    ck_attention_scratch s;
    s.keys = (float *)a->scratch;
    s.values = s.keys + ck_paired(a->head_dim) * ck_key_block;
    s.scores = s.values + ck_padded(a->value_dim) * ck_key_block;
    s.maximum = s.scores + queries * ck_key_block;
    s.sum = s.maximum + queries;
    s.correction = s.sum + queries;
    s.queries = (int16_t *)(s.correction + queries);
    s.output = s.correction + queries + queries * ck_paired(a->head_dim);
    return s;
}

/// The f16 scale of a Q8_0 block whose largest |x| has the bit pattern `largest`, and the factor that quantises (0: all numbers become 0).
static inline uint16_t ck_q8_scale(uint32_t largest, float *inverse) {
    *inverse = 0;
    if (largest >= 0x7f800000u) return 0x7e00u;
    if (largest < (127u - 100u) << 23) return 0;
    const float magnitude = ck_bits_to_float(largest);
    *inverse = 127 / magnitude;
    return ck_float_to_half(magnitude / 127);
}
