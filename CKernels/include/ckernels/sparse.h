/// Sparse panels: weights of 8 or 4 bits (Q8_0, Q4_0) many of which are zero, kept without the zeros, for the products that reading weights holds up.
///
/// A sparse panel stands for one dense panel of CK_PANEL_Q8 or CK_PANEL_Q4 (ckernels/linear.h): 16 output rows over the whole of k, multiplied with the same
/// rounded activations to the same bits. Few activation rows multiply with it as it is; for many, where arithmetic takes the time, a bitmap panel is
/// expanded to the dense one first and the dense kernels do the rest.
///
///   Bitmap panel (CK_SPARSE_BITMAP) = 16 f32 row factors (64 bytes), then k/32 blocks, one behind the other without padding:
///     f16 scale[16]
///     u64 mask[8]       bit i of mask g: byte i of line g of the dense block is no zero
///     the bytes of the 8 lines that are no zeros (that is, not 128), in order
///   A block has 96 bytes and one more a weight: 9/8 + 1/2 bits a weight of index and scale, 8 a weight kept. N:M patterns (2:4, 4:8) run in it
///   as well: their own index, two bits a weight kept in 2:4, takes as much as the mask.
///
///   Bitmap panel of 4 bits (CK_SPARSE_BITMAP_Q4): the same, but lines are 64 numbers of 4 bits, and lines g and g + 4 (g = 0..3) share bytes, as in the
///   dense panel: the i-th number of line g that is no zero (that is, not 8) in the low half of byte i, that of line g + 4 in the high half; as many bytes
///   as the longer of the two needs. A block has 96 bytes and, half of the weights zero, 137 more.
///
///   Block panel (CK_SPARSE_BLOCKS), for weights pruned in runs of 16 neighbouring k of one output row (1×16 blocks) = 16 f32 row factors, then k/32
///   blocks, one behind the other without padding:
///     f16 scale[16]
///     u16 mask[2]       bit n of mask h: run h (k 16h..16h + 15) of output row n is kept
///     16 bytes a run that is kept: its weights as i8; mask 0's runs in order of their rows, then mask 1's
///   A block has 36 bytes and 16 more a run: 9/16 bits a weight of index and scale. Whole runs are left out of the arithmetic too, so many
///   activation rows gain as well as few. (What is left out cannot pass a NaN on: then alone, results differ from the dense panel's.)
///
/// Panels of one matrix lie one behind the other, each from a multiple of 64 bytes on, and a table says where each begins. (At equal distances, those of
/// the fullest panel, every panel would be followed by bytes that nobody needs, which ends the stream that memory sends: with 10 % of them, products of
/// half-empty panels from memory take 2.5 times as long, measured on Zen 4.)
/// Kernels never trust masks: whatever they hold, no read goes further than `ck_sparse_reach` bytes from a panel's start, and no write is led by them.
#pragma once

#include "ckernels/linear.h"

/// The version of the packed bytes, for caches of them.
enum { CK_SPARSE_LAYOUT_VERSION = 2 };

typedef enum ck_sparse_format {
    CK_SPARSE_NONE = 0,
    CK_SPARSE_BITMAP,     ///< a bit a weight, and the bytes of those that are not zero
    CK_SPARSE_BLOCKS,     ///< a bit a run of 16 weights, and the runs that are not all zero
    CK_SPARSE_BITMAP_Q4,  ///< a bit a weight, and the 4-bit numbers of those that are not zero
    CK_SPARSE_COUNT,
} ck_sparse_format;

/// How many of up to 16 rows' weights a sparse panel has to keep, of `valid_rows · k`: zeros of a run that is kept count, and so do the halves of bytes that a shorter line leaves. −1 for a type that has no sparse form, or when k does not
/// divide into its blocks. Arguments as of `ck_pack_panel`.
int64_t ck_sparse_count(ck_sparse_format format, ck_weight_type type, const void *rows, size_t row_stride_bytes, int64_t valid_rows, int64_t k);

/// Bytes of a panel over `k` elements that keeps `count` weights: a multiple of 64.
size_t ck_sparse_panel_bytes(ck_sparse_format format, int64_t k, int64_t count);

/// Bytes from a panel's start that kernels may read, by whatever lies there: there must be so many behind the last panel's start.
size_t ck_sparse_reach(ck_sparse_format format, int64_t k);

/// Packs up to 16 weight rows into a panel of `panel_bytes` bytes, 64-byte aligned. Returns 0, or −1 when the type has no sparse form, k does not
/// divide into its blocks or the weights take more room; then the panel's contents are undefined. Arguments as of `ck_pack_panel`.
int ck_sparse_pack(
    ck_sparse_format format, ck_weight_type type, const void *rows, size_t row_stride_bytes, int64_t valid_rows, int64_t k, void *panel,
    size_t panel_bytes);

/// Writes row `row` (0..15) of a panel over `k` elements as floats, as `ck_panel_read_row` does of the dense panel.
void ck_sparse_read_row(ck_sparse_format format, const void *panel, int64_t row, int64_t k, float *output);

/// The dense panels that a sparse format's stand for: CK_PANEL_Q8 or CK_PANEL_Q4; CK_PANEL_NONE for CK_SPARSE_NONE.
ck_panel_format ck_sparse_dense(ck_sparse_format format);

/// Writes the dense panel (`ck_panel_bytes(ck_sparse_dense(format), k)` bytes, 64-byte aligned) that a sparse one stands for.
typedef void (*ck_sparse_expand_function)(const void *panel, int64_t k, void *dense);

/// A row of the table: both functions of one instruction set.
typedef struct ck_sparse_row {
    const char *name;
    uint32_t isa;  ///< instruction sets needed (ck_isa bits)
    ck_sparse_format format;
    ck_activation_format activation;
    int64_t row_tile;                  ///< activation rows of one register tile
    int64_t maximum_rows;              ///< the largest `rows` for which multiplying is better than expanding; correct for any
    ck_linear_function multiply;       ///< reads `panel_offsets`, where given; the scalar dense row's bits
    ck_sparse_expand_function expand;
    float crossover;                   ///< the part of zeros from which it beats the best dense row of these instruction sets; above 1: never.
                                       ///< Measured: see the row
} ck_sparse_row;

/// The table, best row first, scalar last.
size_t ck_sparse_row_count(void);
const ck_sparse_row *ck_sparse_row_at(size_t index);

/// The best row within `isa_mask`; never null for a format above with CK_ACT_Q8 or CK_ACT_Q15.
const ck_sparse_row *ck_sparse_find(ck_sparse_format format, ck_activation_format activation, uint32_t isa_mask);
