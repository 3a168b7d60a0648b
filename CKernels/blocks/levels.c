// Blocks as grids. Where the bits of an element lie is written once, for reading and for writing.
#include "ckernels/block_levels.h"

#include <stddef.h>

// The numbers -128 ... 127; a format whose zero is level z starts at entry 128 - z.
#define ROW(n) n, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6, n + 7
#define ROWS(n) ROW(n), ROW(n + 8), ROW(n + 16), ROW(n + 24)
static const int8_t integers[256] = {ROWS(-128), ROWS(-96), ROWS(-64), ROWS(-32), ROWS(0), ROWS(32), ROWS(64), ROWS(96)};

static const int8_t *from_zero(int zero) { return integers + 128 - zero; }

static void uniform(ck_block_grid *grid, int elements, int levels, const int8_t *codes, float scale, float offset) {
    *grid = (ck_block_grid){.elements = elements, .sub_elements = elements, .levels = levels, .codes = codes, .scale = {scale}, .offset = {offset}};
}

static void sub_blocks(ck_block_grid *grid, int sub_elements, int levels, const int8_t *codes) {
    *grid = (ck_block_grid){.elements = 256, .sub_elements = sub_elements, .levels = levels, .codes = codes};
}

// q4_k and q5_k differ in the number of levels only.
static void scales_and_minimums(ck_block_grid *grid, uint16_t d, uint16_t dmin, const uint8_t packed[12], int levels) {
    sub_blocks(grid, 32, levels, from_zero(0));
    uint8_t scales[8], mins[8];
    ck_k_scales(packed, scales, mins);
    for (int s = 0; s < 8; s++) {
        grid->scale[s] = ck_half_to_float(d) * (float)scales[s];
        grid->offset[s] = -(ck_half_to_float(dmin) * (float)mins[s]);
    }
}

int ck_block_grid_of(uint32_t type, const void *source, ck_block_grid *grid) {
    switch (type) {
        case CK_TYPE_Q4_0: uniform(grid, 32, 16, from_zero(8), ck_half_to_float(((const ck_block_q4_0 *)source)->d), 0); return 1;
        case CK_TYPE_Q5_0: uniform(grid, 32, 32, from_zero(16), ck_half_to_float(((const ck_block_q5_0 *)source)->d), 0); return 1;
        case CK_TYPE_Q8_0: uniform(grid, 32, 256, from_zero(128), ck_half_to_float(((const ck_block_q8_0 *)source)->d), 0); return 1;
        case CK_TYPE_IQ4_NL: uniform(grid, 32, 16, ck_iq4_values, ck_half_to_float(((const ck_block_iq4_nl *)source)->d), 0); return 1;
        case CK_TYPE_MXFP4: uniform(grid, 32, 16, ck_mxfp4_values, ck_mxfp4_scale(((const ck_block_mxfp4 *)source)->e), 0); return 1;
        case CK_TYPE_Q4_1: {
            const ck_block_q4_1 *block = source;
            uniform(grid, 32, 16, from_zero(0), ck_half_to_float(block->d), ck_half_to_float(block->m));
            return 1;
        }
        case CK_TYPE_Q5_1: {
            const ck_block_q5_1 *block = source;
            uniform(grid, 32, 32, from_zero(0), ck_half_to_float(block->d), ck_half_to_float(block->m));
            return 1;
        }
        case CK_TYPE_Q2_K: {
            const ck_block_q2_k *block = source;
            sub_blocks(grid, 16, 4, from_zero(0));
            for (int s = 0; s < 16; s++) {
                grid->scale[s] = ck_half_to_float(block->d) * (float)(block->scales[s] & 15);
                grid->offset[s] = -(ck_half_to_float(block->dmin) * (float)(block->scales[s] >> 4));
            }
            return 1;
        }
        case CK_TYPE_Q3_K: {
            const ck_block_q3_k *block = source;
            sub_blocks(grid, 16, 8, from_zero(4));
            int8_t scales[16];
            ck_q3_k_scales(block->scales, scales);
            for (int s = 0; s < 16; s++) grid->scale[s] = ck_half_to_float(block->d) * (float)scales[s];
            return 1;
        }
        case CK_TYPE_Q4_K: {
            const ck_block_q4_k *block = source;
            scales_and_minimums(grid, block->d, block->dmin, block->scales, 16);
            return 1;
        }
        case CK_TYPE_Q5_K: {
            const ck_block_q5_k *block = source;
            scales_and_minimums(grid, block->d, block->dmin, block->scales, 32);
            return 1;
        }
        case CK_TYPE_Q6_K: {
            const ck_block_q6_k *block = source;
            sub_blocks(grid, 16, 64, from_zero(32));
            for (int s = 0; s < 16; s++) grid->scale[s] = ck_half_to_float(block->d) * (float)block->scales[s];
            return 1;
        }
        case CK_TYPE_IQ4_XS: {
            const ck_block_iq4_xs *block = source;
            sub_blocks(grid, 32, 16, ck_iq4_values);
            for (int s = 0; s < 8; s++) grid->scale[s] = ck_half_to_float(block->d) * (float)ck_iq4_xs_scale(block, s);
            return 1;
        }
        case CK_TYPE_TQ2_0: uniform(grid, 256, 3, from_zero(1), ck_half_to_float(((const ck_block_tq2_0 *)source)->d), 0); return 1;
        default: return 0;
    }
}

// MARK: Where the levels lie

// Bits of an element: the low ones and, in formats that keep them apart, the high ones. `flip` is what stored bytes differ by from levels.
typedef struct {
    int32_t elements;
    int32_t low_byte, low_shift, low_bits;
    int32_t high_byte, high_shift, high_bits;
    uint8_t flip;
} place;

// Nibbles of a block of 32 from byte `start` on: the first half low, the second half high.
static void nibbles(place *at, int start, int j) {
    at->low_byte = start + j % 16;
    at->low_shift = 4 * (j / 16);
    at->low_bits = 4;
}

static void high(place *at, int byte, int shift, int bits) {
    at->high_byte = byte;
    at->high_shift = shift;
    at->high_bits = bits;
}

// Four elements, 32 apart, in a byte.
static void pairs_of_bits(place *at, int start, int j) {
    at->low_byte = start + 32 * (j / 128) + j % 32;
    at->low_shift = 2 * (j % 128 / 32);
    at->low_bits = 2;
}

// Two elements, 32 apart, in a byte.
static void nibbles_of_64(place *at, int start, int j) {
    at->low_byte = start + 32 * (j / 64) + j % 32;
    at->low_shift = 4 * (j % 64 / 32);
    at->low_bits = 4;
}

static place place_of(uint32_t type, int j) {
    place at = {.elements = 32};
    switch (type) {
        case CK_TYPE_Q4_0: nibbles(&at, offsetof(ck_block_q4_0, qs), j); break;
        case CK_TYPE_Q4_1: nibbles(&at, offsetof(ck_block_q4_1, qs), j); break;
        case CK_TYPE_Q5_0:
            nibbles(&at, offsetof(ck_block_q5_0, qs), j);
            high(&at, (int)offsetof(ck_block_q5_0, qh) + j / 8, j % 8, 1);
            break;
        case CK_TYPE_Q5_1:
            nibbles(&at, offsetof(ck_block_q5_1, qs), j);
            high(&at, (int)offsetof(ck_block_q5_1, qh) + j / 8, j % 8, 1);
            break;
        case CK_TYPE_Q8_0:
            at.low_byte = (int)offsetof(ck_block_q8_0, qs) + j;
            at.low_bits = 8;
            at.flip = 0x80;
            break;
        case CK_TYPE_IQ4_NL: nibbles(&at, offsetof(ck_block_iq4_nl, qs), j); break;
        case CK_TYPE_MXFP4: nibbles(&at, offsetof(ck_block_mxfp4, qs), j); break;
        case CK_TYPE_Q2_K:
            at.elements = 256;
            pairs_of_bits(&at, offsetof(ck_block_q2_k, qs), j);
            break;
        case CK_TYPE_Q3_K:
            at.elements = 256;
            pairs_of_bits(&at, offsetof(ck_block_q3_k, qs), j);
            high(&at, (int)offsetof(ck_block_q3_k, hmask) + j % 32, j / 32, 1);
            break;
        case CK_TYPE_Q4_K:
            at.elements = 256;
            nibbles_of_64(&at, offsetof(ck_block_q4_k, qs), j);
            break;
        case CK_TYPE_Q5_K:
            at.elements = 256;
            nibbles_of_64(&at, offsetof(ck_block_q5_k, qs), j);
            high(&at, (int)offsetof(ck_block_q5_k, qh) + j % 32, j / 32, 1);
            break;
        case CK_TYPE_Q6_K: {
            const int half = j / 128, quarter = j % 128 / 32;
            at.elements = 256;
            at.low_byte = (int)offsetof(ck_block_q6_k, ql) + 64 * half + 32 * (quarter & 1) + j % 32;
            at.low_shift = 4 * (quarter / 2);
            at.low_bits = 4;
            high(&at, (int)offsetof(ck_block_q6_k, qh) + 32 * half + j % 32, 2 * quarter, 2);
            break;
        }
        case CK_TYPE_IQ4_XS:
            at.elements = 256;
            nibbles(&at, (int)offsetof(ck_block_iq4_xs, qs) + 16 * (j / 32), j % 32);
            break;
        case CK_TYPE_TQ2_0:
            at.elements = 256;
            pairs_of_bits(&at, offsetof(ck_block_tq2_0, qs), j);
            break;
        default: at.elements = 0;
    }
    return at;
}

static unsigned mask(int bits) { return (1u << bits) - 1; }

void ck_block_levels(uint32_t type, const void *block, uint8_t *levels) {
    const uint8_t *bytes = block;
    const int elements = place_of(type, 0).elements;
    for (int j = 0; j < elements; j++) {
        const place at = place_of(type, j);
        unsigned level = bytes[at.low_byte] >> at.low_shift & mask(at.low_bits);
        if (at.high_bits) level |= (bytes[at.high_byte] >> at.high_shift & mask(at.high_bits)) << at.low_bits;
        levels[j] = (uint8_t)(level ^ at.flip);
    }
}

static void put(uint8_t *byte, int shift, int bits, unsigned value) {
    *byte = (uint8_t)((*byte & ~(mask(bits) << shift)) | (value & mask(bits)) << shift);
}

void ck_block_set_levels(uint32_t type, void *block, const uint8_t *levels) {
    uint8_t *bytes = block;
    const int elements = place_of(type, 0).elements;
    for (int j = 0; j < elements; j++) {
        const place at = place_of(type, j);
        const unsigned level = levels[j] ^ at.flip;
        put(bytes + at.low_byte, at.low_shift, at.low_bits, level);
        if (at.high_bits) put(bytes + at.high_byte, at.high_shift, at.high_bits, level >> at.low_bits);
    }
}
