// The depthwise convolution over the vector vocabulary (isa/simd.h): lanes are channels.
//
// A register tile is up to 8 output pixels of a row by one vector of channels. For kernels 3 or 5 wide with stride 1 or 2 and no dilation each
// input of a row is loaded once and multiplied into all outputs it serves; all others, and the last channels, load once a product. Taps outside
// the input are left out, not multiplied by zeros.
// Included inside an instruction set's target region, after conv/depthwise_floats.h, which says what a number, its weight and the end of a sum are:
//     depthwise_args, depthwise_number              types
//     depthwise_load(args, p, n)                    n numbers from p as floats
//     depthwise_start(args, channel, n)             what sums start with
//     depthwise_weights(args, channel, tap)         where the weights of a tap are
//     depthwise_finish(args, sums, pixel, count, channel, n)
//     depthwise_end_channel(args)

enum { depthwise_pixels = 8 };

// Where a tile is. The range of columns counts from the first column of the first pixel's window.
typedef struct depthwise_tile {
    int64_t first;                 // output pixel
    const depthwise_number *input; // first column of the first row that is inside, channel 0; the column may be outside
    int64_t first_row, rows;       // rows of the kernel that are inside
    int64_t first_column, end_column;  // input columns that are inside
    int64_t row_step, column_step;     // elements from a tap to the one below and to the right
    int64_t pixel_step;                // elements between the windows of neighbours
} depthwise_tile;

// Kernels `width` wide with the stride `stride`: the loads of a row are shared.
CK_INLINE void depthwise_shared(const depthwise_args *args, const depthwise_tile *tile, int64_t channel, const int count, const int width, const int stride) {
    const vf start = depthwise_start(args, channel, lanes);
    vf sums[depthwise_pixels];
#pragma clang loop unroll(full)
    for (int m = 0; m < count; m++) sums[m] = start;
    const depthwise_number *row = tile->input + channel;
    const float *weights = depthwise_weights(args, channel, tile->first_row * width);
    const int64_t column_step = tile->column_step, first = tile->first_column, end = tile->end_column;
    for (int64_t ty = 0; ty < tile->rows; ty++, row += tile->row_step, weights += width * CK_CONV_PANEL) {
        vf w[5];
#pragma clang loop unroll(full)
        for (int tx = 0; tx < width; tx++) w[tx] = v_load(weights + tx * CK_CONV_PANEL);
#pragma clang loop unroll(full)
        for (int column = 0; column < (count - 1) * stride + width; column++) {
            if (column < first || column >= end) continue;
            const vf x = depthwise_load(args, row + column * column_step, lanes);
#pragma clang loop unroll(full)
            for (int tx = 0; tx < width; tx++) {
                const int ahead = column - tx, m = ahead / stride;
                if (ahead >= 0 && ahead % stride == 0 && m < count) sums[m] = v_fma(x, w[tx], sums[m]);
            }
        }
    }
    depthwise_finish(args, sums, tile->first, count, channel, lanes);
}

// Any kernel, any stride, n channels.
CK_INLINE void depthwise_plain(const depthwise_args *args, const depthwise_tile *tile, int64_t channel, const int count, int64_t n) {
    const ck_conv_shape *s = &args->shape;
    const vf start = depthwise_start(args, channel, n);
    vf sums[depthwise_pixels];
#pragma clang loop unroll(full)
    for (int m = 0; m < count; m++) sums[m] = start;
    for (int64_t ty = 0; ty < tile->rows; ty++) {
        for (int64_t tx = 0; tx < s->kernel_width; tx++) {
            const vf w = v_load(depthwise_weights(args, channel, (tile->first_row + ty) * s->kernel_width + tx));
            const depthwise_number *input = tile->input + channel + ty * tile->row_step + tx * tile->column_step;
            int64_t column = tx * s->dilation_width;
#pragma clang loop unroll(full)
            for (int m = 0; m < count; m++, column += s->stride_width) {
                if (column >= tile->first_column && column < tile->end_column) sums[m] = v_fma(depthwise_load(args, input + m * tile->pixel_step, n), w, sums[m]);
            }
        }
    }
    depthwise_finish(args, sums, tile->first, count, channel, n);
}

CK_INLINE void depthwise_channels(const depthwise_args *args, const depthwise_tile *tile, const int count, const int width, const int stride) {
    const int64_t end = depthwise_end_channel(args);
    int64_t channel = args->first_panel * CK_CONV_PANEL;
    for (; channel + lanes <= end; channel += lanes) {
        if (width > 0) depthwise_shared(args, tile, channel, count, width, stride);
        else depthwise_plain(args, tile, channel, count, lanes);
    }
    if (channel < end) depthwise_plain(args, tile, channel, count, end - channel);
}

// One function a kind of window; inside it one body a number of pixels.
#define CK_DEPTHWISE(name, width, stride) \
    static __attribute__((noinline)) void name(const depthwise_args *args, const depthwise_tile *tile, int count) { \
        switch (count) { \
        case 8: depthwise_channels(args, tile, 8, width, stride); return; \
        case 7: depthwise_channels(args, tile, 7, width, stride); return; \
        case 4: depthwise_channels(args, tile, 4, width, stride); return; \
        case 2: depthwise_channels(args, tile, 2, width, stride); return; \
        default: depthwise_channels(args, tile, 1, width, stride); return; \
        } \
    }
CK_DEPTHWISE(depthwise_3_1, 3, 1)
CK_DEPTHWISE(depthwise_3_2, 3, 2)
CK_DEPTHWISE(depthwise_5_1, 5, 1)
CK_DEPTHWISE(depthwise_5_2, 5, 2)
CK_DEPTHWISE(depthwise_any, 0, 0)
#undef CK_DEPTHWISE

// Pixels of the next tile of a row with `left` to go: a row of 7, 14, 15, 21 ... is 8s and 7s, the rest falls to smaller tiles.
static int depthwise_next(int64_t left) {
    if (left % 8 == 0 || (left > 8 && left % 7 != 0)) return 8;
    if (left >= 7) return 7;
    return left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

static void depthwise(const depthwise_args *args) {
    const ck_conv_shape *s = &args->shape;
    const bool shares = s->dilation_width == 1 && (s->kernel_width == 3 || s->kernel_width == 5) && s->stride_width <= 2;
    void (*const function)(const depthwise_args *, const depthwise_tile *, int) = !shares ? depthwise_any
        : s->kernel_width == 3 ? (s->stride_width == 1 ? depthwise_3_1 : depthwise_3_2)
                               : (s->stride_width == 1 ? depthwise_5_1 : depthwise_5_2);
    depthwise_tile tile = {
        .row_step = s->dilation_height * s->input_width * args->input_pixel_stride, .column_step = s->dilation_width * args->input_pixel_stride,
        .pixel_step = s->stride_width * args->input_pixel_stride,
    };
    const int64_t end = args->first_pixel + args->pixel_count;
    int count;
    for (int64_t pixel = args->first_pixel; pixel < end; pixel += count) {
        const int64_t row = pixel / s->output_width, column = pixel % s->output_width;
        const int64_t in_row = s->output_width - column;
        count = depthwise_next(in_row < end - pixel ? in_row : end - pixel);
        const int64_t y = row * s->stride_height - s->pad_top, x = column * s->stride_width - s->pad_left;
        // Taps of the kernel whose rows are inside: y + tap · dilation in [0, input_height).
        const int64_t before = y < 0 ? (-y + s->dilation_height - 1) / s->dilation_height : 0;
        const int64_t until = y < s->input_height ? (s->input_height - 1 - y) / s->dilation_height + 1 : 0;
        const int64_t end_row = until < s->kernel_height ? until : s->kernel_height;
        tile.first = pixel;
        tile.first_row = before;
        tile.rows = end_row > before ? end_row - before : 0;
        tile.first_column = -x;
        tile.end_column = s->input_width - x;
        tile.input = (const depthwise_number *)args->input + ((y + before * s->dilation_height) * s->input_width + x) * args->input_pixel_stride;
        function(args, &tile, count);
    }
}
