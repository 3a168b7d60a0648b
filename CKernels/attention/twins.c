// The list of twins: see ckernels/attention.h. Apart from the table, so that a program without tests links none of them.
#include "attention/rows.h"

static const ck_attention_row *const twins[] = {
    &ck_attention_amx_software,
#if defined(__x86_64__)
    &ck_attention_amx_software_avx512,
#endif
};

enum { twin_count = sizeof twins / sizeof twins[0] };

size_t ck_attention_twin_count(void) { return twin_count; }

const ck_attention_row *ck_attention_twin_at(size_t index) { return index < twin_count ? twins[index] : 0; }
