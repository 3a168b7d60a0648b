// Weights of sparse 1×1 convolutions packed, the table of their kernels, and when these pay. Layout: include/ckernels/sparse_conv.h.
#include "sparse/convolution_layout.h"

#include <string.h>

static const ck_sparse_conv_row *const rows[] = {
#if defined(__x86_64__)
    &ck_sparse_conv_avx512,
    &ck_sparse_conv_avx2,
#endif
    &ck_sparse_conv_scalar,
};

enum { row_count = sizeof rows / sizeof rows[0] };

size_t ck_sparse_conv_row_count(void) { return row_count; }

const ck_sparse_conv_row *ck_sparse_conv_row_at(size_t index) { return index < row_count ? rows[index] : 0; }

const ck_sparse_conv_row *ck_sparse_conv_find(uint32_t isa_mask) {
    for (int i = 0; i < row_count; i++) {
        if ((rows[i]->isa & ~isa_mask) == 0) return rows[i];
    }
    return &ck_sparse_conv_scalar;
}

bool ck_sparse_conv_pays(const ck_sparse_conv_row *row, const ck_conv_shape *s, int64_t kept) {
    const bool pointwise = s->kernel_height == 1 && s->kernel_width == 1 && s->stride_height == 1 && s->stride_width == 1 && s->pad_top == 0 &&
        s->pad_left == 0 && s->output_width == s->input_width && s->output_height <= s->input_height;
    if (!pointwise || s->input_channels < row->least_inputs || s->output_height * s->output_width < row->least_pixels || kept > UINT32_MAX) return false;
    const double all = (double)s->input_channels * (double)s->output_channels;
    return all > 0 && (all - (double)kept) / all >= row->crossover;
}

int64_t ck_sparse_conv_count(const void *values, int64_t count) {
    int64_t kept = 0;
    for (int64_t i = 0; i < count; i++) {
        float value;
        memcpy(&value, (const char *)values + sizeof value * (size_t)i, sizeof value);
        kept += value != 0;
    }
    return kept;
}

size_t ck_sparse_conv_packed_bytes(int64_t output_channels, int64_t input_channels, int64_t kept) {
    const int64_t starts = ck_sparse_conv_whole(ck_sparse_conv_lists(output_channels, input_channels) + 1);
    return sizeof(float) * (size_t)(starts + ck_sparse_conv_whole(kept) + ck_sparse_conv_whole((kept + 1) / 2));
}

size_t ck_sparse_conv_scratch_bytes(int64_t input_channels) {
    // A strip, the sums of the panels that share a block, and one panel of them turned back.
    return sizeof(float) * CK_SPARSE_CONV_STRIP * (size_t)(input_channels + (CK_SPARSE_CONV_PANELS + 1) * CK_CONV_PANEL);
}

int ck_sparse_conv_pack(const ck_conv_weights *w, void *packed, size_t bytes) {
    int64_t kept = 0;
    for (int64_t output = 0; output < w->output_channels; output++) {
        for (int64_t input = 0; input < w->input_channels; input++) kept += w->values[output * w->output_stride + input * w->input_stride] != 0;
    }
    if (w->taps != 1 || kept > UINT32_MAX || ck_sparse_conv_packed_bytes(w->output_channels, w->input_channels, kept) > bytes) return -1;
    memset(packed, 0, bytes);  // equal weights give equal bytes
    uint32_t *starts = packed, next = 0;
    float *values = (float *)packed + ck_sparse_conv_whole(ck_sparse_conv_lists(w->output_channels, w->input_channels) + 1);
    uint16_t *places = (uint16_t *)(void *)(values + ck_sparse_conv_whole(kept));
    for (int64_t panel = 0; panel < w->output_channels; panel += CK_CONV_PANEL) {
        for (int64_t block = 0; block < w->input_channels; block += CK_SPARSE_CONV_BLOCK) {
            const int64_t left = w->input_channels - block, inputs = left < CK_SPARSE_CONV_BLOCK ? left : CK_SPARSE_CONV_BLOCK;
            for (int64_t output = panel; output < panel + CK_CONV_PANEL; output++) {
                *starts++ = next;
                for (int64_t i = 0; output < w->output_channels && i < inputs; i++) {
                    const float value = w->values[output * w->output_stride + (block + i) * w->input_stride];
                    if (value == 0) continue;
                    values[next] = value;
                    places[next++] = (uint16_t)(i * CK_SPARSE_CONV_STRIP);
                }
            }
        }
    }
    *starts = next;
    return 0;
}
