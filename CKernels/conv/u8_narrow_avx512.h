// Integers to bytes in 512-bit vectors, for conv/u8_finish.h. Included inside a target region, after isa/simd.h.

typedef __m512i u8_quad;       // the bytes of four vectors
typedef __m512i u8_zero;       // the zero point, as words
typedef __m512i u8_limit;       // a limit as bytes

CK_INLINE vi u8_round(vf x) { return (vi)_mm512_cvtps_epi32(x); }
CK_INLINE u8_zero u8_set_zero(uint8_t zero) { return _mm512_set1_epi16(zero); }
CK_INLINE u8_limit u8_set_limit(uint8_t limit) { return _mm512_set1_epi8((char)limit); }
CK_INLINE bool u8_all_below(vf x, float limit) { return _mm512_cmp_ps_mask(x, v_set(limit), _CMP_NLT_UQ) == 0; }

/// min(high, max(low, saturate(x + zero))), vector after vector. Saturating the words in between changes nothing: they saturate far beyond any byte.
CK_INLINE u8_quad u8_narrow(vi a, vi b, vi c, vi d, u8_zero zero, u8_limit low, u8_limit high) {
    const __m512i ab = _mm512_adds_epi16(_mm512_packs_epi32((__m512i)a, (__m512i)b), zero), cd = _mm512_adds_epi16(_mm512_packs_epi32((__m512i)c, (__m512i)d), zero);
    const __m512i bytes = _mm512_min_epu8(_mm512_max_epu8(_mm512_packus_epi16(ab, cd), low), high);
    return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), bytes);
}

/// n bytes of the first two vectors, of the last two, and of one.
CK_INLINE void u8_store_first_pair(uint8_t *to, u8_quad x, int64_t n) {
    if (n == 2 * lanes) _mm256_storeu_si256((__m256i *)(void *)to, _mm512_castsi512_si256(x));
    else _mm256_mask_storeu_epi8(to, (__mmask32)((1ull << n) - 1), _mm512_castsi512_si256(x));
}
CK_INLINE void u8_store_last_pair(uint8_t *to, u8_quad x, int64_t n) {
    if (n == 2 * lanes) _mm256_storeu_si256((__m256i *)(void *)to, _mm512_extracti64x4_epi64(x, 1));
    else _mm256_mask_storeu_epi8(to, (__mmask32)((1ull << n) - 1), _mm512_extracti64x4_epi64(x, 1));
}
CK_INLINE void u8_store_one(uint8_t *to, u8_quad x, const int vector, int64_t n) {
    const __m128i bytes = vector == 0 ? _mm512_castsi512_si128(x) : vector == 1 ? _mm512_extracti32x4_epi32(x, 1) : vector == 2 ? _mm512_extracti32x4_epi32(x, 2) : _mm512_extracti32x4_epi32(x, 3);
    if (n == lanes) _mm_storeu_si128((__m128i *)(void *)to, bytes);
    else _mm_mask_storeu_epi8(to, (__mmask16)((1u << n) - 1), bytes);
}
