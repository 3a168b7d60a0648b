// Convolution and pooling of bf16 images for AVX-512 without instructions for bf16: the bodies shared by all instruction sets, with a tile of 14 pixels by 32 channels.
#include "conv/sets.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), apply_to = function)

#include "isa/simd_avx512.h"
#include "isa/simd.h"

#include "vector/math.h"

#include "conv/numbers_bf16.h"
#include "conv/bf16_widened.h"
#include "conv/bodies_avx512.h"

#pragma clang attribute pop

const ck_conv_set ck_conv_bf16_avx512 = {
    .name = "conv_bf16_avx512", .isa = CK_ISA_AVX512, .pixel_tile = dense_pixels, .panel_tile = dense_panels,
    .dense = dense, .depthwise = depthwise, .max_pool = max_pool, .average_pool = average_pool,
};

#endif
