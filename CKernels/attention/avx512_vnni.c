// Attention for AVX-512 VNNI: few queries as everywhere, many queries in 16-bit integers.
#include "attention/rows.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdbool.h>

#pragma clang attribute push(__attribute__((target("avx512vnni,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), apply_to = function)

#include "isa/simd_avx512.h"
#include "isa/simd.h"

#include "vector/math.h"

#include "attention/weigh.h"

#include "attention/few.h"
#include "attention/exp2.h"
#include "attention/transpose.h"
#include "attention/many_int16.h"

#include "attention/attend.h"

#pragma clang attribute pop

const ck_attention_row ck_attention_avx512_vnni = {"attention_avx512_vnni", CK_ISA_AVX512 | CK_ISA_AVX512_VNNI, many_queries, 4e-4f, attend, merge, store_f32, store_f16, store_q8_0};

#endif
