// Kernels for weights of which runs of 16 are kept (CK_SPARSE_BLOCKS), AVX-512 VNNI.
//
// Few activation rows: reading is what takes the time. A register takes the runs of 4 output rows, put in their places by vpexpandq with zeros where none
// is kept, and raised by 128 to the levels of a dense panel; the partial sums of each row lie in 4 lanes and are added up as integers before they are scaled.
//
// Many: arithmetic is, so only runs that are kept are multiplied. Lanes are then 16 activation rows, 64 of them in 4 registers: 4 weights of a run are
// broadcast and multiplied with those rows' activations of the same k, raised by 128. For that activations are transposed, a few 32-blocks of k at a time, so that
// they stay in the first-level cache while the panels of a group pass; sums of floats wait on the stack between passes.
//
// Either way a 32-block's products are summed exactly and scaled once, in the order of gemm/linear_scalar.c: for finite operands the bits are those of
// the dense panel.
#include "sparse/rows.h"

#if defined(__x86_64__)

#include "sparse/blocks.h"

#include <immintrin.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,bmi,bmi2,fma,f16c,popcnt"))), apply_to = function)

#define CK_INLINE static inline __attribute__((always_inline))

enum { few_rows = 4, prefetch_bytes = 4096, prefetch_lines = 3 };

// MARK: - Few rows

// The levels of 4 output rows' runs, their bits being the low ones of `mask`.
CK_INLINE __m512i expand_runs(const uint8_t **values, uint32_t mask) {
    const __m512i runs = _mm512_loadu_si512(*values);
    *values += ck_blocks_run * (size_t)__builtin_popcount(mask & 15);
    const __m512i weights = _mm512_maskz_expand_epi64((__mmask8)(_pdep_u32(mask, 0x55) * 3), runs);
    return _mm512_xor_si512(weights, _mm512_set1_epi8((char)128));
}

CK_INLINE __m512i sixteen_activations(const int8_t *activations) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)activations));
}

// Words j of 4 registers' 128-bit lanes to lane order: word 4j + l comes from word 4l + j.
CK_INLINE __m512i by_row(__m512i words) { return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), words); }

// Register j holds 4 partial sums of each of rows 4j..4j + 3; the result has row n's sum in lane n.
CK_INLINE __m512i lane_sums(const __m512i sums[4]) {
    const __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(sums[0], sums[1]), _mm512_unpackhi_epi32(sums[0], sums[1]));
    const __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(sums[2], sums[3]), _mm512_unpackhi_epi32(sums[2], sums[3]));
    return by_row(_mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b)));
}

// One panel by `count` activation rows.
CK_INLINE void few_tile(const ck_linear_args *args, const uint8_t *panel, int64_t first_row, int64_t column, ck_activation_format terms, int count) {
    const int64_t k = args->k, valid = args->columns - column;
    const size_t low_offset = ck_activation_low_offset(k), record_offset = ck_activation_block_offset(terms, k);
    const uint8_t *activations = (const uint8_t *)args->activations + args->activation_stride_bytes * (size_t)first_row;
    const uint8_t *block = panel + ck_panel_header_bytes;
    __m512 total[few_rows];
#pragma clang loop unroll(full)
    for (int m = 0; m < count; m++) total[m] = _mm512_setzero_ps();
    for (int64_t b = 0; b < k / CK_BLOCK; b++) {
        if (first_row == 0) {
#pragma clang loop unroll(full)
            for (int line = 0; line < prefetch_lines; line++) _mm_prefetch((const char *)block + prefetch_bytes + 64 * line, _MM_HINT_T0);
        }
        const __m512 scale = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)block));
        const uint8_t *values = block + ck_blocks_value_offset;
        __m512i lines[2][4];
#pragma clang loop unroll(full)
        for (int half = 0; half < 2; half++) {
            const uint32_t mask = ck_blocks_mask(block, half);
#pragma clang loop unroll(full)
            for (int j = 0; j < 4; j++) lines[half][j] = expand_runs(&values, mask >> 4 * j);
        }
        block = values;
#pragma clang loop unroll(full)
        for (int m = 0; m < count; m++) {
            const uint8_t *row = activations + args->activation_stride_bytes * (size_t)m;
            const int8_t *high = (const int8_t *)row + CK_BLOCK * b, *low = high + low_offset;
            const ck_activation_block *record = (const ck_activation_block *)(const void *)(row + record_offset) + b;
            __m512i sums[4];
#pragma clang loop unroll(full)
            for (int j = 0; j < 4; j++) {
                __m512i sum = _mm512_dpbusd_epi32(_mm512_setzero_si512(), lines[0][j], sixteen_activations(high));
                sum = _mm512_dpbusd_epi32(sum, lines[1][j], sixteen_activations(high + 16));
                if (terms == CK_ACT_Q15) {
                    sum = _mm512_dpbusd_epi32(_mm512_slli_epi32(sum, 7), lines[0][j], sixteen_activations(low));
                    sum = _mm512_dpbusd_epi32(sum, lines[1][j], sixteen_activations(low + 16));
                }
                sums[j] = sum;
            }
            const __m512i exact = _mm512_sub_epi32(lane_sums(sums), _mm512_slli_epi32(_mm512_set1_epi32(record->sum), 7));
            total[m] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(exact), _mm512_mul_ps(scale, _mm512_set1_ps(record->scale)), total[m]);
        }
    }
    const __m512 factor = _mm512_loadu_ps(panel);
    const __mmask16 mask = valid >= 16 ? 0xffff : (__mmask16)((1u << valid) - 1);
#pragma clang loop unroll(full)
    for (int m = 0; m < count; m++) {
        _mm512_mask_storeu_ps(args->output + (first_row + m) * args->output_stride + column, mask, _mm512_mul_ps(total[m], factor));
    }
}

CK_INLINE void few(const ck_linear_args *args, ck_activation_format terms) {
    for (int64_t p = 0; p < args->panel_count; p++) {
        const uint8_t *panel = ck_sparse_panel(args, p);
        int64_t m = 0;
        for (; m + few_rows <= args->rows; m += few_rows) few_tile(args, panel, m, p * CK_PANEL_ROWS, terms, few_rows);
        if (args->rows - m >= 2) {
            few_tile(args, panel, m, p * CK_PANEL_ROWS, terms, 2);
            m += 2;
        }
        if (m < args->rows) few_tile(args, panel, m, p * CK_PANEL_ROWS, terms, 1);
    }
}

// MARK: - Many rows

enum {
    lanes = 16,
    many_rows = 64,  // activation rows at once
    most_registers = many_rows / lanes,
    most_panels = 16,               // panels that share a transposed piece of the activations
    q8_blocks = 8, q15_blocks = 4,  // 32-blocks of k in a piece: 16 KiB of activations
    piece_words = q8_blocks * 8 * many_rows,
};

// A piece of the activations; lanes are rows.
typedef struct piece {
    int32_t words[piece_words] __attribute__((aligned(64)));  // 4 k each, raised by 128: [term][4 k][row]
    float scale[q8_blocks][many_rows] __attribute__((aligned(64)));
} piece;

// Rows to columns: word i of register j becomes word j of register i.
CK_INLINE void transpose(__m512i r[16]) {
    __m512i t[16];
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    // Register 4a + c: in 128-bit lane l, word 4l + c of rows 4a..4a + 3.
#pragma clang loop unroll(full)
    for (int c = 0; c < 4; c++) {
        const __m512i x = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x88), y = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xdd);
        const __m512i z = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x88), w = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xdd);
        t[c] = _mm512_shuffle_i32x4(x, z, 0x88);
        t[8 + c] = _mm512_shuffle_i32x4(x, z, 0xdd);
        t[4 + c] = _mm512_shuffle_i32x4(y, w, 0x88);
        t[12 + c] = _mm512_shuffle_i32x4(y, w, 0xdd);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; i++) r[i] = t[i];
}

// Columns of up to 16 words of up to 16 rows from `source` on, `stride` bytes apart; what is not there is zero.
CK_INLINE void load_columns(const uint8_t *source, size_t stride, int64_t rows, __mmask16 words, __m512i r[16]) {
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; i++) r[i] = i < rows ? _mm512_maskz_loadu_epi32(words, source + stride * (size_t)i) : _mm512_setzero_si512();
    transpose(r);
}

// `blocks` 32-blocks of `rows` activation rows from block `first` on.
static __attribute__((noinline)) void take_piece(const ck_linear_args *args, int64_t first_row, int64_t rows, int64_t first, int blocks, ck_activation_format terms, piece *out) {
    const size_t low_offset = ck_activation_low_offset(args->k), record_offset = ck_activation_block_offset(terms, args->k);
    const size_t stride = args->activation_stride_bytes;
    const int groups = 8 * blocks;
    for (int64_t m = 0; m < rows; m += lanes) {
        const uint8_t *source = (const uint8_t *)args->activations + stride * (size_t)(first_row + m);
        const int64_t count = rows - m < lanes ? rows - m : lanes;
        for (int term = 0; term < (terms == CK_ACT_Q15 ? 2 : 1); term++) {
            int32_t *words = out->words + (size_t)(term * groups) * many_rows + m;
            const uint8_t *numbers = source + CK_BLOCK * first + (term ? low_offset : 0);
            for (int g = 0; g < groups; g += 16) {
                __m512i r[16];
                load_columns(numbers + 4 * g, stride, count, groups - g < 16 ? 0xff : 0xffff, r);
#pragma clang loop unroll(full)
                for (int i = 0; i < 16; i++) {
                    if (g + i < groups) _mm512_store_si512(words + (size_t)(g + i) * many_rows, _mm512_xor_si512(r[i], _mm512_set1_epi8((char)128)));
                }
            }
        }
        for (int b = 0; b < blocks; b += 2) {  // two records are 16 words, the first of each its scale
            __m512i r[16];
            load_columns(source + record_offset + sizeof(ck_activation_block) * (size_t)(first + b), stride, count, blocks - b < 2 ? 0xff : 0xffff, r);
#pragma clang loop unroll(full)
            for (int i = 0; i < 2; i++) {
                if (b + i >= blocks) continue;
                _mm512_store_si512(out->scale[b + i] + m, r[8 * i]);
            }
        }
    }
}

// −128 · Σ w of a run, or of its product with two terms: takes the 128 that the activations of a piece are raised by off again.
CK_INLINE __m512i zero_of(const uint8_t *run, ck_activation_format terms) {
    __m128i sum = _mm_dpbusd_epi32(_mm_setzero_si128(), _mm_set1_epi8((char)128), _mm_loadu_si128((const __m128i *)(const void *)run));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
    if (terms == CK_ACT_Q15) sum = _mm_add_epi32(sum, _mm_slli_epi32(sum, 7));
    return _mm512_broadcastd_epi32(_mm_sub_epi32(_mm_setzero_si128(), sum));
}

// Adds Σ w · (q + 128) of one run for all rows, term by term.
CK_INLINE void add_run(const uint8_t *run, const int32_t *words, size_t low, ck_activation_format terms, int registers, __m512i top[], __m512i bottom[]) {
#pragma clang loop unroll(full)
    for (int g = 0; g < 4; g++) {
        int32_t four;
        memcpy(&four, run + 4 * g, sizeof four);
        const __m512i weights = _mm512_set1_epi32(four);
#pragma clang loop unroll(full)
        for (int i = 0; i < registers; i++) {
            const int32_t *word = words + (size_t)g * many_rows + lanes * i;
            if (terms == CK_ACT_Q15) {
                top[i] = _mm512_dpbusd_epi32(top[i], _mm512_load_si512(word), weights);
                bottom[i] = _mm512_dpbusd_epi32(bottom[i], _mm512_load_si512(word + low), weights);
            } else {
                bottom[i] = _mm512_dpbusd_epi32(bottom[i], _mm512_load_si512(word), weights);
            }
        }
    }
}

// Adds one panel's share of a piece to `totals`, [16][many_rows]. Returns the 32-block behind.
CK_INLINE const uint8_t *add_piece(const uint8_t *block, int blocks, const piece *in, ck_activation_format terms, int registers, float *totals) {
    const size_t low = (size_t)blocks * 8 * many_rows;
    for (int b = 0; b < blocks; b++) {
        float scales[CK_PANEL_ROWS] __attribute__((aligned(64)));
        _mm512_store_ps(scales, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)block)));
        const uint32_t masks[2] = {ck_blocks_mask(block, 0), ck_blocks_mask(block, 1)};
        const uint8_t *const values = block + ck_blocks_value_offset;
        const uint8_t *const runs[2] = {values, values + ck_blocks_run * (size_t)__builtin_popcount(masks[0])};
        const int32_t *words = in->words + (size_t)b * 8 * many_rows;
        block = ck_blocks_next(block);
        _mm_prefetch((const char *)block + prefetch_bytes, _MM_HINT_T0);
        for (uint32_t rest = masks[0] | masks[1]; rest; rest &= rest - 1) {
            const int row = __builtin_ctz(rest);
            const uint32_t below = (1u << row) - 1;
            // One of two runs, most often, and which cannot be foreseen: found without a branch.
            const uint32_t half = ~(masks[0] >> row) & 1;
            const uint8_t *const run = runs[half] + ck_blocks_run * (size_t)__builtin_popcount(masks[half] & below);
            __m512i top[most_registers], bottom[most_registers];
            const __m512i zero = zero_of(run, terms);
#pragma clang loop unroll(full)
            for (int i = 0; i < registers; i++) top[i] = _mm512_setzero_si512(), bottom[i] = zero;
            add_run(run, words + half * 4 * many_rows, low, terms, registers, top, bottom);
            if (masks[0] & masks[1] & 1u << row) {
                const uint8_t *const second = runs[1] + ck_blocks_run * (size_t)__builtin_popcount(masks[1] & below);
                const __m512i more = zero_of(second, terms);
#pragma clang loop unroll(full)
                for (int i = 0; i < registers; i++) bottom[i] = _mm512_add_epi32(bottom[i], more);
                add_run(second, words + 4 * many_rows, low, terms, registers, top, bottom);
            }
            const __m512 scale = _mm512_set1_ps(scales[row]);
            float *total = totals + row * many_rows;
#pragma clang loop unroll(full)
            for (int i = 0; i < registers; i++) {
                const __m512i exact = terms == CK_ACT_Q15 ? _mm512_add_epi32(_mm512_slli_epi32(top[i], 7), bottom[i]) : bottom[i];
                const __m512 both_scales = _mm512_mul_ps(scale, _mm512_load_ps(in->scale[b] + lanes * i));
                _mm512_store_ps(total + lanes * i, _mm512_fmadd_ps(_mm512_cvtepi32_ps(exact), both_scales, _mm512_load_ps(total + lanes * i)));
            }
        }
    }
    return block;
}

// Writes 16 outputs of all rows, times their weights' factors.
CK_INLINE void put(const ck_linear_args *args, const uint8_t *panel, int64_t first_row, int64_t rows, int64_t column, const float *totals) {
    const int64_t valid = args->columns - column;
    const __mmask16 mask = valid >= 16 ? 0xffff : (__mmask16)((1u << valid) - 1);
    const __m512 factor = _mm512_loadu_ps(panel);
    for (int64_t m = 0; m < rows; m += lanes) {
        __m512i r[16];
#pragma clang loop unroll(full)
        for (int i = 0; i < 16; i++) r[i] = _mm512_load_si512(totals + i * many_rows + m);
        transpose(r);
        float *output = args->output + (first_row + m) * args->output_stride + column;
#pragma clang loop unroll(full)
        for (int i = 0; i < lanes; i++) {
            if (m + i < rows) _mm512_mask_storeu_ps(output + i * args->output_stride, mask, _mm512_mul_ps(_mm512_castsi512_ps(r[i]), factor));
        }
    }
}

CK_INLINE void many(const ck_linear_args *args, ck_activation_format terms, int64_t first_row, int64_t rows, int registers) {
    const int64_t blocks = args->k / CK_BLOCK;
    const int step = terms == CK_ACT_Q15 ? q15_blocks : q8_blocks;
    piece in;
    float totals[most_panels][CK_PANEL_ROWS * many_rows] __attribute__((aligned(64)));
    const uint8_t *next[most_panels];
    for (int64_t group = 0; group < args->panel_count; group += most_panels) {
        const int panels = args->panel_count - group < most_panels ? (int)(args->panel_count - group) : most_panels;
        for (int p = 0; p < panels; p++) next[p] = ck_sparse_panel(args, group + p) + ck_panel_header_bytes;
        memset(totals, 0, sizeof totals[0] * (size_t)panels);
        for (int64_t b = 0; b < blocks; b += step) {
            const int count = blocks - b < step ? (int)(blocks - b) : step;
            take_piece(args, first_row, rows, b, count, terms, &in);
            for (int p = 0; p < panels; p++) next[p] = add_piece(next[p], count, &in, terms, registers, totals[p]);
        }
        for (int p = 0; p < panels; p++) {
            put(args, ck_sparse_panel(args, group + p), first_row, rows, (group + p) * CK_PANEL_ROWS, totals[p]);
        }
    }
}

enum { least_many = 8 };  // rows from which lanes of rows are faster than registers of runs

CK_INLINE void multiply(const ck_linear_args *args, ck_activation_format terms) {
    if (args->rows < least_many) {
        few(args, terms);
        return;
    }
    for (int64_t m = 0; m < args->rows; m += many_rows) {
        const int64_t rows = args->rows - m < many_rows ? args->rows - m : many_rows;
        if (rows <= lanes) many(args, terms, m, rows, 1);
        else if (rows <= 2 * lanes) many(args, terms, m, rows, 2);
        else many(args, terms, m, rows, 4);
    }
}

static void multiply_q8(const ck_linear_args *args) { multiply(args, CK_ACT_Q8); }
static void multiply_q15(const ck_linear_args *args) { multiply(args, CK_ACT_Q15); }

static void expand(const void *panel, int64_t k, void *dense) {
    const uint8_t *block = (const uint8_t *)panel + ck_panel_header_bytes;
    uint8_t *out = dense;
    memcpy(out, panel, ck_panel_header_bytes);
    out += ck_panel_header_bytes;
    for (int64_t b = 0; b < k / CK_BLOCK; b++) {
        memcpy(out, block, ck_blocks_mask_offset);
        uint8_t *lines = out + ck_blocks_mask_offset;
        const uint8_t *values = block + ck_blocks_value_offset;
        for (int half = 0; half < 2; half++, lines += 256) {
            const uint32_t mask = ck_blocks_mask(block, half);
            __m512i r[4], t[4];
#pragma clang loop unroll(full)
            for (int j = 0; j < 4; j++) r[j] = expand_runs(&values, mask >> 4 * j);
            // Register j, 128-bit lane l: the 16 weights of row 4j + l. Wanted: register g, word n: weights 4g..4g + 3 of row n.
            t[0] = _mm512_unpacklo_epi32(r[0], r[1]), t[1] = _mm512_unpackhi_epi32(r[0], r[1]);
            t[2] = _mm512_unpacklo_epi32(r[2], r[3]), t[3] = _mm512_unpackhi_epi32(r[2], r[3]);
            r[0] = _mm512_unpacklo_epi64(t[0], t[2]), r[1] = _mm512_unpackhi_epi64(t[0], t[2]);
            r[2] = _mm512_unpacklo_epi64(t[1], t[3]), r[3] = _mm512_unpackhi_epi64(t[1], t[3]);
#pragma clang loop unroll(full)
            for (int g = 0; g < 4; g++) _mm512_storeu_si512(lines + 64 * g, by_row(r[g]));
        }
        block = values;
        out += ck_panel_block_bytes(CK_PANEL_Q8);
    }
    memset(out, 0, ck_panel_bytes(CK_PANEL_Q8, k) - (size_t)(out - (uint8_t *)dense));
}

#pragma clang attribute pop

enum { isa = CK_ISA_AVX512 | CK_ISA_AVX512_VNNI };

// Crossover measured on Zen 4, 64 rows of activations (1536 × 576), all in cache: with 60 % of the runs zero 1.5 times the dense row's speed for one term,
// with 80 % 2.5 times, and 2.8 for two.

static const ck_sparse_row rows[] = {
    {"sparse_blocks_q8_avx512vnni", isa, CK_SPARSE_BLOCKS, CK_ACT_Q8, many_rows, INT32_MAX, multiply_q8, expand, 0.6f},
    {"sparse_blocks_q15_avx512vnni", isa, CK_SPARSE_BLOCKS, CK_ACT_Q15, many_rows, INT32_MAX, multiply_q15, expand, 0.6f},
};
const ck_sparse_group ck_sparse_blocks_avx512_vnni = {rows, sizeof rows / sizeof rows[0]};

#endif
