// The vector vocabulary of isa/simd.h for AVX2 with FMA and F16C: 8 lanes, tails by a sliding window over a mask table.
enum { lanes = 8 };

static inline __m256i v_tail_mask(int64_t n) {
    static const int32_t window[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
    return _mm256_loadu_si256((const __m256i *)(const void *)(window + 8 - n));
}
static inline __m256 v_load_n(const float *p, int64_t n) { return _mm256_maskload_ps(p, v_tail_mask(n)); }
static inline void v_store_n(float *p, __m256 x, int64_t n) { _mm256_maskstore_ps(p, v_tail_mask(n), x); }
static inline __m256 v_max(__m256 a, __m256 b) { return _mm256_max_ps(a, b); }
static inline __m256 v_min(__m256 a, __m256 b) { return _mm256_min_ps(a, b); }
static inline __m256 v_round(__m256 x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline float v_add_lanes(__m256 x) {
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}
static inline float v_max_lanes(__m256 x) {
    __m128 top = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    top = _mm_max_ps(top, _mm_movehl_ps(top, top));
    return _mm_cvtss_f32(_mm_max_ss(top, _mm_movehdup_ps(top)));
}
static inline __m256 v_load_f16(const uint16_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p)); }
static inline void v_store_f16(uint16_t *p, __m256 x) {
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
/// Neighbours change places: (x1, x0, x3, x2, ...).
static inline __m256 v_swap_pairs(__m256 x) { return _mm256_permute_ps(x, 0xb1); }
/// Half a vector from memory, each element twice: (p0, p0, p1, p1, ...).
static inline __m256 v_load_twice(const float *p) {
    const __m256i index = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    return _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), index);
}
static inline __m256 v_set_f16(uint16_t half) { return _mm256_cvtph_ps(_mm_set1_epi16((short)half)); }
/// Four sums of 8 lanes left as two partial sums each: 128-bit part i is (part i of a, of b, of c, of d), each added up.
static inline __m256 v_fold4(__m256 a, __m256 b, __m256 c, __m256 d) {
    const __m256d ab = _mm256_castps_pd(_mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)));
    const __m256d cd = _mm256_castps_pd(_mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d)));
    return _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd)), _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd)));
}
/// The sums of the lanes of 8 vectors, from the folds of the first four and of the last four.
static inline __m256 v_fold_quads(const __m256 quads[2]) {
    return _mm256_add_ps(_mm256_permute2f128_ps(quads[0], quads[1], 0x20), _mm256_permute2f128_ps(quads[0], quads[1], 0x31));
}
