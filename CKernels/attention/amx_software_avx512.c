// The AMX row over tiles in plain C, all the rest as attention/amx.c compiles it: a row for tests on machines with AVX-512, which leaves nothing but
// the tile instructions themselves untried. Never dispatched.
#define CK_SOFTWARE_TILES

#include "attention/rows.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdbool.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), apply_to = function)

#include "isa/simd_avx512.h"
#include "isa/simd.h"

#include "isa/amx_tiles.h"

#include "attention/amx_row.h"

#pragma clang attribute pop

const ck_attention_row ck_attention_amx_software_avx512 = CK_AMX_ATTENTION_ROW("attention_amx_software_avx512", CK_ISA_AVX512);

#endif
