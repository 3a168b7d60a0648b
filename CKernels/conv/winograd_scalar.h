// The scalar Winograd convolution: the sums of one tile and channel, which conv/scalar.c finishes.
#pragma once

#include "ckernels/conv.h"

/// The 4×4 sums of output tile `tile` at `channel`, without the bias; those outside the output mean nothing.
void ck_winograd_sums(const ck_conv_args *args, int64_t tile, int64_t channel, double sums[CK_WINOGRAD_TILE * CK_WINOGRAD_TILE]);
