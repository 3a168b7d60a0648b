// What the depthwise convolution (conv/depthwise.h) needs to know of images of floats, f32 or bf16: weights and sums are f32. Included after conv/epilogue.h.

typedef ck_conv_args depthwise_args;
typedef conv_number depthwise_number;

CK_INLINE vf depthwise_load(const ck_conv_args *args, const conv_number *p, int64_t n) {
    (void)args;
    return conv_read(p, n);
}

CK_INLINE vf depthwise_start(const ck_conv_args *args, int64_t channel, int64_t n) {
    return args->epilogue.bias ? conv_load(args->epilogue.bias + channel, n) : (vf){0};
}

CK_INLINE const float *depthwise_weights(const ck_conv_args *args, int64_t channel, int64_t tap) {
    const int64_t taps = args->shape.kernel_height * args->shape.kernel_width;
    return (const float *)args->panels + (channel / CK_CONV_PANEL * taps + tap) * CK_CONV_PANEL + channel % CK_CONV_PANEL;
}

CK_INLINE void depthwise_finish(const ck_conv_args *args, vf *sums, int64_t pixel, int count, int64_t channel, int64_t n) {
    conv_finish_pixels(args, sums, pixel, count, channel, n);
}

CK_INLINE int64_t depthwise_end_channel(const ck_conv_args *args) { return conv_end_channel(args); }
