// The table of convolution sets, best first, and its look-up.
#include "conv/sets.h"

static const ck_conv_set *const sets[] = {
#if defined(__x86_64__)
    &ck_conv_avx512,
    &ck_conv_avx2,
#elif defined(__aarch64__)
    &ck_conv_neon,
#endif
    &ck_conv_scalar,
};

enum { set_count = sizeof sets / sizeof sets[0] };

size_t ck_conv_set_count(void) { return set_count; }

const ck_conv_set *ck_conv_set_at(size_t index) { return index < set_count ? sets[index] : 0; }

const ck_conv_set *ck_conv_find(uint32_t isa_mask) {
    for (int i = 0; i < set_count; i++) {
        if ((sets[i]->isa & ~isa_mask) == 0) return sets[i];
    }
    return &ck_conv_scalar;
}
