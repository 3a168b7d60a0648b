// The AMX kernels over tiles in plain C, all the rest as gemm/linear_amx.c compiles it: rows for tests on machines with AVX-512 BF16, which leave
// nothing but the tile instructions themselves untried. Never dispatched.
#define CK_SOFTWARE_TILES

#include "gemm/layout.h"
#include "gemm/rows.h"
#include "isa/bits.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c"))), apply_to = function)

#include "isa/simd_avx512.h"
#include "isa/simd.h"

#include "isa/amx_tiles.h"

#include "gemm/linear_amx_avx512.h"

#pragma clang attribute pop

enum { isa = CK_ISA_AVX512 | CK_ISA_AVX512_VNNI | CK_ISA_AVX512_BF16, fewest_rows = 0 };

#define CK_AMX_NAME "_software_avx512"
#include "gemm/linear_amx_rows.h"

static const ck_linear_row rows[] = {
    CK_INTEGER_PANELS(CK_AMX_INT8_ROWS)
    CK_AMX_DENSE_ROW
    CK_INTEGER_PANELS(CK_AMX_BF16_ROWS)
};
const ck_linear_group ck_linear_amx_software_avx512 = {rows, sizeof rows / sizeof rows[0]};

#endif
