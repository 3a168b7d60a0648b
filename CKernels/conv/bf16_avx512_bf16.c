// Convolution and pooling of bf16 images for AVX-512 BF16, and with AMX tiles for the dense convolution.
#include "conv/sets.h"
#include "isa/bits.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c"))), apply_to = function)

#include "isa/simd_avx512.h"
#include "isa/simd.h"

#include "vector/math.h"

#include "conv/bf16_avx512_bf16.h"

#pragma clang attribute pop

#pragma clang attribute push(__attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c"))), apply_to = function)

#include "isa/amx_tiles.h"

#include "conv/bf16_tiles.h"

#pragma clang attribute pop

const ck_conv_set ck_conv_bf16_avx512_bf16 = {
    .name = "conv_bf16_avx512_bf16", .isa = CK_ISA_AVX512 | CK_ISA_AVX512_BF16, .pixel_tile = dense_pixels, .panel_tile = dense_panels,
    .dense = dense, .depthwise = depthwise, .max_pool = max_pool, .average_pool = average_pool,
};

const ck_conv_set ck_conv_bf16_amx = {
    .name = "conv_bf16_amx", .isa = CK_ISA_AVX512 | CK_ISA_AVX512_BF16 | CK_ISA_AMX_BF16, .pixel_tile = tiled_pixels, .panel_tile = tiled_panels,
    .dense = dense_tiled, .depthwise = depthwise, .max_pool = max_pool, .average_pool = average_pool,
};

#endif
