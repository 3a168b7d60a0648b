// The table rows of the AMX kernels, for gemm/linear_amx.c and its software twin: the includer defines CK_AMX_NAME (the end of kernel names),
// `isa` and `fewest_rows`. The bf16 rows of integer panels are alternatives, so they have maximum_rows 0.
//
// Tolerances: weights rounded to bf16 are off by 2^-8 at most, activations of one bf16 term by as much again, of two terms by 2^-15; a sixteenth
// on top is ample for those and for f32 sums. Three terms are the float, so the dense row keeps the dense rows' tolerance.

#define CK_AMX_INT8_ROWS(name, panel) \
    {"linear_" #name "_q8_amxint8" CK_AMX_NAME, isa, panel, CK_ACT_Q8, tile_rows, ck_any_rows, amx_int8_##name##_q8, fewest_rows, 0}, \
    {"linear_" #name "_q15_amxint8" CK_AMX_NAME, isa, panel, CK_ACT_Q15, tile_rows, ck_any_rows, amx_int8_##name##_q15, fewest_rows, 0},

#define CK_AMX_DENSE_ROW {"linear_bf16_amxbf16" CK_AMX_NAME, isa, CK_PANEL_BF16, CK_ACT_F32, 2 * tile_rows, ck_any_rows, amx_bf16_dense, fewest_rows, 0},

#define CK_AMX_BF16_ROWS(name, panel) \
    {"linear_" #name "_q8_amxbf16" CK_AMX_NAME, isa, panel, CK_ACT_Q8, 2 * tile_rows, 0, amx_bf16_##name##_q8, fewest_rows, 0x1.1p-7f}, \
    {"linear_" #name "_q15_amxbf16" CK_AMX_NAME, isa, panel, CK_ACT_Q15, 2 * tile_rows, 0, amx_bf16_##name##_q15, fewest_rows, 0x1.1p-8f},
