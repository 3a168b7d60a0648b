// The row operations of include/ckernels/vector.h over the vector vocabulary (isa/simd.h). Full vectors, then one partial vector.
// Included inside an instruction set's target region, after its simd header and vector/math.h.

typedef vf (*vector_unary)(vf);  // always inlined: a compile-time parameter

CK_INLINE void map(const float *x, int64_t n, float *out, vector_unary f) {
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) v_store(out + i, f(v_load(x + i)));
    if (i < n) v_store_n(out + i, f(v_load_n(x + i, n - i)), n - i);
}

CK_INLINE void gate(const float *a, const float *b, int64_t n, float *out, vector_unary f) {
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) v_store(out + i, f(v_load(a + i)) * v_load(b + i));
    if (i < n) v_store_n(out + i, f(v_load_n(a + i, n - i)) * v_load_n(b + i, n - i), n - i);
}

static void exp_row(const float *x, int64_t n, float *out) { map(x, n, out, v_exp); }
static void tanh_row(const float *x, int64_t n, float *out) { map(x, n, out, v_tanh); }
static void sigmoid_row(const float *x, int64_t n, float *out) { map(x, n, out, v_sigmoid); }
static void relu_row(const float *x, int64_t n, float *out) { map(x, n, out, v_relu); }
static void silu_row(const float *x, int64_t n, float *out) { map(x, n, out, v_silu); }
static void gelu_row(const float *x, int64_t n, float *out) { map(x, n, out, v_gelu); }
static void gelu_tanh_row(const float *x, int64_t n, float *out) { map(x, n, out, v_gelu_tanh); }

static void silu_gate(const float *a, const float *b, int64_t n, float *out) { gate(a, b, n, out, v_silu); }
static void gelu_gate(const float *a, const float *b, int64_t n, float *out) { gate(a, b, n, out, v_gelu); }
static void gelu_tanh_gate(const float *a, const float *b, int64_t n, float *out) { gate(a, b, n, out, v_gelu_tanh); }
static void relu_gate(const float *a, const float *b, int64_t n, float *out) { gate(a, b, n, out, v_relu); }
static void sigmoid_gate(const float *a, const float *b, int64_t n, float *out) { gate(a, b, n, out, v_sigmoid); }

static void add(const float *a, const float *b, int64_t n, float *out) {
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) v_store(out + i, v_load(a + i) + v_load(b + i));
    if (i < n) v_store_n(out + i, v_load_n(a + i, n - i) + v_load_n(b + i, n - i), n - i);
}

static void multiply(const float *a, const float *b, int64_t n, float *out) {
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) v_store(out + i, v_load(a + i) * v_load(b + i));
    if (i < n) v_store_n(out + i, v_load_n(a + i, n - i) * v_load_n(b + i, n - i), n - i);
}

static void add_scaled(const float *a, const float *b, float factor, int64_t n, float *out) {
    const vf f = v_set(factor);
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) v_store(out + i, v_fma(v_load(b + i), f, v_load(a + i)));
    if (i < n) v_store_n(out + i, v_fma(v_load_n(b + i, n - i), f, v_load_n(a + i, n - i)), n - i);
}

static void scale(const float *x, float factor, int64_t n, float *out) {
    const vf f = v_set(factor);
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) v_store(out + i, v_load(x + i) * f);
    if (i < n) v_store_n(out + i, v_load_n(x + i, n - i) * f, n - i);
}

CK_INLINE vf cap_of(vf x, vf cap, vf inverse) { return cap * v_tanh(x * inverse); }

static void softcap(const float *x, float cap, int64_t n, float *out) {
    const vf c = v_set(cap), inverse = v_set(1 / cap);
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) v_store(out + i, cap_of(v_load(x + i), c, inverse));
    if (i < n) v_store_n(out + i, cap_of(v_load_n(x + i, n - i), c, inverse), n - i);
}

// Four independent sums hide the latency of the addition; a partial vector is zero-filled, which adds nothing.
static float sum(const float *x, int64_t n) {
    vf s[4] = {{0}, {0}, {0}, {0}};
    int64_t i = 0;
    for (; i + 4 * lanes <= n; i += 4 * lanes) {
        for (int j = 0; j < 4; j++) s[j] += v_load(x + i + j * lanes);
    }
    for (; i + lanes <= n; i += lanes) s[0] += v_load(x + i);
    if (i < n) s[1] += v_load_n(x + i, n - i);
    return v_add_lanes((s[0] + s[1]) + (s[2] + s[3]));
}

static float dot(const float *a, const float *b, int64_t n) {
    vf s[4] = {{0}, {0}, {0}, {0}};
    int64_t i = 0;
    for (; i + 4 * lanes <= n; i += 4 * lanes) {
        for (int j = 0; j < 4; j++) s[j] = v_fma(v_load(a + i + j * lanes), v_load(b + i + j * lanes), s[j]);
    }
    for (; i + lanes <= n; i += lanes) s[0] = v_fma(v_load(a + i), v_load(b + i), s[0]);
    if (i < n) s[1] = v_fma(v_load_n(a + i, n - i), v_load_n(b + i, n - i), s[1]);
    return v_add_lanes((s[0] + s[1]) + (s[2] + s[3]));
}

static float max(const float *x, int64_t n) {
    vf top = v_set(-__builtin_inff());
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) top = v_max(v_load(x + i), top);  // this order passes over NaNs
    float largest = v_max_lanes(top);
    for (; i < n; i++) largest = x[i] > largest ? x[i] : largest;
    return largest;
}

// The first element equal to the maximum; 0 when every element is NaN.
static int64_t argmax(const float *x, int64_t n) {
    const float largest = max(x, n);
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) {
        if (__builtin_reduce_or(v_load(x + i) == v_set(largest)) != 0) break;
    }
    for (; i < n; i++) {
        if (x[i] == largest) return i;
    }
    return 0;
}

static void rms_norm(const float *x, const float *weight, int64_t n, float epsilon, float *out) {
    const vf factor = v_set(1 / __builtin_sqrtf(dot(x, x, n) / (float)n + epsilon));
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) {
        const vf y = v_load(x + i) * factor;
        v_store(out + i, weight ? y * v_load(weight + i) : y);
    }
    if (i < n) {
        const vf y = v_load_n(x + i, n - i) * factor;
        v_store_n(out + i, weight ? y * v_load_n(weight + i, n - i) : y, n - i);
    }
}

static void layer_norm(const float *x, const float *weight, const float *bias, int64_t n, float epsilon, float *out) {
    const float average = sum(x, n) / (float)n;
    const vf mean = v_set(average);
    vf squares[2] = {{0}, {0}};
    int64_t i = 0;
    for (; i + 2 * lanes <= n; i += 2 * lanes) {
        for (int j = 0; j < 2; j++) {
            const vf d = v_load(x + i + j * lanes) - mean;
            squares[j] = v_fma(d, d, squares[j]);
        }
    }
    float total = v_add_lanes(squares[0] + squares[1]);
    for (; i < n; i++) total += (x[i] - average) * (x[i] - average);
    const vf factor = v_set(1 / __builtin_sqrtf(total / (float)n + epsilon));
    for (i = 0; i < n; i += lanes) {
        const int64_t left = n - i;
        if (left >= lanes) {
            const vf y = (v_load(x + i) - mean) * factor, scaled = weight ? y * v_load(weight + i) : y;
            v_store(out + i, bias ? scaled + v_load(bias + i) : scaled);
        } else {
            const vf y = (v_load_n(x + i, left) - mean) * factor, scaled = weight ? y * v_load_n(weight + i, left) : y;
            v_store_n(out + i, bias ? scaled + v_load_n(bias + i, left) : scaled, left);
        }
    }
}

// Σ exp(x − largest); keeps the exponentials in `out` when it is not null (out may be x).
CK_INLINE float exponentials(const float *x, int64_t n, float largest, float *out) {
    const vf top = v_set(largest);
    vf total = {0};
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) {
        const vf y = v_exp(v_load(x + i) - top);
        if (out) v_store(out + i, y);
        total += y;
    }
    float rest = 0;
    if (i < n) {
        float tail[lanes];
        v_store(tail, v_exp(v_load_n(x + i, n - i) - top));
        for (int64_t j = 0; j < n - i; j++) {
            if (out) out[i + j] = tail[j];
            rest += tail[j];
        }
    }
    return v_add_lanes(total) + rest;
}

CK_INLINE vf score_of(vf x, vf mask, vf factor, float cap, float inverse) {
    x = x * factor;
    if (cap > 0) x = cap_of(x, v_set(cap), v_set(inverse));
    return x + mask;
}

static void softmax(float *x, const float *mask, int64_t n, float factor, float cap) {
    const vf f = v_set(factor);
    const float inverse = cap > 0 ? 1 / cap : 0;
    int64_t i = 0;
    if (mask || cap > 0 || factor != 1) {
        for (; i + lanes <= n; i += lanes) v_store(x + i, score_of(v_load(x + i), mask ? v_load(mask + i) : (vf){0}, f, cap, inverse));
        if (i < n) v_store_n(x + i, score_of(v_load_n(x + i, n - i), mask ? v_load_n(mask + i, n - i) : (vf){0}, f, cap, inverse), n - i);
    }
    const float largest = max(x, n);
    if (largest == -__builtin_inff()) {
        memset(x, 0, (size_t)n * sizeof(float));
        return;
    }
    scale(x, 1 / exponentials(x, n, largest, x), n, x);
}

static float log_sum_exp(const float *x, int64_t n) {
    const float largest = max(x, n);
    if (__builtin_isinf(largest)) return largest;
    return largest + logf(exponentials(x, n, largest, 0));
}

static void f32_to_f16(const float *x, int64_t n, uint16_t *out) {
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) v_store_f16(out + i, v_load(x + i));
    for (; i < n; i++) out[i] = ck_float_to_half(x[i]);
}

static void f16_to_f32(const uint16_t *x, int64_t n, float *out) {
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) v_store(out + i, v_load_f16(x + i));
    for (; i < n; i++) out[i] = ck_half_to_float(x[i]);
}

static void f32_to_bf16(const float *x, int64_t n, uint16_t *out) {
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) v_store_bf16(out + i, v_load(x + i));
    for (; i < n; i++) out[i] = ck_float_to_bfloat(x[i]);
}

static void bf16_to_f32(const uint16_t *x, int64_t n, float *out) {
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) v_store(out + i, v_load_bf16(x + i));
    for (; i < n; i++) out[i] = ck_bfloat_to_float(x[i]);
}

CK_INLINE void copy_rest(const float *in, int64_t from, int64_t to, float *out) {
    if (in != out && from < to) memcpy(out + from, in + from, (size_t)(to - from) * sizeof(float));
}

static void rope_adjacent(const float *x, const float *cosine, const float *sine, int64_t heads, int64_t head_dim, int64_t rotary_dim, float *out) {
    static const uint32_t first_of_pair[16] = {1u << 31, 0, 1u << 31, 0, 1u << 31, 0, 1u << 31, 0, 1u << 31, 0, 1u << 31, 0, 1u << 31, 0, 1u << 31, 0};
    vi minus;
    memcpy(&minus, first_of_pair, sizeof minus);
    for (int64_t h = 0; h < heads; h++) {
        const float *in = x + h * head_dim;
        float *turned = out + h * head_dim;
        int64_t i = 0;
        for (; i + lanes <= rotary_dim; i += lanes) {
            const vf v = v_load(in + i), s = (vf)((vi)v_load_twice(sine + i / 2) ^ minus);
            v_store(turned + i, v_fma(v, v_load_twice(cosine + i / 2), v_swap_pairs(v) * s));
        }
        for (; i < rotary_dim; i += 2) {
            const float a = in[i], b = in[i + 1], c = cosine[i / 2], s = sine[i / 2];
            turned[i] = a * c - b * s;
            turned[i + 1] = a * s + b * c;
        }
        copy_rest(in, rotary_dim, head_dim, turned);
    }
}

static void rope_half(const float *x, const float *cosine, const float *sine, int64_t heads, int64_t head_dim, int64_t rotary_dim, float *out) {
    const int64_t half = rotary_dim / 2;
    for (int64_t h = 0; h < heads; h++) {
        const float *in = x + h * head_dim;
        float *turned = out + h * head_dim;
        int64_t i = 0;
        for (; i + lanes <= half; i += lanes) {
            const vf a = v_load(in + i), b = v_load(in + half + i), c = v_load(cosine + i), s = v_load(sine + i);
            v_store(turned + i, v_fma(a, c, -(b * s)));
            v_store(turned + half + i, v_fma(a, s, b * c));
        }
        for (; i < half; i++) {
            const float a = in[i], b = in[half + i];
            turned[i] = a * cosine[i] - b * sine[i];
            turned[half + i] = a * sine[i] + b * cosine[i];
        }
        copy_rest(in, rotary_dim, head_dim, turned);
    }
}

// Every member, so that a set is complete; the includer adds the name and the instruction-set bits.
#define CK_VECTOR_MEMBERS \
    .rms_norm = rms_norm, .layer_norm = layer_norm, .softmax = softmax, .log_sum_exp = log_sum_exp, \
    .exp = exp_row, .tanh = tanh_row, .sigmoid = sigmoid_row, .relu = relu_row, .silu = silu_row, .gelu = gelu_row, .gelu_tanh = gelu_tanh_row, \
    .silu_gate = silu_gate, .gelu_gate = gelu_gate, .gelu_tanh_gate = gelu_tanh_gate, .relu_gate = relu_gate, .sigmoid_gate = sigmoid_gate, \
    .add = add, .multiply = multiply, .add_scaled = add_scaled, .scale = scale, .softcap = softcap, \
    .max = max, .argmax = argmax, .sum = sum, .dot = dot, \
    .f32_to_f16 = f32_to_f16, .f16_to_f32 = f16_to_f32, .f32_to_bf16 = f32_to_bf16, .bf16_to_f32 = bf16_to_f32, \
    .rope_adjacent = rope_adjacent, .rope_half = rope_half
