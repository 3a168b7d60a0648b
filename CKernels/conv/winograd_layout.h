// Where a Winograd convolution keeps its transformed inputs and its products: 36 planes [tile][channel] each, inputs first.
#pragma once

#include "ckernels/conv.h"

enum {
    CK_WINOGRAD_PLANES = 36,
    winograd_block_bytes = 384 << 10,  // inputs and products of a block of tiles, beside the weights in the second-level cache
    winograd_least_tiles = 14,         // ... but whole register tiles of the dense convolution, 14 or 6 pixels
    winograd_skew = 16,                // floats between planes, so that 36 of them do not fall on the same lines of a cache
};

typedef struct ck_winograd_layout {
    int64_t tiles;                        // of a block
    int64_t input_stride, output_stride;  // channels rounded up to panels
    int64_t input_plane, output_plane;    // elements from plane to plane
    int64_t weight_plane;
} ck_winograd_layout;

static inline ck_winograd_layout ck_winograd_layout_of(int64_t input_channels, int64_t output_channels) {
    const int64_t inputs = (input_channels + CK_CONV_PANEL - 1) / CK_CONV_PANEL * CK_CONV_PANEL;
    const int64_t outputs = (output_channels + CK_CONV_PANEL - 1) / CK_CONV_PANEL * CK_CONV_PANEL;
    const int64_t tile_bytes = CK_WINOGRAD_PLANES * (inputs + outputs) * (int64_t)sizeof(float);
    const int64_t fitting = winograd_block_bytes / tile_bytes / 14 * 14;
    ck_winograd_layout layout = {.tiles = fitting > winograd_least_tiles ? fitting : winograd_least_tiles, .input_stride = inputs, .output_stride = outputs};
    layout.input_plane = layout.tiles * inputs + winograd_skew;
    layout.output_plane = layout.tiles * outputs + winograd_skew;
    layout.weight_plane = outputs * input_channels;
    return layout;
}
