// Weights of a convolution into panels: [panel][tap][input channel][16 output channels].
#include "ckernels/conv.h"

size_t ck_conv_packed_bytes(int64_t output_channels, int64_t input_channels, int64_t taps) {
    return (size_t)((output_channels + CK_CONV_PANEL - 1) / CK_CONV_PANEL * taps * input_channels) * CK_CONV_PANEL * sizeof(float);
}

void ck_conv_pack(const ck_conv_weights *weights, float *panels) {
    float *out = panels;
    for (int64_t first = 0; first < weights->output_channels; first += CK_CONV_PANEL) {
        for (int64_t tap = 0; tap < weights->taps; tap++) {
            for (int64_t input = 0; input < weights->input_channels; input++, out += CK_CONV_PANEL) {
                const float *column = weights->values + input * weights->input_stride + tap * weights->tap_stride;
                for (int64_t i = 0; i < CK_CONV_PANEL; i++) {
                    out[i] = first + i < weights->output_channels ? column[(first + i) * weights->output_stride] : 0;
                }
            }
        }
    }
}
