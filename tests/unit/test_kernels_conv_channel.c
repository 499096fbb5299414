#include "test_kernels.h"

static const ex_conv_shape SHAPES[] = {
    /* in {N, C, H, W, block}, K, out_H, out_W, out_block, R, S, stride, pad */
    {{3, 16, 8, 8, 16}, 16, 8, 8, 16, 3, 3, 1, 1},
    {{2, 32, 7, 5, 16}, 48, 7, 5, 16, 3, 3, 1, 1},
    {{2, 32, 7, 5, 32}, 32, 7, 5, 32, 3, 3, 1, 1},
    {{3, 16, 9, 9, 16}, 32, 5, 5, 16, 3, 3, 2, 1},
    {{3, 16, 8, 8, 16}, 32, 4, 4, 16, 1, 1, 2, 0},
    {{2, 5, 7, 21, 1}, 4, 5, 19, 1, 3, 3, 1, 0},
    {{2, 8, 6, 6, 8}, 16, 6, 6, 16, 5, 5, 1, 2},
    {{2, 8, 6, 6, 8}, 24, 6, 6, 8, 3, 3, 1, 1},
    {{1, 16, 1, 1, 16}, 16, 1, 1, 16, 3, 3, 1, 1},
    {{2, 16, 2, 2, 16}, 64, 2, 2, 16, 3, 3, 1, 1},
    {{0, 16, 4, 4, 16}, 16, 4, 4, 16, 3, 3, 1, 1},
    {{2, 1, 5, 4, 1}, 1, 5, 4, 1, 3, 3, 1, 1},
    {{2, 31, 5, 3, 31}, 33, 5, 3, 33, 3, 3, 1, 1},
    {{1, 33, 3, 4, 33}, 31, 3, 4, 31, 3, 3, 1, 1},
    {{1, 33, 5, 3, 1}, 32, 3, 2, 1, 1, 1, 2, 0},
    {{31, 1, 3, 1, 1}, 31, 3, 1, 1, 3, 3, 1, 1},
    {{32, 3, 1, 1, 3}, 1, 1, 1, 1, 1, 1, 1, 0},
    {{33, 2, 1, 2, 2}, 1, 1, 2, 1, 1, 1, 1, 0},
    {{1, 1023, 1, 1, 1023}, 3, 1, 1, 3, 1, 1, 1, 0},
    {{1, 2, 3, 1, 2}, 1023, 3, 1, 1023, 3, 3, 1, 1},
};
enum { SHAPES_COUNT = sizeof SHAPES / sizeof *SHAPES, MOST_VARIANTS = 5 };

static size_t map_floats(int N, int C, int H, int W)
{
    return (size_t)N * (size_t)C * (size_t)H * (size_t)W;
}

static void check_update(const ex_conv_shape *c, int V, bool with_residual, int relu)
{
    const size_t in = map_floats(c->in.N, c->in.C, c->in.H, c->in.W);
    const size_t out = map_floats(c->in.N, c->K, c->out_H, c->out_W), all = (size_t)V * out;
    const size_t floats = k->conv_channel_scratch(c, V);
    const int32_t channel[MOST_VARIANTS] = {c->in.C - 1, -1, 0, c->in.C / 2, 0};
    const float fill[MOST_VARIANTS] = {0.0f, NAN, 0.7f, -0.4f, -3.0f};
    float *x = random_floats(in, 1), *residual = random_floats(in, 2);
    float *pre = random_floats(out, 3), *scratch = ex_guard_floats(floats);
    float *weight = random_floats(map_floats(c->K, c->in.C, c->R, c->S), 4);
    float *found = ex_guard_floats(all), *expected = ex_guard_floats(all);
    float *first = ex_guard_floats(all);
    const ex_channel_change change = {.in = x,
                                      .residual = with_residual ? residual : NULL,
                                      .channel = channel,
                                      .fill = fill,
                                      .relu = !relu || with_residual,
                                      .V = V};
    ex_conv_channel_update_ref(expected, pre, weight, &change, c, relu);
    for (int t = 0; t < KERNEL_THREADS_COUNT; t++) {
        poison(found, all), poison(scratch, floats);
        k->conv_channel_update(found, pre, weight, &change, c, relu, scratch,
                               threads_stream(KERNEL_THREADS[t]));
        assert_close(found, expected, all, 1e-5, 1e-5); /* sums of up to 25 products below 8 */
        if (t == 0)
            memcpy(first, found, all * sizeof *found);
        assert_same_floats(found, first, all);
        ex_guard_check(scratch, floats);
    }
    ex_guard_free(x), ex_guard_free(residual), ex_guard_free(pre), ex_guard_free(scratch);
    ex_guard_free(weight), ex_guard_free(found), ex_guard_free(expected), ex_guard_free(first);
}

static void test_updates_are_those_of_the_reference_in_every_layout(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES_COUNT; i++)
        for (int V = 0; V <= MOST_VARIANTS; V += V ? MOST_VARIANTS - 1 : 1)
            for (int form = 0; form < 4; form++)
                check_update(&SHAPES[i], V, form & 1, form >> 1);
}

static void test_a_nan_in_the_changed_channel_reaches_its_neighbours_alone(void **state)
{
    (void)state;
    const ex_conv_shape *c = &SHAPES[0]; /* 16 channels in one block, 8 x 8 */
    const size_t maps = map_floats(3, 16, 8, 8);
    float *x = random_floats(maps, 1), *pre = random_floats(maps, 2), *out = ex_guard_floats(maps);
    float *weight = random_floats(16 * 9 * 16, 3);
    float *scratch = ex_guard_floats(k->conv_channel_scratch(c, 1));
    const int32_t channel = 2;
    const float fill = 0.0f;
    const ex_channel_change change = {.in = x, .channel = &channel, .fill = &fill, .V = 1};
    x[9 * 16 + 2] = NAN;  /* row 1, column 1 */
    x[36 * 16 + 3] = NAN; /* another channel's */
    k->conv_channel_update(out, pre, weight, &change, c, 1, scratch, threads_stream(1));
    for (int p = 0; p < 64; p++)
        for (int j = 0; j < 16; j++)
            assert_int_equal(isnan(out[p * 16 + j]) != 0, p / 8 <= 2 && p % 8 <= 2);
    ex_guard_free(x), ex_guard_free(pre), ex_guard_free(out);
    ex_guard_free(weight), ex_guard_free(scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_updates_are_those_of_the_reference_in_every_layout),
        cmocka_unit_test(test_a_nan_in_the_changed_channel_reaches_its_neighbours_alone),
    };
    return run_kernel_tests(tests);
}
