// Fine sums in plain C, the specification.
#include "isa/bits.h"
#include "split/layout.h"
#include "split/rows.h"

static float fine_sum(const ck_split_args *args, const void *fine) {
    const int8_t *high = args->activations, *low = high + ck_activation_low_offset(args->k);
    const ck_activation_block *record = (const void *)((const uint8_t *)args->activations + ck_activation_block_offset(args->activation, args->k));
    float sum = 0;
    for (int64_t b = 0; b < args->k / CK_BLOCK; b++) {
        const uint8_t *pair = ck_split_pair(fine, args->k, b / 2);
        int32_t part = 0;
        for (int i = 0; i < CK_BLOCK; i++) {
            const int64_t place = CK_BLOCK * b + i;
            const int q = args->activation == CK_ACT_Q15 ? 128 * high[place] + low[place] : high[place];
            part += ((pair[i] >> (b % 2 ? 4 : 0) & 15) - ck_split_zero) * q;
        }
        sum += (float)part * (record[b].scale * ck_half_to_float(ck_split_scales(fine)[b]));
    }
    return sum;
}

static void refine(const ck_split_args *args) {
    for (int64_t row = 0; row < args->count; row++) {
        if (!(args->sums[row] + args->norms[row] * args->reach >= args->threshold)) continue;
        args->sums[row] += fine_sum(args, (const uint8_t *)args->fine + ck_split_fine_bytes(args->k) * (size_t)row);
    }
}

const ck_split_row ck_split_scalar = {.name = "split_scalar", .isa = 0, .refine = refine, .pays = 0};
