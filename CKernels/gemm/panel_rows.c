// Rows of panels as floats (an embedding reads them where the head matrix is the same weight), and what identifies a layout on disk.
#include "ckernels/panels.h"

#include "ckernels/blocks.h"
#include "ckernels/checksum.h"
#include "gemm/decode.h"
#include "gemm/layout.h"
#include "isa/bits.h"

// A fused multiply-add would round once where dequantising the file rounds twice.
#pragma STDC FP_CONTRACT OFF

bool ck_panel_is_exact(ck_weight_type type) {
    if (type == CK_WEIGHT_F32 || type == CK_WEIGHT_F16 || type == CK_WEIGHT_BF16) return true;
    const ck_block_reader *reader = ck_block_reader_for(type);
    return reader && reader->exact_scales;
}

// One row of an integer panel, block by block; inlined for each format, so that its planes' shifts and masks are constants.
static inline __attribute__((always_inline)) void read_numbers(ck_panel_format format, const uint8_t *panel, int64_t row, int64_t k, float *output) {
    const int parts = ck_panel_parts(format), width = CK_BLOCK / parts;
    const float factor = ((const float *)(const void *)panel)[row];
    const uint8_t *block = panel + ck_panel_header_bytes;
    for (int64_t start = 0; start < k; start += CK_BLOCK, block += ck_panel_block_bytes(format)) {
        const uint16_t *halves = (const uint16_t *)(const void *)block;
        for (int part = 0; part < parts; part++) {
            const float scale = ck_half_to_float(halves[CK_PANEL_ROWS * part + row]);
            const float minimum = ck_panel_has_minimum(format) ? ck_half_to_float(halves[CK_PANEL_ROWS * (parts + part) + row]) : 0;
            for (int i = width * part; i < width * (part + 1) && start + i < k; i++) {
                const float product = scale * (float)ck_panel_number(block + ck_panel_quant_offset(format), format, (int)row, i);
                output[start + i] = factor * (ck_panel_has_minimum(format) ? product + minimum : product);
            }
        }
    }
}

void ck_panel_read_row(ck_panel_format format, const void *panel, int64_t row, int64_t k, float *output) {
    switch (format) {
#define CK_READ_CASE(name, panel_format) \
    case panel_format: read_numbers(panel_format, panel, row, k, output); return;
        CK_INTEGER_PANELS(CK_READ_CASE)
    default:
        for (int64_t i = 0; i < k; i++) output[i] = ck_panel_value(format, panel, row, i);
    }
}

// MARK: - Fingerprints

enum { sample_k = 512, sample_rows = 13 };  // two super-blocks; a panel that is not full

size_t ck_panel_fingerprint_bytes(void) {
    size_t largest = 0;
    for (int format = CK_PANEL_NONE + 1; format < CK_PANEL_COUNT; format++) {
        const size_t bytes = ck_panel_bytes((ck_panel_format)format, sample_k);
        if (bytes > largest) largest = bytes;
    }
    // The rows behind the panel: no type takes more than 4 bytes an element.
    return largest + (size_t)sample_rows * sample_k * sizeof(float);
}

uint64_t ck_panel_fingerprint(ck_weight_type type, void *scratch) {
    const ck_panel_format format = ck_panel_for(type);
    if (format == CK_PANEL_NONE) return 0;
    const ck_block_reader *reader = ck_block_reader_for(type);
    const size_t row_bytes = reader ? (size_t)(sample_k / reader->elements * reader->bytes) : sample_k * (type == CK_WEIGHT_F32 ? 4u : 2u);
    const size_t panel_bytes = ck_panel_bytes(format, sample_k), rows_bytes = row_bytes * sample_rows;
    uint8_t *rows = (uint8_t *)scratch + panel_bytes;
    uint32_t state = 0x2545F491;
    for (size_t i = 0; i < rows_bytes; i++) {
        state = state * 1664525 + 1013904223;
        // Without the top bits of an exponent no number is infinite: what becomes of a NaN is the machine's business.
        rows[i] = (uint8_t)(state >> 24) & 0xBF;
    }
    if (ck_pack_panel(type, rows, row_bytes, sample_rows, sample_k, scratch) != 0) return 0;
    return ck_checksum(scratch, panel_bytes, (uint64_t)type << 32 | (uint64_t)format);
}
