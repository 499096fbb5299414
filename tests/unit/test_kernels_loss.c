#include "test_kernels.h"

typedef struct loss_case {
    int N, K;
    float *logits, *dlogits, *loss;
    uint16_t *label;
    int32_t *predicted;
} loss_case;

/* Logits in [-2, 2) * spread, any labels; outputs poisoned. */
static loss_case make_case(int N, int K, float spread)
{
    const size_t rows = (size_t)N, n = rows * (size_t)K;
    loss_case c = {.N = N,
                   .K = K,
                   .logits = random_floats(n, 5),
                   .dlogits = ex_guard_floats(n),
                   .loss = ex_guard_floats(rows),
                   .label = malloc(rows * sizeof *c.label + 1),
                   .predicted = malloc(rows * sizeof *c.predicted + 1)};
    assert_true(c.label && c.predicted);
    ex_rng r = ex_rng_at((ex_rng_key){.seed = 6, .use = EX_RNG_TEST});
    for (size_t i = 0; i < n; i++)
        c.logits[i] *= spread;
    for (size_t i = 0; i < rows; i++) {
        c.label[i] = (uint16_t)ex_rng_below(&r, (uint32_t)K);
        c.predicted[i] = -77;
    }
    return c;
}

static void free_case(loss_case *c)
{
    ex_guard_free(c->logits), ex_guard_free(c->dlogits), ex_guard_free(c->loss);
    free(c->label), free(c->predicted);
}

static void run(loss_case *c, float grad_scale, int threads)
{
    k->softmax_xent(c->dlogits, c->loss, c->predicted, c->logits, c->label, c->N, c->K, grad_scale,
                    threads_stream(threads));
    ex_guard_check(c->dlogits, (size_t)(c->N * c->K));
    ex_guard_check(c->loss, (size_t)c->N);
}

static void check_against_reference(int N, int K, float spread)
{
    loss_case c = make_case(N, K, spread);
    const size_t rows = (size_t)N, n = rows * (size_t)K;
    const float grad_scale = 1.0f / 128.0f;
    float *dlogits = ex_guard_floats(n), *loss = ex_guard_floats(rows);
    int32_t *predicted = malloc(rows * sizeof *predicted + 1);
    assert_non_null(predicted);
    ex_softmax_xent_ref(dlogits, loss, predicted, c.logits, c.label, N, K, grad_scale);
    for (int t = 0; t < KERNEL_THREADS_COUNT; t++) {
        poison(c.dlogits, n), poison(c.loss, rows);
        run(&c, grad_scale, KERNEL_THREADS[t]);
        assert_close(c.loss, loss, rows, 1e-37, 2e-6);
        assert_close(c.dlogits, dlogits, n, 2e-7 * (double)grad_scale, 2e-6);
        assert_memory_equal(c.predicted, predicted, rows * sizeof *predicted);
        if (t == 0)
            memcpy(dlogits, c.dlogits, n * sizeof *dlogits),
                memcpy(loss, c.loss, rows * sizeof *loss);
        assert_same_floats(c.dlogits, dlogits, n);
        assert_same_floats(c.loss, loss, rows);
    }
    ex_guard_free(dlogits), ex_guard_free(loss), free(predicted);
    free_case(&c);
}

static void test_loss_gradient_and_prediction_equal_float64(void **state)
{
    (void)state;
    static const int classes[] = {1, 2, 7, 10, 31, 32, 33, 100, 1023};
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        check_against_reference(17, classes[i], 1.0f);
        check_against_reference(17, classes[i], 40.0f);
        check_against_reference(17, classes[i], 1e30f);
        check_against_reference(1, classes[i], 5.0f);
    }
    for (int N = 31; N <= 33; N++) {
        check_against_reference(N, 1, 1.0f);
        check_against_reference(N, 33, 3.0f);
    }
    check_against_reference(1023, 2, 3.0f);
    check_against_reference(0, 10, 1.0f);
    check_against_reference(1500, 10, 3.0f); /* enough for several threads */
}

static void test_loss_of_a_confident_hit_does_not_round_to_zero(void **state)
{
    (void)state;
    loss_case c = make_case(1, 2, 1.0f);
    c.logits[0] = 0.0f, c.logits[1] = -60.0f, c.label[0] = 0;
    run(&c, 1.0f, 1);
    const float expected = (float)exp(-60.0);
    assert_close(c.loss, &expected, 1, 0.0, 1e-6);
    free_case(&c);
}

/* Central differences of the mean loss, in units that float32 resolves. */
static void test_gradient_equals_finite_differences(void **state)
{
    (void)state;
    loss_case c = make_case(6, 10, 1.0f);
    const float step = 1.0f / 64.0f;
    float *gradient = copied_floats(c.logits, 60);
    k->softmax_xent(gradient, NULL, NULL, c.logits, c.label, 6, 10, 1.0f, threads_stream(1));
    for (size_t i = 0; i < 60; i++) {
        const float saved = c.logits[i];
        c.logits[i] = saved + step;
        run(&c, 1.0f, 1);
        const double up = (double)c.loss[i / 10];
        c.logits[i] = saved - step;
        run(&c, 1.0f, 1);
        const float slope = (float)((up - (double)c.loss[i / 10]) / (2.0 * (double)step));
        c.logits[i] = saved;
        assert_close(gradient + i, &slope, 1, 1e-4, 1e-3);
    }
    ex_guard_free(gradient);
    free_case(&c);
}

static void test_prediction_takes_the_lowest_index_of_a_tie(void **state)
{
    (void)state;
    loss_case c = make_case(1, 5, 1.0f);
    static const float tied[5] = {-1.0f, 2.0f, 0.0f, 2.0f, 2.0f};
    memcpy(c.logits, tied, sizeof tied);
    run(&c, 1.0f, 1);
    assert_int_equal(c.predicted[0], 1);
    free_case(&c);
}

static void test_nan_logit_gives_nan_loss_and_no_prediction(void **state)
{
    (void)state;
    for (int K = 1; K <= 4; K++)
        for (int at = 0; at < K; at++)
            for (int label = 0; label < K; label++) {
                loss_case c = make_case(3, K, 1.0f);
                c.logits[K + at] = NAN;
                c.label[1] = (uint16_t)label;
                run(&c, 1.0f, 1);
                assert_true(isnan(c.loss[1]));
                assert_int_equal(c.predicted[1], -1);
                for (int j = 0; j < K; j++)
                    assert_true(isnan(c.dlogits[K + j]));
                assert_false(isnan(c.loss[0]) || isnan(c.loss[2]));
                assert_true(c.predicted[0] >= 0 && c.predicted[2] >= 0);
                free_case(&c);
            }
}

static void test_outputs_that_are_null_are_skipped(void **state)
{
    (void)state;
    loss_case c = make_case(9, 10, 1.0f), only = make_case(9, 10, 1.0f);
    const ex_stream s = threads_stream(1);
    run(&c, 0.5f, 1);
    k->softmax_xent(NULL, only.loss, NULL, c.logits, c.label, 9, 10, 0.5f, s);
    assert_same_floats(only.loss, c.loss, 9);
    k->softmax_xent(NULL, NULL, only.predicted, c.logits, c.label, 9, 10, 0.5f, s);
    assert_memory_equal(only.predicted, c.predicted, 9 * sizeof *c.predicted);
    k->softmax_xent(only.logits, NULL, NULL, only.logits, c.label, 9, 10, 0.5f, s); /* in place */
    assert_same_floats(only.logits, c.dlogits, 90);
    free_case(&c), free_case(&only);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loss_gradient_and_prediction_equal_float64),
        cmocka_unit_test(test_loss_of_a_confident_hit_does_not_round_to_zero),
        cmocka_unit_test(test_gradient_equals_finite_differences),
        cmocka_unit_test(test_prediction_takes_the_lowest_index_of_a_tie),
        cmocka_unit_test(test_nan_logit_gives_nan_loss_and_no_prediction),
        cmocka_unit_test(test_outputs_that_are_null_are_skipped),
    };
    return run_kernel_tests(tests);
}
