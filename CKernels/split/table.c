// The table of split products, best instruction set first, scalar last, and its look-up.
#include "split/rows.h"

static const ck_split_row *const rows[] = {
#if defined(__x86_64__)
    &ck_split_avx512_vnni,
    &ck_split_avx2,
#endif
    &ck_split_scalar,
};

enum { row_count = sizeof rows / sizeof rows[0] };

size_t ck_split_row_count(void) { return row_count; }

const ck_split_row *ck_split_row_at(size_t index) { return index < row_count ? rows[index] : 0; }

const ck_split_row *ck_split_find(uint32_t isa_mask) {
    for (size_t i = 0; i < row_count; i++) {
        if ((rows[i]->isa & ~isa_mask) == 0) return rows[i];
    }
    return &ck_split_scalar;
}
