/// Attention of the query heads that share one key/value head, streamed over the cache in blocks with an online softmax in f32
/// (Milakov and Gimelshein 2018; Dao et al. 2022, "FlashAttention"): scores are never stored for more than one block of keys.
///
///     out[t][h] = Σ_j softmax_j(cap(scale · q[t][h]·k[j])) · v[j]      over  begin[t] ≤ j < end[t]
///
/// Causal order and sliding windows are the caller's, as the half-open range of each query token. An empty range gives zeros. The cache must hold
/// numbers everywhere between the smallest begin and the largest end of one call: positions a token does not see get the weight zero.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// How the cache holds a key or value row. Q8_0 rows are runs of GGUF's 34-byte blocks (f16 scale, 32 int8) along head_dim.
typedef enum ck_kv_format {
    CK_KV_F32 = 0,
    CK_KV_F16,
    CK_KV_Q8_0,
} ck_kv_format;

typedef struct ck_attention_args {
    const float *queries;        ///< [rows][heads][head_dim] by the strides below
    int64_t query_row_stride;    ///< elements between query tokens
    int64_t query_head_stride;   ///< elements between heads of the group
    int64_t rows;                ///< query tokens
    int64_t heads;               ///< query heads that share this key/value head
    int64_t head_dim;            ///< of queries and keys: a multiple of 8 up to 256 (of 32 for CK_KV_Q8_0)
    int64_t value_dim;           ///< of values and outputs: the same rule
    const void *keys;            ///< row 0 of this head's keys
    size_t key_stride_bytes;     ///< bytes between cache positions
    const void *values;          ///< row 0 of this head's values
    size_t value_stride_bytes;
    const void *next_keys;       ///< null, or keys at the same distances that the caller's next call begins with: fetched meanwhile where that pays
    ck_kv_format kv_format;
    const int32_t *kv_begin;     ///< [rows] first visible cache position
    const int32_t *kv_end;       ///< [rows] one past the last
    float scale;                 ///< normally 1/sqrt(head_dim)
    float softcap;               ///< softcap · tanh(score / softcap) when > 0
    float *output;               ///< [rows][heads][value_dim] by the strides below; overwritten
    int64_t output_row_stride;   ///< elements between query tokens
    int64_t output_head_stride;  ///< elements between heads
    /// Both null: `output` is the finished attention. Both set, [rows][heads]: `output` is left unnormalised, Σ exp(s − maximum) · v, and these get
    /// the running maximum (−∞ for an empty range) and Σ exp(s − maximum), so that parts over disjoint ranges can be merged.
    float *partial_maximum;
    float *partial_sum;
    void *scratch;               ///< ck_attention_scratch_bytes, 64-byte aligned, one a thread
} ck_attention_args;

/// Scratch one call needs, the same for every row of the table.
size_t ck_attention_scratch_bytes(int64_t rows, int64_t heads, int64_t head_dim, int64_t value_dim);

/// Merges `parts` partial results of `rows` tokens by `heads` heads into finished attention.
typedef struct ck_attention_merge_args {
    int64_t parts;
    int64_t rows;
    int64_t heads;
    int64_t value_dim;
    const float *accumulators;     ///< [parts][rows][heads][value_dim], dense
    const float *maximum;          ///< [parts][rows][heads]
    const float *sum;              ///< [parts][rows][heads]
    float *output;                 ///< [rows][heads][value_dim] by the strides below; overwritten
    int64_t output_row_stride;     ///< elements between tokens
    int64_t output_head_stride;    ///< elements between heads
} ck_attention_merge_args;

/// Stores one row of `n` floats in the cache's format (n a multiple of 32 for CK_KV_Q8_0). ck_kv_row_bytes says how many bytes it takes.
typedef void (*ck_kv_store_function)(const float *source, int64_t n, void *destination);

/// A row of the attention table: one instruction set, all cache formats.
typedef struct ck_attention_row {
    const char *name;
    uint32_t isa;  ///< instruction sets needed (ck_isa bits)
    /// Queries (rows · heads) of one call from which queries, keys, weights and values are rounded to 15 or 16 bits before they are multiplied; 0: never.
    int64_t rounded_queries;
    /// What rounding may cost beside f32, for queries within ±2 and values within ±1: |error| ≤ rounding_error · (1 + largest query / 2).
    float rounding_error;
    void (*attend)(const ck_attention_args *args);
    void (*merge)(const ck_attention_merge_args *args);
    ck_kv_store_function store_f32;
    ck_kv_store_function store_f16;
    ck_kv_store_function store_q8_0;
} ck_attention_row;

/// Bytes of a cache row of `n` elements.
size_t ck_kv_row_bytes(ck_kv_format format, int64_t n);

/// The table, best row first, scalar last; the look-up never returns null.
size_t ck_attention_row_count(void);
const ck_attention_row *ck_attention_row_at(size_t index);
/// `may_round` lets it be a row that rounds what many queries multiply, which is right beside layers that round their activations as finely.
const ck_attention_row *ck_attention_find(uint32_t isa_mask, bool may_round);

/// Twins: rows of instruction sets that machines may lack, compiled so that more machines run them (tiles in plain C). For tests alone: look-up never
/// returns them, and they say nothing about speed.
size_t ck_attention_twin_count(void);
const ck_attention_row *ck_attention_twin_at(size_t index);
