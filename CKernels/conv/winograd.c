// Weights and scratch memory of the Winograd convolution (conv/winograd.h), and its scalar twin.
#include "conv/winograd_layout.h"

#include "conv/winograd_scalar.h"

#include <string.h>

size_t ck_winograd_packed_bytes(int64_t output_channels, int64_t input_channels) {
    return (size_t)(CK_WINOGRAD_PLANES * ck_winograd_layout_of(input_channels, output_channels).weight_plane) * sizeof(float);
}

size_t ck_winograd_scratch_bytes(int64_t output_channels, int64_t input_channels) {
    const ck_winograd_layout layout = ck_winograd_layout_of(input_channels, output_channels);
    return (size_t)(CK_WINOGRAD_PLANES * (layout.input_plane + layout.output_plane)) * sizeof(float);
}

// Measured on Zen 4 with AVX-512, one thread: 1.5 to 3.5 times as fast as the direct convolution within these bounds, from 8 → 8 channels on; as fast
// with 3 input channels, and with a few tiles of 512 → 512, which read four times the weights for nothing.
bool ck_winograd_pays(const ck_conv_shape *s) {
    enum { least_inputs = 4, least_tiles = 12 };
    const size_t few_weight_bytes = 8 << 20;
    if (s->kernel_height != 3 || s->kernel_width != 3 || s->stride_height != 1 || s->stride_width != 1) return false;
    if (s->dilation_height != 1 || s->dilation_width != 1 || s->input_channels < least_inputs) return false;
    const int64_t tiles = ((s->output_width + CK_WINOGRAD_TILE - 1) / CK_WINOGRAD_TILE) * ((s->output_height + CK_WINOGRAD_TILE - 1) / CK_WINOGRAD_TILE);
    return tiles >= least_tiles || ck_winograd_packed_bytes(s->output_channels, s->input_channels) <= few_weight_bytes;
}

// One dimension of G: three in, six out.
static void filter(const double g[3], double u[6]) {
    u[0] = g[0] / 4;
    u[1] = -(g[0] + g[1] + g[2]) / 6;
    u[2] = -(g[0] - g[1] + g[2]) / 6;
    u[3] = g[0] / 24 + g[1] / 12 + g[2] / 6;
    u[4] = g[0] / 24 - g[1] / 12 + g[2] / 6;
    u[5] = g[2];
}

void ck_winograd_pack(const ck_conv_weights *weights, float *panels) {
    const ck_winograd_layout layout = ck_winograd_layout_of(weights->input_channels, weights->output_channels);
    memset(panels, 0, ck_winograd_packed_bytes(weights->output_channels, weights->input_channels));
    for (int64_t output = 0; output < weights->output_channels; output++) {
        for (int64_t input = 0; input < weights->input_channels; input++) {
            const float *values = weights->values + output * weights->output_stride + input * weights->input_stride;
            double half[3][6];
            for (int x = 0; x < 3; x++) {
                double column[3];
                for (int y = 0; y < 3; y++) column[y] = values[(y * 3 + x) * weights->tap_stride];
                filter(column, half[x]);
            }
            float *out = panels + (output / CK_CONV_PANEL * weights->input_channels + input) * CK_CONV_PANEL + output % CK_CONV_PANEL;
            for (int i = 0; i < 6; i++) {
                double u[6];
                filter((const double[3]){half[0][i], half[1][i], half[2][i]}, u);
                for (int j = 0; j < 6; j++) out[(i * 6 + j) * layout.weight_plane] = (float)u[j];
            }
        }
    }
}

static void input_transform(double *x, int step) {
    const double d[6] = {x[0], x[step], x[2 * step], x[3 * step], x[4 * step], x[5 * step]};
    x[0] = 4 * d[0] - 5 * d[2] + d[4];
    x[step] = d[4] + d[3] - 4 * (d[2] + d[1]);
    x[2 * step] = d[4] - d[3] - 4 * (d[2] - d[1]);
    x[3 * step] = d[4] - d[2] + 2 * (d[3] - d[1]);
    x[4 * step] = d[4] - d[2] - 2 * (d[3] - d[1]);
    x[5 * step] = 4 * d[1] - 5 * d[3] + d[5];
}

static void output_transform(double *x, int step) {
    const double m[6] = {x[0], x[step], x[2 * step], x[3 * step], x[4 * step], x[5 * step]};
    x[0] = m[0] + m[1] + m[2] + m[3] + m[4];
    x[step] = m[1] - m[2] + 2 * (m[3] - m[4]);
    x[2 * step] = m[1] + m[2] + 4 * (m[3] + m[4]);
    x[3 * step] = m[1] - m[2] + 8 * (m[3] - m[4]) + m[5];
}

void ck_winograd_sums(const ck_conv_args *args, int64_t tile, int64_t channel, double sums[CK_WINOGRAD_TILE * CK_WINOGRAD_TILE]) {
    const ck_conv_shape *s = &args->shape;
    const ck_winograd_layout layout = ck_winograd_layout_of(s->input_channels, s->output_channels);
    const int64_t across = (s->output_width + CK_WINOGRAD_TILE - 1) / CK_WINOGRAD_TILE;
    const int64_t top = tile / across * CK_WINOGRAD_TILE - s->pad_top, left = tile % across * CK_WINOGRAD_TILE - s->pad_left;
    double products[CK_WINOGRAD_PLANES] = {0};
    for (int64_t input = 0; input < s->input_channels; input++) {
        double d[CK_WINOGRAD_PLANES];
        for (int i = 0; i < CK_WINOGRAD_PLANES; i++) {
            const int64_t y = top + i / 6, x = left + i % 6;
            const int within = y >= 0 && y < s->input_height && x >= 0 && x < s->input_width;
            d[i] = within ? ((const float *)args->input)[(y * s->input_width + x) * args->input_pixel_stride + input] : 0;
        }
        for (int j = 0; j < 6; j++) input_transform(d + j, 6);
        for (int i = 0; i < 6; i++) input_transform(d + 6 * i, 1);
        const float *u = (const float *)args->panels + (channel / CK_CONV_PANEL * s->input_channels + input) * CK_CONV_PANEL + channel % CK_CONV_PANEL;
        for (int i = 0; i < CK_WINOGRAD_PLANES; i++) products[i] += d[i] * u[i * layout.weight_plane];
    }
    for (int j = 0; j < 6; j++) output_transform(products + j, 6);
    for (int i = 0; i < CK_WINOGRAD_TILE; i++) {
        output_transform(products + 6 * i, 1);
        for (int j = 0; j < CK_WINOGRAD_TILE; j++) sums[i * CK_WINOGRAD_TILE + j] = products[6 * i + j];
    }
}
