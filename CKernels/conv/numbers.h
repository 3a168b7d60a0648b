// What numbers_f32.h and the headers of bf16 images share: floats in memory, and the half of a vector that conv/dense.h ends with.
// Included inside an instruction set's target region.

typedef float vhalf __attribute__((vector_size(lanes * 2)));

CK_INLINE vf conv_load(const float *p, int64_t n) { return n == lanes ? v_load(p) : v_load_n(p, n); }
CK_INLINE void conv_store(float *p, vf x, int64_t n) {
    if (n == lanes) v_store(p, x);
    else v_store_n(p, x, n);
}
