// Read loops: how fast this CPU takes in memory when nothing is computed from it. Each width has a plain loop, which leaves everything to the hardware
// prefetcher, and one that asks for lines a page ahead: the prefetcher starts anew at each 4 KiB page, and which loop is faster differs by machine.
// Whoever measures tries all of them and keeps the best, so that no kernel can read faster than the figure it is held against.
#include "ckernels/isa.h"
#include "ckernels/peak.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
    ahead_bytes = 4096,  // on a Zen 4, 96 MiB in huge pages, one thread: 28.6 GB/s with it, 27.0 without, 26.6 half a page ahead (medians)
};

static uint64_t read_scalar(const void *data, size_t bytes) {
    const uint64_t *words = data;
    uint64_t sum[8] = {0};
    for (size_t i = 0; i < bytes / 8; i += 8)
        for (int j = 0; j < 8; j++) sum[j] ^= words[i + j];
    return sum[0] ^ sum[1] ^ sum[2] ^ sum[3] ^ sum[4] ^ sum[5] ^ sum[6] ^ sum[7];
}

static uint64_t read_scalar_ahead(const void *data, size_t bytes) {
    const uint64_t *words = data;
    uint64_t sum[8] = {0};
    for (size_t i = 0; i < bytes / 8; i += 8) {
        __builtin_prefetch((const char *)(words + i) + ahead_bytes, 0, 0);
        for (int j = 0; j < 8; j++) sum[j] ^= words[i + j];
    }
    return sum[0] ^ sum[1] ^ sum[2] ^ sum[3] ^ sum[4] ^ sum[5] ^ sum[6] ^ sum[7];
}

#if defined(__x86_64__)

#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)

static inline __attribute__((always_inline)) uint64_t avx2(const char *data, size_t bytes, int ahead) {
    __m256i sum[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
    for (size_t i = 0; i < bytes; i += 128) {
        if (ahead) {
            _mm_prefetch(data + i + ahead_bytes, _MM_HINT_NTA);
            _mm_prefetch(data + i + ahead_bytes + 64, _MM_HINT_NTA);
        }
        for (int j = 0; j < 4; j++) sum[j] = _mm256_xor_si256(sum[j], _mm256_load_si256((const __m256i *)(const void *)(data + i) + j));
    }
    uint64_t out[4];
    _mm256_storeu_si256((__m256i *)(void *)out, _mm256_xor_si256(_mm256_xor_si256(sum[0], sum[1]), _mm256_xor_si256(sum[2], sum[3])));
    return out[0] ^ out[1] ^ out[2] ^ out[3];
}

static uint64_t read_avx2(const void *data, size_t bytes) { return avx2(data, bytes, 0); }
static uint64_t read_avx2_ahead(const void *data, size_t bytes) { return avx2(data, bytes, 1); }

#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)

static inline __attribute__((always_inline)) uint64_t avx512(const char *data, size_t bytes, int ahead) {
    __m512i sum[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
    for (size_t i = 0; i < bytes; i += 256) {
        for (int j = 0; j < 4; j++) {
            if (ahead) _mm_prefetch(data + i + 64 * j + ahead_bytes, _MM_HINT_NTA);
            sum[j] = _mm512_xor_si512(sum[j], _mm512_load_si512((const __m512i *)(const void *)(data + i) + j));
        }
    }
    uint64_t out[8], result = 0;
    _mm512_storeu_si512(out, _mm512_xor_si512(_mm512_xor_si512(sum[0], sum[1]), _mm512_xor_si512(sum[2], sum[3])));
    for (int i = 0; i < 8; i++) result ^= out[i];
    return result;
}

static uint64_t read_avx512(const void *data, size_t bytes) { return avx512(data, bytes, 0); }
static uint64_t read_avx512_ahead(const void *data, size_t bytes) { return avx512(data, bytes, 1); }

#pragma clang attribute pop

#endif

static const ck_read_row rows[] = {
#if defined(__x86_64__)
    {"avx512", CK_ISA_AVX512, read_avx512},
    {"avx512-ahead", CK_ISA_AVX512, read_avx512_ahead},
    {"avx2", CK_ISA_AVX2, read_avx2},
    {"avx2-ahead", CK_ISA_AVX2, read_avx2_ahead},
#endif
    {"scalar", 0, read_scalar},
    {"scalar-ahead", 0, read_scalar_ahead},
};

const ck_read_row *ck_read_rows(size_t *count) {
    *count = sizeof rows / sizeof *rows;
    return rows;
}
