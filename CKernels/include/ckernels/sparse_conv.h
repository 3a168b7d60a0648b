/// Sparse 1×1 convolutions, f32, channels last: weights many of which are zero, anywhere, and products with the others alone.
///
/// A product skips a weight only where it serves a whole vector of pixels, so a call turns the channels of 64 neighbouring pixels (a strip) into rows of 64
/// floats once, and every output channel then adds up the rows of its weights. That is the design of Elsen, Dukhan, Gale and Simonyan, "Fast Sparse
/// ConvNets" (2019), for images that lie channels last: what goes in and what comes out is turned strip by strip in cache, so that layers before
/// and after need not know.
///
/// Weights are packed once. Input channels are cut into blocks of CK_SPARSE_CONV_BLOCK, so that a block of a strip stays in the first-level cache while
/// CK_SPARSE_CONV_PANELS panels of output channels pass over it. Packed weights, each part from a multiple of 64 bytes on:
///     u32 start[panels][blocks][16], and one more: weight `start` is the first of an output channel in a block of input channels
///     f32 weight[]   those that are not zero, by panel, block, output channel, input channel
///     u16 place[]    of each: 64 · (input channel − first of its block), where its row of a strip begins
/// 6 bytes a weight that is kept.
///
/// Arguments are those of the dense convolution (ckernels/conv.h) for a kernel of 1×1 with strides of 1, no pads and neither `output_row_stride` nor
/// `residual_row_stride`; `panels` is the packed weights. Ranges of pixels and panels, the epilogue and tolerances are those of `dense`. What is left out cannot
/// pass a NaN or an infinity on: then alone, results differ from those of the same weights with their zeros.
#pragma once

#include "ckernels/conv.h"

enum {
    CK_SPARSE_CONV_STRIP = 64,   ///< pixels of a strip: cut pixels at multiples of it
    CK_SPARSE_CONV_BLOCK = 128,  ///< input channels of a block
    CK_SPARSE_CONV_PANELS = 4,   ///< panels that share a block: cut panels at multiples of it
};

/// `scratch` is `ck_sparse_conv_scratch_bytes` bytes, 64-byte aligned, one for each call that runs at the same time; what it holds does not matter.
typedef void (*ck_sparse_conv_function)(const ck_conv_args *args, void *scratch);

/// A row of the table. The scalar row is the specification: the dense scalar convolution with the weights that the packed ones stand for.
typedef struct ck_sparse_conv_row {
    const char *name;
    uint32_t isa;  ///< instruction sets needed (ck_isa bits)
    ck_sparse_conv_function function;
    float crossover;  ///< the part of zeros from which it beats the dense convolution of these instruction sets; above 1: never. Measured: see the row
    int64_t least_inputs, least_pixels;  ///< with fewer input channels or output pixels, turning costs what is saved
} ck_sparse_conv_row;

/// The table, best row first, scalar last.
size_t ck_sparse_conv_row_count(void);
const ck_sparse_conv_row *ck_sparse_conv_row_at(size_t index);
/// The best row within `isa_mask`, never null.
const ck_sparse_conv_row *ck_sparse_conv_find(uint32_t isa_mask);

/// Whether `row` can compute this convolution, of which `kept` weights are not zero, and is the faster one for it.
bool ck_sparse_conv_pays(const ck_sparse_conv_row *row, const ck_conv_shape *shape, int64_t kept);

/// How many of `count` floats at any address are not zero: as many as have to be kept.
int64_t ck_sparse_conv_count(const void *values, int64_t count);
/// Bytes of packed weights that keep `kept`, a multiple of 64.
size_t ck_sparse_conv_packed_bytes(int64_t output_channels, int64_t input_channels, int64_t kept);
/// Packs the weights of a 1×1 convolution (`taps` is 1) into 64-byte aligned memory of `bytes`. Returns 0, or −1 when they take more room or there are 2³² of them;
/// then the contents are undefined.
int ck_sparse_conv_pack(const ck_conv_weights *weights, void *packed, size_t bytes);
size_t ck_sparse_conv_scratch_bytes(int64_t input_channels);
