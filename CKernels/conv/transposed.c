// A transposed convolution as dense ones, one for each remainder of the output position by the strides.
//
// Along one direction, output y reads input i through tap k where y + pad = stride · i + dilation · k. With y = phase + stride · q and
// g = gcd(stride, dilation), the taps of a phase are first, first + stride / g, ...; from one to the next the input moves back by
// dilation / g. Walked from the last tap to the first that is a convolution over q with stride 1 and dilation dilation / g.
#include "ckernels/conv.h"

typedef struct phase_taps {
    int64_t count, first, step;  // taps of the transposed kernel
    int64_t dilation, pad;       // of the dense convolution, whose taps run the other way
    int64_t outputs;             // positions q
} phase_taps;

static phase_taps taps_of(int64_t phase, int64_t kernel, int64_t stride, int64_t dilation, int64_t pad, int64_t output) {
    int64_t divisor = stride, rest = dilation;
    while (rest != 0) {
        const int64_t next = divisor % rest;
        divisor = rest;
        rest = next;
    }
    phase_taps taps = {.step = stride / divisor, .dilation = dilation / divisor, .outputs = output > phase ? (output - phase - 1) / stride + 1 : 0};
    while (taps.first < kernel && (phase + pad - taps.first * dilation) % stride != 0) taps.first++;
    taps.count = taps.first < kernel ? (kernel - 1 - taps.first) / taps.step + 1 : 0;
    // The input position of the first tap at q = 0; the last tap is (count − 1) · dilation before it.
    const int64_t start = taps.count > 0 ? (phase + pad - taps.first * dilation) / stride : 0;
    taps.pad = taps.count > 0 ? (taps.count - 1) * taps.dilation - start : 0;
    return taps;
}

static phase_taps rows_of(const ck_conv_shape *s, int64_t phase) {
    return taps_of(phase / s->stride_width, s->kernel_height, s->stride_height, s->dilation_height, s->pad_top, s->output_height);
}

static phase_taps columns_of(const ck_conv_shape *s, int64_t phase) {
    return taps_of(phase % s->stride_width, s->kernel_width, s->stride_width, s->dilation_width, s->pad_left, s->output_width);
}

int64_t ck_transposed_phase_count(const ck_conv_shape *shape) { return shape->stride_height * shape->stride_width; }

size_t ck_transposed_packed_bytes(const ck_conv_shape *shape, int64_t phase) {
    return ck_conv_packed_bytes(shape->output_channels, shape->input_channels, rows_of(shape, phase).count * columns_of(shape, phase).count);
}

void ck_transposed_pack(const ck_conv_shape *shape, int64_t phase, const ck_conv_weights *weights, float *panels) {
    const phase_taps rows = rows_of(shape, phase), columns = columns_of(shape, phase);
    const int64_t taps = rows.count * columns.count;
    for (int64_t ty = 0; ty < rows.count; ty++) {
        for (int64_t tx = 0; tx < columns.count; tx++) {
            const int64_t ky = rows.first + (rows.count - 1 - ty) * rows.step, kx = columns.first + (columns.count - 1 - tx) * columns.step;
            const float *values = weights->values + (ky * shape->kernel_width + kx) * weights->tap_stride;
            float *out = panels + (ty * columns.count + tx) * shape->input_channels * CK_CONV_PANEL;
            for (int64_t first = 0; first < shape->output_channels; first += CK_CONV_PANEL, out += taps * shape->input_channels * CK_CONV_PANEL) {
                for (int64_t i = 0; i < shape->input_channels * CK_CONV_PANEL; i++) {
                    const int64_t output = first + i % CK_CONV_PANEL;
                    const bool real = output < shape->output_channels;
                    out[i] = real ? values[output * weights->output_stride + i / CK_CONV_PANEL * weights->input_stride] : 0;
                }
            }
        }
    }
}

ck_conv_args ck_transposed_args(const ck_conv_args *whole, int64_t phase, const float *panels) {
    const ck_conv_shape *s = &whole->shape;
    const phase_taps rows = rows_of(s, phase), columns = columns_of(s, phase);
    ck_conv_args args = *whole;
    args.shape.output_height = rows.outputs;
    args.shape.output_width = columns.outputs;
    args.shape.kernel_height = rows.count;
    args.shape.kernel_width = columns.count;
    args.shape.stride_height = args.shape.stride_width = 1;
    args.shape.dilation_height = rows.dilation;
    args.shape.dilation_width = columns.dilation;
    args.shape.pad_top = rows.pad;
    args.shape.pad_left = columns.pad;
    args.panels = panels;
    // Every stride-th pixel of every stride-th row, from the phase's own on.
    const int64_t first = phase / s->stride_width * s->output_width + phase % s->stride_width;
    args.output = (float *)whole->output + first * whole->output_pixel_stride;
    args.output_pixel_stride = s->stride_width * whole->output_pixel_stride;
    args.output_row_stride = s->stride_height * s->output_width * whole->output_pixel_stride;
    if (whole->epilogue.residual) args.epilogue.residual = (const float *)whole->epilogue.residual + first * whole->epilogue.residual_pixel_stride;
    args.epilogue.residual_pixel_stride = s->stride_width * whole->epilogue.residual_pixel_stride;
    args.residual_row_stride = s->stride_height * s->output_width * whole->epilogue.residual_pixel_stride;
    args.first_pixel = args.first_panel = 0;
    args.pixel_count = rows.outputs * columns.outputs;
    args.panel_count = (s->output_channels + CK_CONV_PANEL - 1) / CK_CONV_PANEL;
    return args;
}
