// How the packed weights of a quantised convolution lie: what ck_conv_u8_pack writes and the kernels read.
#pragma once

#include "ckernels/conv_u8.h"
#include "ckernels/isa.h"

// A scaled sum beyond every byte, and a factor that takes no sum beyond the integers.
#define u8_most 65536.0f
#define u8_least_growth 0.5f

enum {
    u8_group = 4,             // products of one step: 4 bytes of a pixel, or 4 taps of a channel
    u8_join_channels = 8,     // fewer input channels are joined along a row of the window
    u8_join_products = 1024,  // ... while a window is at most this long
    u8_corrections = CK_CONV_PANEL * 4,  // bytes at the start of a panel
    u8_group_bytes = CK_CONV_PANEL * u8_group,
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
    layout.panel_bytes = u8_corrections + layout.runs * layout.groups * u8_group_bytes;
    return layout;
}

// Depthwise: a group is the taps of one column in 4 rows of the window. The rows that are left over make columns of fewer, but a single row that is
// left over makes groups of 4 neighbours.
static inline bool u8_depthwise_row_left(int64_t kernel_height) { return kernel_height % u8_group == 1; }

static inline int64_t u8_depthwise_groups(int64_t kernel_height, int64_t kernel_width) {
    const int64_t columns = (u8_depthwise_row_left(kernel_height) ? kernel_height / u8_group : (kernel_height + u8_group - 1) / u8_group) * kernel_width;
    return columns + (u8_depthwise_row_left(kernel_height) ? (kernel_width + u8_group - 1) / u8_group : 0);
}

typedef struct u8_tap_place {
    int64_t group, slot;
} u8_tap_place;

static inline u8_tap_place u8_depthwise_place(int64_t kernel_height, int64_t kernel_width, int64_t row, int64_t column) {
    const int64_t above = row / u8_group * kernel_width;
    if (u8_depthwise_row_left(kernel_height) && row == kernel_height - 1) return (u8_tap_place){above + column / u8_group, column % u8_group};
    return (u8_tap_place){above + column, row % u8_group};
}

static inline int64_t u8_depthwise_panel_bytes(int64_t kernel_height, int64_t kernel_width) {
    return u8_corrections + u8_depthwise_groups(kernel_height, kernel_width) * u8_group_bytes;
}

// The depthwise convolution of up to 32 channels, for sets whose blocks are wider.
void ck_conv_u8_depthwise_avx2(const ck_conv_u8_args *args, int64_t channel, int64_t n);
void ck_conv_u8_depthwise_vnni(const ck_conv_u8_args *args, int64_t channel, int64_t n);

extern const ck_conv_u8_set ck_conv_u8_scalar, ck_conv_u8_avx2, ck_conv_u8_avx512, ck_conv_u8_avx512_vnni;
