// Transposing 16 by 16 words of 32 bits, so that what cache rows hold along dimensions stands along keys. Included inside an instruction set's target
// region, after isa/simd.h with 16 lanes.

_Static_assert(lanes == 16, "a row of the square is a vector");

#define UNPACK_LOW_WORDS(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define UNPACK_HIGH_WORDS(a, b) __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#define UNPACK_LOW_PAIRS(a, b) __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define UNPACK_HIGH_PAIRS(a, b) __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
// 128-bit quarters: the first two or the last two of each, then the even or the odd ones.
#define LOW_QUARTERS(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
#define HIGH_QUARTERS(a, b) __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31)
#define EVEN_QUARTERS(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
#define ODD_QUARTERS(a, b) __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31)

/// out[i][j] = in[j][i]; strides in bytes.
CK_INLINE void transpose_words(const void *in, size_t in_stride, void *out, size_t out_stride) {
    vu a[lanes], b[lanes];
    for (int i = 0; i < lanes; i++) memcpy(&a[i], (const uint8_t *)in + in_stride * (size_t)i, sizeof a[i]);
    for (int i = 0; i < lanes; i += 2) {
        b[i] = UNPACK_LOW_WORDS(a[i], a[i + 1]);
        b[i + 1] = UNPACK_HIGH_WORDS(a[i], a[i + 1]);
    }
    for (int i = 0; i < lanes; i += 4) {
        a[i] = UNPACK_LOW_PAIRS(b[i], b[i + 2]);
        a[i + 1] = UNPACK_HIGH_PAIRS(b[i], b[i + 2]);
        a[i + 2] = UNPACK_LOW_PAIRS(b[i + 1], b[i + 3]);
        a[i + 3] = UNPACK_HIGH_PAIRS(b[i + 1], b[i + 3]);
    }
    for (int i = 0; i < 4; i++) {  // word 4·quarter + i of each row
        const vu low01 = LOW_QUARTERS(a[i], a[i + 4]), high01 = HIGH_QUARTERS(a[i], a[i + 4]);
        const vu low23 = LOW_QUARTERS(a[i + 8], a[i + 12]), high23 = HIGH_QUARTERS(a[i + 8], a[i + 12]);
        const vu columns[4] = {EVEN_QUARTERS(low01, low23), ODD_QUARTERS(low01, low23), EVEN_QUARTERS(high01, high23), ODD_QUARTERS(high01, high23)};
        for (int quarter = 0; quarter < 4; quarter++) memcpy((uint8_t *)out + out_stride * (size_t)(4 * quarter + i), &columns[quarter], sizeof columns[quarter]);
    }
}

#undef UNPACK_LOW_WORDS
#undef UNPACK_HIGH_WORDS
#undef UNPACK_LOW_PAIRS
#undef UNPACK_HIGH_PAIRS
#undef LOW_QUARTERS
#undef HIGH_QUARTERS
#undef EVEN_QUARTERS
#undef ODD_QUARTERS
