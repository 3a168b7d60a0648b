/// GGUF block formats: the structs are the bytes of a file; a row of a matrix is a run of blocks.
/// A table gives each format its conversion to f32 and, where round-to-nearest is defined and where there is a scale to search for, from f32.
/// Layouts: the GGUF specification; arithmetic: bit for bit that of the `gguf` Python package, which the tests use as the oracle.
/// Two-byte fields need `src` and `dst` blocks at even addresses, which GGUF's alignment (>= 8) and even block sizes give.
#pragma once

#include <stdint.h>
#include <string.h>

/// Tensor type numbers of GGUF files.
enum {
    CK_TYPE_F32 = 0,
    CK_TYPE_F16 = 1,
    CK_TYPE_Q4_0 = 2,
    CK_TYPE_Q4_1 = 3,
    CK_TYPE_Q5_0 = 6,
    CK_TYPE_Q5_1 = 7,
    CK_TYPE_Q8_0 = 8,
    CK_TYPE_Q2_K = 10,
    CK_TYPE_Q3_K = 11,
    CK_TYPE_Q4_K = 12,
    CK_TYPE_Q5_K = 13,
    CK_TYPE_Q6_K = 14,
    CK_TYPE_IQ4_NL = 20,
    CK_TYPE_IQ4_XS = 23,
    CK_TYPE_BF16 = 30,
    CK_TYPE_TQ1_0 = 34,
    CK_TYPE_TQ2_0 = 35,
    CK_TYPE_MXFP4 = 39,
};

// MARK: 32 elements a block. `d` and `m` are f16; element j of the first half is the low nibble of qs[j], of the second half the high one.

/// value = d * (q - 8)
typedef struct {
    uint16_t d;
    uint8_t qs[16];
} ck_block_q4_0;

/// value = d * q + m
typedef struct {
    uint16_t d, m;
    uint8_t qs[16];
} ck_block_q4_1;

/// value = d * (q - 16); bit j of the little-endian qh is the fifth bit of element j
typedef struct {
    uint16_t d;
    uint8_t qh[4];
    uint8_t qs[16];
} ck_block_q5_0;

/// value = d * q + m; fifth bits as in q5_0
typedef struct {
    uint16_t d, m;
    uint8_t qh[4];
    uint8_t qs[16];
} ck_block_q5_1;

/// value = d * q
typedef struct {
    uint16_t d;
    int8_t qs[32];
} ck_block_q8_0;

/// value = d * ck_iq4_values[q]
typedef struct {
    uint16_t d;
    uint8_t qs[16];
} ck_block_iq4_nl;

/// value = 2^(e - 128) * ck_mxfp4_values[q] (the table holds twice the e2m1 values)
typedef struct {
    uint8_t e;
    uint8_t qs[16];
} ck_block_mxfp4;

// MARK: 256 elements a block, with scales for each sub-block.

/// 16 sub-blocks of 16: value = d * (scales & 15) * q - dmin * (scales >> 4).
/// qs[32*h + j] holds, two bits each, elements 128*h + j + {0, 32, 64, 96}.
typedef struct {
    uint8_t scales[16];
    uint8_t qs[64];
    uint16_t d, dmin;
} ck_block_q2_k;

/// 16 sub-blocks of 16: value = d * (scale - 32) * (q - 4 * !h), 6-bit scales, low bits as in q2_k, bit k of hmask[j] is h of element 32*k + j.
typedef struct {
    uint8_t hmask[32];
    uint8_t qs[64];
    uint8_t scales[12];
    uint16_t d;
} ck_block_q3_k;

/// 8 sub-blocks of 32: value = d * scale * q - dmin * min, 6-bit scales and mins.
/// qs[32*p + j]: low nibble element 64*p + j, high nibble element 64*p + 32 + j.
typedef struct {
    uint16_t d, dmin;
    uint8_t scales[12];
    uint8_t qs[128];
} ck_block_q4_k;

/// As q4_k; bit k of qh[j] is the fifth bit of element 32*k + j.
typedef struct {
    uint16_t d, dmin;
    uint8_t scales[12];
    uint8_t qh[32];
    uint8_t qs[128];
} ck_block_q5_k;

/// 16 sub-blocks of 16: value = d * scale * (q - 32). For half h of 128 elements: ql[64*h + j] low nibbles are elements 0..63, high nibbles 64..127;
/// qh[32*h + j] holds the upper two bits of elements j + {0, 32, 64, 96}.
typedef struct {
    uint8_t ql[128];
    uint8_t qh[64];
    int8_t scales[16];
    uint16_t d;
} ck_block_q6_k;

/// 8 sub-blocks of 32: value = d * (scale - 32) * ck_iq4_values[q]; qs[16*s + j]: low nibble element 32*s + j, high nibble 32*s + 16 + j.
typedef struct {
    uint16_t d;
    uint16_t scales_h;
    uint8_t scales_l[4];
    uint8_t qs[128];
} ck_block_iq4_xs;

/// Ternary, five base-3 digits a byte (as a fixed-point fraction): value = d * (digit - 1).
/// Digit n of qs[j], j < 32: element 32*n + j; of qs[32 + j]: element 160 + 16*n + j; of qh[j]: element 240 + 4*n + j.
typedef struct {
    uint8_t qs[48];
    uint8_t qh[4];
    uint16_t d;
} ck_block_tq1_0;

/// Ternary, two bits each: value = d * (q - 1). qs[32*h + j] holds elements 128*h + j + {0, 32, 64, 96}.
typedef struct {
    uint8_t qs[64];
    uint16_t d;
} ck_block_tq2_0;

/// The sixteen levels of IQ4_NL and IQ4_XS.
extern const int8_t ck_iq4_values[16];
/// Twice the sixteen e2m1 values of MXFP4 (the second zero is a plain zero).
extern const int8_t ck_mxfp4_values[16];

// MARK: Scalars

/// IEEE binary16 to f32, exact, subnormals, infinities and NaNs (payload kept) included. Right with flush-to-zero set as well.
static inline float ck_half_to_float(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16, magnitude = (uint32_t)(half & 0x7fffu) << 13;
    const uint32_t rebias = 112u << 23, smallest_normal_bits = 113u << 23;
    uint32_t bits = magnitude + rebias;
    if (magnitude >= 0x0f800000u) bits += rebias;  // infinity or NaN
    // A subnormal is m * 2^-24: put m below the leading one of 2^-14, then take 2^-14 away. Both steps are exact.
    const uint32_t with_one_bits = magnitude + smallest_normal_bits;
    float with_one, smallest_normal, subnormal;
    memcpy(&with_one, &with_one_bits, 4);
    memcpy(&smallest_normal, &smallest_normal_bits, 4);
    subnormal = with_one - smallest_normal;
    uint32_t subnormal_bits;
    memcpy(&subnormal_bits, &subnormal, 4);
    bits = (magnitude < 0x00800000u ? subnormal_bits : bits) | sign;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

/// f32 to IEEE binary16, to nearest, ties to even; beyond 65520 infinity; NaNs stay NaNs (quiet).
static inline uint16_t ck_float_to_half(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    const uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    uint32_t half;
    if (magnitude >= 0x47800000u) {  // 65536 and more, infinity, NaN
        half = magnitude > 0x7f800000u ? (0x7e00u | (magnitude >> 13 & 0x3ffu)) : 0x7c00u;
    } else if (magnitude >= 0x38800000u) {  // normal halves: a carry out of the mantissa raises the exponent, up to infinity
        const uint32_t rebased = magnitude - (112u << 23);
        half = (rebased + 0xfffu + (rebased >> 13 & 1u)) >> 13;
    } else {  // subnormal halves are multiples of 2^-24, the spacing of floats in [0.5, 1): the addition rounds
        float sum;
        memcpy(&sum, &magnitude, 4);
        sum += 0.5f;
        memcpy(&half, &sum, 4);
        half -= 0x3f000000u;
    }
    return (uint16_t)(half | sign);
}

/// bfloat16 to f32: exact.
static inline float ck_bfloat_to_float(uint16_t bfloat) {
    const uint32_t bits = (uint32_t)bfloat << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

/// f32 to bfloat16, to nearest, ties to even; NaNs stay NaNs (quiet).
static inline uint16_t ck_float_to_bfloat(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 64u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/// The scale 2^(e - 128) of an MXFP4 block: half the e8m0 value, because ck_mxfp4_values are doubled.
static inline float ck_mxfp4_scale(uint8_t e) {
    const uint32_t bits = e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

/// Unpacks the 6-bit scales and minimums of a q4_k or q5_k block, one of each for 8 sub-blocks.
static inline void ck_k_scales(const uint8_t packed[12], uint8_t scales[8], uint8_t mins[8]) {
    for (int j = 0; j < 4; j++) {
        scales[j] = packed[j] & 63;
        mins[j] = packed[4 + j] & 63;
        scales[4 + j] = (uint8_t)((packed[8 + j] & 15) | (packed[j] >> 2 & 0x30));
        mins[4 + j] = (uint8_t)(packed[8 + j] >> 4 | (packed[4 + j] >> 2 & 0x30));
    }
}

/// Unpacks the 16 scales of a q3_k block, already less 32.
static inline void ck_q3_k_scales(const uint8_t packed[12], int8_t scales[16]) {
    for (int j = 0; j < 16; j++) {
        const int low = packed[j & 7] >> (j < 8 ? 0 : 4) & 15, high = packed[8 + (j & 3)] >> 2 * (j >> 2) & 3;
        scales[j] = (int8_t)((low | high << 4) - 32);
    }
}

/// Scale of sub-block `index` (0..7) of an iq4_xs block, already less 32.
static inline int ck_iq4_xs_scale(const ck_block_iq4_xs *block, int index) {
    const int low = block->scales_l[index / 2] >> 4 * (index & 1) & 15, high = block->scales_h >> 2 * index & 3;
    return (low | high << 4) - 32;
}

// MARK: The table

/// Converts `elements` values (a multiple of the block's) of a row, `src` in the format, to f32.
typedef void (*ck_dequantize_fn)(const void *src, float *dst, int64_t elements);

/// Converts `elements` finite f32 values (a multiple of the block's) to the format, each to the nearest level.
typedef void (*ck_quantize_fn)(const float *src, void *dst, int64_t elements);

/// Converts `elements` finite f32 values (a multiple of the block's) to the format with scales, and minimums where the format has them, searched for
/// the least sum of importance[j] * (src[j] - value[j])^2 in each block. `importance` has `elements` finite numbers that are not negative (for a linear
/// layer the mean square of the activation each weight meets), or is NULL where all elements matter equally; so they do in a block whose
/// numbers are all zero. Scales beyond the range of a half saturate. No element's error depends on another block.
typedef void (*ck_quantize_weighted_fn)(const float *src, const float *importance, void *dst, int64_t elements);

/// One format: a row of the table.
typedef struct {
    const char *name;           ///< as the gguf package prints it
    uint32_t type;              ///< tensor type number in GGUF files
    int32_t elements;           ///< elements in a block; 1 for F16 and BF16
    int32_t bytes;              ///< bytes of a block
    ck_dequantize_fn dequantize;
    ck_quantize_fn quantize;    ///< NULL where the format has no round-to-nearest definition (K and IQ formats)
    ck_quantize_weighted_fn search;  ///< NULL for F16 and BF16, which have no scales
} ck_block_format;

enum { CK_BLOCK_FORMAT_COUNT = 17 };

/// All block formats, and F16 and BF16 as blocks of one element, by type number.
extern const ck_block_format ck_block_formats[CK_BLOCK_FORMAT_COUNT];

/// The row of a tensor type number, or NULL.
const ck_block_format *ck_block_format_find(uint32_t type);
