// From an exact sum to a byte of the output (include/ckernels/conv_u8.h), over the vector vocabulary (isa/simd.h), and what the depthwise convolution
// (conv/depthwise.h) needs to know of quantised numbers. Included inside an instruction set's target region, after isa/simd.h and
// u8_round, which gives the nearest integers (even where two are).

typedef uint8_t vu8 __attribute__((vector_size(lanes)));

CK_INLINE int64_t u8_end_channel(const ck_conv_u8_args *args) {
    const int64_t end = (args->first_panel + args->panel_count) * CK_CONV_PANEL;
    return end < args->shape.output_channels ? end : args->shape.output_channels;
}

CK_INLINE vf u8_factor(const ck_conv_u8_args *args, int64_t channel, int64_t n) {
    return n == lanes ? v_load(args->factor + channel) : v_load_n(args->factor + channel, n);
}

// What all sums of a tile need: kept in registers, because a byte that is stored might, for all the compiler knows, be one of the arguments.
typedef struct u8_finish {
    vf low, high;  // of a scaled sum, before the zero point is added
    vu8 zero;
    uint8_t *output;
    int64_t stride;
} u8_finish;

CK_INLINE u8_finish u8_finish_at(const ck_conv_u8_args *args, int64_t pixel, int64_t channel) {
    return (u8_finish){
        .low = v_set((float)(args->low - args->output_zero)), .high = v_set((float)(args->high - args->output_zero)),
        .zero = args->output_zero - (vu8){0}, .output = args->output + pixel * args->output_pixel_stride + channel, .stride = args->output_pixel_stride,
    };
}

CK_INLINE void u8_store(u8_finish f, vi sum, vf factor, int64_t at, int64_t n) {
    const vf scaled = v_min(f.high, v_max(f.low, __builtin_convertvector(sum, vf) * factor));
    // Clamped as it is, the zero point brings it into a byte: adding modulo 256 is enough.
    const vu8 bytes = __builtin_convertvector(u8_round(scaled), vu8) + f.zero;
    if (n == lanes) memcpy(f.output + at, &bytes, sizeof bytes);
    else memcpy(f.output + at, &bytes, (size_t)n);
}

// MARK: Depthwise

typedef ck_conv_u8_args depthwise_args;
typedef uint8_t depthwise_number;

CK_INLINE vf depthwise_load(const ck_conv_u8_args *args, const uint8_t *p, int64_t n) {
    vu8 bytes = {0};
    if (n == lanes) memcpy(&bytes, p, sizeof bytes);
    else memcpy(&bytes, p, (size_t)n);
    return __builtin_convertvector(__builtin_convertvector(bytes, vi) - vi_set(args->input_zero), vf);
}

// The bias may be beyond what a float holds exactly: it is added to the sum as an integer.
CK_INLINE vf depthwise_start(const ck_conv_u8_args *args, int64_t channel, int64_t n) {
    (void)args, (void)channel, (void)n;
    return (vf){0};
}

CK_INLINE const uint8_t *u8_depthwise_panel(const ck_conv_u8_args *args, int64_t channel) {
    return (const uint8_t *)args->panels + channel / CK_CONV_PANEL * u8_depthwise_panel_bytes(args->shape.kernel_height * args->shape.kernel_width);
}

CK_INLINE const float *depthwise_weights(const ck_conv_u8_args *args, int64_t channel, int64_t tap) {
    return (const float *)(const void *)(u8_depthwise_panel(args, channel) + u8_corrections) + tap * CK_CONV_PANEL + channel % CK_CONV_PANEL;
}

CK_INLINE void depthwise_finish(const ck_conv_u8_args *args, vf *sums, int64_t pixel, int count, int64_t channel, int64_t n) {
    vi bias;
    memcpy(&bias, u8_depthwise_panel(args, channel) + channel % CK_CONV_PANEL * 4, sizeof bias);
    const vf factor = u8_factor(args, channel, n);
    const u8_finish f = u8_finish_at(args, pixel, channel);
#pragma clang loop unroll(full)
    for (int m = 0; m < count; m++) u8_store(f, u8_round(sums[m]) + bias, factor, m * f.stride, n);
}

CK_INLINE int64_t depthwise_end_channel(const ck_conv_u8_args *args) { return u8_end_channel(args); }
