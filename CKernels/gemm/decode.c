// GGUF block layouts as the packers read them. Offsets and bit orders follow the GGUF specification's published block structs;
// multi-byte fields are little-endian, as on every machine this runs on, and unaligned, so they are read by memcpy.
#include "gemm/decode.h"

#include "isa/bits.h"

static float half_at(const uint8_t *bytes) {
    uint16_t half;
    memcpy(&half, bytes, sizeof half);
    return ck_half_to_float(half);
}

// MARK: - Blocks of 32

// Low nibbles are elements 0..15, high nibbles 16..31.
static void nibbles(const uint8_t *bytes, uint8_t q[32]) {
    for (int i = 0; i < 16; i++) {
        q[i] = bytes[i] & 15;
        q[i + 16] = bytes[i] >> 4;
    }
}

// The fifth bits of elements 0..31 are the bits of one 32-bit word.
static void fifth_bits(const uint8_t *bytes, uint8_t q[32]) {
    uint32_t bits;
    memcpy(&bits, bytes, sizeof bits);
    for (int i = 0; i < 32; i++) q[i] |= (uint8_t)((bits >> i & 1) << 4);
}

// Q4_0: f16 d, 16 nibble bytes.
static void q4_0_scales(const uint8_t *row, int64_t b, float s[2], float m[2]) { s[0] = half_at(row + 18 * b); }
static void q4_0_quants(const uint8_t *row, int64_t b, uint8_t q[32]) { nibbles(row + 18 * b + 2, q); }

// Q4_1: f16 d, f16 m, 16 nibble bytes.
static void q4_1_scales(const uint8_t *row, int64_t b, float s[2], float m[2]) {
    s[0] = half_at(row + 20 * b);
    m[0] = half_at(row + 20 * b + 2);
}
static void q4_1_quants(const uint8_t *row, int64_t b, uint8_t q[32]) { nibbles(row + 20 * b + 4, q); }

// Q5_0: f16 d, 32 fifth bits, 16 nibble bytes; zero is 16.
static void q5_0_scales(const uint8_t *row, int64_t b, float s[2], float m[2]) { s[0] = half_at(row + 22 * b); }
static void q5_0_quants(const uint8_t *row, int64_t b, uint8_t q[32]) {
    nibbles(row + 22 * b + 6, q);
    fifth_bits(row + 22 * b + 2, q);
}

// Q5_1: f16 d, f16 m, 32 fifth bits, 16 nibble bytes.
static void q5_1_scales(const uint8_t *row, int64_t b, float s[2], float m[2]) {
    s[0] = half_at(row + 24 * b);
    m[0] = half_at(row + 24 * b + 2);
}
static void q5_1_quants(const uint8_t *row, int64_t b, uint8_t q[32]) {
    nibbles(row + 24 * b + 8, q);
    fifth_bits(row + 24 * b + 4, q);
}

// Q8_0: f16 d, 32 int8.
static void q8_0_scales(const uint8_t *row, int64_t b, float s[2], float m[2]) { s[0] = half_at(row + 34 * b); }
static void q8_0_quants(const uint8_t *row, int64_t b, uint8_t q[32]) {
    for (int i = 0; i < 32; i++) q[i] = row[34 * b + 2 + i] ^ 0x80;
}

// IQ4_NL: as Q4_0, nibbles index a code book of int8, which the panel keeps as they are.
// MXFP4: an E8M0 exponent, 16 nibble bytes of E2M1 numbers, here doubled to be integers (so the scale is halved: 2^(e − 128)).
static void mxfp4_scales(const uint8_t *row, int64_t b, float s[2], float m[2]) {
    s[0] = ck_mxfp4_scale(row[17 * b]);
}
static void mxfp4_quants(const uint8_t *row, int64_t b, uint8_t q[32]) { nibbles(row + 17 * b + 1, q); }

// MARK: - Super-blocks of 256: `part` is the 32-block inside

// The 6-bit scale and minimum number j (0..7) of Q4_K and Q5_K, packed into 12 bytes.
static void six_bit_pair(const uint8_t *p, int64_t j, int *scale, int *minimum) {
    if (j < 4) {
        *scale = p[j] & 63;
        *minimum = p[j + 4] & 63;
    } else {
        *scale = (p[j + 4] & 15) | (p[j - 4] >> 6) << 4;
        *minimum = (p[j + 4] >> 4) | (p[j] >> 6) << 4;
    }
}

static void pair_scales(const uint8_t *block, int64_t part, float s[2], float m[2]) {
    int scale, minimum;
    six_bit_pair(block + 4, part, &scale, &minimum);
    s[0] = half_at(block) * (float)scale;
    m[0] = -(half_at(block + 2) * (float)minimum);
}

// Q4_K: f16 d, f16 dmin, 12 bytes of 6-bit pairs, 128 nibble bytes; 32 bytes hold part 2i (low) and 2i + 1 (high).
static void q4_k_scales(const uint8_t *row, int64_t b, float s[2], float m[2]) { pair_scales(row + 144 * (b / 8), b % 8, s, m); }
static void q4_k_quants(const uint8_t *row, int64_t b, uint8_t q[32]) {
    const uint8_t *qs = row + 144 * (b / 8) + 16 + 32 * (b % 8 / 2);
    const int shift = b % 2 ? 4 : 0;
    for (int i = 0; i < 32; i++) q[i] = qs[i] >> shift & 15;
}

// Q5_K: as Q4_K with 32 bytes of fifth bits (bit = part) before the nibbles.
static void q5_k_scales(const uint8_t *row, int64_t b, float s[2], float m[2]) { pair_scales(row + 176 * (b / 8), b % 8, s, m); }
static void q5_k_quants(const uint8_t *row, int64_t b, uint8_t q[32]) {
    const uint8_t *block = row + 176 * (b / 8), *qh = block + 16, *qs = block + 48 + 32 * (b % 8 / 2);
    const int shift = b % 2 ? 4 : 0, part = (int)(b % 8);
    for (int i = 0; i < 32; i++) q[i] = (uint8_t)((qs[i] >> shift & 15) | (qh[i] >> part & 1) << 4);
}

// Q2_K: 16 bytes of (4-bit scale, 4-bit minimum), 64 bytes of 2-bit numbers, f16 d, f16 dmin. A byte serves four parts of 32.
static void q2_k_scales(const uint8_t *row, int64_t b, float s[2], float m[2]) {
    const uint8_t *block = row + 84 * (b / 8);
    for (int half = 0; half < 2; half++) {
        const uint8_t pair = block[2 * (b % 8) + half];
        s[half] = half_at(block + 80) * (float)(pair & 15);
        m[half] = -(half_at(block + 82) * (float)(pair >> 4));
    }
}
static void q2_k_quants(const uint8_t *row, int64_t b, uint8_t q[32]) {
    const uint8_t *qs = row + 84 * (b / 8) + 16 + 32 * (b % 8 / 4);
    const int shift = 2 * (int)(b % 4);
    for (int i = 0; i < 32; i++) q[i] = qs[i] >> shift & 3;
}

// Q3_K: 32 bytes of third bits (bit = part, clear means minus 4), 64 bytes of 2-bit numbers, 16 6-bit scales (zero 32) in 12 bytes, f16 d.
static void q3_k_scales(const uint8_t *row, int64_t b, float s[2], float m[2]) {
    const uint8_t *block = row + 110 * (b / 8), *packed = block + 96;
    for (int half = 0; half < 2; half++) {
        const int i = 2 * (int)(b % 8) + half;
        const int low = i < 8 ? packed[i] & 15 : packed[i - 8] >> 4, high = packed[8 + i % 4] >> (2 * (i / 4)) & 3;
        s[half] = half_at(block + 108) * (float)((low | high << 4) - 32);
    }
}
static void q3_k_quants(const uint8_t *row, int64_t b, uint8_t q[32]) {
    const uint8_t *block = row + 110 * (b / 8), *qs = block + 32 + 32 * (b % 8 / 4);
    const int shift = 2 * (int)(b % 4), part = (int)(b % 8);
    for (int i = 0; i < 32; i++) q[i] = (uint8_t)((qs[i] >> shift & 3) | (block[i] >> part & 1) << 2);
}

// Q6_K: 128 bytes of low nibbles, 64 bytes of high pairs, 16 int8 scales, f16 d; zero is 32. Each half of 128 elements uses 64 + 32 bytes.
static void q6_k_scales(const uint8_t *row, int64_t b, float s[2], float m[2]) {
    const uint8_t *block = row + 210 * (b / 8);
    for (int half = 0; half < 2; half++) s[half] = half_at(block + 208) * (float)(int8_t)block[192 + 2 * (b % 8) + half];
}
static void q6_k_quants(const uint8_t *row, int64_t b, uint8_t q[32]) {
    const int part = (int)(b % 4);
    const uint8_t *block = row + 210 * (b / 8);
    const uint8_t *low = block + 64 * (b % 8 / 4) + 32 * (part & 1), *high = block + 128 + 32 * (b % 8 / 4);
    for (int i = 0; i < 32; i++) q[i] = (uint8_t)((low[i] >> (4 * (part >> 1)) & 15) | (high[i] >> (2 * part) & 3) << 4);
}

// IQ4_XS: f16 d, 16 high scale bits pairs, 4 bytes of low scale nibbles (zero 32), 128 nibble bytes of the IQ4 code book.
static void iq4_xs_scales(const uint8_t *row, int64_t b, float s[2], float m[2]) {
    const uint8_t *block = row + 136 * (b / 8);
    const int part = (int)(b % 8), high = (block[2] | block[3] << 8) >> (2 * part) & 3, low = block[4 + part / 2] >> (4 * (part % 2)) & 15;
    s[0] = half_at(block) * (float)((low | high << 4) - 32);
}
static void iq4_xs_quants(const uint8_t *row, int64_t b, uint8_t q[32]) { nibbles(row + 136 * (b / 8) + 8 + 16 * (b % 8), q); }

// TQ1_0: base-3 digits, five to a byte (48 bytes) then four to a byte (4 bytes), f16 d. Digit n of byte v is ((v · 3^n mod 256) · 3) >> 8.
static void tq1_0_scales(const uint8_t *row, int64_t b, float s[2], float m[2]) { s[0] = half_at(row + 54 * (b / 8) + 52); }
static void tq1_0_quants(const uint8_t *row, int64_t b, uint8_t q[32]) {
    static const uint8_t power[5] = {1, 3, 9, 27, 81};
    const uint8_t *block = row + 54 * (b / 8);
    for (int i = 0; i < 32; i++) {
        const int e = 32 * (int)(b % 8) + i;
        int byte, digit;
        if (e < 160) {
            byte = e % 32;
            digit = e / 32;
        } else if (e < 240) {
            byte = 32 + (e - 160) % 16;
            digit = (e - 160) / 16;
        } else {
            byte = 48 + (e - 240) % 4;
            digit = (e - 240) / 4;
        }
        const uint8_t shifted = (uint8_t)(block[byte] * power[digit]);
        q[i] = (uint8_t)(shifted * 3 >> 8);
    }
}

// TQ2_0: 64 bytes of 2-bit numbers (zero 1), f16 d.
static void tq2_0_scales(const uint8_t *row, int64_t b, float s[2], float m[2]) { s[0] = half_at(row + 66 * (b / 8) + 64); }
static void tq2_0_quants(const uint8_t *row, int64_t b, uint8_t q[32]) {
    const uint8_t *qs = row + 66 * (b / 8) + 32 * (b % 8 / 4);
    const int shift = 2 * (int)(b % 4);
    for (int i = 0; i < 32; i++) q[i] = qs[i] >> shift & 3;
}

static const ck_block_reader readers[] = {
    {CK_WEIGHT_Q4_0, CK_PANEL_Q4, 32, 18, true, 2, q4_0_scales, q4_0_quants},
    {CK_WEIGHT_Q4_1, CK_PANEL_Q4M, 32, 20, true, 4, q4_1_scales, q4_1_quants},
    {CK_WEIGHT_Q5_0, CK_PANEL_Q5, 32, 22, true, -1, q5_0_scales, q5_0_quants},
    {CK_WEIGHT_Q5_1, CK_PANEL_Q5M, 32, 24, true, -1, q5_1_scales, q5_1_quants},
    {CK_WEIGHT_Q8_0, CK_PANEL_Q8, 32, 34, true, -1, q8_0_scales, q8_0_quants},
    {CK_WEIGHT_IQ4_NL, CK_PANEL_IQ4, 32, 18, true, 2, q4_0_scales, q4_0_quants},
    {CK_WEIGHT_MXFP4, CK_PANEL_MXFP4, 32, 17, false, 1, mxfp4_scales, mxfp4_quants},
    {CK_WEIGHT_Q2_K, CK_PANEL_Q2S16M, 256, 84, false, -1, q2_k_scales, q2_k_quants},
    {CK_WEIGHT_Q3_K, CK_PANEL_Q3S16, 256, 110, false, -1, q3_k_scales, q3_k_quants},
    {CK_WEIGHT_Q4_K, CK_PANEL_Q4M, 256, 144, false, -1, q4_k_scales, q4_k_quants},
    {CK_WEIGHT_Q5_K, CK_PANEL_Q5M, 256, 176, false, -1, q5_k_scales, q5_k_quants},
    {CK_WEIGHT_Q6_K, CK_PANEL_Q6S16, 256, 210, false, -1, q6_k_scales, q6_k_quants},
    {CK_WEIGHT_IQ4_XS, CK_PANEL_IQ4, 256, 136, false, -1, iq4_xs_scales, iq4_xs_quants},
    {CK_WEIGHT_TQ1_0, CK_PANEL_Q2, 256, 54, true, -1, tq1_0_scales, tq1_0_quants},
    {CK_WEIGHT_TQ2_0, CK_PANEL_Q2, 256, 66, true, -1, tq2_0_scales, tq2_0_quants},
};

const ck_block_reader *ck_block_reader_for(ck_weight_type type) {
    for (size_t i = 0; i < sizeof readers / sizeof readers[0]; i++) {
        if (readers[i].type == type) return &readers[i];
    }
    return 0;
}
