/// Convolution of quantised images: u8 activations with one scale and zero point, s8 weights with a scale for each output channel, channels last.
///
///     x = input_scale · (q − input_zero)      w = weight_scale[c] · q      y = output_scale · (q − output_zero)
///
/// Layout of images, panels of 16 output channels, ranges of pixels and panels and the meaning of `ck_conv_shape` are those of ckernels/conv.h.
/// Images of s8 numbers are the same images with 128 added to the numbers and to the zero point (the top bit of every byte flipped).
///
/// Sums are exact integers: sum = Σ (q − input_zero) · w + bias; a pixel outside the input counts as input_zero, which is the number 0. They stay in
/// int32: 65 535 products of the largest numbers do. Then
///     y = clamp(round(float(sum) · factor[c]) + output_zero, low, high)      factor[c] = input_scale · weight_scale[c] / output_scale
/// in float, each step rounded to nearest even; a ReLU is low = output_zero. All rows of the table give the same bits.
///
/// Packed weights: panel p is the sums' own corrections, bias − input_zero · Σ w, as int32 [16], and then groups of 4 products [16 output channels][4]
/// of s8, which vpdpbusd takes with 4 neighbouring bytes of a pixel. A group is 4 input channels under one tap, and what the last group lacks are zero
/// weights; with fewer than 8 input channels it is 4 neighbours in a row of the window instead. Depthwise: a group is 4 taps of each of the 16 channels,
/// those of a column in 4 rows of the window, or neighbours in the last row where that is alone (5 × 5).
#pragma once

#include "ckernels/conv.h"

typedef struct ck_conv_u8_args {
    ck_conv_shape shape;
    /// With a channel count that is no multiple of 4, up to 3 bytes beyond the last pixel are read (and do not matter).
    const uint8_t *input;
    int64_t input_pixel_stride;  ///< bytes between pixels
    const void *panels;          ///< what `ck_conv_u8_pack` wrote, 64-byte aligned
    uint8_t input_zero;
    const float *factor;         ///< [output_channels]
    uint8_t output_zero, low, high;
    uint8_t *output;             ///< does not overlap the input
    int64_t output_pixel_stride;
    int64_t first_pixel, pixel_count;
    int64_t first_panel, panel_count;
} ck_conv_u8_args;

typedef void (*ck_conv_u8_function)(const ck_conv_u8_args *args);

typedef struct ck_conv_u8_set {
    const char *name;
    uint32_t isa;        ///< instruction sets needed (ck_isa bits)
    int64_t pixel_tile;  ///< pixels of one register tile of the dense convolution
    int64_t panel_tile;  ///< panels of one register tile of the dense convolution
    int64_t depthwise_panel_tile;  ///< panels of one block of the depthwise convolution, which goes along rows, two at a time
    ck_conv_u8_function dense;
    ck_conv_u8_function depthwise;
} ck_conv_u8_set;

/// The sets, best first, scalar last.
size_t ck_conv_u8_set_count(void);
const ck_conv_u8_set *ck_conv_u8_set_at(size_t index);
/// The best set within `isa_mask`; the scalar set when nothing else fits, never null.
const ck_conv_u8_set *ck_conv_u8_find(uint32_t isa_mask);

/// Weights of one group as a file holds them: OIHW, [output][input][ky][kx].
typedef struct ck_conv_u8_weights {
    const int8_t *values;
    const int32_t *bias;  ///< [output_channels] in units of input_scale · weight_scale; may be null
    int64_t output_channels, input_channels;  ///< of the group; input_channels is 1 for the depthwise convolution
    int64_t kernel_height, kernel_width;
    uint8_t input_zero;
    bool depthwise;
} ck_conv_u8_weights;

/// Bytes of the packed weights of a group, a multiple of 64, and packing into 64-byte aligned memory.
size_t ck_conv_u8_packed_bytes(const ck_conv_u8_weights *weights);
void ck_conv_u8_pack(const ck_conv_u8_weights *weights, void *panels);
