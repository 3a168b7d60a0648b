// Integer-panel linear kernels for AVX2.
//
// Narrow levels: vpmaddubsw multiplies unsigned levels with signed activations and adds pairs in int16; as many groups are added up there as
// must fit (8 groups of 4-bit levels: 8 · 2 · 15 · 127 = 30480), then widened to int32 together, the high term times 128 on the way.
// 8-bit levels: vpmaddubsw would saturate, so levels are widened to int16 and vpmaddwd sums pairs exactly in int32; the two activation terms
// are put back together into one int16 first (16256 at most), which makes the second term free of multiplications.
// The arithmetic and its order are those of linear_scalar.c, bit for bit.
#include "gemm/rows.h"

#if defined(__x86_64__)

#include "gemm/layout.h"

#include <immintrin.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#include "gemm/unpack_avx2.h"

#include "gemm/lanes_avx2.h"

enum { row_tile = 4, prefetch_bytes = 2048 };

// Groups whose products fit int16 together: vpmaddubsw adds two of them, each at most 127 times the largest level. 0: not even one group.
CK_INLINE int groups_in_int16(ck_panel_format format) {
    const int groups = INT16_MAX / (2 * 127 * ck_panel_largest_level(format)), most = 8 / ck_panel_parts(format);
    return groups >= most ? most : groups >= 4 ? 4 : groups >= 2 ? 2 : 0;
}

// Σ level · q over groups [from, from + groups) for the 8 output rows of each of `sides` sides from `side` on, `count` activation rows at once so
// that levels are unpacked once.
CK_INLINE void short_sums(const uint8_t *quants, const int8_t *const high[], const int8_t *const low[], int side, int sides, int from, int groups, int count, ck_panel_format format, ck_activation_format terms, __m256i sums[][2]) {
    const __m256i one = _mm256_set1_epi16(1), weight = _mm256_set1_epi16(terms == CK_ACT_Q15 ? 128 : 1);
    const int run = groups_in_int16(format);
#pragma clang loop unroll(full)
    for (int first = from; first < from + groups; first += run) {
        __m256i top[row_tile][2], bottom[row_tile][2];
#pragma clang loop unroll(full)
        for (int g = first; g < first + run; g++) {
#pragma clang loop unroll(full)
            for (int s = 0; s < sides; s++) {
                const __m256i levels = ck_levels_avx2(quants, format, g, side + s);
#pragma clang loop unroll(full)
                for (int m = 0; m < count; m++) {
                    const __m256i products = _mm256_maddubs_epi16(levels, four_activations(high[m] + 4 * g));
                    top[m][s] = g == first ? products : _mm256_add_epi16(top[m][s], products);
                    if (terms != CK_ACT_Q15) continue;
                    const __m256i small = _mm256_maddubs_epi16(levels, four_activations(low[m] + 4 * g));
                    bottom[m][s] = g == first ? small : _mm256_add_epi16(bottom[m][s], small);
                }
            }
        }
#pragma clang loop unroll(full)
        for (int m = 0; m < count; m++) {
#pragma clang loop unroll(full)
            for (int s = 0; s < sides; s++) {
                const __m256i wide = _mm256_madd_epi16(top[m][s], weight);
                sums[m][s] = first == from ? wide : _mm256_add_epi32(sums[m][s], wide);
                if (terms == CK_ACT_Q15) sums[m][s] = _mm256_add_epi32(sums[m][s], _mm256_madd_epi16(bottom[m][s], one));
            }
        }
    }
}

// The 32 activations of a block as int16, the even ones of each group of 4 before the odd ones.
CK_INLINE void widen_activations(const int8_t *high, const int8_t *low, ck_activation_format terms, int16_t wide[CK_BLOCK]) {
#pragma clang loop unroll(full)
    for (int i = 0; i < CK_BLOCK; i += 16) {
        __m256i q = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(high + i)));
        if (terms == CK_ACT_Q15) q = _mm256_add_epi16(_mm256_slli_epi16(q, 7), _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(low + i))));
        q = _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(q, 0xd8), 0xd8);
        _mm256_storeu_si256((__m256i *)(void *)(wide + i), q);
    }
}

CK_INLINE __m256i two_activations(const int16_t *activations) {
    int32_t word;
    memcpy(&word, activations, sizeof word);
    return _mm256_set1_epi32(word);
}

// The same sums from int16: the even bytes of each group of 4, then the odd ones, so that each 32-bit lane stays one output row.
CK_INLINE void wide_sums(const uint8_t *quants, const int16_t wide[][CK_BLOCK], int side, int sides, int from, int groups, int count, ck_panel_format format, __m256i sums[][2]) {
    const __m256i even = _mm256_set1_epi16(0xff);
#pragma clang loop unroll(full)
    for (int g = from; g < from + groups; g++) {
#pragma clang loop unroll(full)
        for (int s = 0; s < sides; s++) {
            const __m256i levels = ck_levels_avx2(quants, format, g, side + s);
            const __m256i first = _mm256_and_si256(levels, even), second = _mm256_srli_epi16(levels, 8);
#pragma clang loop unroll(full)
            for (int m = 0; m < count; m++) {
                const __m256i products = _mm256_madd_epi16(first, two_activations(wide[m] + 4 * g));
                sums[m][s] = g == from ? products : _mm256_add_epi32(sums[m][s], products);
                sums[m][s] = _mm256_add_epi32(sums[m][s], _mm256_madd_epi16(second, two_activations(wide[m] + 4 * g + 2)));
            }
        }
    }
}

// One panel by `count` activation rows.
CK_INLINE void tile(const ck_linear_args *args, const uint8_t *panel, int64_t first_row, int64_t column, ck_panel_format format, ck_activation_format terms, int count) {
    const int64_t k = args->k, valid = args->columns - column;
    const int parts = ck_panel_parts(format);
    const size_t block_bytes = ck_panel_block_bytes(format), quant_offset = ck_panel_quant_offset(format);
    const uint8_t *block = panel + ck_panel_header_bytes;
    const int8_t *high[row_tile], *low[row_tile];
    const ck_activation_block *record[row_tile];
    __m256 total[row_tile][2];
#pragma clang loop unroll(full)
    for (int m = 0; m < count; m++) {
        const uint8_t *row = (const uint8_t *)args->activations + args->activation_stride_bytes * (size_t)(first_row + m);
        high[m] = (const int8_t *)row;
        low[m] = high[m] + ck_activation_low_offset(k);
        record[m] = (const ck_activation_block *)(const void *)(row + ck_activation_block_offset(terms, k));
        total[m][0] = total[m][1] = _mm256_setzero_ps();
    }
    for (int64_t b = 0; b < k / CK_BLOCK; b++, block += block_bytes) {
        if (first_row == 0) {  // the first pass over a panel fetches it; later row tiles find it in the near cache
#pragma clang loop unroll(full)
            for (size_t line = 0; line < block_bytes; line += 64) _mm_prefetch((const char *)block + prefetch_bytes + line, _MM_HINT_T0);
        }
        int16_t wide[row_tile][CK_BLOCK];
        const bool widened = groups_in_int16(format) == 0;
        if (widened) {
#pragma clang loop unroll(full)
            for (int m = 0; m < count; m++) widen_activations(high[m], low[m], terms, wide[m]);
        }
        // One activation row has the registers for both sides at once; several take the sides in turn.
        const int sides = count == 1 ? 2 : 1;
#pragma clang loop unroll(full)
        for (int side = 0; side < 2; side += sides) {
            // Read and broadcast the activations again for each side: kept from the first, they would be spilled.
            __asm__ volatile("" ::"r"(wide) : "memory");
#pragma clang loop unroll(full)
            for (int part = 0; part < parts; part++) {
                const int groups = 8 / parts, first = groups * part;
                __m256i sums[row_tile][2];
                if (widened) wide_sums(block + quant_offset, (const int16_t(*)[CK_BLOCK])wide, side, sides, first, groups, count, format, sums);
                else short_sums(block + quant_offset, high, low, side, sides, first, groups, count, format, terms, sums);
#pragma clang loop unroll(full)
                for (int s = 0; s < sides; s++) {
                    const __m256 scale = eight_halves(block + 32 * part + 16 * (side + s));
#pragma clang loop unroll(full)
                    for (int m = 0; m < count; m++) {
                        __m256i exact = sums[m][s];
                        if (!ck_panel_has_minimum(format)) {
                            const __m256i sum = _mm256_set1_epi32(parts == 2 ? record[m]->half_sum[part] : record[m]->sum);
                            exact = _mm256_sub_epi32(exact, _mm256_slli_epi32(sum, ck_panel_zero_shift(format)));
                        }
                        const __m256 both_scales = _mm256_mul_ps(scale, _mm256_set1_ps(record[m]->scale));
                        total[m][side + s] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(exact), both_scales, total[m][side + s]);
                    }
                }
            }
#pragma clang loop unroll(full)
            for (int part = 0; part < parts && ck_panel_has_minimum(format); part++) {
#pragma clang loop unroll(full)
                for (int s = 0; s < sides; s++) {
                    const __m256 minimum = eight_halves(block + 32 * (parts + part) + 16 * (side + s));
#pragma clang loop unroll(full)
                    for (int m = 0; m < count; m++) {
                        const float sum = parts == 2 ? record[m]->scaled_half_sum[part] : record[m]->scaled_sum;
                        total[m][side + s] = _mm256_fmadd_ps(minimum, _mm256_set1_ps(sum), total[m][side + s]);
                    }
                }
            }
        }
#pragma clang loop unroll(full)
        for (int m = 0; m < count; m++) {
            high[m] += CK_BLOCK;
            low[m] += CK_BLOCK;
            record[m]++;
        }
    }
#pragma clang loop unroll(full)
    for (int m = 0; m < count; m++) {
        float *output = args->output + (first_row + m) * args->output_stride + column;
        const float *factor = (const float *)(const void *)panel;
        store_eight(output, _mm256_mul_ps(total[m][0], _mm256_loadu_ps(factor)), valid);
        store_eight(output + 8, _mm256_mul_ps(total[m][1], _mm256_loadu_ps(factor + 8)), valid - 8);
    }
}

// Panels outside, row tiles inside: a panel is read from memory once.
CK_INLINE void integer(const ck_linear_args *args, ck_panel_format format, ck_activation_format terms) {
    for (int64_t p = 0; p < args->panel_count; p++) {
        const uint8_t *panel = (const uint8_t *)args->panels + args->panel_stride_bytes * (size_t)p;
        int64_t m = 0;
        for (; m + row_tile <= args->rows; m += row_tile) tile(args, panel, m, p * CK_PANEL_ROWS, format, terms, row_tile);
        if (args->rows - m >= 2) {
            tile(args, panel, m, p * CK_PANEL_ROWS, format, terms, 2);
            m += 2;
        }
        if (m < args->rows) tile(args, panel, m, p * CK_PANEL_ROWS, format, terms, 1);
    }
}

#define CK_ENTRY_POINTS(name, panel) \
    static void name##_q8(const ck_linear_args *args) { integer(args, panel, CK_ACT_Q8); } \
    static void name##_q15(const ck_linear_args *args) { integer(args, panel, CK_ACT_Q15); }
CK_INTEGER_PANELS(CK_ENTRY_POINTS)

#pragma clang attribute pop

#define CK_ROWS(name, panel) \
    {"linear_" #name "_q8_avx2", CK_ISA_AVX2, panel, CK_ACT_Q8, row_tile, ck_any_rows, name##_q8}, \
    {"linear_" #name "_q15_avx2", CK_ISA_AVX2, panel, CK_ACT_Q15, row_tile, ck_any_rows, name##_q15},

static const ck_linear_row rows[] = {
    CK_INTEGER_PANELS(CK_ROWS)
};
const ck_linear_group ck_linear_avx2 = {rows, sizeof rows / sizeof rows[0]};

#endif
