// Convolutions one after another in bands of rows, so that what lies between them never leaves the second-level cache.
//
// An intermediate image is a window of rows. Asked for rows up to some row, a step first asks the step before it for the rows those read, then
// computes the missing ones. A window that would overflow moves the rows still needed to its front; none is computed twice within a call.
#include "ckernels/conv.h"

#include <string.h>

enum {
    chain_bytes = 512 << 10,  // of all windows together
    chain_line = 64,          // bytes a window is rounded to
};

static int64_t clamped(int64_t row, int64_t height) { return row < 0 ? 0 : row > height ? height : row; }

// The first row of its input that a step reads for output rows from `row` on, and the row after the last one it reads for those before `end`.

static int64_t input_first(const ck_conv_shape *s, int64_t row) { return clamped(row * s->stride_height - s->pad_top, s->input_height); }
static int64_t input_end(const ck_conv_shape *s, int64_t end) {
    return clamped((end - 1) * s->stride_height - s->pad_top + (s->kernel_height - 1) * s->dilation_height + 1, s->input_height);
}

static int64_t row_bytes(const ck_conv_shape *s, int64_t element) { return s->output_width * s->output_channels * element; }
static int64_t window_bytes(const ck_conv_shape *s, int64_t rows, int64_t element) {
    return (rows * row_bytes(s, element) + chain_line - 1) / chain_line * chain_line;
}

// Rows of each window where the last step makes bands of `band` rows, and the bytes of all windows.
static int64_t plan_windows(const ck_conv_step *steps, int64_t count, int64_t element, int64_t band, int64_t rows[CK_CHAIN_STEPS]) {
    int64_t bytes = 0, needed = band;
    for (int64_t i = count - 1; i > 0; i--) {
        const ck_conv_shape *s = &steps[i].args.shape;
        needed = (needed - 1) * s->stride_height + (s->kernel_height - 1) * s->dilation_height + 1;
        if (needed > s->input_height) needed = s->input_height;
        rows[i - 1] = needed;
        bytes += window_bytes(&steps[i - 1].args.shape, needed, element);
    }
    return bytes;
}

// The largest band whose windows fit, at least one row.
static int64_t choose_band(const ck_conv_step *steps, int64_t count, int64_t element, int64_t rows[CK_CHAIN_STEPS]) {
    int64_t band = 1;
    while (band < steps[count - 1].args.shape.output_height && plan_windows(steps, count, element, band + 1, rows) <= chain_bytes) band++;
    return band;
}

size_t ck_conv_chain_scratch_bytes(const ck_conv_step *steps, int64_t count, int64_t element_bytes) {
    int64_t rows[CK_CHAIN_STEPS];
    const int64_t band = choose_band(steps, count, element_bytes, rows);
    return (size_t)plan_windows(steps, count, element_bytes, band, rows);
}

// Rows [first, done) of an image, the first at `rows`; a whole image for the input of the chain.
typedef struct window {
    uint8_t *rows;
    int64_t first, done, capacity;
} window;

typedef struct chain {
    const ck_conv_step *steps;
    int64_t element;  // bytes of an element of an image
    window windows[CK_CHAIN_STEPS];  // of the outputs; the last is the output of the chain
} chain;

// Computes the output rows of step `i` before row `until`.
static void advance(chain *chain, int64_t i, int64_t until) {
    window *out = &chain->windows[i];
    if (until <= out->done) return;
    const ck_conv_step *step = &chain->steps[i];
    ck_conv_args args = step->args;
    const ck_conv_shape *s = &step->args.shape;
    if (i > 0) {
        window *in = &chain->windows[i - 1];
        const int64_t first = input_first(s, out->done), end = input_end(s, until), length = row_bytes(&chain->steps[i - 1].args.shape, chain->element);
        if (end - in->first > in->capacity) {
            const int64_t kept = first < in->done ? in->done - first : 0;
            memmove(in->rows, in->rows + (first - in->first) * length, (size_t)(kept * length));
            in->first = first;
            if (in->done < first) in->done = first;  // rows no window of the kernel looks at
        }
        advance(chain, i - 1, end);
        // The rows from `first` on as an image of their own; only at the top is there padding before them.
        args.input = in->rows + (first - in->first) * length;
        args.input_pixel_stride = chain->steps[i - 1].args.shape.output_channels;
        args.shape.input_height = in->done - first;
        args.shape.pad_top = s->pad_top - out->done * s->stride_height + first;
    } else {
        args.shape.pad_top = s->pad_top - out->done * s->stride_height;
    }
    if (out->capacity == 0) {
        args.output = (uint8_t *)step->args.output + out->done * s->output_width * args.output_pixel_stride * chain->element;
    } else {
        args.output = out->rows + (out->done - out->first) * row_bytes(s, chain->element);
        args.output_pixel_stride = s->output_channels;
    }
    const int64_t residual_step = s->output_width * args.epilogue.residual_pixel_stride * chain->element;
    if (args.epilogue.residual) args.epilogue.residual = (const uint8_t *)args.epilogue.residual + out->done * residual_step;
    args.shape.output_height = until - out->done;
    args.first_pixel = args.first_panel = 0;
    args.pixel_count = (until - out->done) * s->output_width;
    args.panel_count = (s->output_channels + CK_CONV_PANEL - 1) / CK_CONV_PANEL;
    step->function(&args);
    out->done = until;
}

void ck_conv_chain(const ck_conv_step *steps, int64_t count, int64_t element_bytes, int64_t first_row, int64_t row_count, void *scratch) {
    int64_t rows[CK_CHAIN_STEPS], first = first_row;
    const int64_t band = choose_band(steps, count, element_bytes, rows), end = first_row + row_count;
    plan_windows(steps, count, element_bytes, band, rows);
    chain chain = {.steps = steps, .element = element_bytes};
    uint8_t *free = scratch;
    for (int64_t i = count - 1; i >= 0; i--) {
        chain.windows[i] = (window){.first = first, .done = first};
        if (i < count - 1) {
            chain.windows[i].rows = free;
            chain.windows[i].capacity = rows[i];
            free += window_bytes(&steps[i].args.shape, rows[i], element_bytes);
        }
        first = input_first(&steps[i].args.shape, first);
    }
    for (int64_t row = first_row; row < end; row += band) advance(&chain, count - 1, row + band < end ? row + band : end);
}
