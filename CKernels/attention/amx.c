// Attention for AMX: few queries as everywhere, many queries on bf16 tiles with AVX-512 vectors beside them. isa/detect.c asks the operating system
// for the tile registers before it reports the AMX bits.
#include "attention/rows.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdbool.h>

#pragma clang attribute push(__attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), apply_to = function)

#include "isa/simd_avx512.h"
#include "isa/simd.h"

#include "isa/amx_tiles.h"

#include "attention/amx_row.h"

#pragma clang attribute pop

const ck_attention_row ck_attention_amx = CK_AMX_ATTENTION_ROW("attention_amx", CK_ISA_AVX512 | CK_ISA_AMX_BF16);

#endif
