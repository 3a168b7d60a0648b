// Integer-panel linear kernels on AMX int8 tiles, for 16 activation rows at a time. Same bits as linear_scalar.c.
//
// A chunk of one panel is unpacked once into signed bytes, level − zero (the M formats have no zero and no level above 127), in which each
// 32-block is a ready B tile: 8 groups of 64 bytes. So products are signed by signed, and there is no zero point to take off the sums. A tiles
// are 16 activation rows × 32 bytes straight from the quantised rows. Scales change every 32 k, so every block's sums leave the tile for memory
// and are scaled into 16 float registers, the sums of the whole chunk; between chunks those wait in the output.
//
// Bound, cycles for 16 rows × 16 outputs × 32 k on a core that does a tile product in 16 cycles whatever its depth, two 512-bit operations, two
// 64-byte loads and one 64-byte store a cycle (the figures of Sapphire Rapids; a panel's unpacking is shared by all rows and left out):
//                                      tiles    vector work            loads             stores    bound    VNNI-512
//     one 8-bit term                      16    16·3/2 = 24            (32 + 16 + 8)/2 = 28  16       28     (128 + 16·3)/2 = 88
//     two 8-bit terms                     32    16·5/2 = 40            (48 + 32 + 8)/2 = 44  32       44     (256 + 16·5)/2 = 168
//     the M formats: 8 more of vector work and 8 more of loads (the block's sums); S16: all twice but the B tile.
// Vector work a row: convert, scale · scale, multiply-add; two terms: shift and add before them. Loads: 16 rows of sums a term and 16 activation
// scales, the A tile (16 rows a term), the B tile (8 rows).
// Compare linear_amx_bf16_body.h, where nothing leaves the tiles until the end but panels turn into bf16 first.
//
// Products of the next block are issued before this block's sums are scaled, so that the tile unit works while the vectors do.
// Row tails: the last tile begins 16 rows before the end and only its new rows are stored; fewer than 16 rows make lower tiles.
//
// Included inside a target region, after isa/simd.h with 16 lanes and isa/amx_tiles.h; the includer provides
//     unpack_levels(quants, format, levels[512])   the levels of a block (gemm/layout.h), 8 groups of 64 bytes
//     AMX_INLINE, AMX_UNROLL   what makes format and counts constants: forced inlining and full unrolling; a twin need not be large to be right

enum {
    amx_chunk_blocks = 16,  // 32-blocks unpacked at a time: 8 KiB
    amx_row_block = 64,     // activation rows whose scales are gathered at a time
};

typedef uint8_t vb __attribute__((vector_size(64)));

// What the kernel keeps on its stack: about 30 KiB.
typedef struct amx_int8_scratch {
    _Alignas(64) uint8_t weights[amx_chunk_blocks][512];
    _Alignas(64) int32_t sums[2][4][tile_rows][16];  // by parity of the block and by product
    _Alignas(64) float scale[amx_chunk_blocks][amx_row_block];
    _Alignas(64) float scaled_sum[amx_chunk_blocks][2][amx_row_block];
} amx_int8_scratch;

AMX_INLINE void amx_unpack_chunk(const uint8_t *blocks, int64_t count, ck_panel_format format, amx_int8_scratch *scratch) {
    for (int64_t b = 0; b < count; b++) {
        uint8_t *weights = scratch->weights[b];
        unpack_levels(blocks + ck_panel_block_bytes(format) * (size_t)b + ck_panel_quant_offset(format), format, weights);
        if (ck_panel_has_minimum(format)) continue;
        AMX_UNROLL
        for (int g = 0; g < 8; g++) {
            vb levels;
            memcpy(&levels, weights + 64 * g, sizeof levels);
            levels -= (uint8_t)ck_panel_zero(format);
            memcpy(weights + 64 * g, &levels, sizeof levels);
        }
    }
}

// The first row of the tile at `row`: full tiles overlap the one before rather than reach past the last row.
AMX_INLINE int64_t amx_tile_start(int64_t row, int64_t rows) { return row + tile_rows <= rows || rows < tile_rows ? row : rows - tile_rows; }

// Scales (and scaled sums) of a chunk, one line a block, in the order of the tiles' rows.
static void amx_gather_records(const ck_linear_args *args, int64_t first_row, int64_t end_row, int64_t first_block, int64_t blocks, ck_panel_format format, ck_activation_format terms, amx_int8_scratch *scratch) {
    const size_t offset = ck_activation_block_offset(terms, args->k);
    for (int64_t row = first_row; row < end_row; row += tile_rows) {
        const int64_t start = amx_tile_start(row, args->rows);
        for (int64_t m = 0; m < tile_rows; m++) {
            const int64_t slot = row - first_row + m;
            if (start + m >= args->rows) {
                for (int64_t b = 0; b < blocks; b++) scratch->scale[b][slot] = scratch->scaled_sum[b][0][slot] = scratch->scaled_sum[b][1][slot] = 0;
                continue;
            }
            const uint8_t *activation = (const uint8_t *)args->activations + args->activation_stride_bytes * (size_t)(start + m);
            const ck_activation_block *record = (const ck_activation_block *)(const void *)(activation + offset) + first_block;
            for (int64_t b = 0; b < blocks; b++) {
                scratch->scale[b][slot] = record[b].scale;
                if (!ck_panel_has_minimum(format)) continue;
                scratch->scaled_sum[b][0][slot] = ck_panel_parts(format) == 2 ? record[b].scaled_half_sum[0] : record[b].scaled_sum;
                if (ck_panel_parts(format) == 2) scratch->scaled_sum[b][1][slot] = record[b].scaled_half_sum[1];
            }
        }
    }
}

// What a tile's code depends on: scales a block, whether there are minimums, terms of an activation, rows to scale.
typedef struct amx_int8_kind {
    int parts;
    bool has_minimum;
    int terms, rows;
} amx_int8_kind;

// The tile products of one block, stored to the buffers of its parity: part by part, high term before low.
AMX_INLINE void amx_products(ck_tiles *tiles, const uint8_t *activation, size_t stride, size_t low_offset, const uint8_t *weights, amx_int8_kind kind, int parity, int32_t sums[4][tile_rows][16]) {
    const int parts = kind.parts, term_count = kind.terms;
    AMX_UNROLL
    for (int part = 0; part < parts; part++) {
        const int right = tile_right + (parts == 2 ? part : parity);
        tile_load(tiles, right, weights + 512 / parts * part, 64);
        AMX_UNROLL
        for (int term = 0; term < term_count; term++) {
            const int sum = tile_sum + 2 * (parts == 2 ? part : parity) + term, left = tile_left + (term_count == 2 ? term : parts == 2 ? part : parity);
            tile_load(tiles, left, activation + low_offset * (size_t)term + CK_BLOCK / parts * part, stride);
            tile_zero(tiles, sum);
            tile_dot_int8(tiles, sum, left, right);
            tile_store(tiles, sum, sums[2 * part + term], 64);
        }
    }
}

// Scales the sums of a block into the totals of its rows from `first` on.
AMX_INLINE void amx_scale_block(const int32_t (*sums)[tile_rows][16], int first, const uint8_t *block, const float *scales, const float *scaled_sums, amx_int8_kind kind, vf total[]) {
    const int parts = kind.parts, count = kind.rows;
    const int32_t *rows = sums[0][first];
    __asm__("" : "+r"(rows));  // one register and offsets: else the address of every row is kept, in memory, across the loop
    AMX_UNROLL
    for (int part = 0; part < parts; part++) {
        if (part == 1) __asm__("" : "+r"(rows) : : "memory");  // or the products of both parts' scales would need 32 registers at once
        const vf weight_scale = v_load_f16((const uint16_t *)(const void *)(block + 32 * part));
        AMX_UNROLL
        for (int m = 0; m < count; m++) {
            vi exact;
            memcpy(&exact, rows + (2 * part * tile_rows + m) * 16, sizeof exact);
            if (kind.terms == 2) {
                vi low;
                memcpy(&low, rows + ((2 * part + 1) * tile_rows + m) * 16, sizeof low);
                exact = (exact << 7) + low;
            }
            total[m] = v_fma(__builtin_convertvector(exact, vf), weight_scale * v_set(scales[m]), total[m]);
        }
    }
    AMX_UNROLL
    for (int part = 0; part < parts; part++) {
        if (!kind.has_minimum) continue;
        const vf minimum = v_load_f16((const uint16_t *)(const void *)(block + 32 * (parts + part)));
        AMX_UNROLL
        for (int m = 0; m < count; m++) total[m] = v_fma(minimum, v_set(scaled_sums[part * amx_row_block + m]), total[m]);
    }
}

// One tile of rows by one panel over one chunk.
typedef struct amx_int8_job {
    const ck_linear_args *args;
    ck_tiles *tiles;
    amx_int8_scratch *scratch;
    const uint8_t *panel;
    size_t block_bytes;
    int64_t column;                // first output of the panel
    int64_t first_block, blocks;   // the chunk
    int64_t start, slot;           // first row of the tile, and its place among the gathered scales
    int64_t new_row, end_row;      // the rows to store
    int first;                     // the first row to scale, within the tile
} amx_int8_job;

AMX_INLINE void amx_int8_tile(const amx_int8_job *job, amx_int8_kind kind) {
    const ck_linear_args *args = job->args;
    amx_int8_scratch *scratch = job->scratch;
    const int first = job->first;
    const int64_t valid = args->columns - job->column < CK_PANEL_ROWS ? args->columns - job->column : CK_PANEL_ROWS;
    const size_t stride = args->activation_stride_bytes, low_offset = ck_activation_low_offset(args->k);
    const uint8_t *activation = (const uint8_t *)args->activations + stride * (size_t)job->start + CK_BLOCK * job->first_block;
    const uint8_t *block = job->panel + ck_panel_header_bytes + job->block_bytes * (size_t)job->first_block;
    const bool is_first = job->first_block == 0, is_last = job->first_block + job->blocks == args->k / CK_BLOCK;
    float *output = args->output + (job->start + first) * args->output_stride + job->column;
    const int64_t from = job->new_row - job->start - first, to = job->end_row - job->start - first;  // the rows of `total` that are ours
    vf total[tile_rows];
    AMX_UNROLL
    for (int m = 0; m < kind.rows; m++) {
        total[m] = (vf){0};
        if (!is_first && m >= from && m < to) total[m] = v_load_n(output + m * args->output_stride, valid);
    }
    const float *scales = scratch->scale[0] + job->slot + first, *scaled_sums = scratch->scaled_sum[0][0] + job->slot + first;
    amx_products(job->tiles, activation, stride, low_offset, scratch->weights[0], kind, 0, scratch->sums[0]);
    int64_t b = 0;
#define AMX_STEP(parity) \
    if (b + 1 < job->blocks) amx_products(job->tiles, activation + CK_BLOCK * (b + 1), stride, low_offset, scratch->weights[b + 1], kind, !(parity), scratch->sums[!(parity)]); \
    amx_scale_block((const int32_t (*)[tile_rows][16])scratch->sums[parity], first, block, scales, scaled_sums, kind, total); \
    block += job->block_bytes; \
    scales += amx_row_block; \
    scaled_sums += 2 * amx_row_block; \
    b++;
    while (b < job->blocks) {
        AMX_STEP(0)
        if (b == job->blocks) break;
        AMX_STEP(1)
    }
#undef AMX_STEP
    const vf factor = is_last ? v_load((const float *)(const void *)job->panel) : v_set(1);
    AMX_UNROLL
    for (int m = 0; m < kind.rows; m++) {
        if (m >= from && m < to) v_store_n(output + m * args->output_stride, total[m] * factor, valid);
    }
}

// The formats share the tile code of their kind: functions of their own, [two parts][minimums][two terms][16 rows].
#define AMX_TILE_KIND(parts, minimum, terms, rows) \
    static __attribute__((noinline)) void amx_tile_##parts##_##minimum##_##terms##_##rows(const amx_int8_job *job) { \
        amx_int8_tile(job, (amx_int8_kind){parts, minimum, terms, rows}); \
    }
#define AMX_TILE_KINDS(parts, minimum) \
    AMX_TILE_KIND(parts, minimum, 1, 8) \
    AMX_TILE_KIND(parts, minimum, 1, 16) \
    AMX_TILE_KIND(parts, minimum, 2, 8) \
    AMX_TILE_KIND(parts, minimum, 2, 16)
AMX_TILE_KINDS(1, 0)
AMX_TILE_KINDS(1, 1)
AMX_TILE_KINDS(2, 0)
AMX_TILE_KINDS(2, 1)
#undef AMX_TILE_KINDS
#undef AMX_TILE_KIND

typedef void (*amx_tile_function)(const amx_int8_job *job);
#define AMX_TILES(parts, minimum) \
    {{amx_tile_##parts##_##minimum##_1_8, amx_tile_##parts##_##minimum##_1_16}, {amx_tile_##parts##_##minimum##_2_8, amx_tile_##parts##_##minimum##_2_16}}
static const amx_tile_function amx_tile_functions[2][2][2][2] = {{AMX_TILES(1, 0), AMX_TILES(1, 1)}, {AMX_TILES(2, 0), AMX_TILES(2, 1)}};
#undef AMX_TILES

typedef void (*amx_unpack_function)(const uint8_t *blocks, int64_t count, amx_int8_scratch *scratch);

static void amx_int8(const ck_linear_args *args, ck_panel_format format, ck_activation_format terms, amx_unpack_function unpack) {
    const int64_t blocks = args->k / CK_BLOCK, row_count = args->rows;
    if (row_count <= 0) return;
    if (blocks == 0) {
        for (int64_t m = 0; m < row_count; m++) memset(args->output + m * args->output_stride, 0, sizeof(float) * (size_t)args->columns);
        return;
    }
    const int parts = ck_panel_parts(format), height = row_count < tile_rows ? (int)row_count : tile_rows;
    const amx_tile_function *tile = amx_tile_functions[parts - 1][ck_panel_has_minimum(format)][terms == CK_ACT_Q15];
    ck_tiles tiles;
    ck_tile_shapes shapes = {0};
    for (int i = 0; i < tile_count; i++) {
        if (i < tile_left) tile_shape(&shapes, i, height, 64);
        else if (i < tile_right) tile_shape(&shapes, i, height, CK_BLOCK / parts);
        else tile_shape(&shapes, i, 8 / parts, 64);
    }
    tiles_configure(&tiles, &shapes);
    amx_int8_scratch scratch;
    if (height < tile_rows) memset(scratch.sums, 0, sizeof scratch.sums);  // rows the tiles do not have are scaled with the others
    const int64_t chunks = (blocks + amx_chunk_blocks - 1) / amx_chunk_blocks, chunk = (blocks + chunks - 1) / chunks;  // of equal size
    amx_int8_job job = {.args = args, .tiles = &tiles, .scratch = &scratch, .block_bytes = ck_panel_block_bytes(format)};
    for (int64_t first_row = 0; first_row < row_count; first_row += amx_row_block) {
        const int64_t end_row = first_row + amx_row_block < row_count ? first_row + amx_row_block : row_count;
        for (job.first_block = 0; job.first_block < blocks; job.first_block += chunk) {
            job.blocks = job.first_block + chunk < blocks ? chunk : blocks - job.first_block;
            amx_gather_records(args, first_row, end_row, job.first_block, job.blocks, format, terms, &scratch);
            for (int64_t p = 0; p < args->panel_count; p++) {
                job.panel = (const uint8_t *)args->panels + args->panel_stride_bytes * (size_t)p;
                job.column = p * CK_PANEL_ROWS;
                unpack(job.panel + ck_panel_header_bytes + job.block_bytes * (size_t)job.first_block, job.blocks, &scratch);
                for (int64_t row = first_row; row < end_row; row += tile_rows) {
                    const int64_t new_rows = row_count - row < tile_rows ? row_count - row : tile_rows;
                    job.start = amx_tile_start(row, row_count);
                    job.slot = row - first_row;
                    job.new_row = row;
                    job.end_row = row + new_rows;
                    // Up to 8 new rows are the last ones of a tile that overlaps the one before, or all of a low tile.
                    job.first = new_rows <= 8 && job.start < row ? tile_rows - 8 : 0;
                    tile[new_rows > 8](&job);
                }
            }
        }
    }
    tiles_release(&tiles);
}

#define CK_ENTRY_POINTS(name, panel) \
    static void amx_unpack_##name(const uint8_t *blocks, int64_t count, amx_int8_scratch *scratch) { amx_unpack_chunk(blocks, count, panel, scratch); } \
    static void amx_int8_##name##_q8(const ck_linear_args *args) { amx_int8(args, panel, CK_ACT_Q8, amx_unpack_##name); } \
    static void amx_int8_##name##_q15(const ck_linear_args *args) { amx_int8(args, panel, CK_ACT_Q15, amx_unpack_##name); }
CK_INTEGER_PANELS(CK_ENTRY_POINTS)
#undef CK_ENTRY_POINTS
