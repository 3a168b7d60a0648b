// Packing of file rows into panels, and the sizes of panels and activation rows. Layouts: include/ckernels/linear.h.
#include "gemm/decode.h"
#include "gemm/layout.h"
#include "isa/bits.h"

#include <math.h>

ck_panel_format ck_panel_for(ck_weight_type type) {
    switch (type) {
    case CK_WEIGHT_F32: return CK_PANEL_F32;
    case CK_WEIGHT_F16: return CK_PANEL_F16;
    case CK_WEIGHT_BF16: return CK_PANEL_BF16;
    default: {
        const ck_block_reader *reader = ck_block_reader_for(type);
        return reader ? reader->panel : CK_PANEL_NONE;
    }
    }
}

size_t ck_panel_bytes(ck_panel_format format, int64_t k) {
    const size_t padded = (size_t)ck_round_up(k, CK_BLOCK);
    switch (format) {
    case CK_PANEL_F32: return padded * CK_PANEL_ROWS * sizeof(float);
    case CK_PANEL_F16:
    case CK_PANEL_BF16: return padded * CK_PANEL_ROWS * sizeof(uint16_t);
    default: break;
    }
    if (!ck_panel_is_integer(format)) return 0;
    return (size_t)ck_round_up((int64_t)(ck_panel_header_bytes + padded / CK_BLOCK * ck_panel_block_bytes(format)), 64);
}

size_t ck_panel_scale_bytes(ck_panel_format format) { return ck_panel_is_integer(format) ? ck_panel_quant_offset(format) : 0; }

size_t ck_activation_low_offset(int64_t k) { return (size_t)ck_round_up(k, 64); }

size_t ck_activation_block_offset(ck_activation_format format, int64_t k) {
    return ck_activation_low_offset(k) * (format == CK_ACT_Q15 ? 2 : 1);
}

size_t ck_activation_row_bytes(ck_activation_format format, int64_t k) {
    if (format == CK_ACT_F32) return (size_t)ck_round_up(k * (int64_t)sizeof(float), 64);
    const size_t blocks = (size_t)ck_round_up(k, CK_BLOCK) / CK_BLOCK * sizeof(ck_activation_block);
    return (size_t)ck_round_up((int64_t)(ck_activation_block_offset(format, k) + blocks), 64);
}

// The power of two that brings a row's largest scale or minimum into [2^14, 2^15), so that f16 holds all of them as normal numbers.
static float row_factor(const ck_block_reader *reader, const uint8_t *row, int64_t blocks) {
    if (reader->exact_scales) return 1;
    float largest = 0;
    for (int64_t b = 0; b < blocks; b++) {
        float scale[2] = {0, 0}, minimum[2] = {0, 0};
        reader->scales(row, b, scale, minimum);
        largest = fmaxf(fmaxf(largest, fmaxf(fabsf(scale[0]), fabsf(scale[1]))), fmaxf(fabsf(minimum[0]), fabsf(minimum[1])));
    }
    if (!(largest > 0) || isinf(largest)) return 1;
    int exponent;
    frexpf(largest, &exponent);
    exponent -= 15;
    return ldexpf(1, exponent < -126 ? -126 : exponent);  // never a subnormal factor
}

static void store_half(uint8_t *destination, float value) {
    const uint16_t half = ck_float_to_half(value);
    memcpy(destination, &half, sizeof half);
}

static void pack_integer_row(const ck_block_reader *reader, const uint8_t *source, int row, int64_t blocks, uint8_t *panel) {
    const ck_panel_format format = reader->panel;
    const int parts = ck_panel_parts(format), low_bits = ck_panel_low_bits(format), high_bits = ck_panel_high_bits(format);
    const size_t block_bytes = ck_panel_block_bytes(format), quant_offset = ck_panel_quant_offset(format);
    const float factor = row_factor(reader, source, blocks), inverse = 1 / factor;
    memcpy(panel + sizeof(float) * (size_t)row, &factor, sizeof factor);
    for (int64_t b = 0; b < blocks; b++) {
        uint8_t *block = panel + ck_panel_header_bytes + block_bytes * (size_t)b, *lines = block + quant_offset + 4 * row;
        float scale[2] = {0, 0}, minimum[2] = {0, 0};
        reader->scales(source, b, scale, minimum);
        for (int part = 0; part < parts; part++) {
            store_half(block + 2 * (CK_PANEL_ROWS * part + row), scale[part] * inverse);
            if (ck_panel_has_minimum(format)) store_half(block + 2 * (CK_PANEL_ROWS * (parts + part) + row), minimum[part] * inverse);
        }
        if (reader->nibble_offset >= 0) {
            const uint8_t *pairs = source + (size_t)reader->bytes * (size_t)b + reader->nibble_offset;
            for (int g = 0; g < 4; g++) memcpy(lines + 64 * g, pairs + 4 * g, 4);
            continue;
        }
        uint8_t quants[32];
        reader->quants(source, b, quants);
        ck_pack_plane(lines, quants, low_bits, 0);
        if (high_bits > 0) ck_pack_plane(lines + ck_panel_high_offset(format), quants, high_bits, low_bits);
    }
}

// Where element (k, row) of a 16-bit dense panel lives, in elements.
static size_t dense16_index(ck_panel_format format, int64_t k, int64_t row) {
    if (format == CK_PANEL_BF16) return (size_t)(k / 2 * 2 * CK_PANEL_ROWS + row * 2 + k % 2);
    return (size_t)(k * CK_PANEL_ROWS + row);
}

static void pack_dense(ck_panel_format format, const uint8_t *rows, size_t stride, int64_t valid_rows, int64_t k, void *panel) {
    for (int64_t row = 0; row < valid_rows; row++) {
        const uint8_t *source = rows + stride * (size_t)row;
        if (format == CK_PANEL_F32) {
            for (int64_t i = 0; i < k; i++) memcpy((float *)panel + i * CK_PANEL_ROWS + row, source + 4 * i, 4);
        } else {
            for (int64_t i = 0; i < k; i++) memcpy((uint16_t *)panel + dense16_index(format, i, row), source + 2 * i, 2);
        }
    }
}

int ck_pack_panel(ck_weight_type type, const void *rows, size_t row_stride_bytes, int64_t valid_rows, int64_t k, void *panel) {
    const ck_panel_format format = ck_panel_for(type);
    if (format == CK_PANEL_NONE || valid_rows < 1 || valid_rows > CK_PANEL_ROWS || k < 0) return -1;
    if (!ck_panel_is_integer(format)) {
        memset(panel, 0, ck_panel_bytes(format, k));
        pack_dense(format, rows, row_stride_bytes, valid_rows, k, panel);
        return 0;
    }
    const ck_block_reader *reader = ck_block_reader_for(type);
    if (k % reader->elements != 0) return -1;
    const size_t bytes = ck_panel_bytes(format, k);
    if (valid_rows < CK_PANEL_ROWS) memset(panel, 0, bytes);  // a zero scale makes a zero weight, whatever the quants
    else memset((uint8_t *)panel + bytes - 64, 0, 64);        // padding, so that equal weights give equal bytes
    for (int row = 0; row < valid_rows; row++) {
        pack_integer_row(reader, (const uint8_t *)rows + row_stride_bytes * (size_t)row, row, k / CK_BLOCK, panel);
    }
    return 0;
}

float ck_panel_value(ck_panel_format format, const void *panel, int64_t row, int64_t k_index) {
    if (format == CK_PANEL_F32) return ((const float *)panel)[k_index * CK_PANEL_ROWS + row];
    if (format == CK_PANEL_F16) return ck_half_to_float(((const uint16_t *)panel)[dense16_index(format, k_index, row)]);
    if (format == CK_PANEL_BF16) return ck_bfloat_to_float(((const uint16_t *)panel)[dense16_index(format, k_index, row)]);
    if (!ck_panel_is_integer(format)) return 0;
    const uint8_t *block = (const uint8_t *)panel + ck_panel_header_bytes + ck_panel_block_bytes(format) * (size_t)(k_index / CK_BLOCK);
    const uint16_t *halves = (const uint16_t *)(const void *)block;
    const int parts = ck_panel_parts(format), within = (int)(k_index % CK_BLOCK), part = parts == 2 ? within / 16 : 0;
    const float factor = ((const float *)panel)[row], scale = ck_half_to_float(halves[CK_PANEL_ROWS * part + row]);
    const float number = (float)ck_panel_number(block + ck_panel_quant_offset(format), format, (int)row, within);
    if (ck_panel_has_minimum(format)) return factor * (scale * number + ck_half_to_float(halves[CK_PANEL_ROWS * (parts + part) + row]));
    return factor * (scale * number);
}
