// Row operations in plain C over libm: the specification of include/ckernels/vector.h. Sums run in double, because a row is short and
// the twin should be nearer the truth than what is compared with it.
#include "isa/bits.h"
#include "vector/sets.h"

#include <math.h>

static float sigmoid_of(float x) { return 1 / (1 + expf(-x)); }
static float silu_of(float x) { return x * sigmoid_of(x); }
static float relu_of(float x) { return x > 0 ? x : 0; }
static float gelu_of(float x) { return 0.5f * x * (1 + erff(x * 0.70710678f)); }
static float gelu_tanh_of(float x) { return 0.5f * x * (1 + tanhf(0.79788456f * (x + 0.044715f * x * x * x))); }

static inline void map(const float *x, int64_t n, float *out, float (*f)(float)) {
    for (int64_t i = 0; i < n; i++) out[i] = f(x[i]);
}

static inline void gate(const float *a, const float *b, int64_t n, float *out, float (*f)(float)) {
    for (int64_t i = 0; i < n; i++) out[i] = f(a[i]) * b[i];
}

static void exp_row(const float *x, int64_t n, float *out) { map(x, n, out, expf); }
static void tanh_row(const float *x, int64_t n, float *out) { map(x, n, out, tanhf); }
static void sigmoid_row(const float *x, int64_t n, float *out) { map(x, n, out, sigmoid_of); }
static void relu_row(const float *x, int64_t n, float *out) { map(x, n, out, relu_of); }
static void silu_row(const float *x, int64_t n, float *out) { map(x, n, out, silu_of); }
static void gelu_row(const float *x, int64_t n, float *out) { map(x, n, out, gelu_of); }
static void gelu_tanh_row(const float *x, int64_t n, float *out) { map(x, n, out, gelu_tanh_of); }

static void silu_gate(const float *a, const float *b, int64_t n, float *out) { gate(a, b, n, out, silu_of); }
static void gelu_gate(const float *a, const float *b, int64_t n, float *out) { gate(a, b, n, out, gelu_of); }
static void gelu_tanh_gate(const float *a, const float *b, int64_t n, float *out) { gate(a, b, n, out, gelu_tanh_of); }
static void relu_gate(const float *a, const float *b, int64_t n, float *out) { gate(a, b, n, out, relu_of); }
static void sigmoid_gate(const float *a, const float *b, int64_t n, float *out) { gate(a, b, n, out, sigmoid_of); }

static void add(const float *a, const float *b, int64_t n, float *out) {
    for (int64_t i = 0; i < n; i++) out[i] = a[i] + b[i];
}

static void multiply(const float *a, const float *b, int64_t n, float *out) {
    for (int64_t i = 0; i < n; i++) out[i] = a[i] * b[i];
}

static void add_scaled(const float *a, const float *b, float factor, int64_t n, float *out) {
    for (int64_t i = 0; i < n; i++) out[i] = a[i] + factor * b[i];
}

static void scale(const float *x, float factor, int64_t n, float *out) {
    for (int64_t i = 0; i < n; i++) out[i] = factor * x[i];
}

static void softcap(const float *x, float cap, int64_t n, float *out) {
    for (int64_t i = 0; i < n; i++) out[i] = cap * tanhf(x[i] / cap);
}

static void rms_norm(const float *x, const float *weight, int64_t n, float epsilon, float *out) {
    double squares = 0;
    for (int64_t i = 0; i < n; i++) squares += (double)x[i] * x[i];
    const float factor = (float)(1 / sqrt(squares / (double)n + epsilon));
    for (int64_t i = 0; i < n; i++) out[i] = x[i] * factor * (weight ? weight[i] : 1);
}

static void layer_norm(const float *x, const float *weight, const float *bias, int64_t n, float epsilon, float *out) {
    double total = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) total += x[i];
    const double mean = total / (double)n;
    for (int64_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
    const float factor = (float)(1 / sqrt(squares / (double)n + epsilon));
    for (int64_t i = 0; i < n; i++) out[i] = (float)(x[i] - mean) * factor * (weight ? weight[i] : 1) + (bias ? bias[i] : 0);
}

static float max(const float *x, int64_t n) {
    float largest = x[0];
    for (int64_t i = 1; i < n; i++) largest = fmaxf(largest, x[i]);
    return largest;
}

static int64_t argmax(const float *x, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++) {
        if (x[i] > x[best] || (isnan(x[best]) && !isnan(x[i]))) best = i;
    }
    return best;
}

static float sum(const float *x, int64_t n) {
    double total = 0;
    for (int64_t i = 0; i < n; i++) total += x[i];
    return (float)total;
}

static float dot(const float *a, const float *b, int64_t n) {
    double total = 0;
    for (int64_t i = 0; i < n; i++) total += (double)a[i] * b[i];
    return (float)total;
}

static void softmax(float *x, const float *mask, int64_t n, float factor, float cap) {
    float largest = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        float score = x[i] * factor;
        if (cap > 0) score = cap * tanhf(score / cap);
        x[i] = score + (mask ? mask[i] : 0);
        largest = fmaxf(largest, x[i]);
    }
    double total = 0;
    for (int64_t i = 0; i < n; i++) {
        x[i] = largest == -INFINITY ? 0 : expf(x[i] - largest);
        total += x[i];
    }
    const float inverse = total > 0 ? (float)(1 / total) : 0;
    for (int64_t i = 0; i < n; i++) x[i] *= inverse;
}

static float log_sum_exp(const float *x, int64_t n) {
    float largest = -INFINITY;
    for (int64_t i = 0; i < n; i++) largest = fmaxf(largest, x[i]);
    if (isinf(largest)) return largest;
    double total = 0;
    for (int64_t i = 0; i < n; i++) total += expf(x[i] - largest);
    return largest + (float)log(total);
}

static void f32_to_f16(const float *x, int64_t n, uint16_t *out) {
    for (int64_t i = 0; i < n; i++) out[i] = ck_float_to_half(x[i]);
}

static void f16_to_f32(const uint16_t *x, int64_t n, float *out) {
    for (int64_t i = 0; i < n; i++) out[i] = ck_half_to_float(x[i]);
}

static void f32_to_bf16(const float *x, int64_t n, uint16_t *out) {
    for (int64_t i = 0; i < n; i++) out[i] = ck_float_to_bfloat(x[i]);
}

static void bf16_to_f32(const uint16_t *x, int64_t n, float *out) {
    for (int64_t i = 0; i < n; i++) out[i] = ck_bfloat_to_float(x[i]);
}

// Turns the pairs (i·step, i·step + distance) of each head.
static inline void rope(
    const float *x, const float *cosine, const float *sine, int64_t heads, int64_t head_dim, int64_t rotary_dim, float *out, int64_t step, int64_t distance
) {
    for (int64_t h = 0; h < heads; h++) {
        const float *in = x + h * head_dim;
        float *turned = out + h * head_dim;
        for (int64_t i = 0; i < rotary_dim / 2; i++) {
            const float a = in[i * step], b = in[i * step + distance];
            turned[i * step] = a * cosine[i] - b * sine[i];
            turned[i * step + distance] = a * sine[i] + b * cosine[i];
        }
        for (int64_t i = rotary_dim; i < head_dim; i++) turned[i] = in[i];
    }
}

static void rope_adjacent(const float *x, const float *c, const float *s, int64_t heads, int64_t head_dim, int64_t rotary_dim, float *out) {
    rope(x, c, s, heads, head_dim, rotary_dim, out, 2, 1);
}

static void rope_half(const float *x, const float *c, const float *s, int64_t heads, int64_t head_dim, int64_t rotary_dim, float *out) {
    rope(x, c, s, heads, head_dim, rotary_dim, out, 1, rotary_dim / 2);
}

const ck_vector_set ck_vector_scalar = {
    .name = "vector_scalar", .isa = 0,
    .rms_norm = rms_norm, .layer_norm = layer_norm, .softmax = softmax, .log_sum_exp = log_sum_exp,
    .exp = exp_row, .tanh = tanh_row, .sigmoid = sigmoid_row, .relu = relu_row, .silu = silu_row, .gelu = gelu_row, .gelu_tanh = gelu_tanh_row,
    .silu_gate = silu_gate, .gelu_gate = gelu_gate, .gelu_tanh_gate = gelu_tanh_gate, .relu_gate = relu_gate, .sigmoid_gate = sigmoid_gate,
    .add = add, .multiply = multiply, .add_scaled = add_scaled, .scale = scale, .softcap = softcap,
    .max = max, .argmax = argmax, .sum = sum, .dot = dot,
    .f32_to_f16 = f32_to_f16, .f16_to_f32 = f16_to_f32, .f32_to_bf16 = f32_to_bf16, .bf16_to_f32 = bf16_to_f32,
    .rope_adjacent = rope_adjacent, .rope_half = rope_half,
};
