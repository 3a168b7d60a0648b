// The attention table, best first, its look-up, and the sizes callers need.
#include "attention/rows.h"

static const ck_attention_row *const table[] = {
#if defined(__x86_64__)
    &ck_attention_amx,
    &ck_attention_avx512_vnni,
    &ck_attention_avx512,
    &ck_attention_avx2,
#elif defined(__aarch64__)
    &ck_attention_neon,
#endif
    &ck_attention_scalar,
};

enum { row_count = sizeof table / sizeof table[0] };

size_t ck_attention_row_count(void) { return row_count; }

const ck_attention_row *ck_attention_row_at(size_t index) { return index < row_count ? table[index] : 0; }

const ck_attention_row *ck_attention_find(uint32_t isa_mask, bool may_round) {
    for (int i = 0; i < row_count; i++) {
        if ((table[i]->isa & ~isa_mask) == 0 && (may_round || table[i]->rounded_queries == 0)) return table[i];
    }
    return &ck_attention_scalar;
}

size_t ck_kv_row_bytes(ck_kv_format format, int64_t n) {
    switch (format) {
    case CK_KV_F32: return (size_t)n * sizeof(float);
    case CK_KV_F16: return (size_t)n * sizeof(uint16_t);
    case CK_KV_Q8_0: return (size_t)(n / ck_q8_block) * ck_q8_bytes;
    }
    return 0;
}

size_t ck_attention_scratch_bytes(int64_t rows, int64_t heads, int64_t head_dim, int64_t value_dim) {
    const int64_t block = ck_key_block * (ck_paired(head_dim) + ck_padded(value_dim)), query = ck_key_block + 3 + ck_paired(head_dim) + ck_padded(value_dim);
    const int64_t floats = block + ck_padded_queries(rows, heads) * query;
    return ((size_t)floats * sizeof(float) + 63) / 64 * 64;
}
