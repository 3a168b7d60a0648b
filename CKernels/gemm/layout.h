// The facts of the panel layouts of include/ckernels/linear.h, as constants the compiler can fold into a specialised kernel.
#pragma once

#include "ckernels/blocks.h"
#include "ckernels/linear.h"

#include <stdbool.h>

/// The integer panel formats, once: X(name in kernel names, format). Each instruction set expands the list into its entry points and its table
/// rows, so that a format added here reaches all of them.
#define CK_INTEGER_PANELS(X) \
    X(q4, CK_PANEL_Q4) \
    X(q4m, CK_PANEL_Q4M) \
    X(q5, CK_PANEL_Q5) \
    X(q5m, CK_PANEL_Q5M) \
    X(q8, CK_PANEL_Q8) \
    X(q6s16, CK_PANEL_Q6S16) \
    X(q3s16, CK_PANEL_Q3S16) \
    X(q2s16m, CK_PANEL_Q2S16M) \
    X(q2, CK_PANEL_Q2) \
    X(iq4, CK_PANEL_IQ4) \
    X(mxfp4, CK_PANEL_MXFP4)

enum { ck_panel_header_bytes = CK_PANEL_ROWS * sizeof(float) };  // the row factors

static inline bool ck_panel_is_integer(ck_panel_format f) { return f >= CK_PANEL_Q4 && f <= CK_PANEL_MXFP4; }
static inline bool ck_panel_has_minimum(ck_panel_format f) { return f == CK_PANEL_Q4M || f == CK_PANEL_Q5M || f == CK_PANEL_Q2S16M; }
/// Scales (and minimums) of one row in one 32-block.
static inline int ck_panel_parts(ck_panel_format f) { return f == CK_PANEL_Q6S16 || f == CK_PANEL_Q3S16 || f == CK_PANEL_Q2S16M ? 2 : 1; }

/// Bits of the plane of low bits: 8, 4 or 2.
static inline int ck_panel_low_bits(ck_panel_format f) {
    return f == CK_PANEL_Q8 ? 8 : f == CK_PANEL_Q3S16 || f == CK_PANEL_Q2S16M || f == CK_PANEL_Q2 ? 2 : 4;
}
/// Bits of the plane of high bits that follows: 2, 1 or none.
static inline int ck_panel_high_bits(ck_panel_format f) {
    return f == CK_PANEL_Q6S16 ? 2 : f == CK_PANEL_Q5 || f == CK_PANEL_Q5M || f == CK_PANEL_Q3S16 ? 1 : 0;
}
/// The 16 numbers that stored numbers index, or null where a stored number is a number itself.
static inline const int8_t *ck_panel_code_book(ck_panel_format f) {
    return f == CK_PANEL_IQ4 ? ck_iq4_values : f == CK_PANEL_MXFP4 ? ck_mxfp4_values : 0;
}

/// What kernels multiply with is an unsigned byte, the level: the stored number, or code book + zero; value = scale · (level − zero).
/// log2 of the zero; formats with a minimum have no zero.
static inline int ck_panel_zero_shift(ck_panel_format f) {
    switch (f) {
    case CK_PANEL_Q2: return 0;
    case CK_PANEL_Q3S16: return 2;
    case CK_PANEL_Q4: return 3;
    case CK_PANEL_Q5:
    case CK_PANEL_MXFP4: return 4;
    case CK_PANEL_Q6S16: return 5;
    default: return 7;
    }
}
/// The level that means zero.
static inline int ck_panel_zero(ck_panel_format f) { return ck_panel_has_minimum(f) ? 0 : 1 << ck_panel_zero_shift(f); }
/// The largest level there is.
static inline int ck_panel_largest_level(ck_panel_format f) {
    if (f == CK_PANEL_MXFP4) return 16 + 12;
    return f == CK_PANEL_IQ4 ? 128 + 113 : (1 << (ck_panel_low_bits(f) + ck_panel_high_bits(f))) - 1;
}

/// Byte offset of the low plane in a block of 16 rows × 32 k; scales are at 0 and minimums right after them.
static inline size_t ck_panel_quant_offset(ck_panel_format f) {
    return (size_t)ck_panel_parts(f) * CK_PANEL_ROWS * sizeof(uint16_t) * (ck_panel_has_minimum(f) ? 2 : 1);
}
/// Byte offset of the high plane from the low one: 64 bytes for each bit of the 8 groups.
static inline size_t ck_panel_high_offset(ck_panel_format f) { return 64 * (size_t)ck_panel_low_bits(f); }
/// Bytes of one block of 16 rows × 32 k.
static inline size_t ck_panel_block_bytes(ck_panel_format f) {
    return ck_panel_quant_offset(f) + ck_panel_high_offset(f) + 64 * (size_t)ck_panel_high_bits(f);
}

/// Group `group`'s number in byte `byte` (0..63) of a plane of `bits` bits.
static inline int ck_plane_number(const uint8_t *plane, int bits, int group, int byte) {
    switch (bits) {
    case 1: return plane[byte] >> group & 1;
    case 2: return plane[64 * (group / 4) + byte] >> 2 * (group % 4) & 3;
    case 4: return plane[64 * (group % 4) + byte] >> (group < 4 ? 0 : 4) & 15;
    default: return plane[64 * group + byte];
    }
}
/// Writes a row's share of a plane: `bits` bits of every number from bit `from` on, 4 bytes of each of the plane's lines.
static inline void ck_pack_plane(uint8_t *lines, const uint8_t quants[CK_BLOCK], int bits, int from) {
    const int groups = 8 / bits, mask = (1 << bits) - 1;  // groups that share a line
    const int step = bits == 4 ? 4 : 1;                   // nibble lines hold groups g and g + 4, the others neighbours
    for (int line = 0; line < bits; line++) {
        const int first = bits == 4 ? line : groups * line;
        for (int i = 0; i < 4; i++) {
            int byte = 0;
            for (int g = 0; g < groups; g++) byte |= (quants[4 * (first + step * g) + i] >> from & mask) << (bits * g);
            lines[64 * line + i] = (uint8_t)byte;
        }
    }
}
/// Level − zero of output row `row` at element `k` (0..31) of a block whose planes start at `quants`; the level itself for formats with a minimum.
static inline int ck_panel_number(const uint8_t *quants, ck_panel_format f, int row, int k) {
    const int group = k / 4, byte = 4 * row + k % 4;
    int number = ck_plane_number(quants, ck_panel_low_bits(f), group, byte);
    if (ck_panel_high_bits(f) > 0) {
        number |= ck_plane_number(quants + ck_panel_high_offset(f), ck_panel_high_bits(f), group, byte) << ck_panel_low_bits(f);
    }
    return ck_panel_code_book(f) ? ck_panel_code_book(f)[number] : number - ck_panel_zero(f);
}

static inline int64_t ck_round_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }
