// The bodies shared by all instruction sets with the register tile of AVX2, 6 pixels by 16 channels, for whatever numbers images hold. Included inside its target
// region, after a header of numbers (conv/epilogue.h says what one gives).
#include "conv/epilogue.h"

enum { dense_pixels = 6, dense_vectors = 2, dense_halves = 0 };
#define DENSE_COUNTS(each) each(6) each(3) each(2) each(1)
#include "conv/dense.h"
#include "conv/depthwise_floats.h"
#include "conv/depthwise.h"
#include "conv/pool.h"
