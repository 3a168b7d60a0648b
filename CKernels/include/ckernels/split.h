/// Split weights: rows of 8-bit blocks (Q8_0) in two parts, for products of which only the largest are wanted, as of a vocabulary of which one token is
/// drawn. The coarse part, 5 of the 8 bits, lies in panels and is read whole; the fine part, what is left, lies row by row and is read only for rows that
/// may be among the largest:
///
///     w = 8 · c + f      w the file's number (−128..127), c = ⌊(w + 4)/8⌋, at most 15, f the rest (−4..7); all times the file's scale d of the block
///     y[n] = Σ w·d·x = Σ 8·c·d·x + Σ f·d·x,   and the second sum is at most ‖f·d‖ · ‖x‖ (Cauchy and Schwarz): a norm a row is kept beside.
///
///   Coarse panel: a panel of CK_PANEL_Q5 (ckernels/linear.h) whose row factors are 8 and whose scales are d; every kernel for Q5 multiplies with it.
///   Fine row: f16 d[k/32], then for each pair of blocks 32 bytes: byte i is f + 8 of element i of the first block in its low half, of the second
///   block in its high half (8 where there is no second one).
///   Norms: f32, a thousandth more than they are, so that sums rounded in any order stay below them.
///
/// Nothing is lost: both parts together are the file's numbers, in 40 bytes a block instead of 34.
#pragma once

#include "ckernels/linear.h"

enum {
    CK_SPLIT_LAYOUT_VERSION = 1,  ///< of the packed bytes, for caches of them
    CK_SPLIT_MOST_K = 8192,       ///< the longest rows there are kernels for
};

/// Bytes of a fine row of k elements, a multiple of 32.
size_t ck_split_fine_bytes(int64_t k);

/// Splits up to 16 rows of Q8_0.
/// - rows, row_stride_bytes, valid_rows, k: as of `ck_pack_panel`.
/// - coarse: a panel of CK_PANEL_Q5, 64-byte aligned. fine: `valid_rows` fine rows, one behind the other. norms: `valid_rows` norms.
/// Returns 0, or −1 when k does not divide into blocks or is too large, or the rows are none or too many; then nothing is written.
int ck_split_pack(const void *rows, size_t row_stride_bytes, int64_t valid_rows, int64_t k, void *coarse, void *fine, float *norms);

/// Writes the panel of CK_PANEL_Q8 that `ck_pack_panel` makes of the same rows: where many rows of activations meet it, whole weights cost less.
void ck_split_join(const void *coarse, const void *fine, int64_t valid_rows, int64_t k, void *panel);

/// Writes row `row` (0..15) of a coarse panel and its fine row together as floats, as dequantising the file gives them.
void ck_split_read_row(const void *coarse, int64_t row, const void *fine, int64_t k, float *output);

/// Coarse sums of `count` neighbouring rows, to be made whole where they may matter.
typedef struct ck_split_args {
    float *sums;              ///< count; in: coarse sums; out: the fine ones added wherever sum + norm · reach ≥ threshold
    const float *norms;       ///< count
    int64_t count;
    const void *fine;         ///< of the first row
    int64_t k;                ///< at most CK_SPLIT_MOST_K
    const void *activations;  ///< the quantised row that the sums are products with, 64-byte aligned
    ck_activation_format activation;
    float reach;              ///< at least the norm of what that row stands for
    float threshold;          ///< −∞: all rows
} ck_split_args;

/// A row's result depends on nothing but the row, the activations and its coarse sum.
typedef void (*ck_split_function)(const ck_split_args *args);

/// A row of the table.
typedef struct ck_split_row {
    const char *name;
    uint32_t isa;  ///< instruction sets needed (ck_isa bits)
    ck_split_function refine;
    int pays;      ///< whether products of split weights are faster than those of whole ones
} ck_split_row;

/// The table, best row first, scalar last. All rows make sums within rounding of the same.
size_t ck_split_row_count(void);
const ck_split_row *ck_split_row_at(size_t index);
/// The best row within `isa_mask`; never null.
const ck_split_row *ck_split_find(uint32_t isa_mask);
