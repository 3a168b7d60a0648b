// The vector vocabulary of isa/simd.h for AVX-512: 16 lanes, tails by mask registers.
enum { lanes = 16 };

static inline __m512 v_load_n(const float *p, int64_t n) { return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p); }
static inline void v_store_n(float *p, __m512 x, int64_t n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), x); }
static inline __m512 v_max(__m512 a, __m512 b) { return _mm512_max_ps(a, b); }
static inline __m512 v_min(__m512 a, __m512 b) { return _mm512_min_ps(a, b); }
static inline __m512 v_round(__m512 x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
/// x − ⌊x⌋, 0 for infinities.
static inline __m512 v_fraction(__m512 x) { return _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
/// x · 2^⌊n⌋.
static inline __m512 v_scale_power(__m512 x, __m512 n) { return _mm512_scalef_ps(x, n); }
static inline float v_add_lanes(__m512 x) { return _mm512_reduce_add_ps(x); }
static inline float v_max_lanes(__m512 x) { return _mm512_reduce_max_ps(x); }
static inline __m512 v_load_f16(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p)); }
static inline void v_store_f16(uint16_t *p, __m512 x) {
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
/// Neighbours change places: (x1, x0, x3, x2, ...).
static inline __m512 v_swap_pairs(__m512 x) { return _mm512_permute_ps(x, 0xb1); }
/// Half a vector from memory, each element twice: (p0, p0, p1, p1, ...).
static inline __m512 v_load_twice(const float *p) {
    const __m512i index = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    return _mm512_permutexvar_ps(index, _mm512_castps256_ps512(_mm256_loadu_ps(p)));
}
static inline __m512 v_set_f16(uint16_t half) { return _mm512_cvtph_ps(_mm256_set1_epi16((short)half)); }
/// Reductions of several vectors at once, which turn them as they add them up (or take the larger). The first leaves four sums of 16 lanes as four
/// partial sums each: 128-bit part i is (part i of a, of b, of c, of d). The second makes the sums of 16 vectors from those of the first four, the next
/// four, ...
#define V_FOLD(fold4, fold_quads, combine) \
    static inline __m512 fold4(__m512 a, __m512 b, __m512 c, __m512 d) { \
        const __m512d ab = _mm512_castps_pd(combine(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b))); \
        const __m512d cd = _mm512_castps_pd(combine(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d))); \
        return combine(_mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)), _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd))); \
    } \
    static inline __m512 fold_quads(const __m512 quads[4]) { \
        const __m512 low = combine(_mm512_shuffle_f32x4(quads[0], quads[1], 0x44), _mm512_shuffle_f32x4(quads[0], quads[1], 0xee)); \
        const __m512 high = combine(_mm512_shuffle_f32x4(quads[2], quads[3], 0x44), _mm512_shuffle_f32x4(quads[2], quads[3], 0xee)); \
        return combine(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd)); \
    }
V_FOLD(v_fold4, v_fold_quads, _mm512_add_ps)
V_FOLD(v_largest4, v_largest_quads, _mm512_max_ps)
#undef V_FOLD
