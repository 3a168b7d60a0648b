// The sparse 1×1 convolution in plain C, the specification: the dense scalar convolution, panel by panel, with the weights that the packed ones stand for.
#include "conv/sets.h"
#include "sparse/convolution_layout.h"

#include <string.h>

static void convolve(const ck_conv_args *args, void *scratch) {
    const int64_t inputs = args->shape.input_channels, blocks = ck_sparse_conv_blocks(inputs);
    const ck_sparse_conv_parts parts = ck_sparse_conv_open(&args->shape, args->panels);
    float *dense = scratch;  // a panel: [input channel][16]
    for (int64_t panel = args->first_panel; panel < args->first_panel + args->panel_count; panel++) {
        memset(dense, 0, sizeof *dense * (size_t)(inputs * CK_CONV_PANEL));
        for (int64_t list = panel * blocks * CK_CONV_PANEL; list < (panel + 1) * blocks * CK_CONV_PANEL; list++) {
            const int64_t first = list / CK_CONV_PANEL % blocks * CK_SPARSE_CONV_BLOCK, output = list % CK_CONV_PANEL;
            for (uint32_t i = parts.starts[list]; i < parts.starts[list + 1]; i++) {
                dense[(first + parts.places[i] / CK_SPARSE_CONV_STRIP) * CK_CONV_PANEL + output] = parts.weights[i];
            }
        }
        // One panel's call begins at its first channel.
        const int64_t channel = panel * CK_CONV_PANEL;
        ck_conv_args part = *args;
        part.shape.output_channels -= channel;
        part.panels = dense;
        part.output = (float *)part.output + channel;
        if (part.epilogue.bias) part.epilogue.bias += channel;
        if (part.epilogue.factor) part.epilogue.factor += channel;
        if (part.epilogue.offset) part.epilogue.offset += channel;
        if (part.epilogue.residual) part.epilogue.residual = (const float *)part.epilogue.residual + channel;
        part.first_panel = 0;
        part.panel_count = 1;
        ck_conv_scalar.dense(&part);
    }
}

// Never chosen: nobody waits for the scalar kernels.
const ck_sparse_conv_row ck_sparse_conv_scalar = {
    .name = "sparse_conv_scalar", .isa = 0, .function = convolve, .crossover = 2, .least_inputs = 1, .least_pixels = 1,
};
