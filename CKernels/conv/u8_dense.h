// The quantised dense convolution over the vector vocabulary (isa/simd.h): the tiles of conv/dense.h, four products a step.
//
// Each step multiplies four bytes of a pixel, broadcast, with a line of weights [output channel][4]. Included inside an instruction set's target
// region, after conv/u8_finish.h; the includer sets u8_pixels and u8_vectors, the largest tile, and gives the products:
//     u8_weight u8_load_weights(const uint8_t *line)      the weights of `lanes` output channels
//     u8_input u8_load_input(const uint8_t *pixel)        four bytes, broadcast
//     vi u8_dot(vi sums, u8_input x, u8_weight w)

enum {
    u8_panel_vectors = CK_CONV_PANEL / lanes,
    u8_panels = u8_vectors / u8_panel_vectors,
    u8_line_bytes = u8_group * lanes,
    u8_zero_count = 512,             // channels a tap outside the input stands for at a time, a multiple of u8_group
    u8_block_bytes = 256 << 10,      // weights that stay in the second-level cache
};

typedef struct u8_plan {
    u8_layout layout;
    int64_t taps_high, taps_wide;
    int64_t row_step, column_step;   // bytes from a run to the one below and to the right
    bool pointwise, adjoins;
    uint8_t zeros[u8_zero_count + u8_group];
} u8_plan;

typedef struct u8_tile {
    int64_t first;
    bool inside;
    int64_t row_step;
    const uint8_t *inputs[u8_pixels];
    int64_t y[u8_pixels], x[u8_pixels];
} u8_tile;

CK_INLINE void u8_finish_tile(const ck_conv_u8_args *args, vi sums[u8_pixels][u8_vectors], int64_t pixel, int64_t channel, const vf factors[u8_vectors], const int count, const int vectors, int64_t last, const bool grows) {
    const u8_finish f = u8_finish_at(args, pixel, channel);
    if (vectors == 2) {
#pragma clang loop unroll(full)
        for (int m = 0; m < count; m += 2) {
            const bool both = m + 1 < count;
            u8_finish_two(&f, sums[m], sums[both ? m + 1 : m], factors, m, both, lanes + last, grows);
        }
        return;
    }
#pragma clang loop unroll(full)
    for (int m = 0; m < count; m += 4) {
        const int left = count - m;
        u8_finish_four(&f, sums[m][0], sums[left > 1 ? m + 1 : m][0], sums[left > 2 ? m + 2 : m][0], sums[left > 3 ? m + 3 : m][0], factors[0], m, left, last, grows);
    }
}

CK_INLINE void u8_kernel(const ck_conv_u8_args *args, const u8_plan *plan, const u8_tile *tile, const uint8_t *panel, int64_t channel, const int count, const int vectors) {
    const int64_t left = u8_end_channel(args) - channel;
    vi sums[u8_pixels][u8_vectors];
    const uint8_t *weights[u8_panels];
#pragma clang loop unroll(full)
    for (int p = 0; p < u8_panels; p++) weights[p] = panel + p * plan->layout.panel_bytes + u8_corrections;
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) {
        vi start;
        memcpy(&start, weights[v / u8_panel_vectors] - u8_corrections + v % u8_panel_vectors * lanes * 4, sizeof start);
#pragma clang loop unroll(full)
        for (int m = 0; m < count; m++) sums[m][v] = start;
    }
    const int64_t chunk = tile->inside ? plan->layout.groups : u8_zero_count / u8_group;
    for (int64_t ty = 0; ty < plan->taps_high; ty++) {
        for (int64_t tx = 0; tx < plan->taps_wide; tx++) {
            for (int64_t start = 0; start < plan->layout.groups; start += chunk) {
                const int64_t groups = plan->layout.groups - start < chunk ? plan->layout.groups - start : chunk;
                const uint8_t *border[u8_pixels];
                const uint8_t *const *inputs = tile->inputs;
                int64_t offset = ty * tile->row_step + tx * plan->column_step;
                if (!tile->inside) {
#pragma clang loop unroll(disable)
                    for (int m = 0; m < count; m++) {
                        const int64_t y = tile->y[m] + ty * args->shape.dilation_height, x = tile->x[m] + tx * args->shape.dilation_width;
                        const bool within = (uint64_t)y < (uint64_t)args->shape.input_height && (uint64_t)x < (uint64_t)args->shape.input_width;
                        border[m] = within ? args->input + (y * args->shape.input_width + x) * args->input_pixel_stride + start * u8_group : plan->zeros;
                    }
                    inputs = border;
                    offset = 0;
                }
                for (int64_t i = 0; i < groups; i++) {
                    u8_weight w[u8_vectors];
#pragma clang loop unroll(full)
                    for (int v = 0; v < vectors; v++) {
                        w[v] = u8_load_weights(weights[v / u8_panel_vectors] + i * u8_group_bytes + v % u8_panel_vectors * u8_line_bytes);
                    }
#pragma clang loop unroll(full)
                    for (int m = 0; m < count; m++) {
                        const u8_input x = u8_load_input(inputs[m] + offset + i * u8_group);
#pragma clang loop unroll(full)
                        for (int v = 0; v < vectors; v++) sums[m][v] = u8_dot(sums[m][v], x, w[v]);
                    }
                }
#pragma clang loop unroll(full)
                for (int p = 0; p < u8_panels; p++) weights[p] += groups * u8_group_bytes;
            }
        }
    }
    // The last vector may be part of one, and factors may be large; whether they are decides between two bodies, not at each store.
    const int64_t last = left < vectors * lanes ? left - (vectors - 1) * lanes : lanes;
    bool grows = false;
    vf factors[u8_vectors];
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) {
        factors[v] = u8_factor(args, channel + v * lanes, v < vectors - 1 ? lanes : last);
        grows |= !u8_all_below(factors[v], u8_least_growth);
    }
    if (last == lanes && !grows) u8_finish_tile(args, sums, tile->first, channel, factors, count, vectors, lanes, false);
    else u8_finish_tile(args, sums, tile->first, channel, factors, count, vectors, last, true);
}

// One function a number of pixels; inside it one body a number of vectors.
#define CK_U8_TILE(count) \
    static __attribute__((noinline)) void u8_tile_##count( \
        const ck_conv_u8_args *args, const u8_plan *plan, const u8_tile *tile, const uint8_t *panel, int64_t channel, int vectors \
    ) { \
        if (vectors == u8_vectors) u8_kernel(args, plan, tile, panel, channel, count, u8_vectors); \
        else u8_kernel(args, plan, tile, panel, channel, count, 1); \
    }
U8_COUNTS(CK_U8_TILE)
#undef CK_U8_TILE

// Copies the windows of a tile into rows of whole groups, the zero point where they are outside, and points the tile at the rows.
static void u8_gather(const ck_conv_u8_args *args, const u8_plan *plan, u8_tile *tile, int64_t count, uint8_t *rows) {
    const ck_conv_shape *s = &args->shape;
    const int64_t channels = s->input_channels, row_bytes = plan->layout.groups * u8_group, reach_x = (s->kernel_width - 1) * s->dilation_width;
    for (int64_t m = 0; m < count; m++) {
        uint8_t *window = rows + m * row_bytes * s->kernel_height;
        tile->inputs[m] = window;
        const bool whole = plan->adjoins && tile->x[m] >= 0 && tile->x[m] + reach_x < s->input_width;
        for (int64_t ty = 0; ty < s->kernel_height; ty++) {
            uint8_t *row = window + ty * row_bytes;
            const int64_t y = tile->y[m] + ty * s->dilation_height;
            if (whole && y >= 0 && y < s->input_height) {
                // What the last group has too much meets weights of zero.
                const uint8_t *input = args->input + (y * s->input_width + tile->x[m]) * args->input_pixel_stride;
                for (int64_t i = 0; i < row_bytes; i += u8_group) memcpy(row + i, input + i, u8_group);
                continue;
            }
            for (int64_t tx = 0; tx < s->kernel_width; tx++, row += channels) {
                const int64_t x = tile->x[m] + tx * s->dilation_width;
                const bool within = (uint64_t)y < (uint64_t)s->input_height && (uint64_t)x < (uint64_t)s->input_width;
                const uint8_t *input = within ? args->input + (y * s->input_width + x) * args->input_pixel_stride : plan->zeros;
                for (int64_t c = 0; c < channels; c++) row[c] = input[c];
            }
        }
    }
    tile->inside = true;
    tile->row_step = row_bytes;
}

static void u8_place(const ck_conv_u8_args *args, const u8_plan *plan, u8_tile *tile, int64_t first, int64_t count, uint8_t *rows) {
    const ck_conv_shape *s = &args->shape;
    tile->first = first;
    tile->row_step = plan->row_step;
    tile->inside = true;
    if (plan->pointwise) {
        for (int64_t m = 0; m < count; m++) tile->inputs[m] = args->input + (first + m) * args->input_pixel_stride;
        return;
    }
    const int64_t reach_y = (s->kernel_height - 1) * s->dilation_height, reach_x = (s->kernel_width - 1) * s->dilation_width;
    int64_t row = first / s->output_width, column = first - row * s->output_width;
    const bool direct = !plan->layout.joins || plan->adjoins;
    if (direct && column + count <= s->output_width) {
        // Most tiles are pixels of one row with all of their windows inside.
        const int64_t y = row * s->stride_height - s->pad_top, x = column * s->stride_width - s->pad_left;
        if (y >= 0 && y + reach_y < s->input_height && x >= 0 && x + (count - 1) * s->stride_width + reach_x < s->input_width) {
            const uint8_t *input = args->input + (y * s->input_width + x) * args->input_pixel_stride;
            for (int64_t m = 0; m < count; m++) tile->inputs[m] = input + m * s->stride_width * args->input_pixel_stride;
            return;
        }
    }
    for (int64_t m = 0; m < count; m++) {
        const int64_t y = row * s->stride_height - s->pad_top, x = column * s->stride_width - s->pad_left;
        tile->y[m] = y;
        tile->x[m] = x;
        tile->inside &= (y >= 0) & (y + reach_y < s->input_height) & (x >= 0) & (x + reach_x < s->input_width);
        if (++column == s->output_width) {
            column = 0;
            row++;
        }
    }
    if (plan->layout.joins && !(tile->inside && plan->adjoins)) {
        u8_gather(args, plan, tile, count, rows);
    } else if (tile->inside) {
        for (int64_t m = 0; m < count; m++) tile->inputs[m] = args->input + (tile->y[m] * s->input_width + tile->x[m]) * args->input_pixel_stride;
    }
}

static void u8_dense(const ck_conv_u8_args *args) {
    const ck_conv_shape *s = &args->shape;
    u8_plan plan = {
        .layout = u8_layout_of(s->input_channels, s->kernel_height, s->kernel_width), .taps_high = s->kernel_height,
        .row_step = s->dilation_height * s->input_width * args->input_pixel_stride, .column_step = s->dilation_width * args->input_pixel_stride,
        .pointwise = s->kernel_height * s->kernel_width == 1 && s->stride_height == 1 && s->stride_width == 1 && s->pad_top == 0 && s->pad_left == 0 &&
            s->input_width == s->output_width && s->input_height >= s->output_height,
        .adjoins = s->dilation_width == 1 && args->input_pixel_stride == s->input_channels,
    };
    plan.taps_wide = plan.layout.joins ? 1 : s->kernel_width;
    memset(plan.zeros, args->input_zero, sizeof plan.zeros);
    const int64_t end_panel = args->first_panel + args->panel_count, end_channel = u8_end_channel(args), end_pixel = args->first_pixel + args->pixel_count;
    const int64_t tile_bytes = u8_panels * plan.layout.panel_bytes;
    const int64_t block = u8_panels * (tile_bytes >= u8_block_bytes ? 1 : u8_block_bytes / tile_bytes);
    uint8_t rows[u8_pixels * u8_join_products];
    int64_t count;
    for (int64_t first = args->first_panel; first < end_panel; first += block) {
        const int64_t end = first + block < end_panel ? first + block : end_panel;
        u8_tile tile;
        for (int64_t pixel = args->first_pixel; pixel < end_pixel; pixel += count) {
            const int64_t left = end_pixel - pixel;
#define CK_U8_CHOOSE(size) \
            if (left >= size) { \
                count = size; \
                u8_place(args, &plan, &tile, pixel, size, rows); \
                for (int64_t p = first; p < end; p += u8_panels) { \
                    const int64_t channel = p * CK_CONV_PANEL, wide = end_channel - channel; \
                    const int vectors = wide > (u8_vectors - 1) * lanes ? u8_vectors : (int)((wide + lanes - 1) / lanes); \
                    u8_tile_##size(args, &plan, &tile, (const uint8_t *)args->panels + p * plan.layout.panel_bytes, channel, vectors); \
                } \
                continue; \
            }
            U8_COUNTS(CK_U8_CHOOSE)
#undef CK_U8_CHOOSE
            __builtin_unreachable();  // the smallest tile is one pixel
        }
    }
}
