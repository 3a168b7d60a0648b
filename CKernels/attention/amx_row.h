// What the AMX row of the attention table and its twins have in common. Included inside a target region, after isa/simd.h with 16 lanes and
// isa/amx_tiles.h.

#include "vector/math.h"

#include "attention/weigh.h"

#include "attention/few.h"
#include "attention/exp2.h"
#include "attention/transpose.h"
#include "attention/many_amx.h"

#include "attention/attend.h"

// The rounding error: three times the largest of the tests, 5.1e-6 with an f32 cache.
#define CK_AMX_ATTENTION_ROW(name, isa) {name, isa, many_queries, 1.5e-5f, attend, merge, store_f32, store_f16, store_q8_0}
