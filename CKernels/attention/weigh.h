// One step of the online softmax over a block of keys. Included inside an instruction set's target region, after isa/simd.h and vector/math.h.

enum {
    tile_vectors = lanes == 8 ? 2 : 4,  // of a register tile of 4 queries: 16 registers for AVX2, 32 for the others
    many_queries = 8,                   // queries from which turning whole blocks of the cache into another form pays
};

// Raw scores to weights for one query that sees keys [from, to) of the block; updates its maximum and sum.
CK_INLINE void weigh(const ck_attention_args *a, float *scores, int64_t from, int64_t to, float *maximum, float *sum, float *correction) {
    const float minus_infinity = -__builtin_inff();
    for (int64_t j = 0; j < from; j++) scores[j] = minus_infinity;
    for (int64_t j = to; j < ck_key_block; j++) scores[j] = minus_infinity;
    vf top = v_set(*maximum);
    for (int j = 0; j < ck_key_block; j += lanes) {
        vf s = v_load(scores + j) * v_set(a->scale);
        if (a->softcap > 0) {
            // The cap turns −∞ into −softcap, so hidden keys are hidden again.
            const vf capped = v_set(a->softcap) * v_tanh(s * v_set(1 / a->softcap));
            s = v_select(v_load(scores + j) == v_set(minus_infinity), v_set(minus_infinity), capped);
        }
        v_store(scores + j, s);
        top = v_max(s, top);
    }
    const float largest = v_max_lanes(top);
    if (largest == minus_infinity) {  // every score is −∞: nothing to add, and ∞ − ∞ must not happen
        memset(scores, 0, ck_key_block * sizeof(float));
        *correction = 1;
        return;
    }
    vf total = {0};
    for (int j = 0; j < ck_key_block; j += lanes) {
        const vf weight = v_exp(v_load(scores + j) - v_set(largest));
        v_store(scores + j, weight);
        total += weight;
    }
    *correction = v_exp(v_set(*maximum - largest))[0];
    *sum = *sum * *correction + v_add_lanes(total);
    *maximum = largest;
}
