// Vectors of four lanes, which every instruction set has: for what there are four of, whatever the width of the rest. No include guard, as isa/simd.h.

typedef float vf4 __attribute__((vector_size(16)));
typedef int32_t vi4 __attribute__((vector_size(16)));
typedef uint32_t vu4 __attribute__((vector_size(16)));

/// The four vectors as the rows of a matrix: its columns.
CK_INLINE void transpose_4(vu4 rows[4]) {
    const vu4 a = __builtin_shufflevector(rows[0], rows[2], 0, 4, 1, 5), b = __builtin_shufflevector(rows[0], rows[2], 2, 6, 3, 7);
    const vu4 c = __builtin_shufflevector(rows[1], rows[3], 0, 4, 1, 5), d = __builtin_shufflevector(rows[1], rows[3], 2, 6, 3, 7);
    rows[0] = __builtin_shufflevector(a, c, 0, 4, 1, 5);
    rows[1] = __builtin_shufflevector(a, c, 2, 6, 3, 7);
    rows[2] = __builtin_shufflevector(b, d, 0, 4, 1, 5);
    rows[3] = __builtin_shufflevector(b, d, 2, 6, 3, 7);
}
