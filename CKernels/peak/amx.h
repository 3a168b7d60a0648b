/// Peak loops on AMX tiles: one iteration is four independent tile products (2 × 2 tiles, two loaded operands each side).
#pragma once

#include <stdint.h>

#if defined(__x86_64__)

/// 4 products of [16, 64] × [64, 16] int8, a multiply and an add counted as two.
#define CK_PEAK_AMX_INT8_OPERATIONS (4.0 * 16 * 16 * 64 * 2)
/// 4 products of [16, 32] × [32, 16] bf16.
#define CK_PEAK_AMX_BF16_OPERATIONS (4.0 * 16 * 16 * 32 * 2)

/// Both configure the tiles of the calling thread and release them before they return.
double ck_peak_amx_int8(uint64_t iterations);
double ck_peak_amx_bf16(uint64_t iterations);

#endif
