/// Sparse panels: 8-bit weights (Q8_0) most of which are zero, kept without the zeros, for the products that reading weights holds up.
///
/// A sparse panel stands for one dense panel of CK_PANEL_Q8 (ckernels/linear.h): 16 output rows over the whole of k, multiplied with the same
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
///   Block panel (CK_SPARSE_BLOCKS), for weights pruned in runs of 16 neighbouring k of one output row (1×16 blocks) = 16 f32 row factors, then k/32
///   blocks, one behind the other without padding:
///     f16 scale[16]
///     u16 mask[2]       bit n of mask h: run h (k 16h..16h + 15) of output row n is kept
///     16 bytes a run that is kept: its weights as i8; mask 0's runs in order of their rows, then mask 1's
///   A block has 36 bytes and 16 more a run: 9/16 bits a weight of index and scale. Whole runs are left out of the arithmetic too, so many
///   activation rows gain as well as few. (What is left out cannot pass a NaN on: then alone, results differ from the dense panel's.)
///
/// Panels of one matrix lie at equal distances: the bytes of the fullest one, a multiple of 64. Nothing reads the rest of the others.
/// Kernels never trust masks: whatever they hold, no read goes further than `ck_sparse_reach` bytes from a panel's start, and no write is led by them.
#pragma once

#include "ckernels/linear.h"

/// The version of the packed bytes, for caches of them.
enum { CK_SPARSE_LAYOUT_VERSION = 1 };

typedef enum ck_sparse_format {
    CK_SPARSE_NONE = 0,
    CK_SPARSE_BITMAP,  ///< a bit a weight, and the bytes of those that are not zero
    CK_SPARSE_BLOCKS,  ///< a bit a run of 16 weights, and the runs that are not all zero
    CK_SPARSE_COUNT,
} ck_sparse_format;

/// How many of up to 16 rows' weights a sparse panel has to keep, of `valid_rows · k`: zeros of a run that is kept count. −1 for a type that has no sparse form, or when k does not
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

/// Writes the dense panel (CK_PANEL_Q8, `ck_panel_bytes` bytes, 64-byte aligned) that a sparse one stands for.
typedef void (*ck_sparse_expand_function)(const void *panel, int64_t k, void *dense);

/// A row of the table: both functions of one instruction set.
typedef struct ck_sparse_row {
    const char *name;
    uint32_t isa;  ///< instruction sets needed (ck_isa bits)
    ck_sparse_format format;
    ck_activation_format activation;
    int64_t row_tile;                  ///< activation rows of one register tile
    int64_t maximum_rows;              ///< the largest `rows` for which multiplying is better than expanding; correct for any
    ck_linear_function multiply;       ///< `panel_stride_bytes` is the distance between sparse panels; the scalar dense row's bits
    ck_sparse_expand_function expand;
    float crossover;                   ///< the part of zeros from which it beats the best dense row of these instruction sets; above 1: never.
                                       ///< Measured: see the row
} ck_sparse_row;

/// The table, best row first, scalar last.
size_t ck_sparse_row_count(void);
const ck_sparse_row *ck_sparse_row_at(size_t index);

/// The best row within `isa_mask`; never null for a format above with CK_ACT_Q8 or CK_ACT_Q15.
const ck_sparse_row *ck_sparse_find(ck_sparse_format format, ck_activation_format activation, uint32_t isa_mask);
