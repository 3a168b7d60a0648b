// A small vector vocabulary, so that a kernel whose code is the same for every instruction set is written once (the idea of Highway:
// one source, included once a target). An instruction set's file includes its intrinsics, opens `#pragma clang attribute push`, includes its
// simd_<isa>.h (width, loads, f16, reductions) and then this file and a kernel body.
//
// simd_<isa>.h provides: lanes; v_zero_extend loads v_load_n/v_store_n; v_max, v_min (if either is NaN: the second operand); v_round (to
// nearest even); v_add_lanes, v_max_lanes; v_load_f16, v_store_f16; v_swap_pairs, v_load_twice;
// v_set_f16 (one half to all lanes); v_fold4, v_fold_quads. Types are clang vectors, so + − · / and comparisons are operators; a
// comparison yields a vi of 0 and −1.
//
// No include guard: the includer's target decides what these become.

typedef float vf __attribute__((vector_size(lanes * 4)));
typedef int32_t vi __attribute__((vector_size(lanes * 4)));
typedef uint32_t vu __attribute__((vector_size(lanes * 4)));
typedef uint16_t vu16 __attribute__((vector_size(lanes * 2)));
typedef int8_t vi8 __attribute__((vector_size(lanes)));

#define CK_INLINE static inline __attribute__((always_inline))

CK_INLINE vf v_set(float x) { return x - (vf){0}; }
CK_INLINE vi vi_set(int32_t x) { return x - (vi){0}; }
CK_INLINE vf v_fma(vf a, vf b, vf c) { return __builtin_elementwise_fma(a, b, c); }
/// mask ? a : b, lane by lane.
CK_INLINE vf v_select(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }
CK_INLINE vf v_abs(vf x) { return (vf)((vi)x & vi_set(0x7fffffff)); }
/// |x| with the sign of y.
CK_INLINE vf v_copysign(vf x, vf y) { return (vf)(((vi)x & vi_set(0x7fffffff)) | ((vi)y & vi_set((int32_t)0x80000000u))); }

CK_INLINE vf v_load(const float *p) {
    vf x;
    memcpy(&x, p, sizeof x);
    return x;
}
CK_INLINE void v_store(float *p, vf x) { memcpy(p, &x, sizeof x); }

CK_INLINE vf v_load_bf16(const uint16_t *p) {
    vu16 x;
    memcpy(&x, p, sizeof x);
    return (vf)(__builtin_convertvector(x, vu) << 16);
}
CK_INLINE void v_store_bf16(uint16_t *p, vf x) {
    const vu bits = (vu)x;
    const vu rounded = (bits + 0x7fffu + ((bits >> 16) & 1)) >> 16, quiet = (bits >> 16) | 0x40u;
    const vi nan = x != x;
    const vu16 result = __builtin_convertvector(((vu)nan & quiet) | (~(vu)nan & rounded), vu16);
    memcpy(p, &result, sizeof result);
}

/// int8 to float.
CK_INLINE vf v_load_i8(const int8_t *p) {
    vi8 x;
    memcpy(&x, p, sizeof x);
    return __builtin_convertvector(__builtin_convertvector(x, vi), vf);
}
/// Rounds to nearest even and stores the low bytes.
CK_INLINE void v_store_i8(int8_t *p, vf x) {
    const vi8 result = __builtin_convertvector(__builtin_convertvector(v_round(x), vi), vi8);
    memcpy(p, &result, sizeof result);
}

/// The first n halves, zeros after them.
CK_INLINE vf v_load_f16_n(const uint16_t *p, int64_t n) {
    uint16_t halves[lanes] = {0};
    memcpy(halves, p, (size_t)n * sizeof(uint16_t));
    return v_load_f16(halves);
}
