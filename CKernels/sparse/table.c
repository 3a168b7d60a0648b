// The table of sparse kernels: groups of rows, best instruction set first, scalar last, and its look-ups.
#include "sparse/rows.h"

static const ck_sparse_group *const groups[] = {
#if defined(__x86_64__)
    &ck_sparse_avx512_vbmi2,
    &ck_sparse_blocks_avx512_vnni,
    &ck_sparse_avx2,
    &ck_sparse_blocks_avx2,
#endif
    &ck_sparse_scalar,
};

enum { group_count = sizeof groups / sizeof groups[0] };

size_t ck_sparse_row_count(void) {
    size_t count = 0;
    for (int g = 0; g < group_count; g++) count += groups[g]->count;
    return count;
}

const ck_sparse_row *ck_sparse_row_at(size_t index) {
    for (int g = 0; g < group_count; g++) {
        if (index < groups[g]->count) return &groups[g]->rows[index];
        index -= groups[g]->count;
    }
    return 0;
}

const ck_sparse_row *ck_sparse_find(ck_sparse_format format, ck_activation_format activation, uint32_t isa_mask) {
    for (int g = 0; g < group_count; g++) {
        for (size_t i = 0; i < groups[g]->count; i++) {
            const ck_sparse_row *row = &groups[g]->rows[i];
            if (row->format == format && row->activation == activation && (row->isa & ~isa_mask) == 0) return row;
        }
    }
    return 0;
}
