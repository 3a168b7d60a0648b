// Peak loops for every instruction set but AMX. Each loop keeps enough independent accumulators in flight to hide the latency of
// its instruction (4 or 5 cycles × 2 units: at least 10), all in registers. Empty asm statements keep the compiler from merging or dropping rounds.
#include "ckernels/isa.h"
#include "ckernels/peak.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "peak/amx.h"

enum { chains = 12 };

// One scalar multiply-add per chain; separate instructions, since the scalar path may not assume FMA.
static double scalar_f32(uint64_t iterations) {
    float sum[chains], factor = 0.999f, term = 0.001f;
    for (int i = 0; i < chains; i++) sum[i] = (float)i;
    __asm__ volatile("" : "+r"(iterations));
    for (uint64_t n = 0; n < iterations; n++) {
#pragma clang loop unroll(full) vectorize(disable)
        for (int i = 0; i < chains; i++) {
            sum[i] = sum[i] * factor + term;
#if defined(__x86_64__)
            __asm__ volatile("" : "+x"(sum[i]));
#elif defined(__aarch64__)
            __asm__ volatile("" : "+w"(sum[i]));
#endif
        }
    }
    double total = 0;
    for (int i = 0; i < chains; i++) total += sum[i];
    return total;
}

#if defined(__x86_64__)

// LOOP(vector type, zero, round): the chains are named variables, because an array of vectors may be spilled to memory.
#define CK_PEAK_LOOP(type, start, round)                                                                                             \
    type c0 = start, c1 = start, c2 = start, c3 = start, c4 = start, c5 = start;                                                     \
    type c6 = start, c7 = start, c8 = start, c9 = start, c10 = start, c11 = start;                                                   \
    for (uint64_t n = 0; n < iterations; n++) {                                                                                      \
        round(c0) round(c1) round(c2) round(c3) round(c4) round(c5) round(c6) round(c7) round(c8) round(c9) round(c10) round(c11)    \
        __asm__ volatile("" : "+v"(c0), "+v"(c1), "+v"(c2), "+v"(c3), "+v"(c4), "+v"(c5));                                           \
        __asm__ volatile("" : "+v"(c6), "+v"(c7), "+v"(c8), "+v"(c9), "+v"(c10), "+v"(c11));                                         \
    }

#define CK_PEAK_SUM(add) add(add(add(add(c0, c1), add(c2, c3)), add(add(c4, c5), add(c6, c7))), add(add(c8, c9), add(c10, c11)))

#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)

static double avx2_f32(uint64_t iterations) {
    const __m256 factor = _mm256_set1_ps(0.999f), term = _mm256_set1_ps(0.001f);
#define CK_ROUND(c) c = _mm256_fmadd_ps(c, factor, term);
    CK_PEAK_LOOP(__m256, term, CK_ROUND)
#undef CK_ROUND
    float out[8];
    _mm256_storeu_ps(out, CK_PEAK_SUM(_mm256_add_ps));
    return out[0] + out[7];
}

// The int8 product of AVX2: two instructions to widen and add after the multiply, three per chain.
static double avx2_int8(uint64_t iterations) {
    const __m256i left = _mm256_set1_epi8(3), right = _mm256_set1_epi8(-2), ones = _mm256_set1_epi16(1);
    __m256i a = left;
#define CK_ROUND(c)                                                                                                                  \
    __asm__ volatile("" : "+v"(a));                                                                                                  \
    c = _mm256_add_epi32(c, _mm256_madd_epi16(_mm256_maddubs_epi16(a, right), ones));
    CK_PEAK_LOOP(__m256i, _mm256_setzero_si256(), CK_ROUND)
#undef CK_ROUND
    int32_t out[8];
    _mm256_storeu_si256((__m256i *)out, CK_PEAK_SUM(_mm256_add_epi32));
    return (double)out[0] + out[7];
}

#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avxvnni"))), apply_to = function)

static double avx_vnni_int8(uint64_t iterations) {
    const __m256i left = _mm256_set1_epi8(3), right = _mm256_set1_epi8(-2);
#define CK_ROUND(c) c = _mm256_dpbusd_avx_epi32(c, left, right);
    CK_PEAK_LOOP(__m256i, _mm256_setzero_si256(), CK_ROUND)
#undef CK_ROUND
    int32_t out[8];
    _mm256_storeu_si256((__m256i *)out, CK_PEAK_SUM(_mm256_add_epi32));
    return (double)out[0] + out[7];
}

#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)

static double avx512_f32(uint64_t iterations) {
    const __m512 factor = _mm512_set1_ps(0.999f), term = _mm512_set1_ps(0.001f);
#define CK_ROUND(c) c = _mm512_fmadd_ps(c, factor, term);
    CK_PEAK_LOOP(__m512, term, CK_ROUND)
#undef CK_ROUND
    return _mm512_reduce_add_ps(CK_PEAK_SUM(_mm512_add_ps));
}

#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni"))), apply_to = function)

static double avx512_vnni_int8(uint64_t iterations) {
    const __m512i left = _mm512_set1_epi8(3), right = _mm512_set1_epi8(-2);
#define CK_ROUND(c) c = _mm512_dpbusd_epi32(c, left, right);
    CK_PEAK_LOOP(__m512i, _mm512_setzero_si512(), CK_ROUND)
#undef CK_ROUND
    return _mm512_reduce_add_epi32(CK_PEAK_SUM(_mm512_add_epi32));
}

#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16"))), apply_to = function)

static double avx512_bf16(uint64_t iterations) {
    // 0x3f80 is 1 in bfloat16.
    const __m512bh one = (__m512bh)_mm512_set1_epi16(0x3f80);
#define CK_ROUND(c) c = _mm512_dpbf16_ps(c, one, one);
    CK_PEAK_LOOP(__m512, _mm512_setzero_ps(), CK_ROUND)
#undef CK_ROUND
    return _mm512_reduce_add_ps(CK_PEAK_SUM(_mm512_add_ps));
}

#pragma clang attribute pop

#elif defined(__aarch64__)

static double neon_f32(uint64_t iterations) {
    float32x4_t sum[chains];
    const float32x4_t factor = vdupq_n_f32(0.999f), term = vdupq_n_f32(0.001f);
    for (int i = 0; i < chains; i++) sum[i] = term;
    for (uint64_t n = 0; n < iterations; n++) {
#pragma clang loop unroll(full)
        for (int i = 0; i < chains; i++) {
            sum[i] = vfmaq_f32(sum[i], factor, term);
            __asm__ volatile("" : "+w"(sum[i]));
        }
    }
    float total = 0;
    for (int i = 0; i < chains; i++) total += vaddvq_f32(sum[i]);
    return total;
}

#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)

static double dotprod_int8(uint64_t iterations) {
    int32x4_t sum[chains];
    const int8x16_t left = vdupq_n_s8(3), right = vdupq_n_s8(-2);
    for (int i = 0; i < chains; i++) sum[i] = vdupq_n_s32(0);
    for (uint64_t n = 0; n < iterations; n++) {
#pragma clang loop unroll(full)
        for (int i = 0; i < chains; i++) {
            sum[i] = vdotq_s32(sum[i], left, right);
            __asm__ volatile("" : "+w"(sum[i]));
        }
    }
    int32_t total = 0;
    for (int i = 0; i < chains; i++) total += vaddvq_s32(sum[i]);
    return total;
}

#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("i8mm"))), apply_to = function)

static double i8mm_int8(uint64_t iterations) {
    int32x4_t sum[chains];
    const int8x16_t left = vdupq_n_s8(3), right = vdupq_n_s8(-2);
    for (int i = 0; i < chains; i++) sum[i] = vdupq_n_s32(0);
    for (uint64_t n = 0; n < iterations; n++) {
#pragma clang loop unroll(full)
        for (int i = 0; i < chains; i++) {
            sum[i] = vmmlaq_s32(sum[i], left, right);
            __asm__ volatile("" : "+w"(sum[i]));
        }
    }
    int32_t total = 0;
    for (int i = 0; i < chains; i++) total += vaddvq_s32(sum[i]);
    return total;
}

#pragma clang attribute pop

#endif

// Operations per iteration: chains × lanes × products per lane × 2.
static const ck_peak_row rows[] = {
    {"scalar-f32", "f32", 0, chains * 2, scalar_f32},
#if defined(__x86_64__)
    {"avx2-fma-f32", "f32", CK_ISA_AVX2, chains * 8 * 2, avx2_f32},
    {"avx2-int8", "int8", CK_ISA_AVX2, chains * 32 * 2, avx2_int8},
    {"avx-vnni-int8", "int8", CK_ISA_AVX_VNNI, chains * 32 * 2, avx_vnni_int8},
    {"avx512-fma-f32", "f32", CK_ISA_AVX512, chains * 16 * 2, avx512_f32},
    {"avx512-bf16", "bf16", CK_ISA_AVX512 | CK_ISA_AVX512_BF16, chains * 32 * 2, avx512_bf16},
    {"avx512-vnni-int8", "int8", CK_ISA_AVX512 | CK_ISA_AVX512_VNNI, chains * 64 * 2, avx512_vnni_int8},
    {"amx-bf16", "bf16", CK_ISA_AMX_BF16, CK_PEAK_AMX_BF16_OPERATIONS, ck_peak_amx_bf16},
    {"amx-int8", "int8", CK_ISA_AMX_INT8, CK_PEAK_AMX_INT8_OPERATIONS, ck_peak_amx_int8},
#elif defined(__aarch64__)
    {"neon-fma-f32", "f32", CK_ISA_NEON, chains * 4 * 2, neon_f32},
    {"dotprod-int8", "int8", CK_ISA_DOTPROD, chains * 16 * 2, dotprod_int8},
    {"i8mm-int8", "int8", CK_ISA_I8MM, chains * 32 * 2, i8mm_int8},
#endif
};

const ck_peak_row *ck_peak_rows(size_t *count) {
    *count = sizeof rows / sizeof *rows;
    return rows;
}

const char *ck_compiler(void) { return __VERSION__; }
