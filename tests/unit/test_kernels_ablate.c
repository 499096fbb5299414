#include "test_kernels.h"

static const ex_map_shape SHAPES[] = {
    {3, 16, 8, 8, 1},  {3, 16, 8, 8, 16}, {3, 32, 7, 5, 16},   {3, 32, 7, 5, 32},
    {2, 5, 3, 3, 5},   {2, 5, 3, 3, 1},   {1, 1, 1, 1, 1},     {1, 512, 1, 1, 16},
    {0, 16, 4, 4, 16}, {9, 33, 9, 7, 11}, {4, 16, 16, 16, 16}, {2, 31, 3, 1, 31},
    {1, 32, 1, 1, 1},  {1, 33, 2, 3, 33}, {31, 1, 1, 1, 1},    {1, 1023, 1, 1, 1023},
    {1, 1, 33, 31, 1},
};
enum { SHAPES_COUNT = sizeof SHAPES / sizeof *SHAPES, MOST_VARIANTS = 40 };

static size_t map_size(const ex_map_shape *m)
{
    return (size_t)(m->N * m->C * m->H * m->W);
}

/* Variants -1, 0, 1, ..., C - 1, and again. */
static void choose_channels(int32_t *channel, float *fill, int V, int C)
{
    for (int v = 0; v < V; v++) {
        channel[v] = v % (C + 1) - 1;
        fill[v] = (float)(v % 5) - 2.0f;
    }
}

static void check_ablate(const ex_map_shape *m, int V, bool with_residual, int relu)
{
    const size_t n = map_size(m), total = n * (size_t)V;
    int32_t channel[MOST_VARIANTS];
    float fill[MOST_VARIANTS];
    choose_channels(channel, fill, V, m->C);
    float *in = random_floats(n, 1), *other = random_floats(n, 2);
    float *residual = with_residual ? other : NULL;
    float *out = ex_guard_floats(total), *expected = ex_guard_floats(total);
    ex_channel_ablate_ref(expected, in, residual, channel, fill, relu, V, m);
    for (int t = 0; t < KERNEL_THREADS_COUNT; t++) {
        poison(out, total);
        k->channel_ablate(out, in, residual, channel, fill, relu, V, m,
                          threads_stream(KERNEL_THREADS[t]));
        assert_same_floats(out, expected, total);
    }
    ex_guard_free(in), ex_guard_free(other), ex_guard_free(out), ex_guard_free(expected);
}

static void test_ablate_equals_the_reference_in_every_layout(void **state)
{
    (void)state;
    static const int variants[] = {0, 1, 2, 17, 40};
    for (int i = 0; i < SHAPES_COUNT; i++)
        for (size_t v = 0; v < sizeof variants / sizeof *variants; v++)
            for (int form = 0; form < 4; form++)
                check_ablate(SHAPES + i, variants[v], form & 1, form >> 1);
}

static void test_ablate_at_any_alignment(void **state)
{
    (void)state;
    const ex_map_shape m = {2, 16, 5, 5, 16};
    const size_t n = map_size(&m);
    static const int32_t channel[3] = {3, 15, -1};
    static const float fill[3] = {1.0f, -1.0f, 2.0f};
    for (size_t i = 0; i < 16; i++) {
        const size_t shift = i % 4, shift_out = i / 4;
        float *in = shifted_floats(n, shift, 1), *out = shifted_output(3 * n, shift_out);
        float *expected = ex_guard_floats(3 * n);
        ex_channel_ablate_ref(expected, in, in, channel, fill, 1, 3, &m);
        k->channel_ablate(out, in, in, channel, fill, 1, 3, &m, threads_stream(1));
        assert_same_shifted(out, shift_out, expected, 3 * n);
        free_shifted(in, shift), free_shifted(out, shift_out), ex_guard_free(expected);
    }
}

static void test_ablate_of_channel_minus_one_copies_the_map(void **state)
{
    (void)state;
    const ex_map_shape m = {2, 16, 5, 5, 16};
    const size_t n = map_size(&m);
    const int32_t channel[2] = {-1, -1};
    const float fill[2] = {NAN, NAN};
    float *in = random_floats(n, 1), *out = ex_guard_floats(2 * n);
    k->channel_ablate(out, in, in, channel, fill, 1, 2, &m, threads_stream(1));
    assert_memory_equal(out, in, n * sizeof *in);
    assert_memory_equal(out + n, in, n * sizeof *in);
    ex_guard_check(out, 2 * n);
    ex_guard_free(in), ex_guard_free(out);
}

/* Only the channel asked for changes: 1 of 3 in NHWC, pixels 0 and 1. */
static void test_ablate_of_a_small_map_by_hand(void **state)
{
    (void)state;
    const ex_map_shape m = {1, 3, 1, 2, 3};
    static const float in[6] = {1, -2, 3, 4, 5, 6}, residual[6] = {9, -7, 9, 9, 4, 9};
    static const float expected[6] = {1, 0, 3, 4, 6.5f, 6};
    const int32_t channel = 1;
    const float fill = 2.5f;
    float *out = ex_guard_floats(6);
    k->channel_ablate(out, in, residual, &channel, &fill, 1, 1, &m, threads_stream(1));
    assert_same_floats(out, expected, 6);
    ex_guard_free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ablate_equals_the_reference_in_every_layout),
        cmocka_unit_test(test_ablate_at_any_alignment),
        cmocka_unit_test(test_ablate_of_channel_minus_one_copies_the_map),
        cmocka_unit_test(test_ablate_of_a_small_map_by_hand),
    };
    return run_kernel_tests(tests);
}
