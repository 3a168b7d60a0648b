/// The whole C surface of Swiftlet's kernels: scalars, pointers, structs and tables; never an intrinsic type.
/// No kernel allocates, starts a thread or writes a global. One header a family.
#pragma once

#include "ckernels/attention.h"
#include "ckernels/block_levels.h"
#include "ckernels/blocks.h"
#include "ckernels/checksum.h"
#include "ckernels/conv.h"
#include "ckernels/conv_bf16.h"
#include "ckernels/conv_u8.h"
#include "ckernels/isa.h"
#include "ckernels/levels.h"
#include "ckernels/linear.h"
#include "ckernels/panels.h"
#include "ckernels/peak.h"
#include "ckernels/sparse.h"
#include "ckernels/split.h"
#include "ckernels/vector.h"
