// Fine sums in registers of 256 bits. The includer defines `dot`, which adds products of unsigned and signed bytes, four neighbours at a time, to 8 sums.
// Included inside a target region with AVX2, FMA and F16C.

/// What one row of activations is to all fine rows: its numbers, its scales, and what the stored numbers of fine rows make sums too large by.
typedef struct {
    const int8_t *high, *low;
    float scale[CK_SPLIT_MOST_K / CK_BLOCK], offset[CK_SPLIT_MOST_K / CK_BLOCK];
} activation_facts;

static inline __attribute__((always_inline)) void learn(activation_facts *facts, const ck_split_args *args, ck_activation_format terms) {
    const ck_activation_block *record = (const void *)((const uint8_t *)args->activations + ck_activation_block_offset(terms, args->k));
    facts->high = args->activations;
    facts->low = facts->high + ck_activation_low_offset(args->k);
    for (int64_t b = 0; b < args->k / CK_BLOCK; b++) {
        facts->scale[b] = record[b].scale;
        facts->offset[b] = ck_split_zero * record[b].scaled_sum;
    }
}

static inline __attribute__((always_inline)) float add_lanes(__m256 x) {
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

/// 32 stored numbers times 32 activations that begin at `high` (and `low`), in 8 sums.
static inline __attribute__((always_inline)) __m256 block_sums(__m256i numbers, const int8_t *high, const int8_t *low, ck_activation_format terms) {
    const __m256i top = dot(_mm256_setzero_si256(), numbers, _mm256_loadu_si256((const __m256i *)(const void *)high));
    if (terms == CK_ACT_Q8) return _mm256_cvtepi32_ps(top);
    const __m256i bottom = dot(_mm256_setzero_si256(), numbers, _mm256_loadu_si256((const __m256i *)(const void *)low));
    return _mm256_cvtepi32_ps(_mm256_add_epi32(_mm256_slli_epi32(top, 7), bottom));
}

static inline __attribute__((always_inline)) float fine_sum(
    const uint8_t *fine, int64_t k, const activation_facts *facts, ck_activation_format terms) {
    const int8_t *high = facts->high, *low = facts->low;
    const int64_t blocks = k / CK_BLOCK;
    const __m256i mask = _mm256_set1_epi8(15);
    float scales[CK_SPLIT_MOST_K / CK_BLOCK];
    __m256 sum = _mm256_setzero_ps(), offsets = _mm256_setzero_ps();
    float last_offsets = 0;
    int64_t b = 0;
    for (; b + 8 <= blocks; b += 8) {
        const __m256 d = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(ck_split_scales(fine) + b)));
        _mm256_storeu_ps(scales + b, _mm256_mul_ps(d, _mm256_loadu_ps(facts->scale + b)));
        offsets = _mm256_fmadd_ps(d, _mm256_loadu_ps(facts->offset + b), offsets);
    }
    for (; b < blocks; b++) {
        const float d = _cvtsh_ss(ck_split_scales(fine)[b]);
        scales[b] = d * facts->scale[b];
        last_offsets += d * facts->offset[b];
    }
    for (b = 0; b + 2 <= blocks; b += 2) {
        const __m256i pair = _mm256_loadu_si256((const __m256i *)(const void *)ck_split_pair(fine, k, b / 2));
        const __m256 first = block_sums(_mm256_and_si256(pair, mask), high + CK_BLOCK * b, low + CK_BLOCK * b, terms);
        const __m256 second = block_sums(_mm256_and_si256(_mm256_srli_epi16(pair, 4), mask), high + CK_BLOCK * (b + 1), low + CK_BLOCK * (b + 1), terms);
        sum = _mm256_fmadd_ps(first, _mm256_broadcast_ss(scales + b), sum);
        sum = _mm256_fmadd_ps(second, _mm256_broadcast_ss(scales + b + 1), sum);
    }
    if (b < blocks) {
        const __m256i pair = _mm256_loadu_si256((const __m256i *)(const void *)ck_split_pair(fine, k, b / 2));
        sum = _mm256_fmadd_ps(block_sums(_mm256_and_si256(pair, mask), high + CK_BLOCK * b, low + CK_BLOCK * b, terms), _mm256_broadcast_ss(scales + b), sum);
    }
    return add_lanes(_mm256_sub_ps(sum, offsets)) - last_offsets;
}
