// Dense-panel linear kernels over the vector vocabulary (isa/simd.h): f32, f16 and bf16 weights, f32 activations, f32 sums.
//
// A register tile is one panel (16 outputs = 16/lanes vectors) by `count` activation rows; each step of k loads the panel's 16 weights once
// and multiplies them by one broadcast activation a row. Steps of two k, because bf16 panels are interleaved in pairs; with few rows
// two sums a row, even and odd k, hide the latency of the multiply-add.
// Included inside an instruction set's target region, after its simd header; the includer sets dense_row_tile (8 or 4).

enum { dense_vectors = CK_PANEL_ROWS / lanes };

// The 16 weights of k and of k + 1.
CK_INLINE void dense_pair(const uint8_t *panel, int64_t k, ck_panel_format format, vf even[dense_vectors], vf odd[dense_vectors]) {
#pragma clang loop unroll(full)
    for (int v = 0; v < dense_vectors; v++) {
        if (format == CK_PANEL_F32) {
            const float *weights = (const float *)(const void *)panel + k * CK_PANEL_ROWS + v * lanes;
            even[v] = v_load(weights);
            odd[v] = v_load(weights + CK_PANEL_ROWS);
        } else if (format == CK_PANEL_F16) {
            const uint16_t *weights = (const uint16_t *)(const void *)panel + k * CK_PANEL_ROWS + v * lanes;
            even[v] = v_load_f16(weights);
            odd[v] = v_load_f16(weights + CK_PANEL_ROWS);
        } else {
            vu pairs;  // a lane holds bf16 k in its low half and bf16 k + 1 in its high half
            memcpy(&pairs, panel + 2 * (k * CK_PANEL_ROWS + 2 * v * lanes), sizeof pairs);
            even[v] = (vf)(pairs << 16);
            odd[v] = (vf)(pairs & 0xffff0000u);
        }
    }
}

CK_INLINE void dense_tile(const ck_linear_args *args, const uint8_t *panel, int64_t first_row, int64_t column, ck_panel_format format, int count) {
    const int64_t k = args->k, valid = args->columns - column;
    const uint8_t *activations = (const uint8_t *)args->activations + args->activation_stride_bytes * (size_t)first_row;
    vf even_total[dense_row_tile][dense_vectors], odd_total[dense_row_tile][dense_vectors];
#pragma clang loop unroll(full)
    for (int m = 0; m < count; m++) {
#pragma clang loop unroll(full)
        for (int v = 0; v < dense_vectors; v++) even_total[m][v] = odd_total[m][v] = (vf){0};
    }
    const size_t line_bytes = format == CK_PANEL_F32 ? 128 : 64;
    int64_t i = 0;
    for (; i + 2 <= k; i += 2) {
        // The first pass over a panel fetches what comes behind it: with one row a little ahead, with more, which take their time, the next panel.
        if (first_row == 0) {
            const size_t ahead = count == 1 ? 2048 : args->panel_stride_bytes;
            for (size_t line = 0; line < line_bytes; line += 64) __builtin_prefetch(panel + line_bytes * (size_t)(i / 2) + line + ahead);
        }
        vf even[dense_vectors], odd[dense_vectors];
        dense_pair(panel, i, format, even, odd);
#pragma clang loop unroll(full)
        for (int m = 0; m < count; m++) {
            const float *activation = (const float *)(const void *)(activations + args->activation_stride_bytes * (size_t)m) + i;
            const vf first = v_set(activation[0]), second = v_set(activation[1]);
#pragma clang loop unroll(full)
            for (int v = 0; v < dense_vectors; v++) {
                even_total[m][v] = v_fma(even[v], first, even_total[m][v]);
                // One chain a row is enough to keep the multipliers busy once there are several rows, and leaves registers for them.
                if (count <= 2) odd_total[m][v] = v_fma(odd[v], second, odd_total[m][v]);
                else even_total[m][v] = v_fma(odd[v], second, even_total[m][v]);
            }
        }
    }
    if (i < k) {  // the panel is padded, the activation row is not
        vf even[dense_vectors], odd[dense_vectors];
        dense_pair(panel, i, format, even, odd);
#pragma clang loop unroll(full)
        for (int m = 0; m < count; m++) {
            const vf first = v_set(((const float *)(const void *)(activations + args->activation_stride_bytes * (size_t)m))[i]);
#pragma clang loop unroll(full)
            for (int v = 0; v < dense_vectors; v++) even_total[m][v] = v_fma(even[v], first, even_total[m][v]);
        }
    }
#pragma clang loop unroll(full)
    for (int m = 0; m < count; m++) {
        float *output = args->output + (first_row + m) * args->output_stride + column;
#pragma clang loop unroll(full)
        for (int v = 0; v < dense_vectors; v++) {
            const vf total = even_total[m][v] + odd_total[m][v];
            if (valid >= (v + 1) * lanes) v_store(output + v * lanes, total);
            else if (valid > v * lanes) v_store_n(output + v * lanes, total, valid - v * lanes);
        }
    }
}

CK_INLINE void dense(const ck_linear_args *args, ck_panel_format format) {
    for (int64_t p = 0; p < args->panel_count; p++) {
        const uint8_t *panel = (const uint8_t *)args->panels + args->panel_stride_bytes * (size_t)p;
        const int64_t column = p * CK_PANEL_ROWS;
        int64_t m = 0;
        for (; m + dense_row_tile <= args->rows; m += dense_row_tile) dense_tile(args, panel, m, column, format, dense_row_tile);
        if (dense_row_tile > 4 && args->rows - m >= 4) {
            dense_tile(args, panel, m, column, format, 4);
            m += 4;
        }
        if (args->rows - m >= 2) {
            dense_tile(args, panel, m, column, format, 2);
            m += 2;
        }
        if (args->rows - m >= 1) dense_tile(args, panel, m, column, format, 1);
    }
}

static void dense_f32(const ck_linear_args *args) { dense(args, CK_PANEL_F32); }
static void dense_f16(const ck_linear_args *args) { dense(args, CK_PANEL_F16); }
static void dense_bf16(const ck_linear_args *args) { dense(args, CK_PANEL_BF16); }
