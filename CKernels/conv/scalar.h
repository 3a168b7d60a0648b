// Convolution and pooling in plain C over libm: the specification of include/ckernels/conv.h and conv_bf16.h. Sums run in double, because the twin should be
// nearer the truth than what is compared with it. Included by a file for each type of image, which gives
//     number                          the type
//     read(x), rounded(y)             from it and to it
//     enum { group }                  neighbouring inputs whose weights lie together: panels are [tap][inputs / group][16][group]
#include "ckernels/conv.h"

#include <math.h>

static float activate(const ck_conv_epilogue *e, float x) {
    if (isnan(x)) return x;
    switch (e->activation) {
    case CK_CONV_RELU: return x > 0 ? x : 0;
    case CK_CONV_CLIP: return fminf(fmaxf(x, e->alpha), e->beta);
    case CK_CONV_LEAKY_RELU: return x < 0 ? e->alpha * x : x;
    case CK_CONV_HARD_SIGMOID: return fminf(fmaxf(e->alpha * x + e->beta, 0), 1);
    case CK_CONV_HARD_SWISH: return x * fminf(fmaxf(x / 6 + 0.5f, 0), 1);
    case CK_CONV_SIGMOID: return 1 / (1 + expf(-x));
    case CK_CONV_SILU: return x / (1 + expf(-x));
    case CK_CONV_TANH: return tanhf(x);
    case CK_CONV_GELU: return 0.5f * x * (1 + erff(x * 0.70710678f));
    case CK_CONV_GELU_TANH: return 0.5f * x * (1 + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    default: return x;
    }
}

// The epilogue of one sum of output pixel `pixel`, channel `channel`, and its store.
static void finish(const ck_conv_args *args, double sum, int64_t pixel, int64_t channel) {
    const ck_conv_epilogue *e = &args->epilogue;
    const int64_t row = pixel / args->shape.output_width, column = pixel % args->shape.output_width;
    const int64_t row_stride = args->output_row_stride ? args->output_row_stride : args->shape.output_width * args->output_pixel_stride;
    const int64_t residual_row = args->residual_row_stride ? args->residual_row_stride : args->shape.output_width * e->residual_pixel_stride;
    const number *image = e->residual;
    const float residual = image ? read(image[row * residual_row + column * e->residual_pixel_stride + channel]) : 0;
    float y = (float)(sum + (e->bias ? e->bias[channel] : 0));
    if (e->residual && e->residual_first) y += residual;
    y = activate(e, y);
    if (e->factor) y *= e->factor[channel];
    if (e->offset) y += e->offset[channel];
    if (e->residual && !e->residual_first) y += residual;
    ((number *)args->output)[row * row_stride + column * args->output_pixel_stride + channel] = rounded(y);
}

// Position (x, y) of the input under a tap of the kernel at output pixel `pixel`; null outside.
static const number *input_pixel(const ck_conv_args *args, int64_t pixel, int64_t ky, int64_t kx) {
    const ck_conv_shape *s = &args->shape;
    const int64_t y = pixel / s->output_width * s->stride_height - s->pad_top + ky * s->dilation_height;
    const int64_t x = pixel % s->output_width * s->stride_width - s->pad_left + kx * s->dilation_width;
    if (y < 0 || y >= s->input_height || x < 0 || x >= s->input_width) return 0;
    return (const number *)args->input + (y * s->input_width + x) * args->input_pixel_stride;
}

static int64_t end_channel(const ck_conv_args *args) {
    const int64_t end = (args->first_panel + args->panel_count) * CK_CONV_PANEL;
    return end < args->shape.output_channels ? end : args->shape.output_channels;
}

// The weight of a dense convolution.
static float dense_weight(const ck_conv_args *args, int64_t channel, int64_t tap, int64_t input) {
    const int64_t groups = (args->shape.input_channels + group - 1) / group, taps = args->shape.kernel_height * args->shape.kernel_width;
    const int64_t line = (channel / CK_CONV_PANEL * taps + tap) * groups + input / group;
    return read(((const number *)args->panels)[(line * CK_CONV_PANEL + channel % CK_CONV_PANEL) * group + input % group]);
}

// Weights of depthwise convolutions are floats, whatever images are.
static float depthwise_weight(const ck_conv_args *args, int64_t channel, int64_t tap) {
    const int64_t taps = args->shape.kernel_height * args->shape.kernel_width;
    return ((const float *)args->panels)[(channel / CK_CONV_PANEL * taps + tap) * CK_CONV_PANEL + channel % CK_CONV_PANEL];
}

// Dense and depthwise differ in the input channels a sum runs over.
static void convolve(const ck_conv_args *args, int64_t inputs, bool depthwise) {
    const ck_conv_shape *s = &args->shape;
    const int64_t taps = s->kernel_height * s->kernel_width;
    for (int64_t pixel = args->first_pixel; pixel < args->first_pixel + args->pixel_count; pixel++) {
        for (int64_t channel = args->first_panel * CK_CONV_PANEL; channel < end_channel(args); channel++) {
            double sum = 0;
            for (int64_t tap = 0; tap < taps; tap++) {
                const number *x = input_pixel(args, pixel, tap / s->kernel_width, tap % s->kernel_width);
                for (int64_t i = 0; x && i < inputs; i++) {
                    sum += depthwise ? (double)read(x[channel]) * depthwise_weight(args, channel, tap) : (double)read(x[i]) * dense_weight(args, channel, tap, i);
                }
            }
            finish(args, sum, pixel, channel);
        }
    }
}

static void dense(const ck_conv_args *args) { convolve(args, args->shape.input_channels, false); }
static void depthwise(const ck_conv_args *args) { convolve(args, 1, true); }

static void max_pool(const ck_conv_args *args) {
    const ck_conv_shape *s = &args->shape;
    for (int64_t pixel = args->first_pixel; pixel < args->first_pixel + args->pixel_count; pixel++) {
        for (int64_t channel = args->first_panel * CK_CONV_PANEL; channel < end_channel(args); channel++) {
            float largest = -INFINITY;
            for (int64_t ky = 0; ky < s->kernel_height; ky++) {
                for (int64_t kx = 0; kx < s->kernel_width; kx++) {
                    const number *x = input_pixel(args, pixel, ky, kx);
                    if (x && read(x[channel]) > largest) largest = read(x[channel]);  // not for NaNs
                }
            }
            finish(args, largest, pixel, channel);
        }
    }
}

static void average_pool(const ck_conv_args *args) {
    const ck_conv_shape *s = &args->shape;
    for (int64_t pixel = args->first_pixel; pixel < args->first_pixel + args->pixel_count; pixel++) {
        const int64_t top = pixel / s->output_width * s->stride_height - s->pad_top, left = pixel % s->output_width * s->stride_width - s->pad_left;
        for (int64_t channel = args->first_panel * CK_CONV_PANEL; channel < end_channel(args); channel++) {
            double sum = 0;
            int64_t inside = 0, padded = 0;
            for (int64_t ky = 0; ky < s->kernel_height; ky++) {
                for (int64_t kx = 0; kx < s->kernel_width; kx++) {
                    const number *x = input_pixel(args, pixel, ky, kx);
                    if (x) sum += read(x[channel]);
                    inside += x != 0;
                    // Ceil mode lets windows reach beyond the padded input; that part never counts.
                    padded += top + ky * s->dilation_height < s->input_height + s->pad_bottom && left + kx * s->dilation_width < s->input_width + s->pad_right;
                }
            }
            const int64_t count = args->average_counts_padding ? padded : inside;
            finish(args, count > 0 ? sum / (double)count : 0, pixel, channel);
        }
    }
}
