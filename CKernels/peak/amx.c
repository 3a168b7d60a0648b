// Peak loops on AMX tiles. Tiles 0 to 3 accumulate, 4 and 5 hold the left operands, 6 and 7 the right ones; all of full size, 16 rows of 64 bytes.
// Permission for the tile registers was asked for when the ISA bits were detected (isa/detect.c).
#include "peak/amx.h"

#if defined(__x86_64__)

#include <immintrin.h>

// LDTILECFG operand (Intel SDM volume 1, chapter 18): 64 bytes.
typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_configuration;

_Static_assert(sizeof(tile_configuration) == 64, "the CPU reads 64 bytes");

#pragma clang attribute push(__attribute__((target("amx-tile,amx-int8,amx-bf16"))), apply_to = function)

static void configure(const void *operand) {
    tile_configuration configuration = {.palette = 1};
    for (int tile = 0; tile < 8; tile++) {
        configuration.row_bytes[tile] = 64;
        configuration.rows[tile] = 16;
    }
    _tile_loadconfig(&configuration);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_loadd(4, operand, 64);
    _tile_loadd(5, operand, 64);
    _tile_loadd(6, operand, 64);
    _tile_loadd(7, operand, 64);
}

double ck_peak_amx_int8(uint64_t iterations) {
    _Alignas(64) int8_t operand[1024];
    _Alignas(64) int32_t result[256];
    for (int i = 0; i < 1024; i++) operand[i] = 1;
    configure(operand);
    for (uint64_t n = 0; n < iterations; n++) {
        _tile_dpbssd(0, 4, 6);
        _tile_dpbssd(1, 4, 7);
        _tile_dpbssd(2, 5, 6);
        _tile_dpbssd(3, 5, 7);
    }
    _tile_stored(0, result, 64);
    double total = result[0];
    _tile_stored(3, result, 64);
    _tile_release();
    return total + result[255];
}

double ck_peak_amx_bf16(uint64_t iterations) {
    _Alignas(64) uint16_t operand[512];
    _Alignas(64) float result[256];
    for (int i = 0; i < 512; i++) operand[i] = 0x3f80;
    configure(operand);
    for (uint64_t n = 0; n < iterations; n++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, result, 64);
    double total = result[0];
    _tile_stored(3, result, 64);
    _tile_release();
    return total + result[255];
}

#pragma clang attribute pop

#endif
