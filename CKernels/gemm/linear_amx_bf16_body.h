// Linear kernels on AMX bf16 tiles: bf16 panels with f32 activations, and integer panels turned into bf16 once for all rows of a call.
//
// An f32 number is split into bf16 terms that add up to it: each term takes the leading 8 bits of what is left. Three terms hold all 24 bits,
// so the dense kernel multiplies the floats themselves; two hold 16, which is a two-term quantised activation; one is for one-term activations.
// Products of 32 k fill a tile exactly, sums stay in the tiles over a chunk of k: nothing is scaled until the end. Four sum tiles, two of rows
// by two panels, so that every operand that is loaded is used twice.
//
// A call walks blocks of 64 rows, in them chunks of k: the activations of the chunk are split once for all panels, each pair of panels is
// turned into bf16 once for the rows of the block (dense panels are read where they are), and the sums wait in the output between chunks.
//
// Bound, cycles for 16 rows × 16 outputs × 32 k, with the machine of linear_amx_int8_body.h:
//                                            tiles    turning a panel into bf16, for 64 rows    for 512      int8 tiles, exact
//     one 8-bit term (1 bf16 term)               16    32·4.5/2 = 72, 18 of a tile of 16 rows     2          28
//     two 8-bit terms (2 bf16 terms)             32    18                                         2          44
//     bf16 panels (3 bf16 terms)                 48    none                                                 (f32 multiply-adds: 256)
// (32 vectors of 16 weights, each about: shift or mask, convert, multiply-add, half a conversion to bf16, half a permutation, half a store.)
// A call sees 64 rows, so tiles and turning together are 34 or 50 where they do not overlap and 18 or 32 where they do: between 0.65 and 1.2 of
// the int8 kernel's time, for weights rounded to 8 bits. The int8 kernel is the default because it gives the scalar row's bits; these rows
// stand in the table beside it, never dispatched, for machines with AMX to measure. With 512 rows a call they would win by 1.3 to 1.5.
//
// An infinite activation gives NaN here (its remainder is ∞ − ∞), where multiplication would give ∞ or NaN.
// Included inside a target region, after isa/simd.h with 16 lanes, isa/amx_tiles.h and gemm/linear_amx_int8_body.h; the includer provides
//     unpack_levels, AMX_INLINE, AMX_UNROLL    as there
//     v_pair_bf16(even, odd)    16 pairs of bf16, rounded to nearest even, even in the low half

enum {
    bf16_row_block = 64,
    bf16_step = 32,           // k of one tile product
    bf16_scratch_k = 256,     // k of a chunk times terms
};

// What the kernel keeps on its stack: about 50 KiB, most of it the split activations.
typedef struct amx_bf16_scratch {
    _Alignas(64) uint16_t activations[bf16_row_block * bf16_scratch_k];  // [term][row][k of the chunk]
    _Alignas(64) uint16_t weights[2][bf16_scratch_k / 2][CK_PANEL_ROWS][2];
    _Alignas(64) float sums[tile_rows][CK_PANEL_ROWS];
} amx_bf16_scratch;

// A multiple of the step, so that terms × chunk fits the scratch.
AMX_INLINE int64_t amx_bf16_chunk(int terms) { return bf16_scratch_k / terms / bf16_step * bf16_step; }

AMX_INLINE void amx_split(vf x, int terms, uint16_t *destination, size_t term_stride) {
    AMX_UNROLL
    for (int term = 0; term < terms - 1; term++, destination += term_stride) {
        const vu16 top = __builtin_convertvector((vu)x >> 16, vu16);
        memcpy(destination, &top, sizeof top);
        x -= (vf)((vu)x & 0xffff0000u);
    }
    v_store_bf16(destination, x);
}

// Splits `length` k of the rows of a block from `first_k` on; missing rows and the k up to the next step are zeros.
AMX_INLINE void amx_split_activations(const ck_linear_args *args, int64_t first_row, int64_t rows, int64_t first_k, int64_t length, ck_activation_format format, int terms, amx_bf16_scratch *scratch) {
    const int64_t chunk = amx_bf16_chunk(terms);
    const size_t term_stride = bf16_row_block * (size_t)chunk;
    for (int64_t m = 0; m < ck_round_up(rows, tile_rows); m++) {
        uint16_t *destination = scratch->activations + m * chunk;
        const uint8_t *row = (const uint8_t *)args->activations + args->activation_stride_bytes * (size_t)(first_row + m);
        for (int64_t i = 0; i < ck_round_up(length, bf16_step); i += lanes) {
            vf x = {0};
            if (m < rows && i < length) {
                if (format == CK_ACT_F32) {
                    const float *source = (const float *)(const void *)row + first_k + i;
                    x = length - i >= lanes ? v_load(source) : v_load_n(source, length - i);
                } else {
                    vi8 high;
                    memcpy(&high, row + first_k + i, sizeof high);
                    vi number = __builtin_convertvector(high, vi);
                    if (format == CK_ACT_Q15) {
                        vi8 low;
                        memcpy(&low, row + ck_activation_low_offset(args->k) + first_k + i, sizeof low);
                        number = (number << 7) + __builtin_convertvector(low, vi);
                    }
                    const ck_activation_block *records = (const ck_activation_block *)(const void *)(row + ck_activation_block_offset(format, args->k));
                    x = __builtin_convertvector(number, vf) * v_set(records[(first_k + i) / CK_BLOCK].scale);
                }
            }
            amx_split(x, terms, destination + i, term_stride);
        }
    }
}

// The weights of 32-blocks [first, first + count) of an integer panel as B tiles, without the row factor.
AMX_INLINE void amx_blocks_to_bf16(const uint8_t *panel, int64_t first, int64_t count, ck_panel_format format, uint16_t weights[][CK_PANEL_ROWS][2]) {
    const int parts = ck_panel_parts(format);
    for (int64_t b = 0; b < count; b++) {
        const uint8_t *block = panel + ck_panel_header_bytes + ck_panel_block_bytes(format) * (size_t)(first + b);
        _Alignas(64) uint8_t levels[512];
        unpack_levels(block + ck_panel_quant_offset(format), format, levels);
        AMX_UNROLL
        for (int part = 0; part < parts; part++) {
            const vf scale = v_load_f16((const uint16_t *)(const void *)(block + 32 * part));
            const vf origin = ck_panel_has_minimum(format) ? v_load_f16((const uint16_t *)(const void *)(block + 32 * (parts + part))) : scale * v_set((float)-ck_panel_zero(format));
            AMX_UNROLL
            for (int g = 8 / parts * part; g < 8 / parts * (part + 1); g++) {
                vi four;  // lane n: 4 consecutive k of output row n
                memcpy(&four, levels + 64 * g, sizeof four);
                const vf k0 = v_fma(__builtin_convertvector(four & 255, vf), scale, origin), k1 = v_fma(__builtin_convertvector((four >> 8) & 255, vf), scale, origin);
                const vf k2 = v_fma(__builtin_convertvector((four >> 16) & 255, vf), scale, origin), k3 = v_fma(__builtin_convertvector((vi)((vu)four >> 24), vf), scale, origin);
                const vu first_pair = v_pair_bf16(k0, k1), second_pair = v_pair_bf16(k2, k3);
                memcpy(weights[16 * b + 2 * g], &first_pair, sizeof first_pair);
                memcpy(weights[16 * b + 2 * g + 1], &second_pair, sizeof second_pair);
            }
        }
    }
}

typedef void (*amx_convert_function)(const uint8_t *panel, int64_t first, int64_t count, uint16_t weights[][CK_PANEL_ROWS][2]);

// The B tiles of a chunk of one panel: where they are in a bf16 panel, else made in `weights`.
static const uint16_t *amx_bf16_weights(const uint8_t *panel, int64_t first_k, int64_t length, amx_convert_function convert, uint16_t weights[][CK_PANEL_ROWS][2]) {
    if (convert) {
        convert(panel, first_k / CK_BLOCK, length / CK_BLOCK, weights);
        return weights[0][0];
    }
    const uint8_t *start = panel + 2 * CK_PANEL_ROWS * (size_t)first_k;
    if (length % bf16_step == 0) return (const uint16_t *)(const void *)start;
    // The last step is not whole: pad it with zeros. An odd k has its partner in the panel.
    const size_t bytes = 2 * CK_PANEL_ROWS * (size_t)ck_round_up(length, 2);
    memcpy(weights, start, bytes);
    memset((uint8_t *)weights + bytes, 0, 2 * CK_PANEL_ROWS * (size_t)ck_round_up(length, bf16_step) - bytes);
    return weights[0][0];
}

// Where one sum tile waits between chunks: the output itself if all of the tile is in it, else the scratch by way of which valid parts go there.
typedef struct amx_sum_place {
    float *output;
    int64_t rows, columns;  // valid ones, up to 16 × 16
} amx_sum_place;

AMX_INLINE bool amx_is_whole(amx_sum_place place) { return place.rows == tile_rows && place.columns == CK_PANEL_ROWS; }

AMX_INLINE void amx_sum_begin(ck_tiles *tiles, int sum, amx_sum_place place, const ck_linear_args *args, bool is_first, amx_bf16_scratch *scratch) {
    if (is_first) {
        tile_zero(tiles, sum);
    } else if (amx_is_whole(place)) {
        tile_load(tiles, sum, place.output, sizeof(float) * (size_t)args->output_stride);
    } else {
        for (int64_t m = 0; m < tile_rows; m++) {
            const vf line = m < place.rows ? v_load_n(place.output + m * args->output_stride, place.columns) : (vf){0};
            v_store(scratch->sums[m], line);
        }
        tile_load(tiles, sum, scratch->sums, sizeof scratch->sums[0]);
    }
}

AMX_INLINE void amx_sum_end(ck_tiles *tiles, int sum, amx_sum_place place, const ck_linear_args *args, const float *factor, amx_bf16_scratch *scratch) {
    const bool whole = amx_is_whole(place);
    if (whole) tile_store(tiles, sum, place.output, sizeof(float) * (size_t)args->output_stride);
    else tile_store(tiles, sum, scratch->sums, sizeof scratch->sums[0]);
    if (whole && !factor) return;
    const vf scale = factor ? v_load(factor) : v_set(1);
    for (int64_t m = 0; m < place.rows; m++) {
        float *output = place.output + m * args->output_stride;
        v_store_n(output, v_load(whole ? output : scratch->sums[m]) * scale, place.columns);
    }
}

// One or two tiles of rows by one or two panels over one chunk.
typedef struct amx_bf16_job {
    const ck_linear_args *args;
    ck_tiles *tiles;
    amx_bf16_scratch *scratch;
    const uint16_t *weights[2];  // B tiles of the panels
    const float *factors[2];     // row factors of the panels once the sums are complete, else null
    int64_t first_row, slot;     // the first row, and its place among the split activations
    int64_t column;              // first output of the first panel
    int64_t first_k, length;     // the chunk
} amx_bf16_job;

// Sum tile 2·row tile + panel.
AMX_INLINE void amx_bf16_tiles(const amx_bf16_job *job, int terms, int row_tiles, int panels) {
    const ck_linear_args *args = job->args;
    const int64_t chunk = amx_bf16_chunk(terms);
    amx_sum_place place[4];
    AMX_UNROLL
    for (int i = 0; i < row_tiles; i++) {
        AMX_UNROLL
        for (int j = 0; j < panels; j++) {
            const int64_t row = job->first_row + tile_rows * i, n = job->column + CK_PANEL_ROWS * j;
            place[2 * i + j] = (amx_sum_place){
                args->output + row * args->output_stride + n, args->rows - row < tile_rows ? args->rows - row : tile_rows,
                args->columns - n < CK_PANEL_ROWS ? args->columns - n : CK_PANEL_ROWS};
            amx_sum_begin(job->tiles, 2 * i + j, place[2 * i + j], args, job->first_k == 0, job->scratch);
        }
    }
    for (int64_t i = 0; i < job->length; i += bf16_step) {
        AMX_UNROLL
        for (int j = 0; j < panels; j++) tile_load(job->tiles, tile_right + j, job->weights[j] + CK_PANEL_ROWS * i, 64);
        AMX_UNROLL
        for (int term = 0; term < terms; term++) {
            const uint16_t *left = job->scratch->activations + (bf16_row_block * term + job->slot) * chunk + i;
            AMX_UNROLL
            for (int r = 0; r < row_tiles; r++) {
                tile_load(job->tiles, tile_left + r, left + tile_rows * chunk * r, sizeof(uint16_t) * (size_t)chunk);
                AMX_UNROLL
                for (int j = 0; j < panels; j++) tile_dot_bf16(job->tiles, 2 * r + j, tile_left + r, tile_right + j);
            }
        }
    }
    AMX_UNROLL
    for (int i = 0; i < row_tiles; i++) {
        AMX_UNROLL
        for (int j = 0; j < panels; j++) amx_sum_end(job->tiles, 2 * i + j, place[2 * i + j], args, job->factors[j], job->scratch);
    }
}

// What a kernel's kind of activation decides: terms, the function that splits, and the tile functions [2 row tiles][2 panels].
typedef struct amx_bf16_kind {
    int terms;
    void (*split)(const ck_linear_args *args, int64_t first_row, int64_t rows, int64_t first_k, int64_t length, amx_bf16_scratch *scratch);
    void (*tiles[2][2])(const amx_bf16_job *job);
} amx_bf16_kind;

#define AMX_BF16_TILES(name, terms, row_tiles, panels) \
    static __attribute__((noinline)) void amx_bf16_##name##_##row_tiles##panels(const amx_bf16_job *job) { amx_bf16_tiles(job, terms, row_tiles, panels); }
#define AMX_BF16_KIND(name, activation, terms) \
    static __attribute__((noinline)) void amx_split_##name(const ck_linear_args *args, int64_t first_row, int64_t rows, int64_t first_k, int64_t length, amx_bf16_scratch *scratch) { \
        amx_split_activations(args, first_row, rows, first_k, length, activation, terms, scratch); \
    } \
    AMX_BF16_TILES(name, terms, 1, 1) \
    AMX_BF16_TILES(name, terms, 1, 2) \
    AMX_BF16_TILES(name, terms, 2, 1) \
    AMX_BF16_TILES(name, terms, 2, 2) \
    static const amx_bf16_kind amx_bf16_of_##name = {terms, amx_split_##name, {{amx_bf16_##name##_11, amx_bf16_##name##_12}, {amx_bf16_##name##_21, amx_bf16_##name##_22}}};
AMX_BF16_KIND(f32, CK_ACT_F32, 3)
AMX_BF16_KIND(q8, CK_ACT_Q8, 1)
AMX_BF16_KIND(q15, CK_ACT_Q15, 2)
#undef AMX_BF16_KIND
#undef AMX_BF16_TILES

static void amx_bf16(const ck_linear_args *args, const amx_bf16_kind *kind, amx_convert_function convert) {
    const int64_t k = args->k, chunk = amx_bf16_chunk(kind->terms);
    if (k == 0) {
        for (int64_t m = 0; m < args->rows; m++) memset(args->output + m * args->output_stride, 0, sizeof(float) * (size_t)args->columns);
        return;
    }
    ck_tiles tiles;
    tiles_configure_whole(&tiles);
    amx_bf16_scratch scratch;
    amx_bf16_job job = {.args = args, .tiles = &tiles, .scratch = &scratch};
    for (int64_t first_row = 0; first_row < args->rows; first_row += bf16_row_block) {
        const int64_t rows = args->rows - first_row < bf16_row_block ? args->rows - first_row : bf16_row_block;
        for (job.first_k = 0; job.first_k < k; job.first_k += chunk) {
            job.length = k - job.first_k < chunk ? k - job.first_k : chunk;
            kind->split(args, first_row, rows, job.first_k, job.length, &scratch);
            for (int64_t p = 0; p < args->panel_count; p += 2) {
                const int panels = p + 1 < args->panel_count ? 2 : 1;
                for (int j = 0; j < panels; j++) {
                    const uint8_t *panel = (const uint8_t *)args->panels + args->panel_stride_bytes * (size_t)(p + j);
                    job.weights[j] = amx_bf16_weights(panel, job.first_k, job.length, convert, scratch.weights[j]);
                    job.factors[j] = convert && job.first_k + job.length == k ? (const float *)(const void *)panel : 0;
                }
                job.column = p * CK_PANEL_ROWS;
                for (job.slot = 0; job.slot < rows; job.slot += 2 * tile_rows) {
                    job.first_row = first_row + job.slot;
                    kind->tiles[rows - job.slot > tile_rows][panels - 1](&job);
                }
            }
        }
    }
    tiles_release(&tiles);
}

static void amx_bf16_dense(const ck_linear_args *args) { amx_bf16(args, &amx_bf16_of_f32, 0); }

#define CK_ENTRY_POINTS(name, panel) \
    static void amx_convert_##name(const uint8_t *bytes, int64_t first, int64_t count, uint16_t weights[][CK_PANEL_ROWS][2]) { \
        amx_blocks_to_bf16(bytes, first, count, panel, weights); \
    } \
    static void amx_bf16_##name##_q8(const ck_linear_args *args) { amx_bf16(args, &amx_bf16_of_q8, amx_convert_##name); } \
    static void amx_bf16_##name##_q15(const ck_linear_args *args) { amx_bf16(args, &amx_bf16_of_q15, amx_convert_##name); }
CK_INTEGER_PANELS(CK_ENTRY_POINTS)
#undef CK_ENTRY_POINTS
