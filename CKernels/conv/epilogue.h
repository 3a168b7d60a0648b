// What happens to a sum before it is stored (ck_conv_epilogue), over the vector vocabulary (isa/simd.h).
//
// Activations of a few instructions are applied in the registers of a tile; the others in memory, by one function for all tiles, because their
// code is long. Included inside an instruction set's target region, after its simd header, vector/math.h and conv/numbers_<type>.h, which says what the
// numbers of images are:
//     conv_number                     the type
//     conv_read(p, n)                 n of them as floats, zeros after them
//     conv_write(p, x, n)             the first n of x, rounded
// and what products of theirs are, for conv/dense.h.

enum { conv_most_pixels = 8 };  // of one vector, finished together

/// Whether the activation is one of a few instructions, which `conv_activate` knows.
CK_INLINE bool conv_is_short(ck_conv_activation activation) { return activation <= CK_CONV_HARD_SWISH; }

CK_INLINE vf conv_activate(vf x, ck_conv_activation activation, vf alpha, vf beta) {
    // The order of operands keeps NaNs.
    switch (activation) {
    case CK_CONV_RELU: return v_max(v_set(0), x);
    case CK_CONV_CLIP: return v_min(beta, v_max(alpha, x));
    case CK_CONV_LEAKY_RELU: return v_select(x < v_set(0), alpha * x, x);
    case CK_CONV_HARD_SIGMOID: return v_min(v_set(1), v_max(v_set(0), v_fma(alpha, x, beta)));
    case CK_CONV_HARD_SWISH: return x * v_min(v_set(1), v_max(v_set(0), v_fma(v_set(1.0f / 6), x, v_set(0.5f))));
    case CK_CONV_SIGMOID: return v_sigmoid(x);
    case CK_CONV_SILU: return v_silu(x);
    case CK_CONV_TANH: return v_tanh(x);
    case CK_CONV_GELU: return v_gelu(x);
    case CK_CONV_GELU_TANH: return v_gelu_tanh(x);
    default: return x;
    }
}

CK_INLINE const conv_number *conv_residual(const ck_conv_epilogue *e, int64_t pixel, int64_t channel) {
    return e->residual ? (const conv_number *)e->residual + pixel * e->residual_pixel_stride + channel : 0;
}
CK_INLINE const conv_number *conv_input(const ck_conv_args *args) { return args->input; }
CK_INLINE conv_number *conv_output(const ck_conv_args *args, int64_t pixel, int64_t channel) {
    return (conv_number *)args->output + pixel * args->output_pixel_stride + channel;
}

// Channels outside, pixels inside, so that what belongs to the channels stays in registers.
CK_INLINE void finish_block_with(
    const ck_conv_args *args, ck_conv_activation activation, const float *sums, int64_t stride, int64_t pixel, int64_t pixels, int64_t channel,
    int64_t channels
) {
    const ck_conv_epilogue *e = &args->epilogue;
    const vf alpha = v_set(e->alpha), beta = v_set(e->beta);
    const bool adds_first = e->residual && e->residual_first, adds_last = e->residual && !e->residual_first;
    for (int64_t i = 0; i < channels; i += lanes) {
        const int64_t n = channels - i < lanes ? channels - i : lanes;
        const vf factor = e->factor ? conv_load(e->factor + channel + i, n) : v_set(1);
        const vf offset = e->offset ? conv_load(e->offset + channel + i, n) : (vf){0};
        const conv_number *residual = conv_residual(e, pixel, channel + i);
        const float *sum = sums + i;
        conv_number *output = conv_output(args, pixel, channel + i);
        for (int64_t m = 0; m < pixels; m++, sum += stride, output += args->output_pixel_stride) {
            vf x = v_load(sum);
            if (adds_first) x += conv_read(residual + m * e->residual_pixel_stride, n);
            x = v_fma(conv_activate(x, activation, alpha, beta), factor, offset);
            if (adds_last) x += conv_read(residual + m * e->residual_pixel_stride, n);
            conv_write(output, x, n);
        }
    }
}

/// Finishes sums in memory, [pixels][stride] with whole vectors to read, and stores them as `channels` channels from `channel` on of neighbouring
/// output pixels.
static __attribute__((noinline)) void conv_finish_block(
    const ck_conv_args *args, const float *sums, int64_t stride, int64_t pixel, int64_t pixels, int64_t channel, int64_t channels
) {
    switch (args->epilogue.activation) {
#define CK_FINISH(kind) \
    case kind: finish_block_with(args, kind, sums, stride, pixel, pixels, channel, channels); return;
        CK_FINISH(CK_CONV_RELU)
        CK_FINISH(CK_CONV_CLIP)
        CK_FINISH(CK_CONV_LEAKY_RELU)
        CK_FINISH(CK_CONV_HARD_SIGMOID)
        CK_FINISH(CK_CONV_HARD_SWISH)
        CK_FINISH(CK_CONV_SIGMOID)
        CK_FINISH(CK_CONV_SILU)
        CK_FINISH(CK_CONV_TANH)
        CK_FINISH(CK_CONV_GELU)
        CK_FINISH(CK_CONV_GELU_TANH)
#undef CK_FINISH
    default: finish_block_with(args, CK_CONV_IDENTITY, sums, stride, pixel, pixels, channel, channels); return;
    }
}

/// Finishes the sums of `count` (known when compiled) neighbouring pixels by n channels and stores them.
CK_INLINE void conv_finish_pixels(const ck_conv_args *args, vf *sums, int64_t pixel, int count, int64_t channel, int64_t n) {
    const ck_conv_epilogue *e = &args->epilogue;
    if (!conv_is_short(e->activation)) {
        float block[conv_most_pixels * lanes];
#pragma clang loop unroll(full)
        for (int m = 0; m < count; m++) v_store(block + m * lanes, sums[m]);
        conv_finish_block(args, block, lanes, pixel, count, channel, n);
        return;
    }
    if (e->residual && e->residual_first) {
#pragma clang loop unroll(full)
        for (int m = 0; m < count; m++) sums[m] += conv_read(conv_residual(e, pixel + m, channel), n);
    }
    const vf alpha = v_set(e->alpha), beta = v_set(e->beta);
    switch (e->activation) {
#define CK_ACTIVATE(kind) \
    case kind: \
        _Pragma("clang loop unroll(full)") for (int m = 0; m < count; m++) sums[m] = conv_activate(sums[m], kind, alpha, beta); \
        break;
        CK_ACTIVATE(CK_CONV_RELU)
        CK_ACTIVATE(CK_CONV_CLIP)
        CK_ACTIVATE(CK_CONV_LEAKY_RELU)
        CK_ACTIVATE(CK_CONV_HARD_SIGMOID)
        CK_ACTIVATE(CK_CONV_HARD_SWISH)
#undef CK_ACTIVATE
    default: break;
    }
    if (e->factor || e->offset) {
        const vf factor = e->factor ? conv_load(e->factor + channel, n) : v_set(1), offset = e->offset ? conv_load(e->offset + channel, n) : (vf){0};
#pragma clang loop unroll(full)
        for (int m = 0; m < count; m++) sums[m] = v_fma(sums[m], factor, offset);
    }
    if (e->residual && !e->residual_first) {
#pragma clang loop unroll(full)
        for (int m = 0; m < count; m++) sums[m] += conv_read(conv_residual(e, pixel + m, channel), n);
    }
#pragma clang loop unroll(full)
    for (int m = 0; m < count; m++) conv_write(conv_output(args, pixel + m, channel), sums[m], n);
}

/// The panel after the last one of the call, and the channel after the last one.
CK_INLINE int64_t conv_end_panel(const ck_conv_args *args) { return args->first_panel + args->panel_count; }
CK_INLINE int64_t conv_end_channel(const ck_conv_args *args) {
    const int64_t end = conv_end_panel(args) * CK_CONV_PANEL;
    return end < args->shape.output_channels ? end : args->shape.output_channels;
}
