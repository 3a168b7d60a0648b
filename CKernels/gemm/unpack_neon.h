// The planes of an integer panel's block (ckernels/linear.h) to signed numbers, Arm. Included inside a target region, after <arm_neon.h>.
#pragma once

#include "gemm/layout.h"

/// Bits of every byte moved up by `shift` (down when negative) and masked.
static inline __attribute__((always_inline)) uint8x16_t ck_moved_bits_neon(uint8x16_t line, int shift, int mask) {
    return vandq_u8(vshlq_u8(line, vdupq_n_s8((int8_t)shift)), vdupq_n_u8((uint8_t)mask));
}

/// What the numbers of `ck_numbers_neon` still need, as a multiple of the activation sum: 8-bit levels and code books are signed already.
static inline __attribute__((always_inline)) int ck_numbers_offset(ck_panel_format format) {
    return ck_panel_low_bits(format) == 8 || ck_panel_code_book(format) ? 0 : -ck_panel_zero(format);
}

/// Group `group` of the block whose planes start at `quants`, output rows 4·quarter to 4·quarter + 3: 32-bit lane n holds 4 consecutive k of row
/// 4·quarter + n. Levels below 128 as they are, 8-bit levels less 128, code books' own numbers.
static inline __attribute__((always_inline)) int8x16_t ck_numbers_neon(const uint8_t *quants, ck_panel_format format, int group, int quarter) {
    const int low_bits = ck_panel_low_bits(format), high_bits = ck_panel_high_bits(format);
    const uint8_t *low = quants + 16 * quarter, *high = low + ck_panel_high_offset(format);
    if (low_bits == 8) return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(low + 64 * group), vdupq_n_u8(0x80)));
    uint8x16_t levels;
    if (low_bits == 4) {
        const uint8x16_t line = vld1q_u8(low + 64 * (group % 4));
        levels = group < 4 ? vandq_u8(line, vdupq_n_u8(15)) : vshrq_n_u8(line, 4);
    } else {
        levels = ck_moved_bits_neon(vld1q_u8(low + 64 * (group / 4)), -(group % 4 * 2), 3);
    }
    if (high_bits == 1) {
        levels = vorrq_u8(levels, ck_moved_bits_neon(vld1q_u8(high), low_bits - group, 1 << low_bits));
    } else if (high_bits == 2) {
        levels = vorrq_u8(levels, ck_moved_bits_neon(vld1q_u8(high + 64 * (group / 4)), low_bits - group % 4 * 2, 3 << low_bits));
    }
    if (ck_panel_code_book(format)) return vqtbl1q_s8(vld1q_s8(ck_panel_code_book(format)), levels);
    return vreinterpretq_s8_u8(levels);
}
