/// Row operations: normalisation, softmax, activations, elementwise arithmetic, reductions, conversions, rotary embedding.
///
/// One struct of function pointers a set. The scalar set is complete, plain C over libm, and is the specification; a look-up returns the best
/// complete set within a mask, never null. Pointers need element alignment only. `out` may be the input itself (in place) unless stated;
/// any other overlap is not allowed. n may be 0, except where a result would have no meaning (max, argmax).
///
/// Errors of every set against the exact result, tested: exp within 2e-7 relative (subnormals included, overflow to infinity), tanh and sigmoid within
/// 3e-7 relative; silu and gelu within 3e-7 · max(|x|, 1), gelu_tanh within 5e-7 · max(|x|, 1). NaN in, NaN out; gelu(−∞) is NaN as with erf.
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef void (*ck_unary_function)(const float *x, int64_t n, float *out);
typedef void (*ck_binary_function)(const float *a, const float *b, int64_t n, float *out);
typedef void (*ck_rope_function)(const float *x, const float *cosine, const float *sine, int64_t heads, int64_t head_dim, int64_t rotary_dim, float *out);

typedef struct ck_vector_set {
    const char *name;
    uint32_t isa;  ///< instruction sets needed (ck_isa bits)

    /// out = x / sqrt(mean(x²) + epsilon) · weight. weight [n] may be null (all ones).
    void (*rms_norm)(const float *x, const float *weight, int64_t n, float epsilon, float *out);
    /// out = (x − mean) / sqrt(variance + epsilon) · weight + bias, variance over n. weight and bias [n] may be null.
    void (*layer_norm)(const float *x, const float *weight, const float *bias, int64_t n, float epsilon, float *out);

    /// In place: x = softmax(cap(scale · x) + mask), cap(y) = softcap · tanh(y / softcap) when softcap > 0. mask [n] may be null.
    /// A row that is −∞ throughout becomes zeros.
    void (*softmax)(float *x, const float *mask, int64_t n, float scale, float softcap);
    /// log Σ exp(x), for log-probabilities.
    float (*log_sum_exp)(const float *x, int64_t n);

    ck_unary_function exp;
    ck_unary_function tanh;
    ck_unary_function sigmoid;
    ck_unary_function relu;
    ck_unary_function silu;       ///< x · sigmoid(x)
    ck_unary_function gelu;       ///< x · Φ(x), with erf
    ck_unary_function gelu_tanh;  ///< the tanh approximation of GELU

    /// out = activation(gate) · up.
    ck_binary_function silu_gate;
    ck_binary_function gelu_gate;
    ck_binary_function gelu_tanh_gate;
    ck_binary_function relu_gate;
    ck_binary_function sigmoid_gate;

    ck_binary_function add;  ///< a + b; also the bias of a linear layer
    ck_binary_function multiply;
    void (*add_scaled)(const float *a, const float *b, float factor, int64_t n, float *out);  ///< a + factor · b
    void (*scale)(const float *x, float factor, int64_t n, float *out);
    void (*softcap)(const float *x, float cap, int64_t n, float *out);  ///< cap · tanh(x / cap)

    float (*max)(const float *x, int64_t n);       ///< n ≥ 1; NaNs are passed over
    int64_t (*argmax)(const float *x, int64_t n);  ///< n ≥ 1; the first of equals; NaN never wins over a number
    float (*sum)(const float *x, int64_t n);
    float (*dot)(const float *a, const float *b, int64_t n);

    /// Conversions round to nearest, ties to even; not in place.
    void (*f32_to_f16)(const float *x, int64_t n, uint16_t *out);
    void (*f16_to_f32)(const uint16_t *x, int64_t n, float *out);
    void (*f32_to_bf16)(const float *x, int64_t n, uint16_t *out);
    void (*bf16_to_f32)(const uint16_t *x, int64_t n, float *out);

    /// Rotary embedding of one token's heads, x [heads, head_dim]: the first rotary_dim (even) dimensions of a head turn, the rest are copied.
    /// cosine and sine [rotary_dim / 2] are the caller's (frequencies, scaling variants, attention factor).
    /// rope_adjacent turns the pairs (2i, 2i+1): Llama. rope_half turns (i, i + rotary_dim/2): GPT-NeoX, Qwen, Gemma, Phi.
    ck_rope_function rope_adjacent;
    ck_rope_function rope_half;
} ck_vector_set;

/// The sets, best first, scalar last.
size_t ck_vector_set_count(void);
const ck_vector_set *ck_vector_set_at(size_t index);
/// The best set within `isa_mask`; the scalar set when nothing else fits, never null.
const ck_vector_set *ck_vector_find(uint32_t isa_mask);
