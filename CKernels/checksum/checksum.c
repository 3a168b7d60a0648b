// The checksum of include/ckernels/checksum.h: eight lanes of an NH sum, the universal hash under UMAC, over lines of 64 bytes.
//
//   word w of line l, in lane w:  product[w] += (low32(word) + low32(key)) · (high32(word) + high32(key)),  plain[w] += word,
//   key = start[w] + l · step, so a line that moved changes the sum.
//
// Per 32-bit half the additions wrap, the products are 64 bits wide. `plain` sees what the product cannot (a factor that became zero).
// One form for every machine: compilers turn the inner loop into vector code, so there is nothing to choose at run time.
// Source: Black, Halevi, Krawczyk, Krovetz, Rogaway, "UMAC: Fast and Secure Message Authentication", CRYPTO 1999 (the NH family).
#include "ckernels/checksum.h"

#include <string.h>

enum { lanes = 8, line_bytes = 64 };

// Odd 64-bit constants: the fractional bits of the square roots of small primes.
static const uint64_t start_keys[lanes] = {
    0x6A09E667F3BCC909, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
    0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
};
static const uint64_t step = 0x9E3779B97F4A7C15;  // 2^64 / golden ratio, odd

static void add_lines(const uint8_t *data, size_t count, uint64_t key[lanes], uint64_t product[lanes], uint64_t plain[lanes]) {
    for (size_t line = 0; line < count; line++, data += line_bytes) {
        uint64_t word[lanes];
        memcpy(word, data, sizeof word);
        for (int i = 0; i < lanes; i++) {
            const uint64_t low = (word[i] + key[i]) & 0xFFFFFFFF, high = ((word[i] >> 32) + (key[i] >> 32)) & 0xFFFFFFFF;
            product[i] += low * high;
            plain[i] += word[i];
            key[i] += step;
        }
    }
}

// A bijection that spreads every bit over the word (the finaliser of MurmurHash3 by Austin Appleby, public domain constants).
static uint64_t mix(uint64_t x) {
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCD;
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53;
    return x ^ x >> 33;
}

uint64_t ck_checksum(const void *data, size_t bytes, uint64_t seed) {
    uint64_t key[lanes], product[lanes] = {0}, plain[lanes] = {0};
    for (int i = 0; i < lanes; i++) key[i] = start_keys[i] ^ mix(seed + (uint64_t)i);
    const uint8_t *source = data;
    const size_t whole = bytes / line_bytes, rest = bytes % line_bytes;
    add_lines(source, whole, key, product, plain);
    if (rest) {
        uint8_t last[line_bytes] = {0};
        memcpy(last, source + whole * line_bytes, rest);
        add_lines(last, 1, key, product, plain);
    }
    uint64_t sum = mix(bytes ^ seed);
    for (int i = 0; i < lanes; i++) sum = mix(mix(sum ^ product[i]) + plain[i]);
    return sum;
}
