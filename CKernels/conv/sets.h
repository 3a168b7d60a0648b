// The complete sets of convolution kernels, one an instruction set.
#pragma once

#include "ckernels/conv.h"
#include "ckernels/isa.h"

extern const ck_conv_set ck_conv_scalar, ck_conv_avx2, ck_conv_avx512, ck_conv_neon;
