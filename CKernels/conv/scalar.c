// Convolution and pooling of images of floats in plain C (conv/scalar.h).
#include "conv/sets.h"
#include "conv/winograd_scalar.h"

typedef float number;
enum { group = 1 };

static float read(float x) { return x; }
static float rounded(float y) { return y; }

#include "conv/scalar.h"

static void winograd(const ck_conv_args *args, void *scratch) {
    (void)scratch;
    const ck_conv_shape *s = &args->shape;
    const int64_t across = (s->output_width + CK_WINOGRAD_TILE - 1) / CK_WINOGRAD_TILE;
    for (int64_t tile = args->first_pixel; tile < args->first_pixel + args->pixel_count; tile++) {
        for (int64_t channel = args->first_panel * CK_CONV_PANEL; channel < end_channel(args); channel++) {
            double sums[CK_WINOGRAD_TILE * CK_WINOGRAD_TILE];
            ck_winograd_sums(args, tile, channel, sums);
            for (int64_t i = 0; i < CK_WINOGRAD_TILE * CK_WINOGRAD_TILE; i++) {
                const int64_t y = tile / across * CK_WINOGRAD_TILE + i / CK_WINOGRAD_TILE, x = tile % across * CK_WINOGRAD_TILE + i % CK_WINOGRAD_TILE;
                if (y < s->output_height && x < s->output_width) finish(args, sums[i], y * s->output_width + x, channel);
            }
        }
    }
}

const ck_conv_set ck_conv_scalar = {
    .name = "conv_scalar", .isa = 0, .pixel_tile = 1, .panel_tile = 1,
    .dense = dense, .depthwise = depthwise, .max_pool = max_pool, .average_pool = average_pool, .winograd = winograd,
};
