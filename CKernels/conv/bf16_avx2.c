// Convolution and pooling of bf16 images for AVX2 with FMA: the bodies shared by all instruction sets, with a tile of 6 pixels by 16 channels.
#include "conv/sets.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#include "isa/simd_avx2.h"
#include "isa/simd.h"

#include "vector/math.h"

#include "conv/numbers_bf16.h"
#include "conv/bf16_widened.h"
#include "conv/bodies_avx2.h"

#pragma clang attribute pop

const ck_conv_set ck_conv_bf16_avx2 = {
    .name = "conv_bf16_avx2", .isa = CK_ISA_AVX2, .pixel_tile = dense_pixels, .panel_tile = dense_panels,
    .dense = dense, .depthwise = depthwise, .max_pool = max_pool, .average_pool = average_pool,
};

#endif
