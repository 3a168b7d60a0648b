// The set of AMX with tiles in plain C, all the rest as conv/bf16_avx512_bf16.c compiles it: for tests on machines with AVX-512 BF16, which leave nothing but
// the tile instructions themselves untried. Never dispatched.
#define CK_SOFTWARE_TILES

#include "ckernels/conv_bf16.h"
#include "conv/sets.h"
#include "isa/bits.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c"))), apply_to = function)

#include "isa/simd_avx512.h"
#include "isa/simd.h"

#include "vector/math.h"

#include "conv/bf16_avx512_bf16.h"

#include "isa/amx_tiles.h"

#include "conv/bf16_tiles.h"

#pragma clang attribute pop

static const ck_conv_set twin = {
    .name = "conv_bf16_amx_software", .isa = CK_ISA_AVX512 | CK_ISA_AVX512_BF16, .pixel_tile = tiled_pixels, .panel_tile = tiled_panels,
    .dense = dense_tiled, .depthwise = depthwise, .max_pool = max_pool, .average_pool = average_pool,
};

const ck_conv_set *ck_conv_bf16_twin(void) { return &twin; }

#else

const ck_conv_set *ck_conv_bf16_twin(void) { return 0; }

#endif
