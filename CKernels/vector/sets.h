// The complete sets of row operations, one an instruction set.
#pragma once

#include "ckernels/isa.h"
#include "ckernels/vector.h"

extern const ck_vector_set ck_vector_scalar, ck_vector_avx2, ck_vector_avx512, ck_vector_neon;
