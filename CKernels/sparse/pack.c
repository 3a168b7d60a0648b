// Packing of file rows into sparse panels, their sizes, and their rows as floats. Layout: include/ckernels/sparse.h.
#include "gemm/decode.h"
#include "isa/bits.h"
#include "sparse/bitmap.h"
#include "sparse/blocks.h"

// A fused multiply-add would round once where dequantising the file rounds twice.
#pragma STDC FP_CONTRACT OFF

ck_panel_format ck_sparse_dense(ck_sparse_format format) {
    if (format == CK_SPARSE_BITMAP_Q4) return CK_PANEL_Q4;
    return format == CK_SPARSE_BITMAP || format == CK_SPARSE_BLOCKS ? CK_PANEL_Q8 : CK_PANEL_NONE;
}

// The reader of a type that the format keeps; null for other types.
static const ck_block_reader *sparse_reader(ck_sparse_format format, ck_weight_type type, int64_t k) {
    const ck_block_reader *reader = ck_sparse_dense(format) == CK_PANEL_NONE ? 0 : ck_block_reader_for(type);
    return reader && reader->panel == ck_sparse_dense(format) && k >= 0 && k % reader->elements == 0 ? reader : 0;
}

static bool is_kept(const uint8_t *run) {
    int kept = 0;
    for (int i = 0; i < ck_blocks_run; i++) kept |= run[i] != ck_bitmap_zero;
    return kept != 0;
}

int64_t ck_sparse_count(ck_sparse_format format, ck_weight_type type, const void *rows, size_t row_stride_bytes, int64_t valid_rows, int64_t k) {
    const ck_block_reader *reader = sparse_reader(format, type, k);
    if (!reader || valid_rows < 1 || valid_rows > CK_PANEL_ROWS) return -1;
    const uint8_t zero = ck_bitmap_zero_of(format);
    int64_t count = 0;
    for (int64_t b = 0; b < k / CK_BLOCK; b++) {
        int lines[CK_BLOCK / 4] = {0};
        for (int64_t row = 0; row < valid_rows; row++) {
            uint8_t quants[CK_BLOCK];
            reader->quants((const uint8_t *)rows + row_stride_bytes * (size_t)row, b, quants);
            if (format == CK_SPARSE_BLOCKS) count += ck_blocks_run * (is_kept(quants) + is_kept(quants + ck_blocks_run));
            else for (int i = 0; i < CK_BLOCK; i++) lines[i / 4] += quants[i] != zero;
        }
        if (format == CK_SPARSE_BITMAP_Q4) for (int g = 0; g < 4; g++) lines[g] = lines[g + 4] = lines[g] > lines[g + 4] ? lines[g] : lines[g + 4];
        for (int g = 0; g < CK_BLOCK / 4; g++) count += lines[g];
    }
    return count;
}

// Bytes of a block besides the weights it keeps.
static size_t block_overhead(ck_sparse_format format) { return format == CK_SPARSE_BLOCKS ? ck_blocks_value_offset : ck_bitmap_value_offset; }

static size_t panel_bytes(ck_sparse_format format, int64_t k, int64_t count) {
    const size_t values = (size_t)(format == CK_SPARSE_BITMAP_Q4 ? count / 2 : count);
    return ck_panel_header_bytes + (size_t)(k / CK_BLOCK) * block_overhead(format) + values;
}

size_t ck_sparse_panel_bytes(ck_sparse_format format, int64_t k, int64_t count) {
    if (ck_sparse_dense(format) == CK_PANEL_NONE) return 0;
    return (size_t)ck_round_up((int64_t)panel_bytes(format, k, count), 64);
}

size_t ck_sparse_reach(ck_sparse_format format, int64_t k) {
    // All bits set, and a whole line read from the last byte on.
    const size_t largest = ck_sparse_panel_bytes(format, k, k * CK_PANEL_ROWS);
    return largest > 0 ? largest + ck_bitmap_line : 0;
}

// Writes the masks of `block` and the weights it keeps from `next` on; returns where they end, or null when they do not fit before `end`.
static uint8_t *put_bitmap(ck_sparse_format format, uint8_t quants[CK_PANEL_ROWS][CK_BLOCK], uint8_t *block, uint8_t *next, const uint8_t *end) {
    for (int g = 0; g < 8; g++) {
        uint64_t mask = 0;
        for (int i = 0; i < ck_bitmap_line; i++) mask |= (uint64_t)(quants[i / 4][4 * g + i % 4] != ck_bitmap_zero_of(format)) << i;
        memcpy(block + ck_bitmap_mask_offset + sizeof mask * (size_t)g, &mask, sizeof mask);
    }
    const size_t bytes = ck_bitmap_line_offset(format, block, 8);
    if ((size_t)(end - next) < bytes) return 0;
    memset(next, 0, bytes);
    for (int g = 0; g < 8; g++) {
        uint8_t *line = next + ck_bitmap_line_offset(format, block, g);
        for (uint64_t mask = ck_bitmap_mask(block, g); mask; mask &= mask - 1) {
            const int i = __builtin_ctzll(mask), level = quants[i / 4][4 * g + i % 4];
            *line++ |= (uint8_t)(format == CK_SPARSE_BITMAP_Q4 && g >= 4 ? level << 4 : level);
        }
    }
    return next + bytes;
}

static uint8_t *put_blocks(uint8_t quants[CK_PANEL_ROWS][CK_BLOCK], uint8_t *block, uint8_t *next, const uint8_t *end) {
    for (int half = 0; half < 2; half++) {
        uint16_t mask = 0;
        for (int row = 0; row < CK_PANEL_ROWS; row++) {
            const uint8_t *run = quants[row] + ck_blocks_run * half;
            if (!is_kept(run)) continue;
            if (end - next < ck_blocks_run) return 0;
            mask |= (uint16_t)(1u << row);
            for (int i = 0; i < ck_blocks_run; i++) *next++ = run[i] ^ ck_bitmap_zero;
        }
        memcpy(block + ck_blocks_mask_offset + sizeof mask * (size_t)half, &mask, sizeof mask);
    }
    return next;
}

int ck_sparse_pack(
    ck_sparse_format format, ck_weight_type type, const void *rows, size_t row_stride_bytes, int64_t valid_rows, int64_t k, void *panel,
    size_t bytes) {
    const ck_block_reader *reader = sparse_reader(format, type, k);
    if (!reader || valid_rows < 1 || valid_rows > CK_PANEL_ROWS || bytes < panel_bytes(format, k, 0)) return -1;
    memset(panel, 0, ck_panel_header_bytes);
    for (int64_t row = 0; row < valid_rows; row++) ((float *)panel)[row] = 1;  // the file's scales are f16: no factor
    uint8_t *next = (uint8_t *)panel + ck_panel_header_bytes;
    const uint8_t *const end = (uint8_t *)panel + bytes;
    for (int64_t b = 0; b < k / CK_BLOCK; b++) {
        uint8_t quants[CK_PANEL_ROWS][CK_BLOCK];
        uint16_t scales[CK_PANEL_ROWS] = {0};
        memset(quants, ck_bitmap_zero_of(format), sizeof quants);
        for (int64_t row = 0; row < valid_rows; row++) {
            const uint8_t *source = (const uint8_t *)rows + row_stride_bytes * (size_t)row;
            float scale[2], minimum[2];
            reader->scales(source, b, scale, minimum);
            reader->quants(source, b, quants[row]);
            scales[row] = ck_float_to_half(scale[0]);
        }
        if ((size_t)(end - next) < block_overhead(format)) return -1;
        memcpy(next, scales, sizeof scales);
        uint8_t *values = next + block_overhead(format);
        next = format == CK_SPARSE_BLOCKS ? put_blocks(quants, next, values, end) : put_bitmap(format, quants, next, values, end);
        if (!next) return -1;
    }
    memset(next, 0, (size_t)(end - next));  // equal weights give equal bytes
    return 0;
}

// The levels of one row of a block; returns the block behind.
static const uint8_t *bitmap_row(ck_sparse_format format, const uint8_t *block, int row, uint8_t levels[CK_BLOCK]) {
    const uint8_t *values = block + ck_bitmap_value_offset;
    for (int g = 0; g < 8; g++) {
        const uint8_t *line = values + ck_bitmap_line_offset(format, block, g);
        const uint64_t mask = ck_bitmap_mask(block, g);
        int index = __builtin_popcountll(mask & (((uint64_t)1 << 4 * row) - 1));
        for (int i = 0; i < 4; i++) levels[4 * g + i] = mask >> (4 * row + i) & 1 ? ck_bitmap_level(format, line, g, index++) : ck_bitmap_zero_of(format);
    }
    return values + ck_bitmap_line_offset(format, block, 8);
}

static const uint8_t *blocks_row(const uint8_t *block, int row, uint8_t levels[CK_BLOCK]) {
    const uint8_t *values = block + ck_blocks_value_offset;
    for (int half = 0; half < 2; half++) {
        const uint32_t mask = ck_blocks_mask(block, half);
        const uint8_t *run = values + ck_blocks_run * __builtin_popcount(mask & ((1u << row) - 1));
        for (int i = 0; i < ck_blocks_run; i++) levels[ck_blocks_run * half + i] = (mask >> row & 1 ? run[i] : 0) ^ ck_bitmap_zero;
        values += ck_blocks_run * __builtin_popcount(mask);
    }
    return values;
}

void ck_sparse_read_row(ck_sparse_format format, const void *panel, int64_t row, int64_t k, float *output) {
    if (ck_sparse_dense(format) == CK_PANEL_NONE) return;
    const float factor = ((const float *)panel)[row];
    const uint8_t *block = (const uint8_t *)panel + ck_panel_header_bytes;
    for (int64_t start = 0; start < k; start += CK_BLOCK) {
        uint16_t half;
        uint8_t levels[CK_BLOCK];
        memcpy(&half, block + sizeof half * (size_t)row, sizeof half);
        const float scale = ck_half_to_float(half);
        block = format == CK_SPARSE_BLOCKS ? blocks_row(block, (int)row, levels) : bitmap_row(format, block, (int)row, levels);
        for (int i = 0; i < CK_BLOCK && start + i < k; i++) {
            const float product = scale * (float)(levels[i] - ck_bitmap_zero_of(format));
            output[start + i] = factor * product;
        }
    }
}
