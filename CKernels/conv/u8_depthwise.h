// The quantised depthwise convolution, four taps a product, exact.
//
// A block is as many channels as a vector has bytes. The bytes of four rows of the window are woven, so that the four taps of a column lie side by side
// for each channel, as vpdpbusd takes them; a single row that is left over (5 × 5) is woven from four neighbours instead. Woven columns lie in a small
// buffer on the stack, four vectors each, and serve every output whose window they are in. What lies outside of the input is the zero point, written
// there by weaving, so products know nothing of borders. Unpacking a block leaves 4 channels of each panel of 16 in a vector; packing the sums puts them
// in order again. 3 × 3 with stride 1 weaves four rows for two rows of output: the second takes its weights one place on.
//
// Kernels 3 × 3 and 5 × 5 with strides 1 and 2 go this way; all others weave for each pixel. Included inside an instruction set's target region, after
// conv/u8_block_<bits>.h. The includer gives:
//     u8_tap_weight, u8_tap_weight_of(bytes)            4 taps each of a quarter of the block's channels
//     u8_tap_input, u8_tap_input_of(bytes)
//     ub u8_tap_dot(ub sums, u8_tap_input x, u8_tap_weight w)
//     ub u8_load_channels(const uint8_t *p, int64_t n)  n bytes; what is beyond them is anything, and is not read
//     void u8_store_channels(uint8_t *p, ub x, int64_t n)

enum {
    u8_channels = sizeof(ub),  // of a block
    u8_parts = 4,      // vectors of sums of a block
    u8_run = 4,        // pixels of a register tile
    u8_columns = 64,   // woven columns in the buffer
    u8_most_taps = 7,  // groups of taps of the windows that share columns
};

// One row of the input, or the zero point where it is outside.
typedef struct u8_row {
    const uint8_t *first;  // column 0 of the segment, the block's first channel
    bool inside;
} u8_row;

CK_INLINE const uint8_t *u8_panel_at(const ck_conv_u8_args *args, int64_t channel) {
    return (const uint8_t *)args->panels + channel / CK_CONV_PANEL * u8_depthwise_panel_bytes(args->shape.kernel_height, args->shape.kernel_width);
}

typedef struct u8_block {
    int64_t channel, n;  // the first channel, and how many there are
    ub start[u8_parts];
    uf factor[u8_parts];
    uf most;
    bool grows;          // whether scaled sums may be beyond the integers (conv/u8_finish.h)
    ub zero, low, high;  // of the output: words, bytes
    ub outside;
} u8_block;

typedef struct u8_taps {
    u8_tap_weight group[u8_most_taps][u8_parts];
} u8_taps;

// Part `part` of a line of the block's panels: 4 elements of 4 bytes of each. Panels may be missing: then it is any other.
CK_INLINE ub u8_part(const uint8_t *panel, int64_t panel_bytes, int64_t n, int64_t part) {
    const uint8_t *lines[u8_channels / CK_CONV_PANEL];
    for (int64_t p = 0; p < u8_channels / CK_CONV_PANEL; p++) lines[p] = panel + (p * CK_CONV_PANEL < n ? p * panel_bytes : 0) + part * 16;
    return ub_of_panels(lines);
}

static u8_block u8_block_begin(const ck_conv_u8_args *args, int64_t channel, int64_t n) {
    u8_block block = {
        .channel = channel, .n = n, .most = uf_set(u8_most), .zero = ub_set_words(args->output_zero), .low = ub_set_bytes(args->low), .high = ub_set_bytes(args->high),
        .outside = ub_set_bytes(args->input_zero),
    };
    float factors[u8_channels] = {0};
    for (int64_t i = 0; i < n; i++) {
        factors[i] = args->factor[channel + i];
        block.grows |= !(factors[i] < u8_least_growth);
    }
    for (int part = 0; part < u8_parts; part++) {
        block.start[part] = u8_part(u8_panel_at(args, channel), u8_depthwise_panel_bytes(args->shape.kernel_height, args->shape.kernel_width), n, part);
        block.factor[part] = uf_of_bits(u8_part((const uint8_t *)factors, CK_CONV_PANEL * sizeof(float), u8_channels, part));
    }
    return block;
}

// The weights of windows that share columns, `next` for the second row of a pair.
static void u8_taps_of(const ck_conv_u8_args *args, const u8_block *block, u8_taps *taps, u8_taps *next) {
    const uint8_t *panel = u8_panel_at(args, block->channel) + u8_corrections;
    const int64_t panel_bytes = u8_depthwise_panel_bytes(args->shape.kernel_height, args->shape.kernel_width);
    for (int64_t group = 0; group < u8_depthwise_groups(args->shape.kernel_height, args->shape.kernel_width); group++) {
        for (int part = 0; part < u8_parts; part++) {
            const ub weights = u8_part(panel + group * u8_group_bytes, panel_bytes, block->n, part);
            taps->group[group][part] = u8_tap_weight_of(weights);
            next->group[group][part] = u8_tap_weight_of(ub_next_slot(weights));
        }
    }
}

CK_INLINE void u8_weave_pairs(ub ab_low, ub ab_high, ub cd_low, ub cd_high, ub line[u8_parts]) {
    line[0] = ub_low_words(ab_low, cd_low);
    line[1] = ub_high_words(ab_low, cd_low);
    line[2] = ub_low_words(ab_high, cd_high);
    line[3] = ub_high_words(ab_high, cd_high);
}

CK_INLINE void u8_weave(ub a, ub b, ub c, ub d, ub line[u8_parts]) {
    u8_weave_pairs(ub_low_bytes(a, b), ub_high_bytes(a, b), ub_low_bytes(c, d), ub_high_bytes(c, d), line);
}

CK_INLINE ub u8_part_scale(const u8_block *block, ub sums, int part, const bool grows) {
    const uf scaled = ub_scale(sums, block->factor[part]);
    return uf_round(grows ? uf_min(scaled, block->most) : scaled);
}

CK_INLINE void u8_part_store(const u8_block *block, const ub scaled[u8_parts], uint8_t *to, int64_t n) {
    const ub first = ub_add_words(ub_pack_words(scaled[0], scaled[1]), block->zero), second = ub_add_words(ub_pack_words(scaled[2], scaled[3]), block->zero);
    u8_store_channels(to, ub_min_bytes(ub_max_bytes(ub_pack_bytes(first, second), block->low), block->high), n);
}

// MARK: - Windows that share columns

CK_INLINE u8_row u8_row_at(const ck_conv_u8_args *args, const u8_block *block, int64_t y, int64_t x) {
    const bool inside = y >= 0 && y < args->shape.input_height;
    return (u8_row){inside ? args->input + (y * args->shape.input_width + x) * args->input_pixel_stride + block->channel : 0, inside};
}

CK_INLINE ub u8_column(const u8_block *block, u8_row row, int64_t column, int64_t step, int64_t n) {
    return row.inside ? u8_load_channels(row.first + column * step, n) : block->outside;
}

// Weaves columns 0 to count of four rows; those before `low` and from `high` on are outside.
CK_INLINE void u8_weave_columns(const u8_block *block, const u8_row *rows, int64_t step, int64_t count, int64_t low, int64_t high, int64_t n, ub (*lines)[u8_parts]) {
    const u8_row a = rows[0], b = rows[1], c = rows[2], d = rows[3];
    const bool inside = a.inside & b.inside & c.inside & d.inside;
    for (int64_t column = 0; column < count; column++) {
        if (column < low || column >= high) {
            for (int part = 0; part < u8_parts; part++) lines[column][part] = block->outside;
        } else if (inside) {
            const int64_t at = column * step;
            u8_weave(u8_load_channels(a.first + at, n), u8_load_channels(b.first + at, n), u8_load_channels(c.first + at, n), u8_load_channels(d.first + at, n), lines[column]);
        } else {
            u8_weave(u8_column(block, a, column, step, n), u8_column(block, b, column, step, n), u8_column(block, c, column, step, n), u8_column(block, d, column, step, n), lines[column]);
        }
    }
}

// Weaves each column with the three to its right, in one row: every `stride`-th column.
CK_INLINE void u8_weave_neighbours(const u8_block *block, u8_row row, int64_t step, int64_t count, int64_t low, int64_t high, int64_t n, const int stride, ub (*lines)[u8_parts]) {
#define CK_AT(column) ((column) < low || (column) >= high ? block->outside : u8_column(block, row, column, step, n))
    // Pairs of a column and its neighbour: the present one, and with stride 1 the one between it and the pair that comes.
    ub x = CK_AT(0), y = CK_AT(1), z = CK_AT(2);
    ub pair_low = ub_low_bytes(x, y), pair_high = ub_high_bytes(x, y);
    ub between_low = ub_low_bytes(y, z), between_high = ub_high_bytes(y, z);
    for (int64_t column = 0; column < count; column += stride) {
        if (stride == 2) z = CK_AT(column + 2);
        y = CK_AT(column + 3);
        const ub next_low = ub_low_bytes(z, y), next_high = ub_high_bytes(z, y);
        u8_weave_pairs(pair_low, pair_high, next_low, next_high, lines[column]);
        pair_low = stride == 1 ? between_low : next_low;
        pair_high = stride == 1 ? between_high : next_high;
        between_low = next_low;
        between_high = next_high;
        z = y;
    }
#undef CK_AT
}

// `count` pixels: woven columns from `lines` on, and from `neighbours` on for the row that is left over.
CK_INLINE void u8_tile_pixels(
    const u8_block *block, const u8_taps *taps, const ub (*lines)[u8_parts], const ub (*neighbours)[u8_parts], uint8_t *output, int64_t step, const int count,
    const int size, const int stride, int64_t n, const bool grows
) {
    ub scaled[u8_run][u8_parts];
#pragma clang loop unroll(full)
    for (int part = 0; part < u8_parts; part++) {
        ub sums[u8_run];
#pragma clang loop unroll(full)
        for (int m = 0; m < count; m++) sums[m] = block->start[part];
#pragma clang loop unroll(full)
        for (int column = 0; column < (count - 1) * stride + size; column++) {
            const u8_tap_input x = u8_tap_input_of(lines[column][part]);
#pragma clang loop unroll(full)
            for (int tap = 0; tap < size; tap++) {
                const int ahead = column - tap, m = ahead / stride;
                if (ahead >= 0 && ahead % stride == 0 && m < count) sums[m] = u8_tap_dot(sums[m], x, taps->group[tap][part]);
            }
        }
        if (size == 5) {
#pragma clang loop unroll(full)
            for (int m = 0; m < count; m++) {
                sums[m] = u8_tap_dot(sums[m], u8_tap_input_of(neighbours[m * stride][part]), taps->group[size][part]);
                sums[m] = u8_tap_dot(sums[m], u8_tap_input_of(neighbours[m * stride + 4][part]), taps->group[size + 1][part]);
            }
        }
#pragma clang loop unroll(full)
        for (int m = 0; m < count; m++) scaled[m][part] = u8_part_scale(block, sums[m], part, grows);
    }
#pragma clang loop unroll(full)
    for (int m = 0; m < count; m++) u8_part_store(block, scaled[m], output + m * step, n);
}

CK_INLINE void u8_segment(
    const u8_block *block, const u8_taps *taps, const ub (*lines)[u8_parts], const ub (*neighbours)[u8_parts], uint8_t *output, int64_t step, int64_t count,
    const int size, const int stride, int64_t n, const bool grows
) {
    for (; count >= u8_run; count -= u8_run, lines += u8_run * stride, neighbours += u8_run * stride, output += u8_run * step) {
        u8_tile_pixels(block, taps, lines, neighbours, output, step, u8_run, size, stride, n, grows);
    }
    if (count == 3) u8_tile_pixels(block, taps, lines, neighbours, output, step, 3, size, stride, n, grows);
    if (count == 2) u8_tile_pixels(block, taps, lines, neighbours, output, step, 2, size, stride, n, grows);
    if (count == 1) u8_tile_pixels(block, taps, lines, neighbours, output, step, 1, size, stride, n, grows);
}

CK_INLINE void u8_block_rows(const ck_conv_u8_args *args, const u8_block given, const int size, const int stride, int64_t n, const bool grows) {
    const ck_conv_shape *s = &args->shape;
    const int64_t end = args->first_pixel + args->pixel_count, most = (u8_columns - size) / stride + 1, step = args->output_pixel_stride;
    const bool pairs = size == 3 && s->stride_height == 1 && s->dilation_height == 1;
    // In here: what is behind a pointer might, for all the compiler knows, be overwritten by an output.
    const u8_block block = given;
    u8_taps taps, next_taps;
    u8_taps_of(args, &block, &taps, &next_taps);
    ub lines[u8_columns][u8_parts], neighbours[u8_columns][u8_parts];
    int64_t rows, next;
    for (int64_t pixel = args->first_pixel; pixel < end; pixel = next) {
        const int64_t y = pixel / s->output_width, x = pixel % s->output_width;
        const int64_t last = (y + 1) * s->output_width < end ? (y + 1) * s->output_width : end;
        rows = pairs && x == 0 && pixel + 2 * s->output_width <= end ? 2 : 1;
        next = rows == 2 ? pixel + 2 * s->output_width : last;
        for (int64_t first = pixel; first < last; first += most) {
            const int64_t count = last - first < most ? last - first : most, columns = (count - 1) * stride + size;
            const int64_t left = (first - y * s->output_width) * stride - s->pad_left, top = y * s->stride_height - s->pad_top;
            u8_row input[5];
            for (int row = 0; row < size; row++) input[row] = u8_row_at(args, &block, top + row * s->dilation_height, left);
            // A fourth row of a window of three has weights of zero, except in a pair.
            if (size == 3) input[3] = rows == 2 ? u8_row_at(args, &block, top + 3, left) : input[2];
            const int64_t low = -left, high = s->input_width - left;
            u8_weave_columns(&block, input, args->input_pixel_stride, columns, low, high, n, lines);
            if (size == 5) u8_weave_neighbours(&block, input[4], args->input_pixel_stride, columns, low, high, n, stride, neighbours);
            uint8_t *output = args->output + first * step + block.channel;
            u8_segment(&block, &taps, (const ub(*)[u8_parts])lines, (const ub(*)[u8_parts])neighbours, output, step, count, size, stride, n, grows);
            if (size == 3 && rows == 2) {
                u8_segment(&block, &next_taps, (const ub(*)[u8_parts])lines, (const ub(*)[u8_parts])neighbours, output + s->output_width * step, step, count, size, stride, n, grows);
            }
        }
    }
}

// One function a kind of window; inside it one body for whole blocks with usual factors and one for others.
#define CK_U8_DEPTHWISE(name, size, stride) \
    static __attribute__((noinline)) void name(const ck_conv_u8_args *args, int64_t channel, int64_t n) { \
        const u8_block block = u8_block_begin(args, channel, n); \
        if (n == u8_channels && !block.grows) u8_block_rows(args, block, size, stride, u8_channels, false); \
        else u8_block_rows(args, block, size, stride, n, true); \
    }
CK_U8_DEPTHWISE(u8_rows_3_1, 3, 1)
CK_U8_DEPTHWISE(u8_rows_3_2, 3, 2)
CK_U8_DEPTHWISE(u8_rows_5_1, 5, 1)
CK_U8_DEPTHWISE(u8_rows_5_2, 5, 2)
#undef CK_U8_DEPTHWISE

// MARK: - Any window

CK_INLINE ub u8_tap(const ck_conv_u8_args *args, const u8_block *block, int64_t y, int64_t x) {
    const ck_conv_shape *s = &args->shape;
    const bool inside = y >= 0 && y < s->input_height && x >= 0 && x < s->input_width;
    return inside ? u8_load_channels(args->input + (y * s->input_width + x) * args->input_pixel_stride + block->channel, block->n) : block->outside;
}

static __attribute__((noinline)) void u8_rows_any(const ck_conv_u8_args *args, int64_t channel, int64_t n) {
    const ck_conv_shape *s = &args->shape;
    const u8_block block = u8_block_begin(args, channel, n);
    const uint8_t *panel = u8_panel_at(args, channel) + u8_corrections;
    const int64_t panel_bytes = u8_depthwise_panel_bytes(s->kernel_height, s->kernel_width);
    const int64_t columns_high = u8_depthwise_row_left(s->kernel_height) ? s->kernel_height - 1 : s->kernel_height;
    for (int64_t pixel = args->first_pixel; pixel < args->first_pixel + args->pixel_count; pixel++) {
        const int64_t top = pixel / s->output_width * s->stride_height - s->pad_top, left = pixel % s->output_width * s->stride_width - s->pad_left;
        ub sums[u8_parts], line[u8_parts];
        for (int part = 0; part < u8_parts; part++) sums[part] = block.start[part];
        int64_t group = 0;
        for (int64_t row = 0; row < s->kernel_height; row += u8_group) {
            const bool neighbours = row >= columns_high;
            for (int64_t column = 0; column < s->kernel_width; column += neighbours ? u8_group : 1, group++) {
                ub taps[u8_group];
                for (int slot = 0; slot < u8_group; slot++) {
                    const int64_t y = top + (row + (neighbours ? 0 : slot)) * s->dilation_height, x = left + (column + (neighbours ? slot : 0)) * s->dilation_width;
                    taps[slot] = u8_tap(args, &block, y, x);
                }
                u8_weave(taps[0], taps[1], taps[2], taps[3], line);
                for (int part = 0; part < u8_parts; part++) {
                    const ub weights = u8_part(panel + group * u8_group_bytes, panel_bytes, n, part);
                    sums[part] = u8_tap_dot(sums[part], u8_tap_input_of(line[part]), u8_tap_weight_of(weights));
                }
            }
        }
        for (int part = 0; part < u8_parts; part++) sums[part] = u8_part_scale(&block, sums[part], part, true);
        u8_part_store(&block, sums, args->output + pixel * args->output_pixel_stride + channel, n);
    }
}

static void u8_depthwise_block(const ck_conv_u8_args *args, int64_t channel, int64_t n) {
    const ck_conv_shape *s = &args->shape;
    const bool shares = s->dilation_width == 1 && s->kernel_width == s->kernel_height && (s->kernel_width == 3 || s->kernel_width == 5) && s->stride_width <= 2;
    if (!shares) u8_rows_any(args, channel, n);
    else if (s->kernel_width == 3 && s->stride_width == 1) u8_rows_3_1(args, channel, n);
    else if (s->kernel_width == 3) u8_rows_3_2(args, channel, n);
    else if (s->stride_width == 1) u8_rows_5_1(args, channel, n);
    else u8_rows_5_2(args, channel, n);
}
