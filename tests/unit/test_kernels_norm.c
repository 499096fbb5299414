#include "test_kernels.h"

/* Scale, shift, mean (any sign) and variance (positive) of K channels. */
typedef struct norm_case {
    float *weight, *bias, *scale, *shift, *mean, *var;
    int K;
    size_t row;
} norm_case;

static norm_case make_norm(int K, size_t row)
{
    const size_t n = (size_t)K;
    norm_case c = {random_floats(n * row, 1),
                   random_floats(n, 2),
                   random_floats(n, 3),
                   random_floats(n, 4),
                   random_floats(n, 5),
                   random_floats(n, 6),
                   K,
                   row};
    for (size_t i = 0; i < n; i++)
        c.var[i] = fabsf(c.var[i]);
    return c;
}

static void free_norm(norm_case *c)
{
    ex_guard_free(c->weight), ex_guard_free(c->bias), ex_guard_free(c->scale);
    ex_guard_free(c->shift), ex_guard_free(c->mean), ex_guard_free(c->var);
}

/* Channels 1, 3, 5 ... of K. */
static int odd_channels(int32_t channel[64], int K)
{
    for (int i = 0; i < K / 2; i++)
        channel[i] = 2 * i + 1;
    return K / 2;
}

/* selected: odd channels alone; the others keep what the outputs had before. */
static void check_fold(int K, size_t row, bool with_bias, bool selected)
{
    norm_case c = make_norm(K, row);
    const size_t n = (size_t)K * row, all = (size_t)K;
    const float *bias = with_bias ? c.bias : NULL, eps = 1e-5f;
    int32_t list[64];
    const int channels = selected ? odd_channels(list, K) : K;
    const int32_t *channel = selected ? list : NULL;
    float *before = random_floats(n, 7), *bias_before = random_floats(all, 8);
    float *weight = ex_guard_floats(n), *expected = copied_floats(before, n);
    float *bias_out = ex_guard_floats(all), *bias_expected = copied_floats(bias_before, all);
    ex_norm_fold_ref(expected, bias_expected, c.weight, bias, c.scale, c.shift, c.mean, c.var, eps,
                     channel, channels, row);
    for (int t = 0; t < KERNEL_THREADS_COUNT; t++) {
        const ex_stream s = threads_stream(KERNEL_THREADS[t]);
        memcpy(weight, before, n * sizeof *weight);
        memcpy(bias_out, bias_before, all * sizeof *bias_out);
        k->norm_fold(weight, bias_out, c.weight, bias, c.scale, c.shift, c.mean, c.var, eps,
                     channel, channels, row, s);
        assert_same_floats(weight, expected, n);
        assert_same_floats(bias_out, bias_expected, all);
        if (selected)
            continue;
        memcpy(weight, c.weight, n * sizeof *weight); /* in place */
        k->norm_fold(weight, bias_out, weight, bias, c.scale, c.shift, c.mean, c.var, eps, channel,
                     channels, row, s);
        assert_same_floats(weight, expected, n);
    }
    ex_guard_free(weight), ex_guard_free(expected), ex_guard_free(bias_out);
    ex_guard_free(before), ex_guard_free(bias_before);
    ex_guard_free(bias_expected), free_norm(&c);
}

static void test_fold_equals_the_reference(void **state)
{
    (void)state;
    static const int channels[] = {0, 1, 7, 33, 129};
    static const size_t rows[] = {0, 1, 7, 27, 32, 33, 1023};
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
        for (size_t j = 0; j < sizeof rows / sizeof *rows; j++)
            for (int bias = 0; bias < 2; bias++)
                check_fold(channels[i], rows[j], bias, false);
}

static void test_fold_of_selected_channels_leaves_the_others(void **state)
{
    (void)state;
    static const int channels[] = {1, 7, 33};
    static const size_t rows[] = {1, 27, 32};
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
        for (size_t j = 0; j < sizeof rows / sizeof *rows; j++)
            for (int bias = 0; bias < 2; bias++)
                check_fold(channels[i], rows[j], bias, true);
}

/* Channels 1, 3, 5 ... of K, or all. */
static void check_fold_backward(int K, size_t row, bool with_bias, bool selected)
{
    norm_case c = make_norm(K, row);
    const size_t n = (size_t)K * row, channels = (size_t)K;
    int32_t channel[64];
    (void)odd_channels(channel, K);
    float *dweight = random_floats(n, 7), *dshift = random_floats(channels, 8);
    float *d[3], *expected[3]; /* dweight, dscale, dbias */
    for (int i = 0; i < 3; i++) {
        const size_t size = i ? channels : n;
        d[i] = ex_guard_floats(size);
        expected[i] = i ? random_floats(size, 9) : copied_floats(dweight, size);
    }
    const ex_norm_fold_gradient g = {.dweight = expected[0],
                                     .dscale = expected[1],
                                     .dbias = with_bias ? expected[2] : NULL,
                                     .dshift = dshift,
                                     .weight = c.weight,
                                     .bias = with_bias ? c.bias : NULL,
                                     .scale = c.scale,
                                     .mean = c.mean,
                                     .var = c.var,
                                     .eps = 1e-2f,
                                     .row = row};
    float *before[3] = {dweight, random_floats(channels, 9), random_floats(channels, 9)};
    ex_norm_fold_bwd_ref(&g, selected ? channel : NULL, selected ? K / 2 : K);
    for (int t = 0; t < KERNEL_THREADS_COUNT; t++) {
        ex_norm_fold_gradient own = g;
        for (int i = 0; i < 3; i++)
            memcpy(d[i], before[i], (i ? channels : n) * sizeof(float));
        own.dweight = d[0], own.dscale = d[1], own.dbias = with_bias ? d[2] : NULL;
        k->norm_fold_bwd(&own, selected ? channel : NULL, selected ? K / 2 : K,
                         threads_stream(KERNEL_THREADS[t]));
        for (int i = 0; i < 3; i++) {
            assert_close(d[i], expected[i], i ? channels : n, 1e-5, 1e-6);
            ex_guard_check(d[i], i ? channels : n);
        }
    }
    for (int i = 0; i < 3; i++)
        ex_guard_free(d[i]), ex_guard_free(expected[i]), ex_guard_free(before[i]);
    ex_guard_free(dshift), free_norm(&c);
}

static void test_fold_backward_is_that_of_the_reference_and_others_stay(void **state)
{
    (void)state;
    static const int channels[] = {0, 1, 7, 33};
    static const size_t rows[] = {0, 1, 27, 515};
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
        for (size_t j = 0; j < sizeof rows / sizeof *rows; j++)
            for (int form = 0; form < 4; form++)
                check_fold_backward(channels[i], rows[j], form & 1, form >> 1);
}

static void test_fold_at_any_alignment(void **state)
{
    (void)state;
    enum { K = 5, ROW = 36, N = K * ROW };
    norm_case c = make_norm(K, ROW);
    float *expected = ex_guard_floats(N), *bias = ex_guard_floats(K);
    ex_norm_fold_ref(expected, bias, c.weight, c.bias, c.scale, c.shift, c.mean, c.var, 1e-5f, NULL,
                     K, ROW);
    for (size_t i = 0; i < 16; i++) {
        const size_t shift = i % 4, shift_out = i / 4;
        float *weight = shifted_output(N, shift), *out = shifted_output(N, shift_out);
        memcpy(weight, c.weight, N * sizeof *weight);
        k->norm_fold(out, bias, weight, c.bias, c.scale, c.shift, c.mean, c.var, 1e-5f, NULL, K,
                     ROW, threads_stream(1));
        assert_same_shifted(out, shift_out, expected, N);
        free_shifted(weight, shift), free_shifted(out, shift_out);
    }
    ex_guard_free(expected), ex_guard_free(bias), free_norm(&c);
}

/* (w.x + b - mean) / sqrt(var + eps) * scale + shift = w'.x + b' for any x. */
static void test_folded_filter_gives_the_norm_of_the_filter(void **state)
{
    (void)state;
    enum { K = 9, ROW = 31 };
    norm_case c = make_norm(K, ROW);
    float *x = random_floats(ROW, 7), *weight = ex_guard_floats(K * ROW),
          *bias = ex_guard_floats(K);
    k->norm_fold(weight, bias, c.weight, c.bias, c.scale, c.shift, c.mean, c.var, 1e-3f, NULL, K,
                 ROW, threads_stream(1));
    for (int i = 0; i < K; i++) {
        const double y = dot(c.weight + i * ROW, x, ROW) + (double)c.bias[i];
        const float expected =
            (float)((y - (double)c.mean[i]) / sqrt((double)c.var[i] + 1e-3) * (double)c.scale[i] +
                    (double)c.shift[i]);
        const float folded = (float)(dot(weight + i * ROW, x, ROW) + (double)bias[i]);
        assert_close(&folded, &expected, 1, 1e-4, 1e-5);
    }
    ex_guard_free(x), ex_guard_free(weight), ex_guard_free(bias), free_norm(&c);
}

static void check_running(int C, size_t count, const uint8_t *selected)
{
    const size_t n = (size_t)C;
    float *mean = random_floats(n, 1), *var = random_floats(n, 2);
    float *batch_mean = random_floats(n, 3), *batch_var = random_floats(n, 4);
    float *old_mean = copied_floats(mean, n), *old_var = copied_floats(var, n);
    float *expected_mean = copied_floats(mean, n), *expected_var = copied_floats(var, n);
    ex_norm_running_ref(expected_mean, expected_var, batch_mean, batch_var, selected, count, 0.1f,
                        C);
    k->norm_running(mean, var, batch_mean, batch_var, selected, count, 0.1f, C, threads_stream(2));
    assert_close(mean, expected_mean, n, 1e-6, 1e-6);
    assert_close(var, expected_var, n, 1e-6, 1e-6);
    for (size_t i = 0; selected && i < n; i++)
        if (!selected[i]) {
            assert_memory_equal(mean + i, old_mean + i, sizeof *mean);
            assert_memory_equal(var + i, old_var + i, sizeof *var);
        }
    ex_guard_check(mean, n), ex_guard_check(var, n);
    ex_guard_free(mean), ex_guard_free(var), ex_guard_free(batch_mean), ex_guard_free(batch_var);
    ex_guard_free(old_mean), ex_guard_free(old_var);
    ex_guard_free(expected_mean), ex_guard_free(expected_var);
}

static void test_running_statistics_move_for_selected_channels_only(void **state)
{
    (void)state;
    static const int channels[] = {0, 1, 7, 32, 33};
    static const size_t counts[] = {1, 2, 100, 131072};
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
        for (size_t j = 0; j < sizeof counts / sizeof *counts; j++) {
            uint8_t some[40] = {0}, none[40] = {0}, all[40];
            memset(all, 1, sizeof all);
            for (int c = 0; c < 40; c += 3)
                some[c] = 0xff;
            check_running(channels[i], counts[j], NULL);
            check_running(channels[i], counts[j], all);
            check_running(channels[i], counts[j], some);
            check_running(channels[i], counts[j], none);
        }
}

/* Values 1, 2, 3, 6: mean 3, biased variance 3.5, unbiased 14/3. */
static void test_running_variance_is_unbiased(void **state)
{
    (void)state;
    float mean = 0.0f, var = 1.0f;
    const float batch_mean = 3.0f, batch_var = 3.5f;
    k->norm_running(&mean, &var, &batch_mean, &batch_var, NULL, 4, 0.1f, 1, threads_stream(1));
    const float expected_mean = 0.3f, expected_var = (float)(0.9 + 0.1 * 14.0 / 3.0);
    assert_close(&mean, &expected_mean, 1, 0.0, 2e-7);
    assert_close(&var, &expected_var, 1, 0.0, 2e-7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fold_equals_the_reference),
        cmocka_unit_test(test_fold_of_selected_channels_leaves_the_others),
        cmocka_unit_test(test_fold_backward_is_that_of_the_reference_and_others_stay),
        cmocka_unit_test(test_fold_at_any_alignment),
        cmocka_unit_test(test_folded_filter_gives_the_norm_of_the_filter),
        cmocka_unit_test(test_running_statistics_move_for_selected_channels_only),
        cmocka_unit_test(test_running_variance_is_unbiased),
    };
    return run_kernel_tests(tests);
}
