// Attention for AVX2 with FMA and F16C: the body shared by all instruction sets.
#include "attention/rows.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdbool.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#include "isa/simd_avx2.h"
#include "isa/simd.h"

#include "vector/math.h"

#include "attention/weigh.h"

#include "attention/few.h"
#include "attention/many.h"

#include "attention/attend.h"

#pragma clang attribute pop

const ck_attention_row ck_attention_avx2 = {"attention_avx2", CK_ISA_AVX2, 0, 0, attend, merge, store_f32, store_f16, store_q8_0};

#endif
