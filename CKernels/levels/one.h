// The arithmetic of one 8-bit number (include/ckernels/levels.h): the specification, and what is left over behind whole vectors. Included where no
// products and sums are contracted: a fused multiply-add would round once where these round twice.

static inline uint8_t level_of(float y, uint8_t zero, uint8_t low, uint8_t high) {
    const float least = (float)(low - zero), most = (float)(high - zero);
    y = y == y ? y : 0;
    y = y > most ? most : y;
    y = y < least ? least : y;
    return (uint8_t)((int32_t)__builtin_rintf(y) + zero);
}

static inline uint8_t level_sum(const ck_levels_sum *s, uint8_t a, uint8_t b) {
    const float left = (float)(a - s->zero_a) * s->factor_a, right = (float)(b - s->zero_b) * s->factor_b;
    return level_of(left + right, s->zero, s->low, s->high);
}

static inline uint8_t level_mean(const ck_levels_mean *m, const uint8_t *x) {
    int32_t sum = 0;
    for (int64_t pixel = 0; pixel < m->pixels; pixel++) sum += x[pixel * m->pixel_stride] - m->zero_x;
    return level_of((float)sum * m->factor, m->zero, m->low, m->high);
}
