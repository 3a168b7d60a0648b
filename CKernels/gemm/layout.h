// The facts of the panel layouts of include/ckernels/linear.h, as constants the compiler can fold into a specialised kernel.
#pragma once

#include "ckernels/linear.h"

#include <stdbool.h>

/// The integer panel formats, once: X(name in kernel names, format). Each instruction set expands the list into its entry points and its table
/// rows, so that a format added here reaches all of them.
#define CK_INTEGER_PANELS(X) \
    X(q4, CK_PANEL_Q4) \
    X(q4m, CK_PANEL_Q4M) \
    X(q8, CK_PANEL_Q8) \
    X(q8m, CK_PANEL_Q8M) \
    X(q8s16, CK_PANEL_Q8S16) \
    X(q8s16m, CK_PANEL_Q8S16M)

enum { ck_panel_header_bytes = CK_PANEL_ROWS * sizeof(float) };  // the row factors

static inline bool ck_panel_is_integer(ck_panel_format f) { return f >= CK_PANEL_Q4 && f <= CK_PANEL_Q8S16M; }
static inline bool ck_panel_has_minimum(ck_panel_format f) { return f == CK_PANEL_Q4M || f == CK_PANEL_Q8M || f == CK_PANEL_Q8S16M; }
static inline bool ck_panel_is_nibble(ck_panel_format f) { return f == CK_PANEL_Q4 || f == CK_PANEL_Q4M; }
/// Scales (and minimums) of one row in one 32-block.
static inline int ck_panel_parts(ck_panel_format f) { return f == CK_PANEL_Q8S16 || f == CK_PANEL_Q8S16M ? 2 : 1; }
/// The stored number that means zero.
static inline int ck_panel_zero(ck_panel_format f) { return ck_panel_has_minimum(f) ? 0 : ck_panel_is_nibble(f) ? 8 : 128; }
/// log2 of the zero point: 3 or 7, for shifts.
static inline int ck_panel_zero_shift(ck_panel_format f) { return ck_panel_is_nibble(f) ? 3 : 7; }

/// Byte offset of the quants in a block of 16 rows × 32 k; scales are at 0 and minimums right after them.
static inline size_t ck_panel_quant_offset(ck_panel_format f) {
    return (size_t)ck_panel_parts(f) * CK_PANEL_ROWS * sizeof(uint16_t) * (ck_panel_has_minimum(f) ? 2 : 1);
}
/// Bytes of one block of 16 rows × 32 k.
static inline size_t ck_panel_block_bytes(ck_panel_format f) { return ck_panel_quant_offset(f) + (ck_panel_is_nibble(f) ? 256 : 512); }

static inline int64_t ck_round_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }
