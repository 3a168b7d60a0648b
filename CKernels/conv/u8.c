// Quantised convolutions: the table of sets, packing, and the scalar set, which is the specification.
#include "conv/u8_layout.h"

#include <math.h>
#include <string.h>

// A fused multiply-add would round once where the other sets round twice.
#pragma STDC FP_CONTRACT OFF

// MARK: - Packing

static int64_t panels_of(int64_t channels) { return (channels + CK_CONV_PANEL - 1) / CK_CONV_PANEL; }

static int64_t panel_bytes(const ck_conv_u8_weights *w) {
    return w->depthwise ? u8_depthwise_panel_bytes(w->kernel_height, w->kernel_width) : u8_layout_of(w->input_channels, w->kernel_height, w->kernel_width).panel_bytes;
}

size_t ck_conv_u8_packed_bytes(const ck_conv_u8_weights *weights) { return (size_t)(panels_of(weights->output_channels) * panel_bytes(weights)); }

void ck_conv_u8_pack(const ck_conv_u8_weights *w, void *panels) {
    const u8_layout layout = u8_layout_of(w->input_channels, w->kernel_height, w->kernel_width);
    const int64_t taps = w->kernel_height * w->kernel_width;
    memset(panels, 0, ck_conv_u8_packed_bytes(w));
    for (int64_t output = 0; output < w->output_channels; output++) {
        uint8_t *panel = (uint8_t *)panels + output / CK_CONV_PANEL * panel_bytes(w);
        const int64_t lane = output % CK_CONV_PANEL;
        int32_t total = 0;
        for (int64_t input = 0; input < w->input_channels; input++) {
            for (int64_t tap = 0; tap < taps; tap++) {
                const int8_t value = w->values[(output * w->input_channels + input) * taps + tap];
                total += value;
                if (w->depthwise) {
                    const u8_tap_place place = u8_depthwise_place(w->kernel_height, w->kernel_width, tap / w->kernel_width, tap % w->kernel_width);
                    panel[u8_corrections + place.group * u8_group_bytes + lane * u8_group + place.slot] = (uint8_t)value;
                } else {
                    const int64_t run = layout.joins ? tap / w->kernel_width : tap;
                    const int64_t at = layout.joins ? tap % w->kernel_width * w->input_channels + input : input;
                    const int64_t group = run * layout.groups + at / u8_group;
                    panel[u8_corrections + group * u8_group_bytes + lane * u8_group + at % u8_group] = (uint8_t)value;
                }
            }
        }
        const int32_t correction = (w->bias ? w->bias[output] : 0) - w->input_zero * total;
        memcpy(panel + lane * (int64_t)sizeof correction, &correction, sizeof correction);
    }
}

// MARK: - The scalar set

static void convolve(const ck_conv_u8_args *args, bool depthwise) {
    const ck_conv_shape *s = &args->shape;
    const u8_layout layout = u8_layout_of(s->input_channels, s->kernel_height, s->kernel_width);
    const int64_t bytes = depthwise ? u8_depthwise_panel_bytes(s->kernel_height, s->kernel_width) : layout.panel_bytes;
    for (int64_t pixel = args->first_pixel; pixel < args->first_pixel + args->pixel_count; pixel++) {
        const int64_t top = pixel / s->output_width * s->stride_height - s->pad_top, left = pixel % s->output_width * s->stride_width - s->pad_left;
        for (int64_t channel = args->first_panel * CK_CONV_PANEL; channel < (args->first_panel + args->panel_count) * CK_CONV_PANEL; channel++) {
            if (channel >= s->output_channels) break;
            const uint8_t *panel = (const uint8_t *)args->panels + channel / CK_CONV_PANEL * bytes;
            const int64_t lane = channel % CK_CONV_PANEL;
            int32_t sum;
            memcpy(&sum, panel + lane * (int64_t)sizeof sum, sizeof sum);
            for (int64_t tap = 0; tap < s->kernel_height * s->kernel_width; tap++) {
                const int64_t y = top + tap / s->kernel_width * s->dilation_height, x = left + tap % s->kernel_width * s->dilation_width;
                const bool within = y >= 0 && y < s->input_height && x >= 0 && x < s->input_width;
                const uint8_t *input = within ? args->input + (y * s->input_width + x) * args->input_pixel_stride : 0;
                if (depthwise) {
                    const u8_tap_place place = u8_depthwise_place(s->kernel_height, s->kernel_width, tap / s->kernel_width, tap % s->kernel_width);
                    const int8_t weight = (int8_t)panel[u8_corrections + place.group * u8_group_bytes + lane * u8_group + place.slot];
                    sum += (within ? input[channel] : args->input_zero) * weight;
                    continue;
                }
                for (int64_t i = 0; i < s->input_channels; i++) {
                    const int64_t run = layout.joins ? tap / s->kernel_width : tap, at = layout.joins ? tap % s->kernel_width * s->input_channels + i : i;
                    const int64_t group = run * layout.groups + at / u8_group;
                    const int8_t weight = (int8_t)panel[u8_corrections + group * u8_group_bytes + lane * u8_group + at % u8_group];
                    sum += (within ? input[i] : args->input_zero) * weight;
                }
            }
            const float low = (float)(args->low - args->output_zero), high = (float)(args->high - args->output_zero);
            const float scaled = (float)sum * args->factor[channel];
            const float y = rintf(scaled < low ? low : scaled > high ? high : scaled);
            args->output[pixel * args->output_pixel_stride + channel] = (uint8_t)((int32_t)y + args->output_zero);
        }
    }
}

static void dense(const ck_conv_u8_args *args) { convolve(args, false); }
static void depthwise(const ck_conv_u8_args *args) { convolve(args, true); }

const ck_conv_u8_set ck_conv_u8_scalar = {
    .name = "conv_u8_scalar", .isa = 0, .pixel_tile = 1, .panel_tile = 1, .depthwise_panel_tile = 1, .dense = dense, .depthwise = depthwise,
};

// MARK: - The table

static const ck_conv_u8_set *const sets[] = {
#if defined(__x86_64__)
    &ck_conv_u8_avx512_vnni,
    &ck_conv_u8_avx512,
    &ck_conv_u8_avx2,
#endif
    &ck_conv_u8_scalar,
};

enum { set_count = sizeof sets / sizeof sets[0] };

size_t ck_conv_u8_set_count(void) { return set_count; }

const ck_conv_u8_set *ck_conv_u8_set_at(size_t index) { return index < set_count ? sets[index] : 0; }

const ck_conv_u8_set *ck_conv_u8_find(uint32_t isa_mask) {
    for (int i = 0; i < set_count; i++) {
        if ((sets[i]->isa & ~isa_mask) == 0) return sets[i];
    }
    return &ck_conv_u8_scalar;
}
