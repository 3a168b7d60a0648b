/// Linear layers: Y[m][n] = Σ_k A[m][k] · W[n][k], with W packed once into panels and A quantised once a row.
///
/// Weights. A panel holds 16 output rows (n) over the whole of k, zero-padded to 16 rows and to a multiple of 32 in k. One layout a format,
/// the same bytes for every instruction set; the scalar rows (gemm/linear_scalar.c) specify it.
///
///   Integer panel = 16 f32 row factors (64 bytes), then k/32 blocks of
///     f16 scale[16]            (the S16 formats: f16 scale[2][16], one for each half of the block)
///     f16 minimum[16]          (the M formats only; S16M: f16 minimum[2][16])
///     the stored numbers u, as wide as the format says, in "dot-product order": group g (0..7) is 4 consecutive k; expanded to bytes it is
///     64 bytes [16 rows][4 k], one row of an int8 AMX B tile. Bits are kept in planes, low bits first; byte t of a plane's line serves byte t
///     of its groups, so that unpacking is shifts and masks of whole lines:
///       8-bit plane: 8 lines of 64 bytes; line g is group g.
///       4-bit plane: 4 lines; line g (0..3) holds group g in the low nibbles and group g + 4 in the high ones.
///       2-bit plane: 2 lines; line h holds groups 4h + i (i = 0..3) in bits 2i and 2i + 1.
///       1-bit plane: 1 line; bit g is group g.
///     Q8 is one 8-bit plane; Q4, IQ4, MXFP4 a 4-bit one; Q2 a 2-bit one; Q5 is 4 + 1 bits, Q6 is 4 + 2, Q3 is 2 + 1.
///     value = factor · scale · (u − zero)         zero = half the range: 128 for Q8, 32 for Q6, 16 for Q5, 8 for Q4, 4 for Q3; 1 for Q2
///     value = factor · (scale · u + minimum)      for the M formats
///     value = factor · scale · code_book[u]       for IQ4 and MXFP4: ck_iq4_values, ck_mxfp4_values of ckernels/blocks.h
///   The row factor is a power of two. It is 1 where the file's own scales are f16; where a scale is a product (K-quants) or an exponent
///   (MXFP4) it moves the row's largest scale to the top of the f16 range, so rounding to f16 costs at most 2^-11 relative down to 2^-29 of
///   the row's largest scale, and there are no subnormal surprises.
///
///   Dense panel = [k][16] f32 or f16; bf16 is interleaved in pairs, [k/2][16][2], the order vdpbf16ps and AMX read.
///
/// Activations. A quantised row is int8 terms and one record a 32-block (ck_activation_block), sections 64-byte aligned:
///     CK_ACT_Q8   int8 q[k]                scale = amax/127               x ≈ scale · q
///     CK_ACT_Q15  int8 hi[k], int8 lo[k]   scale = amax/(127·128)         x ≈ scale · (128·hi + lo),  |hi| ≤ 127, −64 ≤ lo ≤ 63
///   Two 8-bit terms keep 15 bits of the activation at the price of a second dot product, which is free while weights stream from memory.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
    CK_PANEL_ROWS = 16,  ///< output rows (n) of one panel
    CK_BLOCK = 32,       ///< k elements that share a scale, in panels and in activations
};

/// Weight formats as files hold them; the numbers are GGUF's tensor types.
typedef enum ck_weight_type {
    CK_WEIGHT_F32 = 0,
    CK_WEIGHT_F16 = 1,
    CK_WEIGHT_Q4_0 = 2,
    CK_WEIGHT_Q4_1 = 3,
    CK_WEIGHT_Q5_0 = 6,
    CK_WEIGHT_Q5_1 = 7,
    CK_WEIGHT_Q8_0 = 8,
    CK_WEIGHT_Q2_K = 10,
    CK_WEIGHT_Q3_K = 11,
    CK_WEIGHT_Q4_K = 12,
    CK_WEIGHT_Q5_K = 13,
    CK_WEIGHT_Q6_K = 14,
    CK_WEIGHT_IQ4_NL = 20,
    CK_WEIGHT_IQ4_XS = 23,
    CK_WEIGHT_BF16 = 30,
    CK_WEIGHT_TQ1_0 = 34,
    CK_WEIGHT_TQ2_0 = 35,
    CK_WEIGHT_MXFP4 = 39,
} ck_weight_type;

/// Packed weight formats, described above.
typedef enum ck_panel_format {
    CK_PANEL_NONE = 0,  ///< no panel format for this weight
    CK_PANEL_F32,
    CK_PANEL_F16,
    CK_PANEL_BF16,
    CK_PANEL_Q4,      ///< 4 bits, scale a 32-block (Q4_0): 288 bytes a block of 16 rows
    CK_PANEL_Q4M,     ///< 4 bits, scale and minimum a 32-block (Q4_1, Q4_K): 320 bytes
    CK_PANEL_Q5,      ///< 5 bits, scale a 32-block (Q5_0): 352 bytes
    CK_PANEL_Q5M,     ///< 5 bits, scale and minimum a 32-block (Q5_1, Q5_K): 384 bytes
    CK_PANEL_Q8,      ///< 8 bits, scale a 32-block (Q8_0): 544 bytes
    CK_PANEL_Q6S16,   ///< 6 bits, scale a 16-block (Q6_K): 448 bytes
    CK_PANEL_Q3S16,   ///< 3 bits, scale a 16-block (Q3_K): 256 bytes
    CK_PANEL_Q2S16M,  ///< 2 bits, scale and minimum a 16-block (Q2_K): 256 bytes
    CK_PANEL_Q2,      ///< 2 bits, scale a 32-block (TQ1_0, TQ2_0): 160 bytes
    CK_PANEL_IQ4,     ///< 4 bits that index the IQ4 code book, scale a 32-block (IQ4_NL, IQ4_XS): 288 bytes
    CK_PANEL_MXFP4,   ///< 4 bits that index the E2M1 code book, scale a 32-block (MXFP4): 288 bytes
    CK_PANEL_COUNT,
} ck_panel_format;

/// Activation formats. CK_ACT_F32 is plain row-major floats.
typedef enum ck_activation_format {
    CK_ACT_F32 = 0,
    CK_ACT_Q8,
    CK_ACT_Q15,
} ck_activation_format;

/// What a kernel needs to know about 32 quantised activations besides the numbers: q is the whole integer (128·hi + lo for CK_ACT_Q15).
typedef struct ck_activation_block {
    float scale;                ///< x ≈ scale · q
    int32_t sum;                ///< Σ q over the block
    int32_t half_sum[2];        ///< Σ q over each 16
    float scaled_sum;           ///< scale · Σ q
    float scaled_half_sum[2];   ///< scale · Σ q over each 16
    uint32_t reserved;
} ck_activation_block;

/// The panel format a weight type is packed into; CK_PANEL_NONE for a type this family does not know.
ck_panel_format ck_panel_for(ck_weight_type type);

/// Bytes of one panel over `k` elements: the stride between panels of one weight, a multiple of 64.
size_t ck_panel_bytes(ck_panel_format format, int64_t k);

/// Bytes of f16 scales and minimums at the start of each block of an integer panel; 0 for dense panels. A block is
/// (ck_panel_bytes(format, 64) − 64) / 2 bytes.
size_t ck_panel_scale_bytes(ck_panel_format format);

/// Packs up to 16 weight rows into one panel.
/// - rows: `valid_rows` (1...16) rows as the file holds them, `row_stride_bytes` apart; missing rows become zeros.
/// - k: elements a row; a multiple of the format's block (32 or 256) for block formats, anything for dense ones.
/// - panel: `ck_panel_bytes(ck_panel_for(type), k)` bytes, 64-byte aligned.
/// Returns 0, or −1 when the type has no panel or k does not divide into blocks; then nothing is written.
int ck_pack_panel(ck_weight_type type, const void *rows, size_t row_stride_bytes, int64_t valid_rows, int64_t k, void *panel);

/// Turns one weight of a panel back into a number: what the kernels multiply by. For tests and inspection, not for speed.
float ck_panel_value(ck_panel_format format, const void *panel, int64_t row, int64_t k_index);

/// Bytes of one activation row of `k` elements in `format`, a multiple of 64. k is a multiple of 32 for the quantised formats.
size_t ck_activation_row_bytes(ck_activation_format format, int64_t k);

/// Byte offsets of the sections of a quantised row: the first term is at 0.
size_t ck_activation_low_offset(int64_t k);
size_t ck_activation_block_offset(ck_activation_format format, int64_t k);

/// Quantises the elements [first, first + count) of `rows` rows of `k` (all multiples of 32) into rows `row_stride_bytes` apart. `source` is where
/// element `first` of the first row lies, rows `source_stride` elements apart. Other elements of the destination stay as they are: several threads
/// may each make a part of a row.
/// The destination is 64-byte aligned. Blocks whose largest magnitude is below 2^-100 become zeros; a block with an infinity or a NaN gets
/// the scale NaN, so the output says so. Every row of the table gives the same bits.
typedef void (*ck_quantize_function)(
    const float *source, int64_t source_stride, int64_t rows, int64_t k, int64_t first, int64_t count, void *destination, size_t row_stride_bytes);

/// A row of the quantiser table.
typedef struct ck_quantize_row {
    const char *name;
    uint32_t isa;                     ///< instruction sets needed (ck_isa bits)
    ck_activation_format activation;  ///< CK_ACT_Q8 or CK_ACT_Q15
    ck_quantize_function function;
} ck_quantize_row;

size_t ck_quantize_row_count(void);
const ck_quantize_row *ck_quantize_row_at(size_t index);
/// The best quantiser within `isa_mask`; null only for CK_ACT_F32, which needs none.
const ck_quantize_row *ck_quantize_find(ck_activation_format activation, uint32_t isa_mask);

/// One call computes `rows` × `columns` outputs from `panel_count` neighbouring panels. The output is overwritten, never read.
typedef struct ck_linear_args {
    const void *panels;              ///< first panel, 64-byte aligned
    size_t panel_stride_bytes;       ///< distance between panels: ck_panel_bytes
    int64_t panel_count;
    int64_t k;                       ///< elements of a row; a multiple of 32 for integer panels
    const void *activations;         ///< first row: floats, or a quantised row (64-byte aligned)
    size_t activation_stride_bytes;  ///< distance between rows
    int64_t rows;                    ///< m
    float *output;                   ///< first output, any alignment
    int64_t output_stride;           ///< distance between output rows in elements
    int64_t columns;                 ///< valid outputs of these panels, 16·(panel_count − 1) < columns ≤ 16·panel_count; nothing is written past it
    const uint32_t *panel_offsets;   ///< for the kernels of ckernels/sparse.h alone: panel p begins 64 · panel_offsets[p · panel_offset_stride] bytes
                                     ///< behind `panels`; null where panels lie `panel_stride_bytes` apart
    int64_t panel_offset_stride;
} ck_linear_args;

typedef void (*ck_linear_function)(const ck_linear_args *args);

/// A row of the kernel table.
typedef struct ck_linear_row {
    const char *name;
    uint32_t isa;                     ///< instruction sets needed (ck_isa bits)
    ck_panel_format panel;
    ck_activation_format activation;
    int64_t row_tile;                 ///< activation rows of one register tile: row counts that are multiples waste nothing
    int64_t maximum_rows;             ///< the largest `rows` this row is good for (1 for a matrix-vector kernel); correct for any.
                                      ///< 0: an alternative kept for comparison, which look-up never returns
    ck_linear_function function;
    int64_t minimum_rows;             ///< the fewest `rows` this row is good for; correct for any
    float tolerance;                  ///< 0: the scalar row's bits (integer panels) or within 2·eps·(k+1)·max² of it (dense ones);
                                      ///< else |error| ≤ tolerance · Σ|a·w| for each output
} ck_linear_row;

/// The kernel table, best row first, scalar last: dispatch, tests and benchmarks all read it.
size_t ck_linear_row_count(void);
const ck_linear_row *ck_linear_row_at(size_t index);

/// The best kernel for `rows` activation rows within `isa_mask`. Never null for a pair the scalar table has:
/// dense panels with CK_ACT_F32, integer panels with CK_ACT_Q8 or CK_ACT_Q15.
const ck_linear_row *ck_linear_find(ck_panel_format panel, ck_activation_format activation, uint32_t isa_mask, int64_t rows);

/// Twins: kernels of instruction sets that machines may lack, compiled so that more machines run them (tiles in plain C, VNNI in its AVX-512
/// form). For tests alone: look-up never returns them, and they say nothing about speed.
size_t ck_linear_twin_count(void);
const ck_linear_row *ck_linear_twin_at(size_t index);
