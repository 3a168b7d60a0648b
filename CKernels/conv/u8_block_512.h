// Blocks of 64 channels in 512-bit vectors, for conv/u8_depthwise.h. Included inside a target region, after isa/simd.h.

typedef __m512i ub;
typedef __m512 uf;

CK_INLINE ub ub_set_words(int x) { return _mm512_set1_epi16((short)x); }
CK_INLINE ub ub_set_bytes(int x) { return _mm512_set1_epi8((char)x); }
/// Bytes, and words, of two vectors in turns: of the low and of the high half of each 128 bits.
CK_INLINE ub ub_low_bytes(ub a, ub b) { return _mm512_unpacklo_epi8(a, b); }
CK_INLINE ub ub_high_bytes(ub a, ub b) { return _mm512_unpackhi_epi8(a, b); }
CK_INLINE ub ub_low_words(ub a, ub b) { return _mm512_unpacklo_epi16(a, b); }
CK_INLINE ub ub_high_words(ub a, ub b) { return _mm512_unpackhi_epi16(a, b); }
/// Each group of four taps one place on.
CK_INLINE ub ub_next_slot(ub x) { return _mm512_slli_epi32(x, 8); }
CK_INLINE uf ub_scale(ub x, uf factor) { return _mm512_mul_ps(_mm512_cvtepi32_ps(x), factor); }
/// The nearest integers, even where two are; the smallest one for what is beyond all.
CK_INLINE ub uf_round(uf x) { return _mm512_cvtps_epi32(x); }
CK_INLINE uf uf_min(uf a, uf b) { return _mm512_min_ps(a, b); }
CK_INLINE uf uf_set(float x) { return _mm512_set1_ps(x); }
CK_INLINE uf uf_of_bits(ub x) { return _mm512_castsi512_ps(x); }
/// The last steps saturate, and pack within each 128 bits.
CK_INLINE ub ub_pack_words(ub a, ub b) { return _mm512_packs_epi32(a, b); }
CK_INLINE ub ub_pack_bytes(ub a, ub b) { return _mm512_packus_epi16(a, b); }
CK_INLINE ub ub_add_words(ub a, ub b) { return _mm512_adds_epi16(a, b); }
CK_INLINE ub ub_min_bytes(ub a, ub b) { return _mm512_min_epu8(a, b); }
CK_INLINE ub ub_max_bytes(ub a, ub b) { return _mm512_max_epu8(a, b); }

/// 16 bytes of each panel.
CK_INLINE ub ub_of_panels(const uint8_t *const lines[4]) {
    __m128i part[4];
    for (int i = 0; i < 4; i++) part[i] = _mm_loadu_si128((const __m128i *)(const void *)lines[i]);
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_set_m128i(part[1], part[0])), _mm256_set_m128i(part[3], part[2]), 1);
}
