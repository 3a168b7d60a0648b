// How the packed weights of a quantised convolution lie: what ck_conv_u8_pack writes and the kernels read.
#pragma once

#include "ckernels/conv_u8.h"
#include "ckernels/isa.h"

enum {
    u8_group = 4,             // products of one step: 4 bytes of a pixel
    u8_join_channels = 8,     // fewer input channels are joined along a row of the window
    u8_join_products = 1024,  // ... while a window is at most this long
    u8_corrections = CK_CONV_PANEL * 4,  // bytes at the start of a panel
};

typedef struct u8_layout {
    bool joins;
    int64_t runs, run;  // runs of a window, and the products of one: a tap's channels, or a row of the window
    int64_t groups;     // groups of a run
    int64_t panel_bytes;
} u8_layout;

static inline u8_layout u8_layout_of(int64_t input_channels, int64_t kernel_height, int64_t kernel_width) {
    const bool joins = input_channels < u8_join_channels && kernel_height * (kernel_width * input_channels + u8_group) <= u8_join_products;
    u8_layout layout = {.joins = joins, .runs = joins ? kernel_height : kernel_height * kernel_width, .run = joins ? kernel_width * input_channels : input_channels};
    layout.groups = (layout.run + u8_group - 1) / u8_group;
    layout.panel_bytes = u8_corrections + layout.runs * layout.groups * u8_group * CK_CONV_PANEL;
    return layout;
}

static inline int64_t u8_depthwise_panel_bytes(int64_t taps) { return u8_corrections + taps * CK_CONV_PANEL * (int64_t)sizeof(float); }

extern const ck_conv_u8_set ck_conv_u8_scalar, ck_conv_u8_avx2, ck_conv_u8_avx512_vnni;
