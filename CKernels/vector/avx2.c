// Row operations for AVX2 with FMA and F16C: the body shared by all instruction sets.
#include "isa/bits.h"
#include "vector/sets.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#include "isa/simd_avx2.h"
#include "isa/simd.h"

#include "vector/math.h"

#include "vector/body.h"

#pragma clang attribute pop

const ck_vector_set ck_vector_avx2 = {.name = "vector_avx2", .isa = CK_ISA_AVX2, CK_VECTOR_MEMBERS};

#endif
