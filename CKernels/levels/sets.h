// The sets of kernels for single 8-bit numbers, one an instruction set, and the arithmetic of one number, which the scalar set and the tails share.
#pragma once

#include "ckernels/isa.h"
#include "ckernels/levels.h"

extern const ck_levels_set ck_levels_scalar, ck_levels_avx2, ck_levels_avx512, ck_levels_neon;
