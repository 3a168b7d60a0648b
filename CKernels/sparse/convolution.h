// The sparse 1×1 convolution over the vector vocabulary (isa/simd.h): strips of pixels turned to rows of channels, sums of whole rows, sums turned back.
//
// A register tile is one output channel by up to 64 pixels. A weight is broadcast and multiplied by the row of its input channel, from the first-level cache;
// output channels have nothing in common but the strip. Even and odd weights of a list may have sums of their own (spmm_sets), where one a vector would wait
// for itself; how many pixels a strip has changes nothing in the order of a sum, so ranges of pixels give the same bits however they are cut.
// Included inside an instruction set's target region, after conv/epilogue.h; the includer sets
//     spmm_sets      sums a vector of pixels
//     v_transpose    turns `lanes` vectors: lane j of vector i and lane i of vector j change places

enum {
    spmm_strip = CK_SPARSE_CONV_STRIP,
    spmm_quarter = 16,                                  // a strip has whole quarters
    spmm_quarter_vectors = spmm_quarter / lanes,
    spmm_vectors = spmm_strip / lanes,
};

// Adds the products of one list to `vectors` vectors of sums.
CK_INLINE void spmm_list(const uint16_t *places, const float *weights, uint32_t count, const float *strip, float *sums, const bool begins, float start, const int vectors) {
    vf totals[spmm_sets][spmm_vectors];
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) {
        totals[0][v] = begins ? v_set(start) : v_load(sums + v * lanes);
#pragma clang loop unroll(full)
        for (int s = 1; s < spmm_sets; s++) totals[s][v] = (vf){0};
    }
    uint32_t i = 0;
    for (; i + spmm_sets <= count; i += spmm_sets) {
#pragma clang loop unroll(full)
        for (int s = 0; s < spmm_sets; s++) {
            const float *row = strip + places[i + s];
            const vf weight = v_set(weights[i + s]);
#pragma clang loop unroll(full)
            for (int v = 0; v < vectors; v++) totals[s][v] = v_fma(weight, v_load(row + v * lanes), totals[s][v]);
        }
    }
    for (; i < count; i++) {
        const float *row = strip + places[i];
        const vf weight = v_set(weights[i]);
#pragma clang loop unroll(full)
        for (int v = 0; v < vectors; v++) totals[0][v] = v_fma(weight, v_load(row + v * lanes), totals[0][v]);
    }
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) {
#pragma clang loop unroll(full)
        for (int s = 1; s < spmm_sets; s++) totals[0][v] += totals[s][v];
        v_store(sums + v * lanes, totals[0][v]);
    }
}

// The 16 lists of a panel in one block of input channels. `bias` is that of the panel's first channel, of which `channels` exist.
#define CK_SPMM_PANEL(quarters) \
    static __attribute__((noinline)) void spmm_panel_##quarters( \
        const ck_sparse_conv_parts *parts, int64_t list, const float *strip, float *sums, bool begins, const float *bias, int64_t channels \
    ) { \
        const uint32_t *starts = parts->starts + list; \
        for (int64_t c = 0; c < CK_CONV_PANEL; c++, sums += spmm_strip) { \
            const uint16_t *places = parts->places + starts[c]; \
            const float *weights = parts->weights + starts[c]; \
            const uint32_t count = starts[c + 1] - starts[c]; \
            if (begins) spmm_list(places, weights, count, strip, sums, true, bias && c < channels ? bias[c] : 0, quarters * spmm_quarter_vectors); \
            else spmm_list(places, weights, count, strip, sums, false, 0, quarters * spmm_quarter_vectors); \
        } \
    }
CK_SPMM_PANEL(1)
CK_SPMM_PANEL(2)
CK_SPMM_PANEL(3)
CK_SPMM_PANEL(4)
#undef CK_SPMM_PANEL

static void spmm_panel(
    const ck_sparse_conv_parts *parts, int64_t list, const float *strip, float *sums, bool begins, const float *bias, int64_t channels, int64_t quarters
) {
    switch (quarters) {
    case 1: spmm_panel_1(parts, list, strip, sums, begins, bias, channels); return;
    case 2: spmm_panel_2(parts, list, strip, sums, begins, bias, channels); return;
    case 3: spmm_panel_3(parts, list, strip, sums, begins, bias, channels); return;
    default: spmm_panel_4(parts, list, strip, sums, begins, bias, channels); return;
    }
}

// Channels of `pixels` pixels to rows [channel][64]; pixels up to the next whole quarter are zeros.
static void spmm_turn_in(const float *input, int64_t pixel_stride, int64_t pixels, int64_t channels, float *strip) {
    const int64_t padded = (pixels + spmm_quarter - 1) / spmm_quarter * spmm_quarter;
    for (int64_t c = 0; c < channels; c += lanes) {
        const int64_t n = channels - c < lanes ? channels - c : lanes;
        for (int64_t p = 0; p < padded; p += lanes) {
            const float *from = input + p * pixel_stride + c;
            vf tile[lanes];
            if (n == lanes && p + lanes <= pixels) {
#pragma clang loop unroll(full)
                for (int i = 0; i < lanes; i++) tile[i] = v_load(from + i * pixel_stride);
            } else {
#pragma clang loop unroll(full)
                for (int i = 0; i < lanes; i++) tile[i] = p + i < pixels ? conv_load(from + i * pixel_stride, n) : (vf){0};
            }
            v_transpose(tile);
#pragma clang loop unroll(full)
            for (int i = 0; i < lanes; i++) {
                if (i < n) v_store(strip + (c + i) * spmm_strip + p, tile[i]);
            }
        }
    }
}

// Rows of sums [16 channels][64] to pixels [pixel][16].
static void spmm_turn_out(const float *sums, int64_t pixels, float *block) {
    for (int64_t p = 0; p < pixels; p += lanes) {
        for (int64_t c = 0; c < CK_CONV_PANEL; c += lanes) {
            vf tile[lanes];
#pragma clang loop unroll(full)
            for (int i = 0; i < lanes; i++) tile[i] = v_load(sums + (c + i) * spmm_strip + p);
            v_transpose(tile);
#pragma clang loop unroll(full)
            for (int i = 0; i < lanes; i++) v_store(block + (p + i) * CK_CONV_PANEL + c, tile[i]);
        }
    }
}

static void sparse_pointwise(const ck_conv_args *args, void *scratch) {
    const ck_sparse_conv_parts parts = ck_sparse_conv_open(&args->shape, args->panels);
    const int64_t inputs = args->shape.input_channels, blocks = ck_sparse_conv_blocks(inputs);
    const int64_t end = args->first_pixel + args->pixel_count, end_panel = conv_end_panel(args), end_channel = conv_end_channel(args);
    float *strip = scratch, *sums = strip + inputs * spmm_strip, *block = sums + CK_SPARSE_CONV_PANELS * CK_CONV_PANEL * spmm_strip;
    // Strips of about the same size: a short one does the work of a quarter in the time of more.
    const int64_t all = (args->pixel_count + spmm_quarter - 1) / spmm_quarter, strips = (args->pixel_count + spmm_strip - 1) / spmm_strip;
    int64_t pixel = args->first_pixel;
    for (int64_t s = 0; s < strips; s++) {
        const int64_t quarters = all * (s + 1) / strips - all * s / strips;
        const int64_t pixels = end - pixel < quarters * spmm_quarter ? end - pixel : quarters * spmm_quarter;
        spmm_turn_in(conv_input(args) + pixel * args->input_pixel_stride, args->input_pixel_stride, pixels, inputs, strip);
        for (int64_t first = args->first_panel; first < end_panel; first += CK_SPARSE_CONV_PANELS) {
            const int64_t last = first + CK_SPARSE_CONV_PANELS < end_panel ? first + CK_SPARSE_CONV_PANELS : end_panel;
            for (int64_t b = 0; b < blocks; b++) {
                for (int64_t p = first; p < last; p++) {
                    const int64_t channel = p * CK_CONV_PANEL;
                    const float *bias = args->epilogue.bias ? args->epilogue.bias + channel : 0;
                    spmm_panel(
                        &parts, (p * blocks + b) * CK_CONV_PANEL, strip + b * CK_SPARSE_CONV_BLOCK * spmm_strip,
                        sums + (p - first) * CK_CONV_PANEL * spmm_strip, b == 0, bias, end_channel - channel, quarters);
                }
            }
            for (int64_t p = first; p < last; p++) {
                const int64_t channel = p * CK_CONV_PANEL, left = end_channel - channel;
                spmm_turn_out(sums + (p - first) * CK_CONV_PANEL * spmm_strip, pixels, block);
                conv_finish_block(args, block, CK_CONV_PANEL, pixel, pixels, channel, left < CK_CONV_PANEL ? left : CK_CONV_PANEL);
            }
        }
        pixel += pixels;
    }
}
