// The list of twins: see ckernels/linear.h. Apart from the table, so that a program without tests links none of them.
#include "gemm/rows.h"

static const ck_linear_group *const twin_groups[] = {
    &ck_linear_amx_software,
#if defined(__x86_64__)
    &ck_linear_amx_software_avx512,
    &ck_linear_avx_vnni_evex,
#endif
};

enum { twin_group_count = sizeof twin_groups / sizeof twin_groups[0] };

size_t ck_linear_twin_count(void) {
    size_t count = 0;
    for (int g = 0; g < twin_group_count; g++) count += twin_groups[g]->count;
    return count;
}

const ck_linear_row *ck_linear_twin_at(size_t index) {
    for (int g = 0; g < twin_group_count; g++) {
        if (index < twin_groups[g]->count) return &twin_groups[g]->rows[index];
        index -= twin_groups[g]->count;
    }
    return 0;
}
