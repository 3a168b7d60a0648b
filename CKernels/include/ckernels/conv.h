/// Convolution and pooling of images, channels last, of f32 numbers; ckernels/conv_bf16.h has the same of bf16.
///
/// An image is [height][width][channels], channels next to each other; the distance between pixels is an argument, so that a call can read or
/// write a slice of the channels of a wider image (a concatenation then costs nothing). A batch is one call after another, and so are the groups
/// of a grouped convolution: each is a dense convolution between two slices.
///
/// Output channels come in panels of CK_CONV_PANEL (16). A call computes a range of the output pixels, counted along the rows (pixel y · output_width + x),
/// times a range of panels; calls on ranges that do not overlap may run at the same time, and give the same bits as one call on all of them.
/// Cut pixels at multiples of the set's `pixel_tile`, or where there are few pixels and many channels cut panels, at multiples of `panel_tile`.
///
/// Weights are packed once: panel p is [kernel_height][kernel_width][input_channels][16] floats, channels beyond the last are zeros. For the
/// depthwise convolution (one input channel for each output channel) input_channels is 1, for all else it is the input channels of the group.
///
/// Output size, as everywhere: output = (input + pads before + pads after − dilation · (kernel − 1) − 1) / stride + 1, rounded down (or up:
/// ceil mode). Kernels compute the pixels they are asked for; what lies outside the input counts as zero and is neither read nor multiplied
/// where that matters (an average without padding, a maximum).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CK_CONV_PANEL = 16,    ///< output channels of a panel
    CK_WINOGRAD_TILE = 4,  ///< output pixels of a Winograd tile, each way
};

typedef enum ck_conv_activation {
    CK_CONV_IDENTITY = 0,
    CK_CONV_RELU,
    CK_CONV_CLIP,          ///< min(max(x, alpha), beta)
    CK_CONV_LEAKY_RELU,    ///< x < 0 ? alpha · x : x
    CK_CONV_HARD_SIGMOID,  ///< min(max(alpha · x + beta, 0), 1)
    CK_CONV_HARD_SWISH,    ///< x · min(max(x / 6 + 1/2, 0), 1)
    CK_CONV_SIGMOID,
    CK_CONV_SILU,
    CK_CONV_TANH,
    CK_CONV_GELU,          ///< with erf
    CK_CONV_GELU_TANH,     ///< with tanh
    CK_CONV_ACTIVATION_COUNT,
} ck_conv_activation;

/// What happens to a sum before it is stored:
///     y = sum + bias;  y += residual (if residual_first);  y = activation(y);  y = factor · y + offset;  y += residual (if not residual_first)
/// Pointers may be null: no bias, factor 1, offset 0, no residual. A zeroed struct does nothing. NaNs stay NaNs.
typedef struct ck_conv_epilogue {
    const float *bias;    ///< [output_channels]
    const float *factor;  ///< [output_channels]
    const float *offset;  ///< [output_channels]
    /// An image of the output's size and type, `residual_pixel_stride` elements between pixels. It may be the output itself, pixel on pixel.
    const void *residual;
    int64_t residual_pixel_stride;
    bool residual_first;
    ck_conv_activation activation;
    float alpha, beta;  ///< parameters of the activation
} ck_conv_epilogue;

/// All in pixels; every size, stride and dilation at least 1. Pads may be negative (the input is cropped) or beyond the kernel.
typedef struct ck_conv_shape {
    int64_t input_height, input_width;
    int64_t output_height, output_width;
    int64_t kernel_height, kernel_width;
    int64_t stride_height, stride_width;
    int64_t dilation_height, dilation_width;
    int64_t pad_top, pad_left;
    int64_t pad_bottom, pad_right;  ///< only the average with `average_counts_padding` looks at these
    int64_t input_channels;   ///< of the group; the dense convolution alone looks at it
    int64_t output_channels;  ///< of the group
} ck_conv_shape;

/// All pointers are those of pixel 0 and channel 0 of the group, whatever the range. Images of the set's type (f32 where nothing else is said), of any
/// alignment; panels best 64-byte aligned.
typedef struct ck_conv_args {
    ck_conv_shape shape;
    const void *input;
    int64_t input_pixel_stride;   ///< elements between pixels: the channels of the whole image
    const void *panels;           ///< what `ck_conv_pack` wrote; null for pooling
    void *output;                 ///< does not overlap the input
    int64_t output_pixel_stride;
    /// Elements between output rows, and between rows of the residual, where rows do not simply follow each other (a transposed convolution writes
    /// every second pixel of every second row); 0 where they do. The dense convolution alone looks at these.
    int64_t output_row_stride, residual_row_stride;
    ck_conv_epilogue epilogue;
    int64_t first_pixel, pixel_count;  ///< output pixels to compute
    int64_t first_panel, panel_count;  ///< 16-channel panels to compute; nothing is written beyond output_channels
    bool average_counts_padding;  ///< average pooling: pads count as zeros in the divisor (ONNX count_include_pad)
} ck_conv_args;

typedef void (*ck_conv_function)(const ck_conv_args *args);
/// `scratch` is `ck_winograd_scratch_bytes` bytes, 64-byte aligned, one for each call that runs at the same time; what it holds does not matter.
typedef void (*ck_winograd_function)(const ck_conv_args *args, void *scratch);

/// A complete set of kernels for one instruction set. The scalar set is plain C and the specification; sums of the others are within
/// 2·eps·(k + 1)·max|x|·max|w| of it (k = products of a sum), and activations within what ckernels/vector.h says.
typedef struct ck_conv_set {
    const char *name;
    uint32_t isa;        ///< instruction sets needed (ck_isa bits)
    int64_t pixel_tile;  ///< pixels of one register tile of the dense convolution
    int64_t panel_tile;  ///< panels of one register tile of the dense convolution
    ck_conv_function dense;         ///< every output channel sums over all input channels (of the group)
    ck_conv_function depthwise;     ///< output channel c sums over input channel c
    ck_conv_function max_pool;      ///< NaNs are passed over; a window without any number in it gives −∞
    ck_conv_function average_pool;  ///< a window without any pixel gives 0. The global average is a kernel of the input's size.
    /// The dense convolution of a 3×3 kernel with stride 1 and dilation 1 by Winograd's F(4×4, 3×3): a quarter of the products for more rounding,
    /// within 2e-5 · max|x| · Σ|w| over a sum. Panels are what `ck_winograd_pack` wrote. The range counts tiles instead of pixels:
    /// first_pixel and pixel_count are tiles of 4×4 output pixels, ⌈output_width / 4⌉ to a row. No pixel_tile applies.
    ck_winograd_function winograd;
} ck_conv_set;

/// The sets, best first, scalar last.
size_t ck_conv_set_count(void);
const ck_conv_set *ck_conv_set_at(size_t index);
/// The best set within `isa_mask`; the scalar set when nothing else fits, never null.
const ck_conv_set *ck_conv_find(uint32_t isa_mask);

/// Weights of one group as a file holds them: element (output, input, tap) at output · output_stride + input · input_stride + tap · tap_stride,
/// tap = ky · kernel_width + kx. ONNX Conv [output][input][ky][kx] has the strides inputs · taps, taps, 1.
typedef struct ck_conv_weights {
    const float *values;
    int64_t output_channels, input_channels, taps;
    int64_t output_stride, input_stride, tap_stride;
} ck_conv_weights;

/// Bytes of the packed weights of a group, a multiple of 64.
size_t ck_conv_packed_bytes(int64_t output_channels, int64_t input_channels, int64_t taps);
/// Packs the weights of a group into `panels`, 64-byte aligned memory of `ck_conv_packed_bytes`.
void ck_conv_pack(const ck_conv_weights *weights, float *panels);

/// The same for `winograd`: taps are those of a 3×3 kernel (weights->taps is 9).
size_t ck_winograd_packed_bytes(int64_t output_channels, int64_t input_channels);
void ck_winograd_pack(const ck_conv_weights *weights, float *panels);
size_t ck_winograd_scratch_bytes(int64_t output_channels, int64_t input_channels);
/// Whether `winograd` can compute this convolution and is the faster one for it.
bool ck_winograd_pays(const ck_conv_shape *shape);

/// Transposed convolution: output pixel (y, x) sums over the taps for which (y + pad_top − ky · dilation_height) / stride_height is a row of the
/// input, and the same across. Pixels that leave the same remainder by the strides have the same taps, so it is stride_height · stride_width dense
/// convolutions, the phases, each for a part of the output pixels. `shape` says the sizes of the transposed convolution: input, output, and kernel,
/// stride, dilation and pads as ONNX ConvTranspose has them; its output size is the caller's business (output_padding needs nothing else).
int64_t ck_transposed_phase_count(const ck_conv_shape *shape);
/// Bytes of the packed weights of one phase, a multiple of 64; 0 for a phase without taps (a stride beyond the kernel), whose output is the epilogue of 0.
size_t ck_transposed_packed_bytes(const ck_conv_shape *shape, int64_t phase);
/// Packs one phase. ONNX ConvTranspose weights [input][output][ky][kx] have output_stride = taps, input_stride = outputs · taps, tap_stride = 1.
void ck_transposed_pack(const ck_conv_shape *shape, int64_t phase, const ck_conv_weights *weights, float *panels);
/// The arguments of the dense convolution of one phase, over all its pixels and panels: `whole` holds the shape of the transposed convolution, and input,
/// output and epilogue as if it were one call. pixel_count is 0 where an output smaller than the stride leaves the phase no pixels.
ck_conv_args ck_transposed_args(const ck_conv_args *whole, int64_t phase, const float *panels);

enum { CK_CHAIN_STEPS = 8 };  ///< the most steps of a chain

/// One convolution or pooling of a chain: a function of a set and its arguments for the whole image, with the panels of all channels. Of input and
/// output the chain looks only at the first step's input and the last step's output; ranges it fills in itself. Strides of output rows are not for chains.
typedef struct ck_conv_step {
    ck_conv_function function;
    ck_conv_args args;
} ck_conv_step;

/// Computes rows [first_row, first_row + row_count) of the last step's output, where each step reads only what the one before it wrote: 1×1, depthwise
/// and 1×1 again of the usual blocks. The images between the steps never exist: a few rows of each stay in the second-level cache, as many as fit with
/// all rows they need. Worth it where those images are larger than that cache. The result has the bits of the steps done one after another.
/// Calls on other rows may run at the same time, each with its own scratch (64-byte aligned); rows both need are computed twice, so cut few ranges.
/// `element_bytes`: 4 for images of f32, 2 for those of bf16.
void ck_conv_chain(const ck_conv_step *steps, int64_t count, int64_t element_bytes, int64_t first_row, int64_t row_count, void *scratch);
size_t ck_conv_chain_scratch_bytes(const ck_conv_step *steps, int64_t count, int64_t element_bytes);
