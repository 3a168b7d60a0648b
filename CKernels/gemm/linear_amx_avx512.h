// The AMX kernels with AVX-512 vectors: what gemm/linear_amx.c and its twin with software tiles have in common.
// Included inside a target region with AVX-512 BW and BF16, after isa/simd_avx512.h, isa/simd.h and isa/amx_tiles.h.

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
