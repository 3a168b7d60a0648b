// Pooling over the vector vocabulary (isa/simd.h): lanes are channels, and a window passes over 4 vectors of channels at a time.
// Included inside an instruction set's target region, after conv/epilogue.h.

enum { pool_vectors = 4 };

// A window cut to the input: taps [first, end) in each direction, and the divisor of an average.
typedef struct pool_window {
    const conv_number *input;  // the first tap inside
    int64_t rows, columns;
    int64_t divisor;
} pool_window;

// Taps of a kernel at `start` that are within [0, size): the first, and how many.
CK_INLINE int64_t pool_first(int64_t start, int64_t dilation) { return start < 0 ? (-start + dilation - 1) / dilation : 0; }
CK_INLINE int64_t pool_end(int64_t start, int64_t dilation, int64_t kernel, int64_t size) {
    const int64_t end = start < size ? (size - 1 - start) / dilation + 1 : 0;
    return end < kernel ? end : kernel;
}

static pool_window pool_place(const ck_conv_args *args, int64_t pixel) {
    const ck_conv_shape *s = &args->shape;
    const int64_t y = pixel / s->output_width * s->stride_height - s->pad_top, x = pixel % s->output_width * s->stride_width - s->pad_left;
    const int64_t first_y = pool_first(y, s->dilation_height), first_x = pool_first(x, s->dilation_width);
    const int64_t end_y = pool_end(y, s->dilation_height, s->kernel_height, s->input_height);
    const int64_t end_x = pool_end(x, s->dilation_width, s->kernel_width, s->input_width);
    pool_window window = {0};
    if (first_y < end_y && first_x < end_x) {
        window.rows = end_y - first_y;
        window.columns = end_x - first_x;
        window.input = conv_input(args) + ((y + first_y * s->dilation_height) * s->input_width + x + first_x * s->dilation_width) * args->input_pixel_stride;
    }
    window.divisor = window.rows * window.columns;
    if (args->average_counts_padding) {
        const int64_t padded_y = pool_end(y, s->dilation_height, s->kernel_height, s->input_height + s->pad_bottom);
        const int64_t padded_x = pool_end(x, s->dilation_width, s->kernel_width, s->input_width + s->pad_right);
        window.divisor = padded_y * padded_x;
    }
    return window;
}

// `vectors` vectors of channels of one output pixel; the last has n lanes.
CK_INLINE void pool_channels(const ck_conv_args *args, const pool_window *window, int64_t pixel, int64_t channel, const int vectors, int64_t n, bool average) {
    const int64_t column_step = args->shape.dilation_width * args->input_pixel_stride;
    const int64_t row_step = args->shape.dilation_height * args->shape.input_width * args->input_pixel_stride;
    vf totals[pool_vectors];
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) totals[v] = average ? (vf){0} : v_set(-__builtin_inff());
    for (int64_t ty = 0; ty < window->rows; ty++) {
        for (int64_t tx = 0; tx < window->columns; tx++) {
            const conv_number *input = window->input + ty * row_step + tx * column_step + channel;
#pragma clang loop unroll(full)
            for (int v = 0; v < vectors; v++) {
                const vf x = conv_read(input + v * lanes, v < vectors - 1 ? lanes : n);
                totals[v] = average ? totals[v] + x : v_max(x, totals[v]);
            }
        }
    }
    const float *bias = args->epilogue.bias;
    float block[pool_vectors * lanes];
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) {
        vf y = totals[v];
        if (average && window->divisor > 0) y = y / v_set((float)window->divisor);
        if (bias) y += conv_load(bias + channel + v * lanes, v < vectors - 1 ? lanes : n);
        v_store(block + v * lanes, y);
    }
    conv_finish_block(args, block, vectors * lanes, pixel, 1, channel, (vectors - 1) * lanes + n);
}

CK_INLINE void pool(const ck_conv_args *args, bool average) {
    const int64_t end = conv_end_channel(args);
    for (int64_t pixel = args->first_pixel; pixel < args->first_pixel + args->pixel_count; pixel++) {
        const pool_window window = pool_place(args, pixel);
        int64_t channel = args->first_panel * CK_CONV_PANEL;
        for (; channel + pool_vectors * lanes <= end; channel += pool_vectors * lanes) {
            pool_channels(args, &window, pixel, channel, pool_vectors, lanes, average);
        }
        for (; channel + lanes <= end; channel += lanes) pool_channels(args, &window, pixel, channel, 1, lanes, average);
        if (channel < end) pool_channels(args, &window, pixel, channel, 1, end - channel, average);
    }
}

static void max_pool(const ck_conv_args *args) { pool(args, false); }
static void average_pool(const ck_conv_args *args) { pool(args, true); }
