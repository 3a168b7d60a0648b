// Convolution and pooling for Armv8 Advanced SIMD: the bodies shared by all instruction sets, with a tile of 6 pixels by 16 channels.
#include "conv/sets.h"
#include "conv/winograd_layout.h"

#if defined(__aarch64__)

#include <arm_neon.h>
#include <stdbool.h>
#include <string.h>

#include "isa/simd_neon.h"
#include "isa/simd.h"

#include "vector/math.h"

#include "conv/numbers_f32.h"
#include "conv/bodies_neon.h"
#include "conv/winograd.h"

const ck_conv_set ck_conv_neon = {
    .name = "conv_neon", .isa = CK_ISA_NEON, .pixel_tile = dense_pixels, .panel_tile = dense_panels,
    .dense = dense, .depthwise = depthwise, .max_pool = max_pool, .average_pool = average_pool, .winograd = winograd,
};

#endif
