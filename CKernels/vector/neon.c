// Row operations for Armv8 Advanced SIMD: the body shared by all instruction sets.
#include "isa/bits.h"
#include "vector/sets.h"

#if defined(__aarch64__)

#include <arm_neon.h>
#include <math.h>

#include "isa/simd_neon.h"
#include "isa/simd.h"

#include "vector/math.h"

#include "vector/body.h"

const ck_vector_set ck_vector_neon = {.name = "vector_neon", .isa = CK_ISA_NEON, CK_VECTOR_MEMBERS};

#endif
