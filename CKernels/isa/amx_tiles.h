// Intel AMX tiles behind a few operations with two bodies: the instructions, and plain C that does what they do.
//
// A kernel written over these is compiled twice: with the instructions for the table, and with CK_SOFTWARE_TILES defined as a twin that any
// machine can run, so its logic is tested where there is no AMX. All state of the plain C body is in the ck_tiles the kernel holds; the other
// body has its state in the thread's registers. Plain C traps where the CPU would raise #UD: on shapes that do not fit each other or a tile
// that was not configured.
//
// There are 8 tiles of up to 16 rows of up to 64 bytes. The instructions take tile numbers as immediates, so numbers must be known after
// inlining: sums are tiles 0 to 3, left operands 4 and 5, right operands 6 and 7. With A of [rows][bytes] and B of [bytes/4][16][4]:
//     int8: C[m][n] += Σ A[m][4k + i] · B[k][n][i]  (int32; both signed)      bf16: C[m][n] += Σ A[m][2k + i] · B[k][n][i]  (float)
// Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1 chapter 18 and volume 2 (LDTILECFG, TDPBSSD, TDPBF16PS).
//
// No include guard: the includer's target and CK_SOFTWARE_TILES decide what these become. Include inside the target region, after
// <immintrin.h>, <string.h> and isa/bits.h.

enum { tile_count = 8, tile_rows = 16, tile_row_bytes = 64, tile_sum = 0, tile_left = 4, tile_right = 6 };

/// The operand of LDTILECFG. Tiles left at 0 rows are not configured.
typedef struct ck_tile_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} ck_tile_shapes;

_Static_assert(sizeof(ck_tile_shapes) == 64, "the CPU reads 64 bytes");

static inline void tile_shape(ck_tile_shapes *shapes, int tile, int rows, int row_bytes) {
    shapes->palette = 1;
    shapes->rows[tile] = (uint8_t)rows;
    shapes->row_bytes[tile] = (uint16_t)row_bytes;
}

#if defined(CK_SOFTWARE_TILES)

#define TILE_CALL static __attribute__((noinline, unused))  // as many copies as there are uses would be large

typedef struct ck_tiles {
    ck_tile_shapes shapes;
    uint8_t bytes[tile_count][tile_rows][tile_row_bytes];
} ck_tiles;

TILE_CALL void tiles_configure(ck_tiles *tiles, const ck_tile_shapes *shapes) {
    if (shapes->palette != 1 || shapes->start_row != 0) __builtin_trap();
    for (int tile = 0; tile < 16; tile++) {
        if (shapes->rows[tile] > (tile < tile_count ? tile_rows : 0) || shapes->row_bytes[tile] > (tile < tile_count ? tile_row_bytes : 0)) __builtin_trap();
        if ((shapes->rows[tile] == 0) != (shapes->row_bytes[tile] == 0)) __builtin_trap();
    }
    tiles->shapes = *shapes;
    memset(tiles->bytes, 0, sizeof tiles->bytes);
}

TILE_CALL void tiles_release(ck_tiles *tiles) { memset(tiles, 0, sizeof *tiles); }

TILE_CALL void tile_zero(ck_tiles *tiles, int tile) {
    if (tiles->shapes.rows[tile] == 0) __builtin_trap();
    memset(tiles->bytes[tile], 0, sizeof tiles->bytes[tile]);
}

TILE_CALL void tile_load(ck_tiles *tiles, int tile, const void *base, size_t stride) {
    tile_zero(tiles, tile);
    for (int row = 0; row < tiles->shapes.rows[tile]; row++) {
        memcpy(tiles->bytes[tile][row], (const uint8_t *)base + stride * (size_t)row, tiles->shapes.row_bytes[tile]);
    }
}

TILE_CALL void tile_store(const ck_tiles *tiles, int tile, void *base, size_t stride) {
    if (tiles->shapes.rows[tile] == 0) __builtin_trap();
    for (int row = 0; row < tiles->shapes.rows[tile]; row++) {
        memcpy((uint8_t *)base + stride * (size_t)row, tiles->bytes[tile][row], tiles->shapes.row_bytes[tile]);
    }
}

// The shapes of a product, or a trap.
static inline void tile_check_product(const ck_tiles *tiles, int sum, int left, int right) {
    const ck_tile_shapes *s = &tiles->shapes;
    if (sum < tile_sum || sum >= tile_left || left < tile_left || left >= tile_right || right < tile_right || right >= tile_count) __builtin_trap();
    if (s->rows[sum] == 0 || s->rows[left] != s->rows[sum] || s->row_bytes[right] != s->row_bytes[sum]) __builtin_trap();
    if (s->row_bytes[left] != 4 * s->rows[right] || s->row_bytes[sum] % 4 != 0) __builtin_trap();
}

TILE_CALL void tile_dot_int8(ck_tiles *tiles, int sum, int left, int right) {
    tile_check_product(tiles, sum, left, right);
    for (int m = 0; m < tiles->shapes.rows[sum]; m++) {
        for (int n = 0; n < tiles->shapes.row_bytes[sum] / 4; n++) {
            uint32_t total;  // wraps as the registers do
            memcpy(&total, &tiles->bytes[sum][m][4 * n], sizeof total);
            for (int k = 0; k < tiles->shapes.row_bytes[left]; k++) {
                total += (uint32_t)((int8_t)tiles->bytes[left][m][k] * (int8_t)tiles->bytes[right][k / 4][4 * n + k % 4]);
            }
            memcpy(&tiles->bytes[sum][m][4 * n], &total, sizeof total);
        }
    }
}

// Denormals are zeros to this instruction, as operands and as results.
static inline float tile_flush(float x) { return (ck_float_to_bits(x) & 0x7f800000u) == 0 ? ck_bits_to_float(ck_float_to_bits(x) & 0x80000000u) : x; }

static inline float tile_bf16(const uint8_t *bytes) {
    uint16_t bits;
    memcpy(&bits, bytes, sizeof bits);
    return tile_flush(ck_bits_to_float((uint32_t)bits << 16));
}

TILE_CALL void tile_dot_bf16(ck_tiles *tiles, int sum, int left, int right) {
    tile_check_product(tiles, sum, left, right);
    for (int m = 0; m < tiles->shapes.rows[sum]; m++) {
        for (int n = 0; n < tiles->shapes.row_bytes[sum] / 4; n++) {
            float halves[2] = {0, 0}, total;  // even and odd k are summed apart
            for (int k = 0; k < tiles->shapes.rows[right]; k++) {
                for (int i = 0; i < 2; i++) {
                    const float a = tile_bf16(&tiles->bytes[left][m][4 * k + 2 * i]), b = tile_bf16(&tiles->bytes[right][k][4 * n + 2 * i]);
                    halves[i] = tile_flush(__builtin_fmaf(a, b, halves[i]));
                }
            }
            memcpy(&total, &tiles->bytes[sum][m][4 * n], sizeof total);
            total = tile_flush(tile_flush(total) + tile_flush(halves[0] + halves[1]));
            memcpy(&tiles->bytes[sum][m][4 * n], &total, sizeof total);
        }
    }
}

#undef TILE_CALL

#else

#define TILE_INLINE static inline __attribute__((always_inline))

typedef struct ck_tiles {
    uint8_t in_registers;  // nothing to hold: the tiles are registers of the thread
} ck_tiles;

#define TILE_EACH(tile, operation) \
    switch (tile) { \
    case 0: operation(0); break; \
    case 1: operation(1); break; \
    case 2: operation(2); break; \
    case 3: operation(3); break; \
    case 4: operation(4); break; \
    case 5: operation(5); break; \
    case 6: operation(6); break; \
    default: operation(7); break; \
    }

TILE_INLINE void tiles_configure(ck_tiles *tiles, const ck_tile_shapes *shapes) {
    tiles->in_registers = 1;
    _tile_loadconfig(shapes);
}

TILE_INLINE void tiles_release(ck_tiles *tiles) {
    tiles->in_registers = 0;
    _tile_release();
}

TILE_INLINE void tile_zero(ck_tiles *tiles, int tile) {
    (void)tiles;
#define TILE_ZERO(number) _tile_zero(number)
    TILE_EACH(tile, TILE_ZERO)
#undef TILE_ZERO
}

TILE_INLINE void tile_load(ck_tiles *tiles, int tile, const void *base, size_t stride) {
    (void)tiles;
#define TILE_LOAD(number) _tile_loadd(number, base, stride)
    TILE_EACH(tile, TILE_LOAD)
#undef TILE_LOAD
}

TILE_INLINE void tile_store(const ck_tiles *tiles, int tile, void *base, size_t stride) {
    (void)tiles;
#define TILE_STORE(number) _tile_stored(number, base, stride)
    TILE_EACH(tile, TILE_STORE)
#undef TILE_STORE
}

#define TILE_PRODUCT(product, sum) \
    case 4 * sum: product(sum, 4, 6); break; \
    case 4 * sum + 1: product(sum, 4, 7); break; \
    case 4 * sum + 2: product(sum, 5, 6); break; \
    case 4 * sum + 3: product(sum, 5, 7); break;
#define TILE_PRODUCTS(product, sum, left, right) \
    switch (4 * (sum) + 2 * ((left) - tile_left) + (right) - tile_right) { \
        TILE_PRODUCT(product, 0) \
        TILE_PRODUCT(product, 1) \
        TILE_PRODUCT(product, 2) \
        TILE_PRODUCT(product, 3) \
    default: __builtin_unreachable(); \
    }

TILE_INLINE void tile_dot_int8(ck_tiles *tiles, int sum, int left, int right) {
    (void)tiles;
    TILE_PRODUCTS(_tile_dpbssd, sum, left, right)
}

TILE_INLINE void tile_dot_bf16(ck_tiles *tiles, int sum, int left, int right) {
    (void)tiles;
    TILE_PRODUCTS(_tile_dpbf16ps, sum, left, right)
}

#undef TILE_PRODUCTS
#undef TILE_PRODUCT
#undef TILE_EACH
#undef TILE_INLINE

#endif

/// Configures every tile as 16 rows of 64 bytes, which is what bf16 products of whole tiles take.
static inline void tiles_configure_whole(ck_tiles *tiles) {
    ck_tile_shapes shapes = {0};
    for (int tile = 0; tile < tile_count; tile++) tile_shape(&shapes, tile, tile_rows, tile_row_bytes);
    tiles_configure(tiles, &shapes);
}
