#include "test_kernels.h"

static const ex_map_shape shapes[] = {
    {.N = 3, .C = 5, .H = 1, .W = 1, .block = 1},
    {.N = 2, .C = 6, .H = 3, .W = 5, .block = 1},
    {.N = 2, .C = 6, .H = 3, .W = 5, .block = 6},
    {.N = 3, .C = 32, .H = 2, .W = 3, .block = 16},
    {.N = 2, .C = 16, .H = 5, .W = 1, .block = 8},
    {.N = 1, .C = 3, .H = 1, .W = 1, .block = 3},
    {.N = 9, .C = 64, .H = 14, .W = 14, .block = 16},
    {.N = 0, .C = 4, .H = 2, .W = 2, .block = 4},
    {.N = 31, .C = 1, .H = 1, .W = 1, .block = 1},
    {.N = 2, .C = 31, .H = 3, .W = 1, .block = 31},
    {.N = 1, .C = 32, .H = 1, .W = 1, .block = 1},
    {.N = 2, .C = 33, .H = 2, .W = 1, .block = 33},
    {.N = 33, .C = 1, .H = 31, .W = 1, .block = 1},
    {.N = 1, .C = 1023, .H = 1, .W = 1, .block = 1023},
    {.N = 1, .C = 3, .H = 31, .W = 11, .block = 3},
    {.N = 1023, .C = 2, .H = 1, .W = 1, .block = 2},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static const ex_dropout drops[] = {
    {.rate = 0.0f, .draws = {{1, 2}, {3, 4, 5, 6}}},
    {.rate = 0.25f, .draws = {{0x89abcdefu, 0x01234567u}, {0xfffffff0u, 7, 0x3002, 0x50a}}},
    {.rate = 0.5f, .draws = {{9, 0}, {0, 0, 0, 10}}},
};

static size_t floats_of(const ex_map_shape *m)
{
    return (size_t)m->N * (size_t)m->C * (size_t)m->H * (size_t)m->W;
}

static void check(const ex_map_shape *m, const ex_dropout *drop)
{
    const size_t n = floats_of(m);
    float *in = random_floats(n, 5), *expected = ex_guard_floats(n), *out = ex_guard_floats(n);
    for (int backward = 0; backward <= 1; backward++) {
        (backward ? ex_flatten_bwd_ref : ex_flatten_fwd_ref)(expected, in, m, drop);
        for (int t = 0; t < KERNEL_THREADS_COUNT; t++) {
            const ex_stream s = threads_stream(KERNEL_THREADS[t]);
            poison(out, n);
            (backward ? k->flatten_bwd : k->flatten_fwd)(out, in, m, drop, s);
            assert_same_floats(out, expected, n);
        }
    }
    ex_guard_free(in), ex_guard_free(expected), ex_guard_free(out);
}

static void test_flatten_equals_the_reference_in_every_layout(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES; i++)
        check(&shapes[i], NULL);
}

static void test_dropout_equals_the_reference_in_every_layout(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES; i++)
        for (int d = 0; d < 3; d++)
            check(&shapes[i], &drops[d]);
}

/* The kernel's own generator is that of rng.h: the words of a stream, in order. */
static void test_dropout_draws_from_the_engines_streams(void **state)
{
    (void)state;
    enum { COUNT = 1003 };
    const ex_map_shape m = {.N = 1, .C = COUNT, .H = 1, .W = 1, .block = 1};
    ex_rng r = ex_rng_at((ex_rng_key){.seed = UINT64_C(0xfedcba9876543210),
                                      .use = EX_RNG_DROPOUT,
                                      .client = 77,
                                      .round = 123,
                                      .epoch = 4,
                                      .step = 5});
    const ex_dropout drop = {
        .rate = 0.3f,
        .draws = {{r.key[0], r.key[1]}, {r.counter[0], r.counter[1], r.counter[2], r.counter[3]}}};
    float *in = ex_guard_floats(COUNT), *out = ex_guard_floats(COUNT);
    for (int i = 0; i < COUNT; i++)
        in[i] = 1.0f;
    k->flatten_fwd(out, in, &m, &drop, threads_stream(1));
    for (int i = 0; i < COUNT; i++)
        assert_true(out[i] == (ex_rng_uniform(&r) < 0.3f ? 0.0f : 1.0f / (1.0f - 0.3f)));
    ex_guard_check(out, COUNT);
    ex_guard_free(in), ex_guard_free(out);
}

/* Of a million values, the share that is dropped is the rate within five deviations. */
static void test_dropout_keeps_the_share_it_should(void **state)
{
    (void)state;
    enum { COUNT = 1 << 20 };
    const ex_map_shape m = {.N = 16, .C = COUNT / 16, .H = 1, .W = 1, .block = 1};
    float *in = ex_guard_floats(COUNT), *out = ex_guard_floats(COUNT);
    for (int i = 0; i < COUNT; i++)
        in[i] = 1.0f;
    for (int d = 1; d < 3; d++) {
        const double rate = (double)drops[d].rate;
        k->flatten_fwd(out, in, &m, &drops[d], threads_stream(2));
        double dropped = 0, pairs = 0;
        for (int i = 0; i < COUNT; i++) {
            dropped += out[i] == 0.0f;
            pairs += i > 0 && out[i] == 0.0f && out[i - 1] == 0.0f;
        }
        assert_true(fabs(dropped / COUNT - rate) < 5 * sqrt(rate * (1 - rate) / COUNT));
        assert_true(fabs(pairs / COUNT - rate * rate) < 5 * sqrt(rate * rate / COUNT));
    }
    ex_guard_free(in), ex_guard_free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flatten_equals_the_reference_in_every_layout),
        cmocka_unit_test(test_dropout_equals_the_reference_in_every_layout),
        cmocka_unit_test(test_dropout_draws_from_the_engines_streams),
        cmocka_unit_test(test_dropout_keeps_the_share_it_should),
    };
    return run_kernel_tests(tests);
}
