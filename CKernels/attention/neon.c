// Attention for Armv8 Advanced SIMD: the body shared by all instruction sets.
#include "attention/rows.h"

#if defined(__aarch64__)

#include <arm_neon.h>
#include <stdbool.h>

#include "isa/simd_neon.h"
#include "isa/simd.h"

#include "vector/math.h"

#include "attention/weigh.h"

#include "attention/few.h"
#include "attention/many.h"

#include "attention/attend.h"

const ck_attention_row ck_attention_neon = {"attention_neon", CK_ISA_NEON, 0, 0, attend, merge, store_f32, store_f16, store_q8_0};

#endif
