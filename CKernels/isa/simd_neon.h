// The vector vocabulary of isa/simd.h for Armv8 Advanced SIMD: 4 lanes, tails through a small buffer.
enum { lanes = 4 };

static inline float32x4_t v_load_n(const float *p, int64_t n) {
    float buffer[4] = {0, 0, 0, 0};
    for (int64_t i = 0; i < n; i++) buffer[i] = p[i];
    return vld1q_f32(buffer);
}
static inline void v_store_n(float *p, float32x4_t x, int64_t n) {
    float buffer[4];
    vst1q_f32(buffer, x);
    for (int64_t i = 0; i < n; i++) p[i] = buffer[i];
}
// The x86 rule (the second operand where either is NaN), which the bodies rely on.
static inline float32x4_t v_max(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
static inline float32x4_t v_min(float32x4_t a, float32x4_t b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
static inline float32x4_t v_round(float32x4_t x) { return vrndnq_f32(x); }
static inline float v_add_lanes(float32x4_t x) { return vaddvq_f32(x); }
static inline float v_max_lanes(float32x4_t x) { return vmaxvq_f32(x); }
static inline float32x4_t v_load_f16(const uint16_t *p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
static inline void v_store_f16(uint16_t *p, float32x4_t x) { vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(x))); }
/// Neighbours change places: (x1, x0, x3, x2).
static inline float32x4_t v_swap_pairs(float32x4_t x) { return vrev64q_f32(x); }
/// Half a vector from memory, each element twice: (p0, p0, p1, p1).
static inline float32x4_t v_load_twice(const float *p) {
    const float32x2_t half = vld1_f32(p);
    return vcombine_f32(vdup_lane_f32(half, 0), vdup_lane_f32(half, 1));
}
static inline float32x4_t v_set_f16(uint16_t half) { return vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(half))); }
/// The sums of the lanes of a, b, c and d.
static inline float32x4_t v_fold4(float32x4_t a, float32x4_t b, float32x4_t c, float32x4_t d) { return vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)); }
/// With 4 lanes the fold of four vectors is complete.
static inline float32x4_t v_fold_quads(const float32x4_t quads[1]) { return quads[0]; }
