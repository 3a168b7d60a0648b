/// Convolution and pooling of images of bf16, channels last: everything is as in ckernels/conv.h, but for
///
/// - images: input, output and residual are bf16. What happens in between is f32: sums, bias, factor and offset; results are rounded to nearest even.
/// - the weights of the dense convolution: bf16 in pairs of input channels, panel p is [kernel_height][kernel_width][⌈input_channels / 2⌉][16][2], what the
///   last pair lacks are zeros. Depthwise convolutions keep the f32 panels of `ck_conv_pack`: they are few.
/// - there is no Winograd convolution: its transforms lose more than bf16 has.
///
/// Sums are within 2·eps·(k + 1)·max|x|·max|w| of the scalar set's (k = products of a sum), of which bf16 denormals may be taken as zeros; results are then
/// rounded, so that the last of 8 bits may differ.
#pragma once

#include "ckernels/conv.h"

/// The sets, best first, scalar last.
size_t ck_conv_bf16_set_count(void);
const ck_conv_set *ck_conv_bf16_set_at(size_t index);
/// The best set within `isa_mask`; the scalar set when nothing else fits, never null.
const ck_conv_set *ck_conv_bf16_find(uint32_t isa_mask);

/// The set of AMX with its tiles in plain C, for tests on machines with AVX-512 BF16 (its `isa`): never found by a look-up. Null in other builds.
const ck_conv_set *ck_conv_bf16_twin(void);

/// Bytes of the packed weights of a group of a dense convolution, a multiple of 64.
size_t ck_conv_bf16_packed_bytes(int64_t output_channels, int64_t input_channels, int64_t taps);
/// Rounds weights to nearest even and packs them into `panels`, 64-byte aligned memory of `ck_conv_bf16_packed_bytes`.
void ck_conv_bf16_pack(const ck_conv_weights *weights, uint16_t *panels);
