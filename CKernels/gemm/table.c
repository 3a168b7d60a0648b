// The kernel tables of the linear family: groups of rows, best instruction set first, scalar last, and their look-ups.
// A new kernel is a function and a row in its instruction set's file; a new instruction set is one more group here.
#include "gemm/rows.h"

static const ck_linear_group *const linear_groups[] = {
#if defined(__x86_64__)
    &ck_linear_amx,
    &ck_linear_avx512_vnni,
    &ck_linear_dense_avx512,
    &ck_linear_avx_vnni,
    &ck_linear_avx2,
    &ck_linear_dense_avx2,
#elif defined(__aarch64__)
    &ck_linear_i8mm,
    &ck_linear_dotprod,
    &ck_linear_dense_neon,
#endif
    &ck_linear_scalar,
};

static const ck_quantize_group *const quantize_groups[] = {
#if defined(__x86_64__)
    &ck_quantize_avx512,
    &ck_quantize_avx2,
#elif defined(__aarch64__)
    &ck_quantize_neon,
#endif
    &ck_quantize_scalar,
};

enum {
    linear_group_count = sizeof linear_groups / sizeof linear_groups[0],
    quantize_group_count = sizeof quantize_groups / sizeof quantize_groups[0],
};

size_t ck_linear_row_count(void) {
    size_t count = 0;
    for (int g = 0; g < linear_group_count; g++) count += linear_groups[g]->count;
    return count;
}

const ck_linear_row *ck_linear_row_at(size_t index) {
    for (int g = 0; g < linear_group_count; g++) {
        if (index < linear_groups[g]->count) return &linear_groups[g]->rows[index];
        index -= linear_groups[g]->count;
    }
    return 0;
}

const ck_linear_row *ck_linear_find(ck_panel_format panel, ck_activation_format activation, uint32_t isa_mask, int64_t rows) {
    for (int g = 0; g < linear_group_count; g++) {
        for (size_t i = 0; i < linear_groups[g]->count; i++) {
            const ck_linear_row *row = &linear_groups[g]->rows[i];
            if (row->panel == panel && row->activation == activation && (row->isa & ~isa_mask) == 0 && rows >= row->minimum_rows && rows <= row->maximum_rows) return row;
        }
    }
    return 0;
}

size_t ck_quantize_row_count(void) {
    size_t count = 0;
    for (int g = 0; g < quantize_group_count; g++) count += quantize_groups[g]->count;
    return count;
}

const ck_quantize_row *ck_quantize_row_at(size_t index) {
    for (int g = 0; g < quantize_group_count; g++) {
        if (index < quantize_groups[g]->count) return &quantize_groups[g]->rows[index];
        index -= quantize_groups[g]->count;
    }
    return 0;
}

const ck_quantize_row *ck_quantize_find(ck_activation_format activation, uint32_t isa_mask) {
    for (int g = 0; g < quantize_group_count; g++) {
        for (size_t i = 0; i < quantize_groups[g]->count; i++) {
            const ck_quantize_row *row = &quantize_groups[g]->rows[i];
            if (row->activation == activation && (row->isa & ~isa_mask) == 0) return row;
        }
    }
    return 0;
}
