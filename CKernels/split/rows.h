// What one instruction set contributes to the table of split products: a row in its own file. table.c lists them, best first.
#pragma once

#include "ckernels/isa.h"
#include "ckernels/split.h"

extern const ck_split_row ck_split_avx512_vnni, ck_split_avx2, ck_split_scalar;
