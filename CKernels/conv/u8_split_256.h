// Four products of bytes without VNNI in 256 bits: vpmaddwd on the even and the odd bytes apart, exact where vpmaddubsw would saturate.

// Bytes 0 and 2, and 1 and 3, of each group of four as 16-bit numbers.
typedef struct u8_split {
    __m256i even, odd;
} u8_split;

CK_INLINE u8_split u8_split_signed(__m256i bytes) { return (u8_split){_mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8), _mm256_srai_epi16(bytes, 8)}; }
CK_INLINE u8_split u8_split_unsigned(__m256i bytes) { return (u8_split){_mm256_and_si256(bytes, _mm256_set1_epi16(0xff)), _mm256_srli_epi16(bytes, 8)}; }
CK_INLINE __m256i u8_split_dot(__m256i sums, u8_split x, u8_split w) {
    return _mm256_add_epi32(sums, _mm256_add_epi32(_mm256_madd_epi16(x.even, w.even), _mm256_madd_epi16(x.odd, w.odd)));
}
