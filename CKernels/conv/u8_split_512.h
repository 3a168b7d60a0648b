// Four products of bytes without VNNI in 512 bits: vpmaddwd on the even and the odd bytes apart, exact where vpmaddubsw would saturate.

// Bytes 0 and 2, and 1 and 3, of each group of four as 16-bit numbers.
typedef struct u8_split {
    __m512i even, odd;
} u8_split;

CK_INLINE u8_split u8_split_signed(__m512i bytes) { return (u8_split){_mm512_srai_epi16(_mm512_slli_epi16(bytes, 8), 8), _mm512_srai_epi16(bytes, 8)}; }
CK_INLINE u8_split u8_split_unsigned(__m512i bytes) { return (u8_split){_mm512_and_si512(bytes, _mm512_set1_epi16(0xff)), _mm512_srli_epi16(bytes, 8)}; }
CK_INLINE __m512i u8_split_dot(__m512i sums, u8_split x, u8_split w) {
    return _mm512_add_epi32(sums, _mm512_add_epi32(_mm512_madd_epi16(x.even, w.even), _mm512_madd_epi16(x.odd, w.odd)));
}
