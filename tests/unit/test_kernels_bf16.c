/* Operations on bf16 maps against the references of float32: the same values, widened, and the
 * result rounded once. Element by element that is exact; sums may be rounded otherwise before. */
#include "test_kernels.h"

/* n bf16 values between guards, `shift` of them past a multiple of 16 bytes. */
typedef struct halves {
    uint16_t *bits;
    float *room; /* what bits lie in */
    size_t n, floats;
} halves;

static halves halves_open(size_t n, size_t shift)
{
    const size_t floats = (n + shift + 1) / 2;
    float *room = ex_guard_floats(floats);
    return (halves){(uint16_t *)(void *)room + shift, room, n, floats};
}

static void halves_close(halves *h)
{
    ex_guard_check(h->room, h->floats);
    ex_guard_free(h->room);
}

/* Of the values; and the values of them. */
static halves halves_of(const float *values, size_t n, size_t shift)
{
    halves h = halves_open(n, shift);
    ex_convert_ref(h.bits, EX_MAP_BF16, values, EX_MAP_F32, n);
    return h;
}

static float *widened(const halves *h)
{
    float *values = ex_guard_floats(h->n);
    ex_convert_ref(values, EX_MAP_F32, h->bits, EX_MAP_BF16, h->n);
    return values;
}

/* A random map and its values. */
typedef struct map {
    halves stored;
    float *value;
} map;

static map map_open(size_t n, uint64_t seed, size_t shift)
{
    float *random = random_floats(n, seed);
    map m = {.stored = halves_of(random, n, shift)};
    m.value = widened(&m.stored);
    ex_guard_free(random);
    return m;
}

static void map_close(map *m)
{
    halves_close(&m->stored);
    ex_guard_free(m->value);
}

/* Fails unless `found` are the bits that `expected` rounds to, or NaN where that is. */
static void assert_rounded(const halves *found, const float *expected)
{
    halves ref = halves_of(expected, found->n, 0);
    float *value = widened(found);
    for (size_t i = 0; i < found->n; i++)
        if (found->bits[i] != ref.bits[i] && !(isnan(value[i]) && isnan(expected[i])))
            fail_msg("element %zu of %zu: %04x (%.9g), expected %04x (%.9g)", i, found->n,
                     found->bits[i], (double)value[i], ref.bits[i], (double)expected[i]);
    ex_guard_check(found->room, found->floats);
    halves_close(&ref);
    ex_guard_free(value);
}

/* Fails unless `found` is within two roundings of `expected`. */
static void assert_near(const halves *found, const float *expected, double atol)
{
    float *value = widened(found);
    assert_close(value, expected, found->n, atol, 0x1p-7);
    ex_guard_check(found->room, found->floats);
    ex_guard_free(value);
}

static size_t floats_of(const ex_map_shape *m)
{
    return (size_t)m->N * (size_t)m->C * (size_t)m->H * (size_t)m->W;
}

/* --- conversion and the element-wise ---------------------------------------------------------- */

/* Every bf16, and between each two neighbours the tie and both sides of it. */
static void test_every_value_is_rounded_to_the_nearest_ties_to_even(void **state)
{
    (void)state;
    enum { COUNT = 4 << 16 };
    float *in = ex_guard_floats(COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        static const uint32_t low[4] = {0, 0x7fff, 0x8000, 0x8001};
        const uint32_t word = i / 4 << 16 | low[i % 4];
        memcpy(in + i, &word, sizeof word);
    }
    halves out = halves_open(COUNT, 0);
    k->convert(out.bits, EX_MAP_BF16, in, EX_MAP_F32, COUNT, threads_stream(2));
    assert_rounded(&out, in);
    float *back = ex_guard_floats(COUNT), *expected = widened(&out);
    k->convert(back, EX_MAP_F32, out.bits, EX_MAP_BF16, COUNT, threads_stream(2));
    assert_same_floats(back, expected, COUNT);
    halves_close(&out);
    ex_guard_free(in), ex_guard_free(back), ex_guard_free(expected);
}

static void test_conversion_at_boundary_sizes(void **state)
{
    (void)state;
    for (int i = 0; i < KERNEL_SIZES_COUNT; i++)
        for (size_t shift = 0; shift < 4; shift++) {
            const size_t n = KERNEL_SIZES[i];
            map in = map_open(n, 1, shift);
            halves out = halves_open(n, 0);
            float *values = shifted_output(n, shift);
            for (int t = 0; t < KERNEL_THREADS_COUNT; t++) {
                const ex_stream s = threads_stream(KERNEL_THREADS[t]);
                k->convert(values, EX_MAP_F32, in.stored.bits, EX_MAP_BF16, n, s);
                assert_same_shifted(values, shift, in.value, n);
                k->convert(out.bits, EX_MAP_BF16, values, EX_MAP_F32, n, s);
                assert_rounded(&out, in.value);
                k->convert(out.bits, EX_MAP_BF16, in.stored.bits, EX_MAP_BF16, n, s);
                assert_rounded(&out, in.value);
            }
            map_close(&in), halves_close(&out), free_shifted(values, shift);
        }
}

static void check_residual(size_t n, size_t shift)
{
    map a = map_open(n, 1, shift), b = map_open(n, 2, 0), y = map_open(n, 3, shift);
    halves out = halves_open(n, shift);
    float *expected = ex_guard_floats(n);
    for (int t = 0; t < KERNEL_THREADS_COUNT; t++) {
        const ex_stream s = threads_stream(KERNEL_THREADS[t]);
        ex_add_relu_fwd_ref(expected, a.value, b.value, n);
        k->add_relu_fwd(out.bits, a.stored.bits, b.stored.bits, n, EX_MAP_BF16, s);
        assert_rounded(&out, expected);
        for (int form = 0; form < 4; form++) {
            ex_add_relu_bwd_ref(expected, a.value, form & 1 ? b.value : NULL,
                                form & 2 ? y.value : NULL, n);
            k->add_relu_bwd(out.bits, a.stored.bits, form & 1 ? b.stored.bits : NULL,
                            form & 2 ? y.stored.bits : NULL, n, EX_MAP_BF16, s);
            assert_rounded(&out, expected);
        }
    }
    map_close(&a), map_close(&b), map_close(&y), halves_close(&out);
    ex_guard_free(expected);
}

static void test_add_relu_and_gradient(void **state)
{
    (void)state;
    for (int i = 0; i < KERNEL_SIZES_COUNT; i++)
        check_residual(KERNEL_SIZES[i], (size_t)i % 3);
}

/* --- maps in layouts ---------------------------------------------------------------------------
 */

static const ex_map_shape SHAPES[] = {
    {1, 1, 1, 1, 1, EX_MAP_BF16},       {3, 16, 8, 8, 16, EX_MAP_BF16},
    {2, 5, 3, 3, 1, EX_MAP_BF16},       {2, 6, 3, 5, 6, EX_MAP_BF16},
    {3, 32, 7, 5, 16, EX_MAP_BF16},     {3, 32, 5, 3, 32, EX_MAP_BF16},
    {0, 16, 4, 4, 16, EX_MAP_BF16},     {9, 64, 14, 14, 16, EX_MAP_BF16},
    {2, 31, 3, 3, 31, EX_MAP_BF16},     {1, 33, 4, 3, 33, EX_MAP_BF16},
    {1, 33, 3, 4, 1, EX_MAP_BF16},      {33, 1, 3, 3, 1, EX_MAP_BF16},
    {31, 2, 1, 1, 2, EX_MAP_BF16},      {1, 1, 33, 31, 1, EX_MAP_BF16},
    {1, 1023, 1, 1, 1023, EX_MAP_BF16},
};
enum { SHAPES_COUNT = sizeof SHAPES / sizeof *SHAPES };

static void test_flatten_with_and_without_dropout(void **state)
{
    (void)state;
    const ex_dropout drop = {.rate = 0.25f, .draws = {{1, 2}, {3, 4, 5, 6}}};
    for (int i = 0; i < 2 * SHAPES_COUNT; i++) {
        const ex_map_shape *m = &SHAPES[i / 2];
        const ex_dropout *d = i % 2 ? &drop : NULL;
        const size_t n = floats_of(m);
        map in = map_open(n, 1, 0);
        halves out = halves_open(n, 1);
        float *expected = ex_guard_floats(n);
        ex_flatten_fwd_ref(expected, in.value, m, d);
        k->flatten_fwd(out.bits, in.stored.bits, m, d, threads_stream(2));
        assert_rounded(&out, expected);
        ex_flatten_bwd_ref(expected, in.value, m, d);
        k->flatten_bwd(out.bits, in.stored.bits, m, d, threads_stream(2));
        assert_rounded(&out, expected);
        map_close(&in), halves_close(&out), ex_guard_free(expected);
    }
}

static void test_channel_ablation(void **state)
{
    (void)state;
    enum { V = 4 };
    const float fill[V] = {0.0f, 0.3f, -0.7f, 2.01f};
    for (int i = 0; i < 4 * SHAPES_COUNT; i++) {
        const ex_map_shape *m = &SHAPES[i / 4];
        const size_t n = floats_of(m);
        const int32_t channel[V] = {0, -1, m->C - 1, m->C / 2};
        map in = map_open(n, 1, (size_t)i % 2), residual = map_open(n, 2, 0);
        halves out = halves_open(V * n, 0);
        float *expected = ex_guard_floats(V * n);
        ex_channel_ablate_ref(expected, in.value, i & 1 ? residual.value : NULL, channel, fill,
                              i >> 1 & 1, V, m);
        k->channel_ablate(out.bits, in.stored.bits, i & 1 ? residual.stored.bits : NULL, channel,
                          fill, i >> 1 & 1, V, m, threads_stream(2));
        assert_rounded(&out, expected);
        map_close(&in), map_close(&residual), halves_close(&out), ex_guard_free(expected);
    }
}

static void test_gather_with_and_without_augmentation(void **state)
{
    (void)state;
    enum { IMAGES = 3, N = 5 };
    static const int layouts[][2] = {{1, 1}, {3, 1}, {3, 3}, {16, 16}, {33, 33}, {31, 1}};
    static const uint32_t index[N] = {2, 0, 1, 1, 2};
    const ex_augment augment = {.crop = 2, .flip = 1, .cutout = 3, .draws = {{1, 2}, {3, 4, 5, 6}}};
    for (size_t i = 0; i < 24; i++) {
        const ex_gather_shape base = {.N = N, .H = 5, .W = 7, .out_H = 9, .out_W = 8, .top = 2};
        ex_gather_shape g = base;
        g.C = layouts[i % 6][0], g.block = layouts[i % 6][1];
        g.augment = i / 6 % 2 ? &augment : NULL;
        g.type = EX_MAP_BF16;
        const size_t n = (size_t)(N * g.C * g.out_H * g.out_W);
        uint8_t images[IMAGES * 33 * 5 * 7];
        for (size_t j = 0; j < sizeof images; j++)
            images[j] = (uint8_t)(37 * j + 11);
        float *scale = random_floats(33, 1), *shift = random_floats(33, 2);
        g.scale = scale, g.shift = shift;
        halves out = halves_open(n, i / 12);
        float *expected = ex_guard_floats(n);
        ex_batch_gather_ref(expected, images, index, &g);
        k->batch_gather(out.bits, images, index, &g, threads_stream(2));
        assert_rounded(&out, expected);
        halves_close(&out);
        ex_guard_free(scale), ex_guard_free(shift), ex_guard_free(expected);
    }
}

static void test_shortcut_and_gradient(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES_COUNT; i++) {
        const ex_map_shape *m = &SHAPES[i];
        const int K = 2 * m->C, block = m->block == 1 ? 1 : 2 * m->block;
        const size_t nx = floats_of(m);
        const size_t ny = (size_t)(m->N * K * ((m->H + 1) / 2) * ((m->W + 1) / 2));
        map x = map_open(nx, 1, 0), dy = map_open(ny, 2, 0), dx = map_open(nx, 3, 0);
        halves y = halves_open(ny, 0);
        float *expected = ex_guard_floats(ny);
        ex_shortcut_a_fwd_ref(expected, x.value, m, K, block, 2);
        k->shortcut_a_fwd(y.bits, x.stored.bits, m, K, block, 2, threads_stream(2));
        assert_rounded(&y, expected);
        ex_shortcut_a_bwd_ref(dx.value, dy.value, m, K, block, 2);
        k->shortcut_a_bwd(dx.stored.bits, dy.stored.bits, m, K, block, 2, threads_stream(2));
        assert_rounded(&dx.stored, dx.value);
        map_close(&x), map_close(&dy), map_close(&dx), halves_close(&y);
        ex_guard_free(expected);
    }
}

static void check_pools(const ex_pool_shape *p)
{
    const size_t nx = floats_of(&p->in), ny = (size_t)(p->in.N * p->in.C * p->out_H * p->out_W);
    map x = map_open(nx, 1, 0), dy = map_open(ny, 2, 0);
    halves y = halves_open(ny, 0), dx = halves_open(nx, 0);
    float *out = ex_guard_floats(ny), *in = ex_guard_floats(nx);
    int8_t *taps = calloc(2 * ny + 1, 1);
    assert_non_null(taps);
    ex_maxpool_fwd_ref(out, taps, x.value, p);
    k->maxpool_fwd(y.bits, taps + ny, x.stored.bits, p, threads_stream(2));
    assert_rounded(&y, out);
    assert_memory_equal(taps, taps + ny, ny);
    ex_maxpool_bwd_ref(in, dy.value, taps, p);
    k->maxpool_bwd(dx.bits, dy.stored.bits, taps, p, threads_stream(2));
    assert_rounded(&dx, in);
    ex_avgpool_fwd_ref(out, x.value, p);
    k->avgpool_fwd(y.bits, x.stored.bits, p, threads_stream(2));
    assert_rounded(&y, out);
    ex_avgpool_bwd_ref(in, dy.value, p);
    k->avgpool_bwd(dx.bits, dy.stored.bits, p, threads_stream(2));
    assert_rounded(&dx, in);
    map_close(&x), map_close(&dy), halves_close(&y), halves_close(&dx);
    ex_guard_free(out), ex_guard_free(in), free(taps);
}

static void test_pools_and_gradients(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES_COUNT; i++) {
        const ex_map_shape *m = &SHAPES[i];
        if (m->H < 3)
            continue;
        check_pools(&(ex_pool_shape){.in = *m,
                                     .out_H = (m->H - 2) / 2 + 1,
                                     .out_W = (m->W - 2) / 2 + 1,
                                     .R = 2,
                                     .S = 2,
                                     .stride = 2});
        check_pools(&(ex_pool_shape){
            .in = *m, .out_H = m->H - 2, .out_W = m->W - 2, .R = 3, .S = 3, .stride = 1});
    }
}

/* --- convolutions ------------------------------------------------------------------------------
 */

static const ex_conv_shape CONVS[] = {
    /* in, K, out_H, out_W, out_block, R, S, stride, pad */
    {{3, 16, 8, 8, 16, EX_MAP_BF16}, 16, 8, 8, 16, 3, 3, 1, 1},
    {{2, 32, 7, 5, 16, EX_MAP_BF16}, 48, 7, 5, 16, 3, 3, 1, 1},
    {{3, 16, 9, 9, 16, EX_MAP_BF16}, 32, 5, 5, 16, 3, 3, 2, 1},
    {{2, 3, 12, 20, 1, EX_MAP_BF16}, 16, 12, 20, 16, 3, 3, 1, 1},
    {{2, 32, 7, 5, 32, EX_MAP_BF16}, 32, 7, 5, 32, 3, 3, 1, 1},
    {{2, 5, 7, 21, 5, EX_MAP_BF16}, 4, 5, 19, 1, 3, 3, 1, 0},
    {{0, 16, 4, 4, 16, EX_MAP_BF16}, 16, 4, 4, 16, 3, 3, 1, 1},
    {{2, 1, 4, 3, 1, EX_MAP_BF16}, 2, 4, 3, 1, 3, 3, 1, 1},
    {{2, 31, 3, 3, 31, EX_MAP_BF16}, 33, 3, 3, 33, 1, 1, 1, 0},
    {{1, 33, 4, 3, 33, EX_MAP_BF16}, 31, 4, 3, 31, 3, 3, 1, 1},
    {{33, 33, 1, 2, 1, EX_MAP_BF16}, 3, 1, 2, 1, 1, 1, 1, 0},
    {{1, 1023, 2, 1, 1023, EX_MAP_BF16}, 2, 2, 1, 2, 1, 1, 1, 0},
};
enum { CONVS_COUNT = sizeof CONVS / sizeof *CONVS };

static size_t out_floats(const ex_conv_shape *c)
{
    return (size_t)c->in.N * (size_t)c->K * (size_t)(c->out_H * c->out_W);
}

static size_t weight_floats(const ex_conv_shape *c)
{
    return (size_t)c->K * (size_t)c->in.C * (size_t)(c->R * c->S);
}

static void check_rows(const ex_conv_shape *c, int rows)
{
    const int32_t row[2] = {c->K - 1, 0};
    const size_t weights = weight_floats(c), K = (size_t)c->K;
    const size_t room = k->conv_rows_scratch(c, rows);
    map x = map_open(floats_of(&c->in), 1, 0), dy = map_open(out_floats(c), 2, 0);
    float *dw = random_floats(weights, 3), *dsum = random_floats(K, 4);
    float *dw_ref = copied_floats(dw, weights), *dsum_ref = copied_floats(dsum, K);
    float *scratch = ex_guard_floats(room);
    ex_conv_rows_bwd_ref(dw_ref, dsum_ref, x.value, dy.value, row, rows, c);
    k->conv_rows_bwd(dw, dsum, x.stored.bits, dy.stored.bits, row, rows, c, scratch,
                     threads_stream(2));
    assert_close(dw, dw_ref, weights, 1e-3, 1e-5); /* sums in float32 */
    assert_close(dsum, dsum_ref, K, 1e-3, 1e-5);
    ex_guard_check(scratch, room);
    map_close(&x), map_close(&dy);
    ex_guard_free(dw), ex_guard_free(dsum), ex_guard_free(dw_ref), ex_guard_free(dsum_ref);
    ex_guard_free(scratch);
}

static void test_gradients_of_a_few_filters_are_summed_in_float32(void **state)
{
    (void)state;
    for (int i = 0; i < 2 * CONVS_COUNT; i++)
        check_rows(&CONVS[i / 2], 1 + i % 2);
}

static void check_update(const ex_conv_shape *c, bool with_residual, int relu)
{
    enum { V = 3 };
    const size_t all = V * out_floats(c), room = k->conv_channel_scratch(c, V);
    const int32_t channel[V] = {c->in.C - 1, -1, 0};
    const float fill[V] = {0.0f, NAN, 0.7f};
    map x = map_open(floats_of(&c->in), 1, 0), residual = map_open(floats_of(&c->in), 2, 0);
    map weight = map_open(weight_floats(c), 4, 0);
    float *pre = random_floats(out_floats(c), 3), *scratch = ex_guard_floats(room);
    float *expected = ex_guard_floats(all);
    halves out = halves_open(all, 0);
    ex_channel_change change = {.channel = channel, .fill = fill, .relu = with_residual, .V = V};
    change.in = x.value, change.residual = with_residual ? residual.value : NULL;
    ex_conv_channel_update_ref(expected, pre, weight.value, &change, c, relu);
    change.in = x.stored.bits, change.residual = with_residual ? residual.stored.bits : NULL;
    k->conv_channel_update(out.bits, pre, weight.stored.bits, &change, c, relu, scratch,
                           threads_stream(2));
    assert_near(&out, expected, 1e-5);
    ex_guard_check(scratch, room);
    map_close(&x), map_close(&residual), map_close(&weight), halves_close(&out);
    ex_guard_free(pre), ex_guard_free(scratch), ex_guard_free(expected);
}

static void test_convolutions_after_one_channel_changed(void **state)
{
    (void)state;
    for (int i = 0; i < 4 * CONVS_COUNT; i++)
        check_update(&CONVS[i / 4], i & 1, i >> 1 & 1);
}

/* --- batch norm --------------------------------------------------------------------------------
 */

/* What a norm is run on: x, residual, g1, g2; and its outputs, found and expected. */
typedef struct norm_case {
    bool residual, second;
    size_t C, room;
    map x, add, g1, g2;
    float *scale, *shift, *scratch, *y_ref, *dx_ref;
    halves y, dx;
    float *mean[2], *var[2], *dscale[2], *dshift[2];
    ex_norm_train norm;
} norm_case;

enum { FOUND, EXPECTED };

static norm_case norm_open(const ex_map_shape *m, unsigned form)
{
    const size_t n = floats_of(m), C = (size_t)m->C;
    norm_case o = {.residual = form & 2, .second = form & 4, .C = C};
    o.x = map_open(n, 1, 0), o.add = map_open(n, 2, 0);
    o.g1 = map_open(n, 3, 0), o.g2 = map_open(n, 4, 0);
    o.scale = random_floats(C, 5), o.shift = random_floats(C, 6);
    o.room = k->norm_train_scratch(m);
    o.scratch = ex_guard_floats(o.room);
    o.y_ref = ex_guard_floats(n), o.dx_ref = ex_guard_floats(n);
    o.y = halves_open(n, 0), o.dx = halves_open(n, 0);
    for (int i = FOUND; i <= EXPECTED; i++) {
        o.mean[i] = ex_guard_floats(C), o.var[i] = ex_guard_floats(C);
        o.dscale[i] = ex_guard_floats(C), o.dshift[i] = ex_guard_floats(C);
    }
    o.norm = (ex_norm_train){.shape = *m,
                             .scale = o.scale,
                             .shift = o.shift,
                             .eps = 0.01f,
                             .relu = form & 1,
                             .scratch = o.scratch};
    return o;
}

static void norm_close(norm_case *o)
{
    ex_guard_check(o->scratch, o->room);
    map_close(&o->x), map_close(&o->add), map_close(&o->g1), map_close(&o->g2);
    halves_close(&o->y), halves_close(&o->dx);
    for (int i = FOUND; i <= EXPECTED; i++) {
        ex_guard_free(o->mean[i]), ex_guard_free(o->var[i]);
        ex_guard_free(o->dscale[i]), ex_guard_free(o->dshift[i]);
    }
    ex_guard_free(o->scale), ex_guard_free(o->shift), ex_guard_free(o->scratch);
    ex_guard_free(o->y_ref), ex_guard_free(o->dx_ref);
}

static void check_norm_forward(norm_case *o)
{
    o->norm.mean = o->mean[EXPECTED], o->norm.var = o->var[EXPECTED];
    ex_norm_train_fwd_ref(o->y_ref, o->x.value, o->residual ? o->add.value : NULL, &o->norm);
    o->norm.mean = o->mean[FOUND], o->norm.var = o->var[FOUND];
    k->norm_train_fwd(o->y.bits, o->x.stored.bits, o->residual ? o->add.stored.bits : NULL,
                      &o->norm, threads_stream(2));
    assert_near(&o->y, o->y_ref, 1e-4);
    assert_close(o->mean[FOUND], o->mean[EXPECTED], o->C, 1e-6, 1e-6); /* float32 */
    assert_close(o->var[FOUND], o->var[EXPECTED], o->C, 1e-6, 1e-5);
}

/* Behind check_norm_forward, with the statistics that it found. */
static void check_norm_backward(norm_case *o)
{
    const bool gated = o->residual && o->norm.relu;
    float *y_stored = widened(&o->y); /* the ReLU passes by what was stored */
    ex_norm_train_gradient g = {.dx = o->dx_ref,
                                .dscale = o->dscale[EXPECTED],
                                .dshift = o->dshift[EXPECTED],
                                .g1 = o->g1.value,
                                .g2 = o->second ? o->g2.value : NULL,
                                .x = o->x.value,
                                .y = gated ? y_stored : NULL,
                                .keep = o->residual || o->second};
    ex_norm_train_bwd_ref(&g, &o->norm);
    g.dx = o->dx.bits, g.dscale = o->dscale[FOUND], g.dshift = o->dshift[FOUND];
    g.g1 = o->g1.stored.bits, g.g2 = o->second ? o->g2.stored.bits : NULL;
    g.x = o->x.stored.bits, g.y = gated ? o->y.bits : NULL;
    k->norm_train_bwd(&g, &o->norm, threads_stream(2));
    assert_near(&o->dx, o->dx_ref, 0.05); /* g is rounded before its mean is taken off */
    assert_close(o->dscale[FOUND], o->dscale[EXPECTED], o->C, 1e-3, 1e-4);
    assert_close(o->dshift[FOUND], o->dshift[EXPECTED], o->C, 1e-3, 1e-4);
    if (g.keep)
        assert_rounded(&o->g1.stored, o->g1.value);
    ex_guard_free(y_stored);
}

static void check_norm(const ex_map_shape *m, unsigned form)
{
    norm_case o = norm_open(m, form);
    check_norm_forward(&o);
    check_norm_backward(&o);
    norm_close(&o);
}

static void test_norm_and_gradient_with_statistics_in_float32(void **state)
{
    (void)state;
    static const ex_map_shape shapes[] = {
        {2, 16, 4, 4, 16, EX_MAP_BF16},
        {3, 32, 7, 5, 16, EX_MAP_BF16},
        {31, 1, 1, 1, 1, EX_MAP_BF16},
        {4, 24, 3, 3, 8, EX_MAP_BF16},
        {1, 33, 3, 2, 1, EX_MAP_BF16},
        {2, 2, 17, 17, 2, EX_MAP_BF16},
        {1, 31, 4, 2, 1, EX_MAP_BF16},
        {1, 2, 33, 31, 1, EX_MAP_BF16},
        {5, 1, 1, 1, 1, EX_MAP_BF16},
#if defined(EX_TEST_EMULATED) /* NHWC */
        {2, 31, 3, 2, 31, EX_MAP_BF16},
        {1, 33, 5, 3, 33, EX_MAP_BF16},
        {2, 64, 6, 6, 64, EX_MAP_BF16},
#endif
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (unsigned form = 0; form < 8; form++)
            check_norm(&shapes[i], form);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_value_is_rounded_to_the_nearest_ties_to_even),
        cmocka_unit_test(test_conversion_at_boundary_sizes),
        cmocka_unit_test(test_add_relu_and_gradient),
        cmocka_unit_test(test_flatten_with_and_without_dropout),
        cmocka_unit_test(test_channel_ablation),
        cmocka_unit_test(test_gather_with_and_without_augmentation),
        cmocka_unit_test(test_shortcut_and_gradient),
        cmocka_unit_test(test_pools_and_gradients),
        cmocka_unit_test(test_gradients_of_a_few_filters_are_summed_in_float32),
        cmocka_unit_test(test_convolutions_after_one_channel_changed),
        cmocka_unit_test(test_norm_and_gradient_with_statistics_in_float32),
    };
    return run_kernel_tests(tests);
}
