// Kernels for weights of which runs of 16 are kept (CK_SPARSE_BLOCKS), AVX2.
//
// Few activation rows: a run and the activations it meets are 16 numbers of 16 bits; one instruction multiplies them and adds neighbours. What is left of an output
// row, 8 sums, waits in the first-level cache until the 32-block is done; then the sums of 16 rows are added up side by side.
//
// More rows: lanes are activation rows, 16 of them in 2 registers, and pairs of weights are broadcast to all, so that nothing is added across lanes and finding the
// runs that are kept is shared. Activations are transposed once for all panels, as many k at a time as fit the second-level cache; sums wait where results go.
//
// Either way a 32-block's products are summed exactly and scaled once, in the order of gemm/linear_scalar.c: for finite operands the bits are those of
// the dense panel.
#include "sparse/rows.h"

#if defined(__x86_64__)

#include "sparse/blocks.h"

#include <immintrin.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx2,bmi,fma,f16c,popcnt"))), apply_to = function)

#include "gemm/lanes_avx2.h"

enum { row_tile = 2, lane_rows = 16, most_k = 2048, least_lane_rows = 5, prefetch_bytes = 2048, prefetch_lines = 3 };

CK_INLINE __m256i widened(const int8_t *numbers) { return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)numbers)); }

// 16 activations: 128 · high + low has 15 bits.
CK_INLINE __m256i sixteen_activations(const int8_t *high, const int8_t *low, ck_activation_format terms) {
    return terms == CK_ACT_Q15 ? _mm256_add_epi16(_mm256_slli_epi16(widened(high), 7), widened(low)) : widened(high);
}

// The sums of 8 registers, each in its lane.
CK_INLINE __m256i lane_sums(const __m256i sums[8]) {
    const __m256i low = _mm256_hadd_epi32(_mm256_hadd_epi32(sums[0], sums[1]), _mm256_hadd_epi32(sums[2], sums[3]));
    const __m256i high = _mm256_hadd_epi32(_mm256_hadd_epi32(sums[4], sums[5]), _mm256_hadd_epi32(sums[6], sums[7]));
    return _mm256_add_epi32(_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31));
}

// One panel by `count` activation rows.
CK_INLINE void tile(const ck_linear_args *args, const uint8_t *panel, int64_t first_row, int64_t column, ck_activation_format terms, int count) {
    const int64_t k = args->k, valid = args->columns - column;
    const size_t low_offset = ck_activation_low_offset(k), record_offset = ck_activation_block_offset(terms, k);
    const uint8_t *activations = (const uint8_t *)args->activations + args->activation_stride_bytes * (size_t)first_row;
    const uint8_t *block = panel + ck_panel_header_bytes;
    __m256 total[row_tile][2];
#pragma clang loop unroll(full)
    for (int m = 0; m < count; m++) total[m][0] = total[m][1] = _mm256_setzero_ps();
    for (int64_t b = 0; b < k / CK_BLOCK; b++) {
        if (first_row == 0) {
#pragma clang loop unroll(full)
            for (int line = 0; line < prefetch_lines; line++) _mm_prefetch((const char *)block + prefetch_bytes + 64 * line, _MM_HINT_T0);
        }
        __m256i sums[row_tile][CK_PANEL_ROWS];
#pragma clang loop unroll(full)
        for (int m = 0; m < count; m++) {
#pragma clang loop unroll(full)
            for (int n = 0; n < CK_PANEL_ROWS; n++) sums[m][n] = _mm256_setzero_si256();
        }
        const uint8_t *values = block + ck_blocks_value_offset;
        __m256i x[row_tile][2];
#pragma clang loop unroll(full)
        for (int m = 0; m < count; m++) {
#pragma clang loop unroll(full)
            for (int half = 0; half < 2; half++) {
                const int8_t *high = (const int8_t *)activations + args->activation_stride_bytes * (size_t)m + CK_BLOCK * b + ck_blocks_run * half;
                x[m][half] = sixteen_activations(high, high + low_offset, terms);
            }
        }
        // One loop over the runs of both halves: its end is guessed wrong once.
        for (uint32_t mask = ck_blocks_mask(block, 0) | ck_blocks_mask(block, 1) << 16; mask; mask &= mask - 1, values += ck_blocks_run) {
            const int run = __builtin_ctz(mask), n = run % CK_PANEL_ROWS;
            const __m256i weights = widened((const int8_t *)values);
#pragma clang loop unroll(full)
            for (int m = 0; m < count; m++) sums[m][n] = _mm256_add_epi32(sums[m][n], _mm256_madd_epi16(weights, x[m][run / CK_PANEL_ROWS]));
        }
#pragma clang loop unroll(full)
        for (int m = 0; m < count; m++) {
            const ck_activation_block *record = (const ck_activation_block *)(const void *)(activations + args->activation_stride_bytes * (size_t)m + record_offset) + b;
            const __m256 activation_scale = _mm256_set1_ps(record->scale);
#pragma clang loop unroll(full)
            for (int h = 0; h < 2; h++) {
                const __m256 scale = eight_halves(block + 16 * h);
                total[m][h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(lane_sums(sums[m] + 8 * h)), _mm256_mul_ps(scale, activation_scale), total[m][h]);
            }
        }
        block = values;
    }
#pragma clang loop unroll(full)
    for (int m = 0; m < count; m++) {
        float *output = args->output + (first_row + m) * args->output_stride + column;
#pragma clang loop unroll(full)
        for (int h = 0; h < 2; h++) store_eight(output + 8 * h, _mm256_mul_ps(total[m][h], _mm256_loadu_ps((const float *)(const void *)panel + 8 * h)), valid - 8 * h);
    }
}

// Activations of up to 16 rows: pairs of neighbouring k, and the scale of each 32-block, a row a lane; zeros where there is no row.
typedef struct {
    int32_t pairs[most_k / 2][lane_rows];
    float scales[most_k / CK_BLOCK][lane_rows];
} lanes;

// The 32-blocks from `first` to before `end`.
CK_INLINE void transpose(const ck_linear_args *args, int64_t first_row, int count, ck_activation_format terms, int64_t first, int64_t end, lanes *x) {
    const size_t low_offset = ck_activation_low_offset(args->k), record_offset = ck_activation_block_offset(terms, args->k);
    for (int m = 0; m < lane_rows; m++) {
        const uint8_t *row = (const uint8_t *)args->activations + args->activation_stride_bytes * (size_t)(first_row + (m < count ? m : 0));
        const ck_activation_block *records = (const ck_activation_block *)(const void *)(row + record_offset);
        for (int64_t i = 0; i < (end - first) * CK_BLOCK; i += ck_blocks_run) {
            int32_t pairs[8];
            const int8_t *high = (const int8_t *)row + first * CK_BLOCK + i;
            _mm256_storeu_si256((__m256i *)(void *)pairs, m < count ? sixteen_activations(high, high + low_offset, terms) : _mm256_setzero_si256());
            for (int j = 0; j < 8; j++) x->pairs[i / 2 + j][m] = pairs[j];
        }
        for (int64_t b = first; b < end; b++) x->scales[b - first][m] = m < count ? records[b].scale : 0;
    }
}

// The products of a run with 16 activation rows, added to `sums`.
CK_INLINE void add_run(const uint8_t *values, const int32_t pairs[8][lane_rows], __m256i sums[2]) {
    int32_t weights[8];
    _mm256_storeu_si256((__m256i *)(void *)weights, widened((const int8_t *)values));
#pragma clang loop unroll(full)
    for (int j = 0; j < 8; j++) {
        const __m256i pair = _mm256_set1_epi32(weights[j]);
#pragma clang loop unroll(full)
        for (int h = 0; h < 2; h++) {
            sums[h] = _mm256_add_epi32(sums[h], _mm256_madd_epi16(pair, _mm256_loadu_si256((const __m256i *)(const void *)(pairs[j] + 8 * h))));
        }
    }
}

// 32-blocks `first` to before `end` of one panel by up to 16 activation rows. Sums go on from the output, and become results with the last block.
CK_INLINE void lane_tile(const ck_linear_args *args, const uint8_t *panel, int64_t first_row, int count, int64_t column, int64_t first, int64_t end, const lanes *x) {
    const int valid = args->columns - column < CK_PANEL_ROWS ? (int)(args->columns - column) : CK_PANEL_ROWS;
    const int is_last = end == args->k / CK_BLOCK;
    float *output = args->output + first_row * args->output_stride + column;
    const uint8_t *block = panel + ck_panel_header_bytes;
    for (int64_t b = 0; b < first; b++) block = ck_blocks_next(block);
    __m256 total[CK_PANEL_ROWS][2];
    for (int n = 0; n < CK_PANEL_ROWS; n++) {
        float sums[lane_rows] = {0};
        for (int m = 0; m < count && first > 0 && n < valid; m++) sums[m] = output[m * args->output_stride + n];
        for (int h = 0; h < 2; h++) total[n][h] = _mm256_loadu_ps(sums + 8 * h);
    }
    for (int64_t b = 0; b < end - first; b++) {
        const uint32_t masks[2] = {ck_blocks_mask(block, 0), ck_blocks_mask(block, 1)};
        const uint8_t *values[2] = {block + ck_blocks_value_offset, block + ck_blocks_value_offset + ck_blocks_run * (size_t)__builtin_popcount(masks[0])};
        float scales[CK_PANEL_ROWS];
#pragma clang loop unroll(full)
        for (int h = 0; h < 2; h++) _mm256_storeu_ps(scales + 8 * h, eight_halves(block + 16 * h));
        const __m256 activation_scales[2] = {_mm256_loadu_ps(x->scales[b]), _mm256_loadu_ps(x->scales[b] + 8)};
        for (uint32_t any = masks[0] | masks[1]; any; any &= any - 1) {
            const int n = __builtin_ctz(any);
            __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
#pragma clang loop unroll(full)
            for (int half = 0; half < 2; half++) {
                if (!(masks[half] >> n & 1)) continue;
                add_run(values[half], x->pairs + (CK_BLOCK * b + ck_blocks_run * half) / 2, sums);
                values[half] += ck_blocks_run;
            }
            const __m256 scale = _mm256_set1_ps(scales[n]);
#pragma clang loop unroll(full)
            for (int h = 0; h < 2; h++) total[n][h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[h]), _mm256_mul_ps(scale, activation_scales[h]), total[n][h]);
        }
        block = values[1];
    }
    for (int n = 0; n < valid; n++) {
        const __m256 factor = _mm256_set1_ps(is_last ? ((const float *)(const void *)panel)[n] : 1);
        float results[lane_rows];
#pragma clang loop unroll(full)
        for (int h = 0; h < 2; h++) _mm256_storeu_ps(results + 8 * h, _mm256_mul_ps(total[n][h], factor));
        for (int m = 0; m < count; m++) output[m * args->output_stride + n] = results[m];
    }
}

CK_INLINE void multiply(const ck_linear_args *args, ck_activation_format terms) {
    const int64_t blocks = args->k / CK_BLOCK, blocks_at_once = most_k / CK_BLOCK;
    int64_t done = 0;
    for (; args->rows - done >= least_lane_rows && blocks > 0; done += lane_rows) {
        const int count = args->rows - done < lane_rows ? (int)(args->rows - done) : lane_rows;
        for (int64_t first = 0; first < blocks; first += blocks_at_once) {
            const int64_t end = first + blocks_at_once < blocks ? first + blocks_at_once : blocks;
            lanes x;
            transpose(args, done, count, terms, first, end, &x);
            for (int64_t p = 0; p < args->panel_count; p++) lane_tile(args, ck_sparse_panel(args, p), done, count, p * CK_PANEL_ROWS, first, end, &x);
        }
    }
    for (int64_t p = 0; p < args->panel_count; p++) {
        const uint8_t *panel = ck_sparse_panel(args, p);
        int64_t m = done;
        for (; m + row_tile <= args->rows; m += row_tile) tile(args, panel, m, p * CK_PANEL_ROWS, terms, row_tile);
        if (m < args->rows) tile(args, panel, m, p * CK_PANEL_ROWS, terms, 1);
    }
}

static void multiply_q8(const ck_linear_args *args) { multiply(args, CK_ACT_Q8); }
static void multiply_q15(const ck_linear_args *args) { multiply(args, CK_ACT_Q15); }

#pragma clang attribute pop

// Crossover measured on Zen 4, runs zero at random, 1 thread, against the dense AVX2 rows. 64 rows of activations: 1536 × 576 in cache 1.9 to 2.3 times their speed
// with 60 % of the runs zero, 3.1 to 3.6 with 80 %; 1024 × 4096 1.3 to 1.6 and 2.3 to 3.0. One row, 4096 × 4096 from memory: 0.9 with 50 %, 1.0 to 1.1
// with 60 %, 1.2 to 1.3 with 80 %.

static const ck_sparse_row rows[] = {
    {"sparse_blocks_q8_avx2", CK_ISA_AVX2, CK_SPARSE_BLOCKS, CK_ACT_Q8, row_tile, INT32_MAX, multiply_q8, ck_sparse_expand_blocks, 0.6f},
    {"sparse_blocks_q15_avx2", CK_ISA_AVX2, CK_SPARSE_BLOCKS, CK_ACT_Q15, row_tile, INT32_MAX, multiply_q15, ck_sparse_expand_blocks, 0.6f},
};
const ck_sparse_group ck_sparse_blocks_avx2 = {rows, sizeof rows / sizeof rows[0]};

#endif
