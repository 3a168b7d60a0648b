// Winograd's minimal filtering F(4×4, 3×3) over the vector vocabulary (isa/simd.h): 36 products give the 16 outputs that take 144 directly.
//
// Blocks of output tiles are transformed, channels last, into 36 matrices [tile][input channel]; each is multiplied with its matrix of transformed
// weights by the dense convolution (a 1×1 one over the tiles), and the 36 results of a tile are transformed back into 4×4 pixels.
//     V = Bᵀ d B    U = G g Gᵀ    Y = Aᵀ (U ⊙ V) A        points 0, ±1, ±2, ∞
// Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015 (arXiv 1509.09308), section 4.
// Included inside an instruction set's target region, after conv/dense.h.

enum { winograd_points = 6, winograd_window = 6 };

// One dimension of Bᵀ: x[i · step], i = 0..5, in place.
CK_INLINE void winograd_input(vf *x, const int step) {
    const vf d0 = x[0], d1 = x[step], d2 = x[2 * step], d3 = x[3 * step], d4 = x[4 * step], d5 = x[5 * step];
    const vf even = v_fma(v_set(-4), d2, d4), odd = v_fma(v_set(-4), d1, d3), outer = d4 - d2, inner = d3 - d1;
    x[0] = v_fma(v_set(4), d0, v_fma(v_set(-5), d2, d4));
    x[step] = even + odd;
    x[2 * step] = even - odd;
    x[3 * step] = v_fma(v_set(2), inner, outer);
    x[4 * step] = v_fma(v_set(-2), inner, outer);
    x[5 * step] = v_fma(v_set(4), d1, v_fma(v_set(-5), d3, d5));
}

// One dimension of Aᵀ: six in, four out, in place.
CK_INLINE void winograd_output(vf *x, const int step) {
    const vf sum1 = x[step] + x[2 * step], difference1 = x[step] - x[2 * step], sum2 = x[3 * step] + x[4 * step], difference2 = x[3 * step] - x[4 * step];
    x[0] = x[0] + sum1 + sum2;
    x[step] = v_fma(v_set(2), difference2, difference1);
    x[2 * step] = v_fma(v_set(4), sum2, sum1);
    x[3 * step] = v_fma(v_set(8), difference2, difference1) + x[5 * step];
}

// Transforms n channels of the 6×6 inputs at (y, x) and stores them `plane` elements apart.
CK_INLINE void winograd_transform(const ck_conv_args *args, int64_t y, int64_t x, bool inside, int64_t channel, int64_t n, float *out, int64_t plane) {
    const ck_conv_shape *s = &args->shape;
    const int64_t step = args->input_pixel_stride, row_step = s->input_width * step;
    const float *input = conv_input(args) + (y * s->input_width + x) * step + channel;
    vf d[winograd_window * winograd_window];
#pragma clang loop unroll(full)
    for (int j = 0; j < winograd_window; j++) {
#pragma clang loop unroll(full)
        for (int i = 0; i < winograd_window; i++) {
            const bool within = inside || ((uint64_t)(y + i) < (uint64_t)s->input_height && (uint64_t)(x + j) < (uint64_t)s->input_width);
            d[i * winograd_window + j] = within ? conv_load(input + i * row_step + j * step, n) : (vf){0};
        }
        winograd_input(d + j, winograd_window);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < winograd_window; i++) {
        winograd_input(d + i * winograd_window, 1);
#pragma clang loop unroll(full)
        for (int j = 0; j < winograd_window; j++) v_store(out + (i * winograd_window + j) * plane, d[i * winograd_window + j]);
    }
}

static __attribute__((noinline)) void winograd_transform_inside(const ck_conv_args *args, int64_t y, int64_t x, float *out, int64_t plane) {
    const int64_t channels = args->shape.input_channels;
    for (int64_t c = 0; c + lanes <= channels; c += lanes) winograd_transform(args, y, x, true, c, lanes, out + c, plane);
}

static __attribute__((noinline)) void winograd_transform_border(
    const ck_conv_args *args, int64_t y, int64_t x, bool inside, int64_t channel, float *out, int64_t plane
) {
    const int64_t channels = args->shape.input_channels;
    for (int64_t c = channel; c < channels; c += lanes) {
        winograd_transform(args, y, x, inside, c, channels - c < lanes ? channels - c : lanes, out + c, plane);
    }
}

// n channels of the 4×4 outputs at (y, x), from products `plane` elements apart.
static __attribute__((noinline)) void winograd_finish(const ck_conv_args *args, int64_t y, int64_t x, int64_t channel, int64_t n, const float *products, int64_t plane) {
    const ck_conv_shape *s = &args->shape;
    const int64_t rows = s->output_height - y < CK_WINOGRAD_TILE ? s->output_height - y : CK_WINOGRAD_TILE;
    const int64_t columns = s->output_width - x < CK_WINOGRAD_TILE ? s->output_width - x : CK_WINOGRAD_TILE;
    vf m[winograd_points * winograd_points];
#pragma clang loop unroll(full)
    for (int j = 0; j < winograd_points; j++) {
#pragma clang loop unroll(full)
        for (int i = 0; i < winograd_points; i++) m[i * winograd_points + j] = v_load(products + (i * winograd_points + j) * plane);
        winograd_output(m + j, winograd_points);
    }
    const vf bias = args->epilogue.bias ? conv_load(args->epilogue.bias + channel, n) : (vf){0};
#pragma clang loop unroll(full)
    for (int i = 0; i < CK_WINOGRAD_TILE; i++) {
        winograd_output(m + i * winograd_points, 1);
        vf sums[conv_most_pixels];
#pragma clang loop unroll(full)
        for (int j = 0; j < CK_WINOGRAD_TILE; j++) sums[j] = m[i * winograd_points + j] + bias;
        const int64_t pixel = (y + i) * s->output_width + x;
        if (i >= rows) continue;
        if (columns == CK_WINOGRAD_TILE) {
            conv_finish_pixels(args, sums, pixel, CK_WINOGRAD_TILE, channel, n);
        } else {
            float block[CK_WINOGRAD_TILE * lanes];
#pragma clang loop unroll(full)
            for (int j = 0; j < CK_WINOGRAD_TILE; j++) v_store(block + j * lanes, sums[j]);
            conv_finish_block(args, block, lanes, pixel, columns, channel, n);
        }
    }
}

static void winograd(const ck_conv_args *args, void *scratch) {
    const ck_conv_shape *s = &args->shape;
    const ck_winograd_layout layout = ck_winograd_layout_of(s->input_channels, s->output_channels);
    const int64_t across = (s->output_width + CK_WINOGRAD_TILE - 1) / CK_WINOGRAD_TILE, end = args->first_pixel + args->pixel_count;
    const int64_t first_channel = args->first_panel * CK_CONV_PANEL, end_channel = conv_end_channel(args);
    float *inputs = scratch, *products = inputs + CK_WINOGRAD_PLANES * layout.input_plane;
    for (int64_t first = args->first_pixel; first < end; first += layout.tiles) {
        const int64_t count = end - first < layout.tiles ? end - first : layout.tiles;
        for (int64_t i = 0; i < count; i++) {
            const int64_t y = (first + i) / across * CK_WINOGRAD_TILE - s->pad_top, x = (first + i) % across * CK_WINOGRAD_TILE - s->pad_left;
            const bool inside = y >= 0 && x >= 0 && y + winograd_window <= s->input_height && x + winograd_window <= s->input_width;
            float *out = inputs + i * layout.input_stride;
            if (inside) winograd_transform_inside(args, y, x, out, layout.input_plane);
            const int64_t done = inside ? s->input_channels / lanes * lanes : 0;
            if (done < s->input_channels) winograd_transform_border(args, y, x, inside, done, out, layout.input_plane);
        }
        for (int64_t plane = 0; plane < CK_WINOGRAD_PLANES; plane++) {
            const ck_conv_args product = {
                .shape = {
                    .input_height = 1, .input_width = count, .output_height = 1, .output_width = count, .kernel_height = 1, .kernel_width = 1,
                    .stride_height = 1, .stride_width = 1, .dilation_height = 1, .dilation_width = 1, .input_channels = s->input_channels,
                    .output_channels = s->output_channels,
                },
                .input = inputs + plane * layout.input_plane, .input_pixel_stride = layout.input_stride, .panels = (const float *)args->panels + plane * layout.weight_plane,
                .output = products + plane * layout.output_plane, .output_pixel_stride = layout.output_stride,
                .pixel_count = count, .first_panel = args->first_panel, .panel_count = args->panel_count,
            };
            dense(&product);
        }
        for (int64_t i = 0; i < count; i++) {
            const int64_t y = (first + i) / across * CK_WINOGRAD_TILE, x = (first + i) % across * CK_WINOGRAD_TILE;
            for (int64_t c = first_channel; c < end_channel; c += lanes) {
                const int64_t n = end_channel - c < lanes ? end_channel - c : lanes;
                winograd_finish(args, y, x, c, n, products + i * layout.output_stride + c, layout.output_plane);
            }
        }
    }
}
