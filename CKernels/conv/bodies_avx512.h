// The bodies shared by all instruction sets with the register tile of AVX-512, 14 pixels by 32 channels, for whatever numbers images hold. Included inside its target
// region, after a header of numbers (conv/epilogue.h says what one gives).
#include "conv/epilogue.h"

enum { dense_pixels = 14, dense_vectors = 2, dense_halves = 1 };
#define DENSE_COUNTS(each) each(14) each(7) each(4) each(2) each(1)
#include "conv/dense.h"
#include "conv/depthwise_floats.h"
#include "conv/depthwise.h"
#include "conv/pool.h"
