// The dense convolution as an implicit matrix product, over the vector vocabulary (isa/simd.h).
//
// A register tile is `count` output pixels by `vectors` vectors of output channels. Each step of the sum loads the weights of its channels once
// and multiplies them by one broadcast input a pixel. Pixels of a tile are neighbours in the order of the output; where a tile's windows lie
// inside the input, their inputs are one offset from fixed addresses. At borders each tap finds its addresses, and those outside are zeros.
// Where input channels are few (the first layer of most networks), a row of the window is one long sum: neighbours in memory inside the image,
// gathered into a small buffer at its borders or where the channels are a slice. Weights are walked in blocks that stay in the second-level cache while all pixels of the call pass.
//
// The last vector may be a half one (lanes = 16): 8 channels cost half of 16.
// Included inside an instruction set's target region, after conv/epilogue.h. The header of numbers gives
//     dense_group    neighbours of an input that a step multiplies: 2 of bf16, whose weights lie [pair][16][2]
//     dense_weights, dense_load(p)                   the weights of `lanes` channels for a step
//     dense_multiply(sums, x, w, whole)              sums plus the products of the inputs at x, which are one less where not whole
//     dense_half_weights, dense_load_half, dense_multiply_half    ... of half as many channels
// and the includer sets
//     dense_pixels   the largest tile: 14 with 32 registers of 16 lanes
//     dense_vectors  vectors of a full tile
//     dense_halves   1 where a half vector pays

enum {
    dense_panel_vectors = CK_CONV_PANEL / lanes,
    dense_panels = dense_vectors / dense_panel_vectors > 0 ? dense_vectors / dense_panel_vectors : 1,
    dense_gather_limit = 256,          // products of a window that is gathered
    dense_zero_count = 512,            // input channels a tap outside the input stands for at a time
    dense_block_bytes = 384 << 10,     // weights that stay in the second-level cache
};

static const conv_number dense_zeros[dense_zero_count];

// What a call's tiles have in common.
typedef struct dense_plan {
    int64_t run;                  // neighbouring products: the input channels, or those of a row of the window
    int64_t taps_high, taps_wide; // the runs of a window
    int64_t row_step, column_step;  // elements from a run to the one below and to the right
    int64_t panel_stride;         // elements from panel to panel
    bool pointwise;               // output pixel i reads input pixel i alone
    bool joins;                   // a run is a row of the window
    bool adjoins;                 // ... which are neighbours in memory
} dense_plan;

typedef struct dense_tile {
    int64_t first, count;                 // output pixels
    bool inside;                          // every window is inside the input or gathered: `inputs` holds the address of the first tap
    int64_t row_step;                     // from a run to the one below, where inside
    const conv_number *inputs[dense_pixels];
    int64_t y[dense_pixels], x[dense_pixels];  // input position of the first tap
} dense_tile;

CK_INLINE void dense_store(const ck_conv_args *args, const dense_tile *tile, vf sums[dense_pixels][dense_vectors], int64_t channel, int count, int vectors, int64_t last) {
    const ck_conv_epilogue *e = &args->epilogue;
    if ((e->activation == CK_CONV_IDENTITY || e->activation == CK_CONV_RELU || e->activation == CK_CONV_CLIP) && !e->factor && !e->offset) {
        const bool identity = e->activation == CK_CONV_IDENTITY, clip = e->activation == CK_CONV_CLIP;
        const vf low = v_set(identity ? -__builtin_inff() : clip ? e->alpha : 0), high = v_set(clip ? e->beta : __builtin_inff());
#pragma clang loop unroll(full)
        for (int m = 0; m < count; m++) {
            conv_number *output = conv_output(args, tile->first + m, channel);
            const conv_number *residual = conv_residual(e, tile->first + m, channel);
#pragma clang loop unroll(full)
            for (int v = 0; v < vectors; v++) {
                const int64_t n = v < vectors - 1 ? lanes : last;
                vf y = sums[m][v];
                if (residual) {
                    const vf added = conv_read(residual + v * lanes, n);
                    y = e->residual_first ? v_min(high, v_max(low, y + added)) : v_min(high, v_max(low, y)) + added;
                } else {
                    y = v_min(high, v_max(low, y));
                }
                conv_write(output + v * lanes, y, n);
            }
        }
    } else {
        float block[dense_pixels * dense_vectors * lanes];
#pragma clang loop unroll(full)
        for (int m = 0; m < count; m++) {
#pragma clang loop unroll(full)
            for (int v = 0; v < vectors; v++) v_store(block + (m * vectors + v) * lanes, sums[m][v]);
        }
        conv_finish_block(args, block, vectors * lanes, tile->first, count, channel, (vectors - 1) * lanes + last);
    }
}

// Products of a run with what a last group lacks.
CK_INLINE int64_t dense_padded(int64_t run) { return (run + dense_group - 1) / dense_group * dense_group; }

// Product i of a run, of all pixels and channels of a tile, and those of its group.
CK_INLINE void dense_step(
    const conv_number *const weights[dense_panels], const conv_number *const *inputs, int64_t offset, int64_t i, vf sums[dense_pixels][dense_vectors],
    vhalf half_sums[dense_pixels], const int count, const int vectors, const bool half, const bool whole_group
) {
    const int whole = half ? vectors - 1 : vectors;
    dense_weights w[dense_vectors];
    dense_half_weights half_w;
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) {
        const conv_number *from = weights[v / dense_panel_vectors] + i * CK_CONV_PANEL + v % dense_panel_vectors * lanes * dense_group;
        if (v < whole) w[v] = dense_load(from);
        else half_w = dense_load_half(from);
    }
#pragma clang loop unroll(full)
    for (int m = 0; m < count; m++) {
        const conv_number *input = inputs[m] + offset + i;
#pragma clang loop unroll(full)
        for (int v = 0; v < whole; v++) sums[m][v] = dense_multiply(sums[m][v], input, w[v], whole_group);
        if (half) half_sums[m] = dense_multiply_half(half_sums[m], input, half_w, whole_group);
    }
}

CK_INLINE void dense_kernel(
    const ck_conv_args *args, const dense_plan *plan, const dense_tile *tile, const conv_number *panel, int64_t channel, const int count, const int vectors,
    const bool half
) {
    const int whole = half ? vectors - 1 : vectors;
    const int64_t left = conv_end_channel(args) - channel, last = left < vectors * lanes ? left - (vectors - 1) * lanes : lanes;
    const float *bias = args->epilogue.bias;
    vf sums[dense_pixels][dense_vectors];
    vhalf half_sums[dense_pixels];
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) {
        const vf start = !bias ? (vf){0} : v < vectors - 1 ? v_load(bias + channel + v * lanes) : conv_load(bias + channel + v * lanes, last);
#pragma clang loop unroll(full)
        for (int m = 0; m < count; m++) {
            if (v < whole) sums[m][v] = start;
            else memcpy(&half_sums[m], &start, sizeof half_sums[m]);
        }
    }
    // Weights of vector v are at panel v / dense_panel_vectors.
    const conv_number *weights[dense_panels];
#pragma clang loop unroll(full)
    for (int p = 0; p < dense_panels; p++) weights[p] = panel + p * plan->panel_stride;
    const int64_t chunk = tile->inside ? plan->run : dense_zero_count;
    for (int64_t ty = 0; ty < plan->taps_high; ty++) {
        for (int64_t tx = 0; tx < plan->taps_wide; tx++) {
            for (int64_t start = 0; start < plan->run; start += chunk) {
                const int64_t steps = plan->run - start < chunk ? plan->run - start : chunk;
                const conv_number *border[dense_pixels];
                const conv_number *const *inputs = tile->inputs;
                int64_t offset = ty * tile->row_step + tx * plan->column_step;
                if (!tile->inside) {
#pragma clang loop unroll(disable)
                    for (int m = 0; m < count; m++) {
                        const int64_t y = tile->y[m] + ty * args->shape.dilation_height, x = tile->x[m] + tx * args->shape.dilation_width;
                        const bool within = (uint64_t)y < (uint64_t)args->shape.input_height && (uint64_t)x < (uint64_t)args->shape.input_width;
                        border[m] = within ? conv_input(args) + (y * args->shape.input_width + x) * args->input_pixel_stride + start : dense_zeros;
                    }
                    inputs = border;
                    offset = 0;
                }
                const int64_t paired = steps / dense_group * dense_group;
                for (int64_t i = 0; i < paired; i += dense_group) dense_step(weights, inputs, offset, i, sums, half_sums, count, vectors, half, true);
                if (paired < steps) dense_step(weights, inputs, offset, paired, sums, half_sums, count, vectors, half, false);
#pragma clang loop unroll(full)
                for (int p = 0; p < dense_panels; p++) weights[p] += dense_padded(steps) * CK_CONV_PANEL;
            }
        }
    }
    if (half) {
#pragma clang loop unroll(full)
        for (int m = 0; m < count; m++) {
            sums[m][vectors - 1] = (vf){0};
            memcpy(&sums[m][vectors - 1], &half_sums[m], sizeof half_sums[m]);
        }
    }
    if (last == lanes) dense_store(args, tile, sums, channel, count, vectors, lanes);
    else dense_store(args, tile, sums, channel, count, vectors, last);
}

// One function a number of pixels; inside it one body a number of vectors, the last of them whole or half.
#define CK_DENSE_TILE(count) \
    static __attribute__((noinline)) void dense_tile_##count( \
        const ck_conv_args *args, const dense_plan *plan, const dense_tile *tile, const conv_number *panel, int64_t channel, int vectors, bool half \
    ) { \
        if (vectors == dense_vectors && !half) { \
            dense_kernel(args, plan, tile, panel, channel, count, dense_vectors, false); \
        } else if (vectors == dense_vectors && dense_halves) { \
            dense_kernel(args, plan, tile, panel, channel, count, dense_vectors, dense_halves); \
        } else if (dense_vectors > 3 && vectors == 3) { \
            dense_kernel(args, plan, tile, panel, channel, count, dense_vectors > 3 ? 3 : 1, false); \
        } else if (dense_vectors > 2 && vectors == 2) { \
            dense_kernel(args, plan, tile, panel, channel, count, dense_vectors > 2 ? 2 : 1, false); \
        } else if (half && dense_halves) { \
            dense_kernel(args, plan, tile, panel, channel, count, 1, dense_halves); \
        } else { \
            dense_kernel(args, plan, tile, panel, channel, count, 1, false); \
        } \
    }
DENSE_COUNTS(CK_DENSE_TILE)
#undef CK_DENSE_TILE

// Copies the windows of a tile into rows, zeros where they are outside, and points the tile at the rows.
static void dense_gather(const ck_conv_args *args, dense_tile *tile, conv_number *rows) {
    const ck_conv_shape *s = &args->shape;
    const int64_t channels = s->input_channels, length = s->kernel_height * s->kernel_width * channels;
    for (int64_t m = 0; m < tile->count; m++) {
        conv_number *row = rows + m * length;
        tile->inputs[m] = row;
        for (int64_t ty = 0; ty < s->kernel_height; ty++) {
            const int64_t y = tile->y[m] + ty * s->dilation_height;
            for (int64_t tx = 0; tx < s->kernel_width; tx++, row += channels) {
                const int64_t x = tile->x[m] + tx * s->dilation_width;
                const bool within = (uint64_t)y < (uint64_t)s->input_height && (uint64_t)x < (uint64_t)s->input_width;
                const conv_number *input = within ? conv_input(args) + (y * s->input_width + x) * args->input_pixel_stride : 0;
                for (int64_t c = 0; c < channels; c++) row[c] = within ? input[c] : 0;
            }
        }
    }
    tile->inside = true;
    tile->row_step = s->kernel_width * channels;
}

// Sets up the tile of `count` output pixels from `first` on.
static void dense_place(const ck_conv_args *args, const dense_plan *plan, dense_tile *tile, int64_t first, int64_t count, conv_number *rows) {
    const ck_conv_shape *s = &args->shape;
    tile->first = first;
    tile->count = count;
    tile->row_step = plan->row_step;
    if (plan->pointwise) {
        tile->inside = true;
        for (int64_t m = 0; m < count; m++) tile->inputs[m] = conv_input(args) + (first + m) * args->input_pixel_stride;
        return;
    }
    const int64_t reach_y = (s->kernel_height - 1) * s->dilation_height, reach_x = (s->kernel_width - 1) * s->dilation_width;
    int64_t row = first / s->output_width, column = first % s->output_width;
    bool inside = true;
    for (int64_t m = 0; m < count; m++) {
        const int64_t y = row * s->stride_height - s->pad_top, x = column * s->stride_width - s->pad_left;
        tile->y[m] = y;
        tile->x[m] = x;
        inside &= (y >= 0) & (y + reach_y < s->input_height) & (x >= 0) & (x + reach_x < s->input_width);
        if (++column == s->output_width) {
            column = 0;
            row++;
        }
    }
    tile->inside = inside;
    if (plan->joins && !(inside && plan->adjoins)) {
        dense_gather(args, tile, rows);
    } else if (inside) {
        for (int64_t m = 0; m < count; m++) tile->inputs[m] = conv_input(args) + (tile->y[m] * s->input_width + tile->x[m]) * args->input_pixel_stride;
    }
}

static dense_plan dense_make_plan(const ck_conv_args *args) {
    const ck_conv_shape *s = &args->shape;
    const int64_t taps = s->kernel_height * s->kernel_width, products = taps * s->input_channels;
    dense_plan plan = {
        .run = s->input_channels, .taps_high = s->kernel_height, .taps_wide = s->kernel_width,
        .row_step = s->dilation_height * s->input_width * args->input_pixel_stride, .column_step = s->dilation_width * args->input_pixel_stride,
        .panel_stride = taps * dense_padded(s->input_channels) * CK_CONV_PANEL,
        .pointwise = taps == 1 && s->stride_height == 1 && s->stride_width == 1 && s->pad_top == 0 && s->pad_left == 0 &&
            s->input_width == s->output_width && s->input_height >= s->output_height,
    };
    plan.joins = dense_group == 1 && !plan.pointwise && s->input_channels < CK_CONV_PANEL / 2 && products <= dense_gather_limit;
    plan.adjoins = s->dilation_width == 1 && args->input_pixel_stride == s->input_channels;
    if (plan.joins) {
        plan.run = s->kernel_width * s->input_channels;
        plan.taps_wide = 1;
    }
    return plan;
}

static void dense_rows(const ck_conv_args *args) {
    const dense_plan plan = dense_make_plan(args);
    const int64_t end_panel = conv_end_panel(args), end_channel = conv_end_channel(args), end_pixel = args->first_pixel + args->pixel_count;
    const int64_t panel_bytes = plan.panel_stride * (int64_t)sizeof(conv_number), tile_bytes = dense_panels * panel_bytes;
    const int64_t block = dense_panels * (tile_bytes >= dense_block_bytes ? 1 : dense_block_bytes / (tile_bytes + 1) + 1);
    conv_number rows[dense_pixels * dense_gather_limit];
    for (int64_t first = args->first_panel; first < end_panel; first += block) {
        const int64_t end = first + block < end_panel ? first + block : end_panel;
        dense_tile tile;
        for (int64_t pixel = args->first_pixel; pixel < end_pixel; pixel += tile.count) {
            const int64_t left = end_pixel - pixel;
#define CK_DENSE_CHOOSE(count) \
            if (left >= count) { \
                dense_place(args, &plan, &tile, pixel, count, rows); \
                for (int64_t p = first; p < end; p += dense_panels) { \
                    const int64_t channel = p * CK_CONV_PANEL, wide = end_channel - channel < dense_vectors * lanes ? end_channel - channel : dense_vectors * lanes; \
                    const int vectors = (int)((wide + lanes - 1) / lanes); \
                    const bool half = dense_halves && wide % lanes != 0 && wide % lanes <= lanes / 2; \
                    dense_tile_##count(args, &plan, &tile, (const conv_number *)args->panels + p * plan.panel_stride, channel, vectors, half); \
                } \
                continue; \
            }
            DENSE_COUNTS(CK_DENSE_CHOOSE)
#undef CK_DENSE_CHOOSE
            __builtin_unreachable();  // the smallest tile is one pixel
        }
    }
}

// Rows that do not follow each other are calls of their own, with an output moved so that counting along the rows arrives at the right place.
static void dense(const ck_conv_args *args) {
    const int64_t width = args->shape.output_width;
    const int64_t skip = args->output_row_stride ? args->output_row_stride - width * args->output_pixel_stride : 0;
    const int64_t residual_skip = args->residual_row_stride ? args->residual_row_stride - width * args->epilogue.residual_pixel_stride : 0;
    if (skip == 0 && (residual_skip == 0 || !args->epilogue.residual)) {
        dense_rows(args);
        return;
    }
    const int64_t end = args->first_pixel + args->pixel_count;
    ck_conv_args part = *args;
    for (int64_t pixel = args->first_pixel; pixel < end; pixel += part.pixel_count) {
        const int64_t row = pixel / width, left = (row + 1) * width - pixel;
        part.output = (conv_number *)args->output + row * skip;
        if (part.epilogue.residual) part.epilogue.residual = (const conv_number *)args->epilogue.residual + row * residual_skip;
        part.first_pixel = pixel;
        part.pixel_count = left < end - pixel ? left : end - pixel;
        dense_rows(&part);
    }
}
