// Linear kernels on Intel AMX: integer panels on int8 tiles, bf16 panels on bf16 tiles, and, for comparison, integer panels on bf16 tiles.
// Tiles multiply; AVX-512 unpacks, scales and converts. The kernels themselves are in the two bodies, compiled for tests over tiles in plain C
// as well: with the same vectors (gemm/linear_amx_software_avx512.c) and with none (gemm/linear_amx_software.c).
//
// The operating system gives tile registers only to processes that ask; isa/detect.c asks before it reports the AMX bits. A kernel
// configures its thread's tiles when it begins and releases them when it ends.
#include "gemm/layout.h"
#include "gemm/rows.h"
#include "isa/bits.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("amx-tile,amx-int8,amx-bf16,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c"))), apply_to = function)

#include "isa/simd_avx512.h"
#include "isa/simd.h"

#include "isa/amx_tiles.h"

#include "gemm/linear_amx_avx512.h"

#pragma clang attribute pop

enum {
    isa = CK_ISA_AVX512 | CK_ISA_AVX512_VNNI | CK_ISA_AVX512_BF16 | CK_ISA_AMX_INT8 | CK_ISA_AMX_BF16,
    fewest_rows = 8,  // half a tile: the estimate for below which AVX-512 is as fast (gemm/linear_amx_int8_body.h: 88 or 168 cycles for 16 rows)
};

#define CK_AMX_NAME ""
#include "gemm/linear_amx_rows.h"

static const ck_linear_row rows[] = {
    CK_INTEGER_PANELS(CK_AMX_INT8_ROWS)
    CK_AMX_DENSE_ROW
    CK_INTEGER_PANELS(CK_AMX_BF16_ROWS)
};
const ck_linear_group ck_linear_amx = {rows, sizeof rows / sizeof rows[0]};

#endif
