// bf16 images: the table of sets, best first, its look-up, packing, and the plain C set (conv/scalar.h).
#include "ckernels/conv_bf16.h"
#include "ckernels/blocks.h"
#include "conv/sets.h"

typedef uint16_t number;
enum { group = 2 };

static float read(uint16_t x) { return ck_bfloat_to_float(x); }
static uint16_t rounded(float y) { return ck_float_to_bfloat(y); }

#include "conv/scalar.h"

const ck_conv_set ck_conv_bf16_scalar = {
    .name = "conv_bf16_scalar", .isa = 0, .pixel_tile = 1, .panel_tile = 1,
    .dense = dense, .depthwise = depthwise, .max_pool = max_pool, .average_pool = average_pool,
};

static const ck_conv_set *const sets[] = {
#if defined(__x86_64__)
    &ck_conv_bf16_amx,
    &ck_conv_bf16_avx512_bf16,
    &ck_conv_bf16_avx512,
    &ck_conv_bf16_avx2,
#elif defined(__aarch64__)
    &ck_conv_bf16_neon,
#endif
    &ck_conv_bf16_scalar,
};

enum { set_count = sizeof sets / sizeof sets[0] };

size_t ck_conv_bf16_set_count(void) { return set_count; }

const ck_conv_set *ck_conv_bf16_set_at(size_t index) { return index < set_count ? sets[index] : 0; }

const ck_conv_set *ck_conv_bf16_find(uint32_t isa_mask) {
    for (int i = 0; i < set_count; i++) {
        if ((sets[i]->isa & ~isa_mask) == 0) return sets[i];
    }
    return &ck_conv_bf16_scalar;
}

size_t ck_conv_bf16_packed_bytes(int64_t output_channels, int64_t input_channels, int64_t taps) {
    const int64_t panels = (output_channels + CK_CONV_PANEL - 1) / CK_CONV_PANEL, pairs = (input_channels + 1) / 2;
    return (size_t)(panels * taps * pairs) * CK_CONV_PANEL * 2 * sizeof(uint16_t);
}

void ck_conv_bf16_pack(const ck_conv_weights *weights, uint16_t *panels) {
    uint16_t *out = panels;
    for (int64_t first = 0; first < weights->output_channels; first += CK_CONV_PANEL) {
        for (int64_t tap = 0; tap < weights->taps; tap++) {
            for (int64_t pair = 0; pair < weights->input_channels; pair += 2, out += 2 * CK_CONV_PANEL) {
                for (int64_t i = 0; i < 2 * CK_CONV_PANEL; i++) {
                    const int64_t output = first + i / 2, input = pair + i % 2;
                    const bool real = output < weights->output_channels && input < weights->input_channels;
                    out[i] = real ? ck_float_to_bfloat(
                        weights->values[output * weights->output_stride + input * weights->input_stride + tap * weights->tap_stride]) : 0;
                }
            }
        }
    }
}
