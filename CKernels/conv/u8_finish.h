// From exact sums to bytes of the output (include/ckernels/conv_u8.h), over the vector vocabulary (isa/simd.h), four vectors at a time. Included
// inside an instruction set's target region, after conv/u8_narrow_<isa>.h.

CK_INLINE int64_t u8_end_channel(const ck_conv_u8_args *args) {
    const int64_t end = (args->first_panel + args->panel_count) * CK_CONV_PANEL;
    return end < args->shape.output_channels ? end : args->shape.output_channels;
}

CK_INLINE vf u8_factor(const ck_conv_u8_args *args, int64_t channel, int64_t n) {
    return n == lanes ? v_load(args->factor + channel) : v_load_n(args->factor + channel, n);
}

// What all sums of a tile need: kept in registers, because a byte that is stored might, for all the compiler knows, be one of the arguments.
typedef struct u8_finish {
    vf most;  // a scaled sum that is above every byte
    u8_zero zero;
    u8_limit low, high;
    uint8_t *output;
    int64_t stride;
} u8_finish;

CK_INLINE u8_finish u8_finish_at(const ck_conv_u8_args *args, int64_t pixel, int64_t channel) {
    return (u8_finish){
        .most = v_set(u8_most), .zero = u8_set_zero(args->output_zero), .low = u8_set_limit(args->low), .high = u8_set_limit(args->high),
        .output = args->output + pixel * args->output_pixel_stride + channel, .stride = args->output_pixel_stride,
    };
}

// What is beyond every byte is cut when numbers are narrowed, as long as it is an integer; below all of those the smallest one comes out, above them
// too. Sums that are not scaled up cannot get there: `grows` says that they may.
CK_INLINE vi u8_scale(const u8_finish *f, vi sum, vf factor, const bool grows) {
    const vf scaled = __builtin_convertvector(sum, vf) * factor;
    return u8_round(grows ? v_min(scaled, f->most) : scaled);
}

// Pixels m and next (which may be m again) of two vectors of channels, `n` channels together.
CK_INLINE void u8_finish_two(const u8_finish *f, const vi *sums, const vi *next, const vf *factors, int m, bool both, int64_t n, const bool grows) {
    const u8_quad bytes = u8_narrow(
        u8_scale(f, sums[0], factors[0], grows), u8_scale(f, sums[1], factors[1], grows), u8_scale(f, next[0], factors[0], grows),
        u8_scale(f, next[1], factors[1], grows), f->zero, f->low, f->high);
    u8_store_first_pair(f->output + m * f->stride, bytes, n);
    if (both) u8_store_last_pair(f->output + (m + 1) * f->stride, bytes, n);
}

// Up to four pixels from m on of one vector of n channels.
CK_INLINE void u8_finish_four(const u8_finish *f, vi a, vi b, vi c, vi d, vf factor, int m, const int count, int64_t n, const bool grows) {
    const u8_quad bytes = u8_narrow(
        u8_scale(f, a, factor, grows), u8_scale(f, b, factor, grows), u8_scale(f, c, factor, grows), u8_scale(f, d, factor, grows), f->zero, f->low, f->high);
    u8_store_one(f->output + m * f->stride, bytes, 0, n);
    if (count > 1) u8_store_one(f->output + (m + 1) * f->stride, bytes, 1, n);
    if (count > 2) u8_store_one(f->output + (m + 2) * f->stride, bytes, 2, n);
    if (count > 3) u8_store_one(f->output + (m + 3) * f->stride, bytes, 3, n);
}
