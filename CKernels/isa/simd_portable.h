// The part of the vector vocabulary of isa/simd.h that the AMX kernels use, in plain C for any machine: 16 lanes, which clang splits as it must.
// For the software twins only (isa/amx_tiles.h): nothing here is fast.
enum { lanes = 16 };

typedef float portable_vector __attribute__((vector_size(64)));

static inline portable_vector v_load_n(const float *p, int64_t n) {
    portable_vector x = {0};
    memcpy(&x, p, (size_t)n * sizeof(float));
    return x;
}
static inline void v_store_n(float *p, portable_vector x, int64_t n) { memcpy(p, &x, (size_t)n * sizeof(float)); }
static inline portable_vector v_round(portable_vector x) { return __builtin_elementwise_roundeven(x); }
static inline portable_vector v_load_f16(const uint16_t *p) {
    portable_vector x;
    for (int i = 0; i < lanes; i++) x[i] = ck_half_to_float(p[i]);
    return x;
}
