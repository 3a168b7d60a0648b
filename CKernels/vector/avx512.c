// Row operations for AVX-512: the body shared by all instruction sets.
#include "isa/bits.h"
#include "vector/sets.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), apply_to = function)

#include "isa/simd_avx512.h"
#include "isa/simd.h"

#include "vector/math.h"

#include "vector/body.h"

#pragma clang attribute pop

const ck_vector_set ck_vector_avx512 = {.name = "vector_avx512", .isa = CK_ISA_AVX512, CK_VECTOR_MEMBERS};

#endif
