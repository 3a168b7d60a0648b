// Integers to bytes in 256-bit vectors, for conv/u8_finish.h. Included inside a target region, after isa/simd.h.

typedef __m256i u8_quad;       // the bytes of four vectors
typedef __m256i u8_zero;       // the zero point, as words
typedef __m256i u8_limit;       // a limit as bytes

CK_INLINE vi u8_round(vf x) { return (vi)_mm256_cvtps_epi32(x); }
CK_INLINE u8_zero u8_set_zero(uint8_t zero) { return _mm256_set1_epi16(zero); }
CK_INLINE u8_limit u8_set_limit(uint8_t limit) { return _mm256_set1_epi8((char)limit); }
CK_INLINE bool u8_all_below(vf x, float limit) { return _mm256_movemask_ps(_mm256_cmp_ps(x, v_set(limit), _CMP_NLT_UQ)) == 0; }

/// min(high, max(low, saturate(x + zero))), vector after vector. Saturating the words in between changes nothing: they saturate far beyond any byte.
CK_INLINE u8_quad u8_narrow(vi a, vi b, vi c, vi d, u8_zero zero, u8_limit low, u8_limit high) {
    const __m256i ab = _mm256_adds_epi16(_mm256_packs_epi32((__m256i)a, (__m256i)b), zero), cd = _mm256_adds_epi16(_mm256_packs_epi32((__m256i)c, (__m256i)d), zero);
    const __m256i bytes = _mm256_min_epu8(_mm256_max_epu8(_mm256_packus_epi16(ab, cd), low), high);
    return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/// n bytes of the first two vectors, of the last two, and of one.
CK_INLINE void u8_store_first_pair(uint8_t *to, u8_quad x, int64_t n) {
    const __m128i bytes = _mm256_castsi256_si128(x);
    memcpy(to, &bytes, n == 2 * lanes ? sizeof bytes : (size_t)n);
}
CK_INLINE void u8_store_last_pair(uint8_t *to, u8_quad x, int64_t n) {
    const __m128i bytes = _mm256_extracti128_si256(x, 1);
    memcpy(to, &bytes, n == 2 * lanes ? sizeof bytes : (size_t)n);
}
CK_INLINE void u8_store_one(uint8_t *to, u8_quad x, const int vector, int64_t n) {
    const __m128i half = vector < 2 ? _mm256_castsi256_si128(x) : _mm256_extracti128_si256(x, 1);
    const int64_t bytes = vector % 2 == 0 ? _mm_cvtsi128_si64(half) : _mm_extract_epi64(half, 1);
    memcpy(to, &bytes, n == lanes ? sizeof bytes : (size_t)n);
}
