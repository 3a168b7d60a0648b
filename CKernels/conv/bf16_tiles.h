// The dense convolution of bf16 images over AMX tiles (isa/amx_tiles.h): two tiles of 16 pixels by two panels of 16 channels, 32 input channels a step.
//
// An image with channels last is a left operand as it lies: pixels are rows, where they are one distance apart. A panel is a right operand as it is
// packed: [pair][16][2]. So whole steps of whole tiles load from where things are; rows of the image that end or leave it inside a tile, and what is
// left of channels behind the last 32, go through a buffer with zeros. Sums stay in tiles over all taps.
//
// Bound, cycles: 4 products of 16 each for 2 + 2 loads of 1 KiB (8 each from the first-level cache): 64 for 32 × 32 × 32, 512 products a cycle.
// Included inside a target region after isa/amx_tiles.h and conv/dense.h.

enum {
    tiled_pixels = 2 * tile_rows,
    tiled_panels = 2,
    tiled_step = 32,  // input channels
    tiled_pairs = tiled_step / 2,
};

// 16 output pixels from `first` on, `count` of them real.
typedef struct tiled_rows {
    int64_t count;
    int64_t y[tile_rows], x[tile_rows];  // input position of the first tap
    bool even;                           // all are real and one distance apart in the input's memory
    int64_t step;                        // elements from one to the next, where even
} tiled_rows;

static tiled_rows tiled_place(const ck_conv_args *args, int64_t first, int64_t count) {
    const ck_conv_shape *s = &args->shape;
    tiled_rows rows = {.count = count < tile_rows ? (count < 0 ? 0 : count) : tile_rows};
    for (int64_t m = 0; m < rows.count; m++) {
        rows.y[m] = (first + m) / s->output_width * s->stride_height - s->pad_top;
        rows.x[m] = (first + m) % s->output_width * s->stride_width - s->pad_left;
    }
    rows.step = s->stride_width * args->input_pixel_stride;
    rows.even = rows.count == tile_rows;
    for (int64_t m = 1; m < rows.count; m++) {
        const int64_t ahead = (rows.y[m] - rows.y[m - 1]) * s->input_width + rows.x[m] - rows.x[m - 1];
        rows.even &= ahead == s->stride_width;
    }
    return rows;
}

// Whether all windows have the tap (ky, kx) inside the input.
CK_INLINE bool tiled_inside(const ck_conv_args *args, const tiled_rows *rows, int64_t ky, int64_t kx) {
    const ck_conv_shape *s = &args->shape;
    for (int64_t m = 0; m < rows->count; m++) {
        const int64_t y = rows->y[m] + ky * s->dilation_height, x = rows->x[m] + kx * s->dilation_width;
        if ((uint64_t)y >= (uint64_t)s->input_height || (uint64_t)x >= (uint64_t)s->input_width) return false;
    }
    return true;
}

// `channels` input channels from `channel` on under a tap, into a tile of pixels.
static void tiled_load_pixels(
    ck_tiles *tiles, int tile, const ck_conv_args *args, const tiled_rows *rows, int64_t ky, int64_t kx, bool inside, int64_t channel, int64_t channels
) {
    const ck_conv_shape *s = &args->shape;
    if (inside && rows->even && channels == tiled_step) {
        const int64_t y = rows->y[0] + ky * s->dilation_height, x = rows->x[0] + kx * s->dilation_width;
        tile_load(tiles, tile, conv_input(args) + (y * s->input_width + x) * args->input_pixel_stride + channel, (size_t)rows->step * sizeof(conv_number));
        return;
    }
    _Alignas(64) conv_number buffer[tile_rows][tiled_step] = {{0}};
    for (int64_t m = 0; m < rows->count; m++) {
        const int64_t y = rows->y[m] + ky * s->dilation_height, x = rows->x[m] + kx * s->dilation_width;
        if ((uint64_t)y >= (uint64_t)s->input_height || (uint64_t)x >= (uint64_t)s->input_width) continue;
        memcpy(buffer[m], conv_input(args) + (y * s->input_width + x) * args->input_pixel_stride + channel, (size_t)channels * sizeof(conv_number));
    }
    tile_load(tiles, tile, buffer, sizeof buffer[0]);
}

static void tiled_load_weights(ck_tiles *tiles, int tile, const conv_number *panel, int64_t pairs) {
    if (pairs == tiled_pairs) {
        tile_load(tiles, tile, panel, tile_row_bytes);
        return;
    }
    _Alignas(64) conv_number buffer[tiled_pairs][2 * CK_CONV_PANEL] = {{0}};
    memcpy(buffer, panel, (size_t)pairs * tile_row_bytes);
    tile_load(tiles, tile, buffer, sizeof buffer[0]);
}

// Up to 32 pixels by up to two panels.
static void tiled_kernel(ck_tiles *tiles, const ck_conv_args *args, int64_t pixel, int64_t pixels, int64_t first_panel, int64_t panels) {
    const ck_conv_shape *s = &args->shape;
    const int64_t pairs = dense_padded(s->input_channels) / 2, taps = s->kernel_height * s->kernel_width, panel_stride = taps * pairs * 2 * CK_CONV_PANEL;
    const tiled_rows rows[2] = {tiled_place(args, pixel, pixels), tiled_place(args, pixel + tile_rows, pixels - tile_rows)};
    const bool two_rows = rows[1].count > 0, two_panels = panels > 1;
    const conv_number *panel = (const conv_number *)args->panels + first_panel * panel_stride;
    const int64_t channel = first_panel * CK_CONV_PANEL, left = conv_end_channel(args) - channel, channels = left < tiled_panels * CK_CONV_PANEL ? left : tiled_panels * CK_CONV_PANEL;
    _Alignas(64) float sums[tiled_pixels][tiled_panels * CK_CONV_PANEL] = {{0}};
    if (args->epilogue.bias) {
        for (int64_t c = 0; c < channels; c++) sums[0][c] = args->epilogue.bias[channel + c];
    }
    // Every row begins with the bias.
    tile_load(tiles, 0, sums[0], 0);
    tile_load(tiles, 1, sums[0] + CK_CONV_PANEL, 0);
    tile_load(tiles, 2, sums[0], 0);
    tile_load(tiles, 3, sums[0] + CK_CONV_PANEL, 0);
    for (int64_t tap = 0; tap < taps; tap++) {
        const int64_t ky = tap / s->kernel_width, kx = tap % s->kernel_width;
        const bool inside[2] = {tiled_inside(args, &rows[0], ky, kx), tiled_inside(args, &rows[1], ky, kx)};
        for (int64_t k = 0; k < s->input_channels; k += tiled_step) {
            const int64_t step = s->input_channels - k < tiled_step ? s->input_channels - k : tiled_step;
            const conv_number *weights = panel + (tap * pairs + k / 2) * 2 * CK_CONV_PANEL;
            tiled_load_pixels(tiles, tile_left, args, &rows[0], ky, kx, inside[0], k, step);
            tiled_load_weights(tiles, tile_right, weights, (step + 1) / 2);
            tile_dot_bf16(tiles, 0, tile_left, tile_right);
            if (two_panels) {
                tiled_load_weights(tiles, tile_right + 1, weights + panel_stride, (step + 1) / 2);
                tile_dot_bf16(tiles, 1, tile_left, tile_right + 1);
            }
            if (two_rows) {
                tiled_load_pixels(tiles, tile_left + 1, args, &rows[1], ky, kx, inside[1], k, step);
                tile_dot_bf16(tiles, 2, tile_left + 1, tile_right);
                if (two_panels) tile_dot_bf16(tiles, 3, tile_left + 1, tile_right + 1);
            }
        }
    }
    tile_store(tiles, 0, sums[0], sizeof sums[0]);
    tile_store(tiles, 1, sums[0] + CK_CONV_PANEL, sizeof sums[0]);
    tile_store(tiles, 2, sums[tile_rows], sizeof sums[0]);
    tile_store(tiles, 3, sums[tile_rows] + CK_CONV_PANEL, sizeof sums[0]);
    conv_finish_block(args, sums[0], tiled_panels * CK_CONV_PANEL, pixel, pixels, channel, channels);
}

static void dense_tiled(const ck_conv_args *args) {
    // A few products are not worth a configuration, and rows that do not follow each other are for the vectors.
    if (args->shape.input_channels < tiled_step / 2 || args->output_row_stride || args->residual_row_stride) {
        dense(args);
        return;
    }
    ck_tiles tiles;
    tiles_configure_whole(&tiles);
    const int64_t end_pixel = args->first_pixel + args->pixel_count, end_panel = conv_end_panel(args);
    // Two panels stay in the second-level cache while all pixels of the call pass.
    for (int64_t panel = args->first_panel; panel < end_panel; panel += tiled_panels) {
        for (int64_t pixel = args->first_pixel; pixel < end_pixel; pixel += tiled_pixels) {
            const int64_t pixels = end_pixel - pixel < tiled_pixels ? end_pixel - pixel : tiled_pixels;
            tiled_kernel(&tiles, args, pixel, pixels, panel, end_panel - panel < tiled_panels ? end_panel - panel : tiled_panels);
        }
    }
    tiles_release(&tiles);
}
