// Single 8-bit numbers for Armv8 Advanced SIMD.
#include "levels/sets.h"

#if defined(__aarch64__)

#include <arm_neon.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF

#include "isa/simd_neon.h"
#include "isa/simd.h"
#include "levels/body.h"

const ck_levels_set ck_levels_neon = {
    .name = "levels_neon", .isa = CK_ISA_NEON, .quantize = levels_quantize, .quantize_planes = levels_quantize_planes, .dequantize = levels_dequantize,
    .sum = levels_sum, .mean = levels_mean,
};

#endif
