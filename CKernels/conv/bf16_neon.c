// Convolution and pooling of bf16 images for Armv8 Advanced SIMD: the bodies shared by all instruction sets, with a tile of 6 pixels by 16 channels.
#include "conv/sets.h"

#if defined(__aarch64__)

#include <arm_neon.h>
#include <stdbool.h>
#include <string.h>

#include "isa/simd_neon.h"
#include "isa/simd.h"

#include "vector/math.h"

#include "conv/numbers_bf16.h"
#include "conv/bf16_widened.h"
#include "conv/bodies_neon.h"

const ck_conv_set ck_conv_bf16_neon = {
    .name = "conv_bf16_neon", .isa = CK_ISA_NEON, .pixel_tile = dense_pixels, .panel_tile = dense_panels,
    .dense = dense, .depthwise = depthwise, .max_pool = max_pool, .average_pool = average_pool,
};

#endif
