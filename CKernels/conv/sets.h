// The complete sets of convolution kernels, one an instruction set.
#pragma once

#include "ckernels/conv.h"
#include "ckernels/isa.h"

extern const ck_conv_set ck_conv_scalar, ck_conv_avx2, ck_conv_avx512, ck_conv_neon;
extern const ck_conv_set ck_conv_bf16_scalar, ck_conv_bf16_avx2, ck_conv_bf16_avx512, ck_conv_bf16_avx512_bf16, ck_conv_bf16_amx, ck_conv_bf16_neon;
