// Single 8-bit numbers for AVX2.
#include "levels/sets.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#include "isa/simd_avx2.h"
#include "isa/simd.h"
#include "levels/body.h"

#pragma clang attribute pop

const ck_levels_set ck_levels_avx2 = {
    .name = "levels_avx2", .isa = CK_ISA_AVX2, .quantize = levels_quantize, .quantize_planes = levels_quantize_planes, .dequantize = levels_dequantize,
    .sum = levels_sum, .mean = levels_mean,
};

#endif
