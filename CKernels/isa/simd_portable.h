// The part of the vector vocabulary of isa/simd.h that the AMX kernels use (linear and attention), in plain C for any machine: 16 lanes, which clang splits as it must.
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
static inline void v_store_f16(uint16_t *p, portable_vector x) {
    for (int i = 0; i < lanes; i++) p[i] = ck_float_to_half(x[i]);
}
static inline portable_vector v_set_f16(uint16_t half) { return ck_half_to_float(half) - (portable_vector){0}; }
static inline portable_vector v_max(portable_vector a, portable_vector b) {
    for (int i = 0; i < lanes; i++) b[i] = a[i] > b[i] ? a[i] : b[i];
    return b;
}
static inline portable_vector v_min(portable_vector a, portable_vector b) {
    for (int i = 0; i < lanes; i++) b[i] = a[i] < b[i] ? a[i] : b[i];
    return b;
}
static inline float v_add_lanes(portable_vector x) {
    float sum = 0;
    for (int i = 0; i < lanes; i++) sum += x[i];
    return sum;
}
static inline float v_max_lanes(portable_vector x) {
    float largest = x[0];
    for (int i = 1; i < lanes; i++) largest = x[i] > largest ? x[i] : largest;
    return largest;
}
static inline portable_vector v_fraction(portable_vector x) {
    for (int i = 0; i < lanes; i++) x[i] = __builtin_isinf(x[i]) ? 0 : x[i] - __builtin_floorf(x[i]);
    return x;
}
static inline portable_vector v_scale_power(portable_vector x, portable_vector n) {
    for (int i = 0; i < lanes; i++) x[i] = __builtin_ldexpf(x[i], n[i] > -1000 ? (int)__builtin_floorf(n[i]) : -1000);
    return x;
}
// Four lanes of sums become one, for each of four vectors; then four of those vectors become one.
static inline portable_vector v_fold4(portable_vector a, portable_vector b, portable_vector c, portable_vector d) {
    const portable_vector four[4] = {a, b, c, d};
    portable_vector sums;
    for (int i = 0; i < lanes; i++) sums[i] = four[i % 4][i / 4 * 4] + four[i % 4][i / 4 * 4 + 1] + four[i % 4][i / 4 * 4 + 2] + four[i % 4][i / 4 * 4 + 3];
    return sums;
}
static inline portable_vector v_fold_quads(const portable_vector quads[4]) {
    portable_vector sums;
    for (int i = 0; i < lanes; i++) sums[i] = quads[i / 4][i % 4] + quads[i / 4][4 + i % 4] + quads[i / 4][8 + i % 4] + quads[i / 4][12 + i % 4];
    return sums;
}
