// Which rows get their fine sums: those whose largest possible sum reaches the threshold. The includer defines `activation_facts`, `learn`, which fills them,
// and `fine_sum` of one row. Included inside a target region with AVX2, FMA and F16C.

enum { rows_looked_at = 32 };

static inline __attribute__((always_inline)) void refine_terms(const ck_split_args *args, ck_activation_format terms) {
    activation_facts facts;
    int isReady = 0;
    const __m256 reach = _mm256_set1_ps(args->reach), threshold = _mm256_set1_ps(args->threshold);
    const size_t row_bytes = ck_split_fine_bytes(args->k);
    for (int64_t first = 0; first < args->count; first += rows_looked_at) {
        const int64_t count = args->count - first < rows_looked_at ? args->count - first : rows_looked_at;
        uint32_t reaching = 0;
        if (count == rows_looked_at) {
#pragma clang loop unroll(full)
            for (int i = 0; i < rows_looked_at; i += 8) {
                const __m256 most = _mm256_fmadd_ps(_mm256_loadu_ps(args->norms + first + i), reach, _mm256_loadu_ps(args->sums + first + i));
                reaching |= (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(most, threshold, _CMP_GE_OQ)) << i;
            }
        } else {
            for (int i = 0; i < count; i++) {
                if (__builtin_fmaf(args->norms[first + i], args->reach, args->sums[first + i]) >= args->threshold) reaching |= 1u << i;
            }
        }
        if (reaching && !isReady) {
            isReady = 1;
            learn(&facts, args, terms);
        }
        for (; reaching; reaching &= reaching - 1) {
            const int64_t row = first + __builtin_ctz(reaching);
            args->sums[row] += fine_sum((const uint8_t *)args->fine + row_bytes * (size_t)row, args->k, &facts, terms);
        }
    }
}

static void refine(const ck_split_args *args) {
    if (args->activation == CK_ACT_Q15) refine_terms(args, CK_ACT_Q15);
    else refine_terms(args, CK_ACT_Q8);
}
