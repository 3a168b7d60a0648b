// Blocks of 32 channels in 256-bit vectors, for conv/u8_depthwise.h. Included inside a target region, after isa/simd.h.

typedef __m256i ub;
typedef __m256 uf;

CK_INLINE ub ub_set_words(int x) { return _mm256_set1_epi16((short)x); }
CK_INLINE ub ub_set_bytes(int x) { return _mm256_set1_epi8((char)x); }
/// Bytes, and words, of two vectors in turns: of the low and of the high half of each 128 bits.
CK_INLINE ub ub_low_bytes(ub a, ub b) { return _mm256_unpacklo_epi8(a, b); }
CK_INLINE ub ub_high_bytes(ub a, ub b) { return _mm256_unpackhi_epi8(a, b); }
CK_INLINE ub ub_low_words(ub a, ub b) { return _mm256_unpacklo_epi16(a, b); }
CK_INLINE ub ub_high_words(ub a, ub b) { return _mm256_unpackhi_epi16(a, b); }
/// Each group of four taps one place on.
CK_INLINE ub ub_next_slot(ub x) { return _mm256_slli_epi32(x, 8); }
CK_INLINE uf ub_scale(ub x, uf factor) { return _mm256_mul_ps(_mm256_cvtepi32_ps(x), factor); }
/// The nearest integers, even where two are; the smallest one for what is beyond all.
CK_INLINE ub uf_round(uf x) { return _mm256_cvtps_epi32(x); }
CK_INLINE uf uf_min(uf a, uf b) { return _mm256_min_ps(a, b); }
CK_INLINE uf uf_set(float x) { return _mm256_set1_ps(x); }
CK_INLINE uf uf_of_bits(ub x) { return _mm256_castsi256_ps(x); }
/// The last steps saturate, and pack within each 128 bits.
CK_INLINE ub ub_pack_words(ub a, ub b) { return _mm256_packs_epi32(a, b); }
CK_INLINE ub ub_pack_bytes(ub a, ub b) { return _mm256_packus_epi16(a, b); }
CK_INLINE ub ub_add_words(ub a, ub b) { return _mm256_adds_epi16(a, b); }
CK_INLINE ub ub_min_bytes(ub a, ub b) { return _mm256_min_epu8(a, b); }
CK_INLINE ub ub_max_bytes(ub a, ub b) { return _mm256_max_epu8(a, b); }

/// 16 bytes of each panel.
CK_INLINE ub ub_of_panels(const uint8_t *const lines[2]) {
    const __m128i a = _mm_loadu_si128((const __m128i *)(const void *)lines[0]), b = _mm_loadu_si128((const __m128i *)(const void *)lines[1]);
    return _mm256_set_m128i(b, a);
}
