#include "test_kernels.h"

enum { MAPS = 6, VECTORS = 6 };

/* Large: channels of few values, hence of small variance, else show the rounding of their mean. */
static const float EPS = 0.01f;

/* What one call of the operation reads and writes, each array between guards; maps begin `shift`
 * floats past a multiple of 16 bytes. */
typedef struct norm_data {
    ex_norm_train norm;
    ex_norm_train_gradient gradient;
    size_t floats, channels, shift;
    float *x, *residual, *g1, *g2, *y, *dx;
    float *scale, *batch_mean, *batch_var, *bias, *dscale, *dshift;
} norm_data;

static float **map_of(norm_data *d, int i)
{
    float **maps[MAPS] = {&d->x, &d->residual, &d->g1, &d->g2, &d->y, &d->dx};
    return maps[i];
}

static float **vector_of(norm_data *d, int i)
{
    float **vectors[VECTORS] = {&d->scale,     &d->bias,   &d->batch_mean,
                                &d->batch_var, &d->dscale, &d->dshift};
    return vectors[i];
}

/* What a case varies. */
typedef struct norm_case {
    ex_map_shape shape;
    bool relu, residual, second;
    size_t shift;
} norm_case;

/* x lies far from 0, so that a variance by cancelling squares would be seen. Outputs are NaN. */
static void open_norm(norm_data *d, const norm_case *c)
{
    const ex_map_shape *m = &c->shape;
    memset(d, 0, sizeof *d);
    d->channels = (size_t)m->C;
    d->floats = (size_t)m->N * d->channels * (size_t)m->H * (size_t)m->W;
    d->shift = c->shift;
    for (int i = 0; i < 4; i++)
        *map_of(d, i) = shifted_floats(d->floats, c->shift, 1 + (uint64_t)i);
    for (int i = 4; i < MAPS; i++)
        *map_of(d, i) = shifted_output(d->floats, c->shift);
    for (int i = 0; i < VECTORS; i++)
        *vector_of(d, i) = ex_guard_floats(d->channels);
    for (size_t i = 0; i < d->floats; i++)
        d->x[i] = 30.0f + 0.25f * d->x[i];
    for (size_t i = 0; i < d->channels; i++) {
        d->scale[i] = 0.5f + 0.03f * (float)(i % 72);
        d->bias[i] = 0.2f - 0.02f * (float)(i % 72);
    }
    d->norm = (ex_norm_train){.shape = *m,
                              .scale = d->scale,
                              .shift = d->bias,
                              .mean = d->batch_mean,
                              .var = d->batch_var,
                              .eps = EPS,
                              .relu = c->relu,
                              .scratch = ex_guard_floats(k->norm_train_scratch(m))};
    d->gradient = (ex_norm_train_gradient){.dx = d->dx,
                                           .dscale = d->dscale,
                                           .dshift = d->dshift,
                                           .g1 = d->g1,
                                           .g2 = c->second ? d->g2 : NULL,
                                           .x = d->x,
                                           .y = c->residual && c->relu ? d->y : NULL,
                                           .keep = c->residual || c->second};
}

static void close_norm(norm_data *d)
{
    for (int i = 0; i < MAPS; i++) {
        ex_guard_check(*map_of(d, i) - d->shift, d->floats + d->shift);
        free_shifted(*map_of(d, i), d->shift);
    }
    for (int i = 0; i < VECTORS; i++) {
        ex_guard_check(*vector_of(d, i), d->channels);
        ex_guard_free(*vector_of(d, i));
    }
    ex_guard_check(d->norm.scratch, k->norm_train_scratch(&d->norm.shape));
    ex_guard_free(d->norm.scratch);
}

/* The reference's forward pass, from which both backward passes start. */
static void copy_forward(norm_data *to, const norm_data *from)
{
    memcpy(to->y, from->y, from->floats * sizeof *from->y);
    memcpy(to->batch_mean, from->batch_mean, from->channels * sizeof *from->y);
    memcpy(to->batch_var, from->batch_var, from->channels * sizeof *from->y);
}

static void check_norm(const norm_case *c)
{
    norm_data d, ref;
    open_norm(&d, c), open_norm(&ref, c);
    const ex_stream s = threads_stream(1);
    ex_norm_train_fwd_ref(ref.y, ref.x, c->residual ? ref.residual : NULL, &ref.norm);
    k->norm_train_fwd(d.y, d.x, c->residual ? d.residual : NULL, &d.norm, s);
    assert_close(d.y, ref.y, d.floats, 3e-5, 2e-5);
    assert_close(d.batch_mean, ref.batch_mean, d.channels, 0.0, 2e-7);
    assert_close(d.batch_var, ref.batch_var, d.channels, 1e-8, 1e-5);
    copy_forward(&d, &ref);
    if (!d.gradient.keep)
        d.gradient.dx = d.g1; /* in place */
    ex_norm_train_bwd_ref(&ref.gradient, &ref.norm);
    k->norm_train_bwd(&d.gradient, &d.norm, s);
    assert_close(d.gradient.dx, ref.dx, d.floats, 1e-4, 5e-5);
    assert_close(d.dscale, ref.dscale, d.channels, 1e-4, 1e-5);
    assert_close(d.dshift, ref.dshift, d.channels, 1e-4, 1e-5);
    if (d.gradient.keep)
        assert_close(d.g1, ref.g1, d.floats, 0.0, 2e-7);
    assert_memory_equal(d.x, ref.x, d.floats * sizeof *d.x);
    assert_memory_equal(d.g2, ref.g2, d.floats * sizeof *d.x);
    close_norm(&d), close_norm(&ref);
}

/* Each shape meets one in so many combinations of switches, each combination some shapes: emulated
 * threads are slow. */
#if defined(EX_TEST_EMULATED)
enum { COMBINATIONS = 3 };
#else
enum { COMBINATIONS = 1 };
#endif

static void test_forward_and_backward_equal_the_reference(void **state)
{
    /* N, C, H, W, block: 1, 31, 32, 33, 1023 values of a channel and channels; one channel; odd
     * maps; a map of more pixels than a block of threads takes at once. */
    static const ex_map_shape shapes[] = {
        {1, 1, 1, 1, 1},
        {1, 3, 1, 1, 1},
        {31, 1, 1, 1, 1},
        {2, 1, 4, 4, 1},
        {3, 1, 11, 1, 1},
        {1, 31, 3, 3, 1},
        {1, 32, 2, 4, 1},
        {1, 33, 1, 2, 1},
        {2, 5, 7, 5, 1},
        {6, 3, 1, 3, 1},
        {2, 32, 1, 1, 16},
        {3, 16, 5, 3, 16},
        {4, 32, 8, 8, 16},
        {2, 16, 17, 17, 16},
        {4, 24, 3, 3, 8},
        {2, 12, 3, 5, 4},
        {3, 6, 5, 1, 2},
        {1, 2, 70, 65, 1},
        {1, 2, 33, 31, 1},
        {1023, 1, 1, 1, 1},
        {1, 1023, 3, 1, 1},
#if defined(EX_TEST_EMULATED) /* NHWC */
        {2, 3, 40, 40, 3},
        {2, 31, 4, 4, 31},
        {3, 32, 3, 3, 32},
        {2, 33, 5, 3, 33},
        {2, 64, 12, 12, 64},
        {1, 72, 3, 3, 24},
        {1, 1023, 3, 1, 1023},
#endif
    };
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (unsigned bits = (unsigned)i % COMBINATIONS; bits < 8; bits += COMBINATIONS)
            check_norm(&(norm_case){.shape = shapes[i],
                                    .relu = bits & 1,
                                    .residual = bits & 2,
                                    .second = bits & 4,
                                    .shift = (i + bits / 2) % 2});
}

#if !defined(EX_TEST_EMULATED)
static void test_planes_are_channels_of_the_input_gradient(void **state)
{
    static const ex_map_shape shapes[] = {
        {3, 48, 5, 3, 16}, {2, 5, 7, 5, 1}, {4, 24, 3, 3, 8}, {1, 16, 1, 1, 16}};
    static const int32_t channel[] = {2, 0, 4};
    (void)state;
    for (size_t i = 0; i < 8; i++) {
        const ex_map_shape *m = &shapes[i % 4];
        const size_t pixels = (size_t)m->H * (size_t)m->W, block = (size_t)m->block;
        const size_t floats = (size_t)m->N * 3 * pixels;
        norm_data d;
        open_norm(&d, &(norm_case){.shape = *m, .relu = true, .residual = i >= 4});
        const ex_planes planes = {
            .channel = channel, .channels = 3, .out = ex_guard_floats(floats)};
        k->norm_train_fwd(d.y, d.x, i >= 4 ? d.residual : NULL, &d.norm, threads_stream(1));
        d.gradient.planes = &planes;
        k->norm_train_bwd(&d.gradient, &d.norm, threads_stream(2));
        for (size_t at = 0; at < floats; at++) {
            const size_t n = at / (3 * pixels), c = (size_t)channel[at / pixels % 3];
            const size_t from =
                (n * (size_t)m->C + c / block * block) * pixels + at % pixels * block + c % block;
            assert_true(is_same_float(planes.out + at, d.dx + from));
        }
        ex_guard_check(planes.out, floats);
        ex_guard_free(planes.out);
        close_norm(&d);
    }
}
#endif

static void test_empty_maps_write_nothing(void **state)
{
    static const ex_map_shape shapes[] = {{0, 16, 3, 3, 16}, {2, 0, 3, 3, 1}, {2, 3, 0, 5, 1}};
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        norm_data d;
        open_norm(&d, &(norm_case){.shape = shapes[i], .relu = true});
        const ex_stream s = threads_stream(1);
        k->norm_train_fwd(d.y, d.x, NULL, &d.norm, s);
        k->norm_train_bwd(&d.gradient, &d.norm, s);
        for (size_t c = 0; c < d.channels; c++)
            assert_true(isnan(d.batch_mean[c]) && isnan(d.batch_var[c]) && isnan(d.dscale[c]) &&
                        isnan(d.dshift[c]));
        close_norm(&d);
    }
}

static void test_number_of_threads_changes_no_bit(void **state)
{
    norm_data one, d;
    const norm_case c = {
        .shape = {33, 32, 14, 14, 16}, .relu = true, .residual = true, .second = true};
    (void)state;
    for (int t = 0; t < KERNEL_THREADS_COUNT; t++) {
        const ex_stream s = threads_stream(KERNEL_THREADS[t]);
        open_norm(&d, &c);
        k->norm_train_fwd(d.y, d.x, d.residual, &d.norm, s);
        k->norm_train_bwd(&d.gradient, &d.norm, s);
        if (t == 0) {
            one = d;
            continue;
        }
        for (int i = 0; i < MAPS; i++)
            assert_same_floats(*map_of(&d, i), *map_of(&one, i), d.floats);
        for (int i = 0; i < VECTORS; i++)
            assert_same_floats(*vector_of(&d, i), *vector_of(&one, i), d.channels);
        close_norm(&d);
    }
    close_norm(&one);
}

static void test_a_nan_is_not_hidden_by_the_relu(void **state)
{
    norm_data d;
    (void)state;
    open_norm(&d, &(norm_case){.shape = {2, 16, 3, 3, 16}, .relu = true});
    const ex_stream s = threads_stream(1);
    d.x[5] = NAN;
    k->norm_train_fwd(d.y, d.x, NULL, &d.norm, s);
    k->norm_train_bwd(&d.gradient, &d.norm, s);
    for (size_t i = 0; i < d.floats; i++) {
        assert_int_equal(isnan(d.y[i]) != 0, i % 16 == 5); /* its channel's mean is one */
        assert_int_equal(isnan(d.dx[i]) != 0, i % 16 == 5);
    }
    assert_true(isnan(d.dscale[5]) && !isnan(d.dscale[4]));
    close_norm(&d);
}

/* The gradient of a batch's norm sums to nothing over the batch, and is orthogonal to the
 * normalised values. */
static void test_input_gradient_has_no_mean_and_no_scale(void **state)
{
    norm_data d;
    (void)state;
    open_norm(&d, &(norm_case){.shape = {5, 1, 7, 9, 1}});
    d.norm.eps = 1e-8f;
    const ex_stream s = threads_stream(1);
    k->norm_train_fwd(d.y, d.x, NULL, &d.norm, s);
    k->norm_train_bwd(&d.gradient, &d.norm, s);
    double sum = 0.0, size = 0.0;
    for (size_t i = 0; i < d.floats; i++) {
        sum += (double)d.dx[i];
        size += fabs((double)d.dx[i]);
    }
    assert_true(fabs(sum) < 1e-5 * size);
    for (size_t i = 0; i < d.floats; i++)
        d.y[i] -= d.bias[0];
    assert_true(fabs(dot(d.dx, d.y, d.floats)) < 1e-5 * size);
    close_norm(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward_and_backward_equal_the_reference),
#if !defined(EX_TEST_EMULATED)
        cmocka_unit_test(test_planes_are_channels_of_the_input_gradient),
#endif
        cmocka_unit_test(test_empty_maps_write_nothing),
        cmocka_unit_test(test_number_of_threads_changes_no_bit),
        cmocka_unit_test(test_a_nan_is_not_hidden_by_the_relu),
        cmocka_unit_test(test_input_gradient_has_no_mean_and_no_scale),
    };
    return run_kernel_tests(tests);
}
