// The AMX kernels over tiles (isa/amx_tiles.h) and vectors in plain C: rows for tests, which run on any machine and are never dispatched.
#define CK_SOFTWARE_TILES

#include "gemm/layout.h"
#include "gemm/rows.h"
#include "isa/bits.h"

#include <string.h>

// Vectors that go through registers differently from machine to machine only pass between functions of this file.
#pragma clang diagnostic ignored "-Wpsabi"

#include "isa/simd_portable.h"
#include "isa/simd.h"

#include "isa/amx_tiles.h"

static void unpack_levels(const uint8_t *quants, ck_panel_format format, uint8_t levels[512]) {
    for (int k = 0; k < CK_BLOCK; k++) {
        for (int row = 0; row < CK_PANEL_ROWS; row++) levels[64 * (k / 4) + 4 * row + k % 4] = (uint8_t)(ck_panel_number(quants, format, row, k) + ck_panel_zero(format));
    }
}

CK_INLINE vu v_pair_bf16(vf even, vf odd) {
    uint16_t halves[2][lanes];
    v_store_bf16(halves[0], even);
    v_store_bf16(halves[1], odd);
    vu pairs;
    for (int i = 0; i < lanes; i++) pairs[i] = halves[0][i] | (uint32_t)halves[1][i] << 16;
    return pairs;
}

#define AMX_INLINE static
#define AMX_UNROLL
#include "gemm/linear_amx_int8_body.h"

#include "gemm/linear_amx_bf16_body.h"

enum { isa = 0, fewest_rows = 0 };

#define CK_AMX_NAME "_software"
#include "gemm/linear_amx_rows.h"

static const ck_linear_row rows[] = {
    CK_INTEGER_PANELS(CK_AMX_INT8_ROWS)
    CK_AMX_DENSE_ROW
    CK_INTEGER_PANELS(CK_AMX_BF16_ROWS)
};
const ck_linear_group ck_linear_amx_software = {rows, sizeof rows / sizeof rows[0]};
