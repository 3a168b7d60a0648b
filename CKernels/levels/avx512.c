// Single 8-bit numbers for AVX-512.
#include "levels/sets.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), apply_to = function)

#include "isa/simd_avx512.h"
#include "isa/simd.h"
#include "levels/body.h"

#pragma clang attribute pop

const ck_levels_set ck_levels_avx512 = {
    .name = "levels_avx512", .isa = CK_ISA_AVX512, .quantize = levels_quantize, .quantize_planes = levels_quantize_planes, .dequantize = levels_dequantize,
    .sum = levels_sum, .mean = levels_mean,
};

#endif
