// The table of vector sets, best first, and its look-up.
#include "vector/sets.h"

static const ck_vector_set *const sets[] = {
#if defined(__x86_64__)
    &ck_vector_avx512,
    &ck_vector_avx2,
#elif defined(__aarch64__)
    &ck_vector_neon,
#endif
    &ck_vector_scalar,
};

enum { set_count = sizeof sets / sizeof sets[0] };

size_t ck_vector_set_count(void) { return set_count; }

const ck_vector_set *ck_vector_set_at(size_t index) { return index < set_count ? sets[index] : 0; }

const ck_vector_set *ck_vector_find(uint32_t isa_mask) {
    for (int i = 0; i < set_count; i++) {
        if ((sets[i]->isa & ~isa_mask) == 0) return sets[i];
    }
    return &ck_vector_scalar;
}
