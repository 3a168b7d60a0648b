// Linear kernels on Intel AMX: integer panels on int8 tiles, bf16 panels on bf16 tiles, and, for comparison, integer panels on bf16 tiles.
// Tiles multiply; AVX-512 unpacks, scales and converts. The kernels themselves are in the two bodies, which gemm/linear_amx_software.c compiles
// a second time without AMX.
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

#include "gemm/unpack_avx512.h"

CK_INLINE void unpack_levels(const uint8_t *quants, ck_panel_format format, uint8_t levels[512]) {
    __m512i groups[8];
    ck_unpack_avx512(quants, format, groups);
#pragma clang loop unroll(full)
    for (int g = 0; g < 8; g++) _mm512_storeu_si512(levels + 64 * g, groups[g]);
}

CK_INLINE vu v_pair_bf16(vf even, vf odd) {
    const __m512i order = _mm512_setr_epi32(
        0x00100000, 0x00110001, 0x00120002, 0x00130003, 0x00140004, 0x00150005, 0x00160006, 0x00170007, 0x00180008, 0x00190009, 0x001a000a,
        0x001b000b, 0x001c000c, 0x001d000d, 0x001e000e, 0x001f000f);
    return (vu)_mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(odd, even));
}

#define AMX_INLINE CK_INLINE
#define AMX_UNROLL _Pragma("clang loop unroll(full)")
#include "gemm/linear_amx_int8_body.h"

#include "gemm/linear_amx_bf16_body.h"

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
