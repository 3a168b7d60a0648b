// The AMX row over tiles (isa/amx_tiles.h) and vectors in plain C: a row for tests, which runs on any machine and is never dispatched.
#define CK_SOFTWARE_TILES

#include "attention/rows.h"

#include <stdbool.h>
#include <string.h>

// Vectors that go through registers differently from machine to machine only pass between functions of this file.
#pragma clang diagnostic ignored "-Wpsabi"

#include "isa/simd_portable.h"
#include "isa/simd.h"

#include "isa/amx_tiles.h"

#include "attention/amx_row.h"

const ck_attention_row ck_attention_amx_software = CK_AMX_ATTENTION_ROW("attention_amx_software", 0);
