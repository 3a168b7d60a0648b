// The table of block formats. The static assertions tie each struct to the bytes of a file.
#include "blocks/conversions.h"

#include <stddef.h>

const int8_t ck_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
const int8_t ck_mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

const float ck_iq4_nearest[512] = {
    [0 ... 24] = -127, [25 ... 68] = -104, [69 ... 107] = -83, [108 ... 141] = -65, [142 ... 171] = -49, [172 ... 198] = -35,
    [199 ... 223] = -22, [224 ... 246] = -10, [247 ... 269] = 1, [270 ... 293] = 13, [294 ... 318] = 25, [319 ... 346] = 38,
    [347 ... 377] = 53, [378 ... 413] = 69, [414 ... 457] = 89, [458 ... 511] = 113,
};

_Static_assert(sizeof(ck_block_q4_0) == 18 && sizeof(ck_block_q4_1) == 20, "layout of a file");
_Static_assert(sizeof(ck_block_q5_0) == 22 && sizeof(ck_block_q5_1) == 24, "layout of a file");
_Static_assert(sizeof(ck_block_q8_0) == 34 && sizeof(ck_block_iq4_nl) == 18 && sizeof(ck_block_mxfp4) == 17, "layout of a file");
_Static_assert(sizeof(ck_block_q2_k) == 84 && sizeof(ck_block_q3_k) == 110 && sizeof(ck_block_q4_k) == 144, "layout of a file");
_Static_assert(sizeof(ck_block_q5_k) == 176 && sizeof(ck_block_q6_k) == 210 && sizeof(ck_block_iq4_xs) == 136, "layout of a file");
_Static_assert(sizeof(ck_block_tq1_0) == 54 && sizeof(ck_block_tq2_0) == 66, "layout of a file");

const ck_block_format ck_block_formats[CK_BLOCK_FORMAT_COUNT] = {
    {"F16", CK_TYPE_F16, 1, 2, ck_dequantize_f16, ck_quantize_f16, NULL},
    {"Q4_0", CK_TYPE_Q4_0, 32, sizeof(ck_block_q4_0), ck_dequantize_q4_0, ck_quantize_q4_0, ck_search_q4_0},
    {"Q4_1", CK_TYPE_Q4_1, 32, sizeof(ck_block_q4_1), ck_dequantize_q4_1, ck_quantize_q4_1, ck_search_q4_1},
    {"Q5_0", CK_TYPE_Q5_0, 32, sizeof(ck_block_q5_0), ck_dequantize_q5_0, ck_quantize_q5_0, ck_search_q5_0},
    {"Q5_1", CK_TYPE_Q5_1, 32, sizeof(ck_block_q5_1), ck_dequantize_q5_1, ck_quantize_q5_1, ck_search_q5_1},
    {"Q8_0", CK_TYPE_Q8_0, 32, sizeof(ck_block_q8_0), ck_dequantize_q8_0, ck_quantize_q8_0, ck_search_q8_0},
    {"Q2_K", CK_TYPE_Q2_K, 256, sizeof(ck_block_q2_k), ck_dequantize_q2_k, NULL, ck_search_q2_k},
    {"Q3_K", CK_TYPE_Q3_K, 256, sizeof(ck_block_q3_k), ck_dequantize_q3_k, NULL, ck_search_q3_k},
    {"Q4_K", CK_TYPE_Q4_K, 256, sizeof(ck_block_q4_k), ck_dequantize_q4_k, NULL, ck_search_q4_k},
    {"Q5_K", CK_TYPE_Q5_K, 256, sizeof(ck_block_q5_k), ck_dequantize_q5_k, NULL, ck_search_q5_k},
    {"Q6_K", CK_TYPE_Q6_K, 256, sizeof(ck_block_q6_k), ck_dequantize_q6_k, NULL, ck_search_q6_k},
    {"IQ4_NL", CK_TYPE_IQ4_NL, 32, sizeof(ck_block_iq4_nl), ck_dequantize_iq4_nl, NULL, ck_search_iq4_nl},
    {"IQ4_XS", CK_TYPE_IQ4_XS, 256, sizeof(ck_block_iq4_xs), ck_dequantize_iq4_xs, NULL, ck_search_iq4_xs},
    {"BF16", CK_TYPE_BF16, 1, 2, ck_dequantize_bf16, ck_quantize_bf16, NULL},
    {"TQ1_0", CK_TYPE_TQ1_0, 256, sizeof(ck_block_tq1_0), ck_dequantize_tq1_0, ck_quantize_tq1_0, ck_search_tq1_0},
    {"TQ2_0", CK_TYPE_TQ2_0, 256, sizeof(ck_block_tq2_0), ck_dequantize_tq2_0, ck_quantize_tq2_0, ck_search_tq2_0},
    {"MXFP4", CK_TYPE_MXFP4, 32, sizeof(ck_block_mxfp4), ck_dequantize_mxfp4, ck_quantize_mxfp4, ck_search_mxfp4},
};

const ck_block_format *ck_block_format_find(uint32_t type) {
    for (int i = 0; i < CK_BLOCK_FORMAT_COUNT; i++) {
        if (ck_block_formats[i].type == type) return &ck_block_formats[i];
    }
    return NULL;
}
