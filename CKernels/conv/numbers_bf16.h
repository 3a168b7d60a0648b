// Images of bf16 (conv/epilogue.h says what a header of numbers gives), over the vector vocabulary (isa/simd.h). Part of a vector is read and written
// by conv_read_part(p, n) and conv_write_part(p, x, n), which the includer may have defined (CONV_PARTS).
#include "conv/numbers.h"

typedef uint16_t conv_number;

#ifndef CONV_PARTS
CK_INLINE vf conv_read_part(const uint16_t *p, int64_t n) {
    uint16_t numbers[lanes] = {0};
    memcpy(numbers, p, (size_t)n * sizeof *p);
    return v_load_bf16(numbers);
}
CK_INLINE void conv_write_part(uint16_t *p, vf x, int64_t n) {
    uint16_t numbers[lanes];
    v_store_bf16(numbers, x);
    memcpy(p, numbers, (size_t)n * sizeof *p);
}
CK_INLINE void conv_write_whole(uint16_t *p, vf x) { v_store_bf16(p, x); }
#endif

CK_INLINE vf conv_read(const uint16_t *p, int64_t n) { return n == lanes ? v_load_bf16(p) : conv_read_part(p, n); }
CK_INLINE void conv_write(uint16_t *p, vf x, int64_t n) {
    if (n == lanes) conv_write_whole(p, x);
    else conv_write_part(p, x, n);
}

enum { dense_group = 2 };

// The pair of neighbours at x, or the one there and a zero.
CK_INLINE int32_t dense_pair(const uint16_t *x, const bool whole) {
    int32_t pair = *x;
    if (whole) memcpy(&pair, x, sizeof pair);
    return pair;
}
