/* Gradients of the device under test against finite differences of a forward pass in double precision.
 */
#include "net_fixture.h"
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROBES = 8 }; /* elements of each tensor that are checked */

/* d loss / d *value by central difference. */
static double slope(const ex_net_fixture *f, const ex_net *net, double *value)
{
    const double h = 1e-5, old = *value;
    *value = old + h;
    const double up = ex_net_loss(net, f->input, f->feed.label, f->batch, NULL);
    *value = old - h;
    const double down = ex_net_loss(net, f->input, f->feed.label, f->batch, NULL);
    *value = old;
    return (up - down) / (2.0 * h);
}

static void check_slopes(const ex_net_fixture *f, const ex_net *net, const char *what,
                         const float *grads, double *values, size_t count)
{
    const size_t probes = count < PROBES ? count : PROBES;
    for (size_t i = 0; i < probes; i++) {
        const size_t at = (i * 7919) % count;
        const double expected = slope(f, net, &values[at]), actual = (double)grads[at];
        if (!(fabs(actual - expected) <= 2e-6 + 2e-4 * fabs(expected)))
            fail_msg("%s[%zu]: gradient %.9g, finite difference %.9g", what, at, actual, expected);
    }
}

static void check_gradients(int which, ex_norm_mode norm, int batch, int threads,
                            ex_conv_choice conv)
{
    ex_net_fixture f;
    ex_net_fixture_open(&f, which, batch, threads, conv);
    const ex_model *m = f.model;
    const ex_net net = ex_net_fixture_net(&f, norm == EX_NORM_TRAIN);
    const size_t pixels = (size_t)(batch * m->in_channels * m->in_height * m->in_width);
    const size_t rows = (size_t)(batch * m->classes);
    ex_plan *plan;
    assert_ok(ex_plan_create(
        &plan, f.lane,
        &(ex_plan_spec){
            .use = EX_USE_TRAIN, .batch = batch, .norm = norm, .input_gradient = true}));
    ex_gradient g = {.logits = ex_guard_floats(rows),
                     .params = ex_guard_floats(m->param_count),
                     .input = ex_guard_floats(pixels)};
    double *logits = malloc(rows * sizeof *logits);
    float *expected = malloc(rows * sizeof *expected);
    assert_ok(ex_plan_gradient(plan, &f.data, &f.feed, &g));
    const double loss = ex_net_loss(&net, f.input, f.feed.label, batch, logits);
    for (size_t i = 0; i < rows; i++)
        expected[i] = (float)logits[i];
    assert_true(fabs(g.loss - loss) <= 1e-5 * (1.0 + fabs(loss)));
    assert_close(g.logits, expected, rows, 1e-5, 1e-4);
    for (int i = 0; i < m->tensor_count; i++) {
        const ex_tensor *t = &m->tensors[i];
        if (t->kind != EX_TENSOR_STAT)
            check_slopes(&f, &net, t->name, g.params + t->offset, f.dparams + t->offset, t->size);
    }
    check_slopes(&f, &net, "input", g.input, f.input, pixels);
    ex_guard_check(g.logits, rows);
    ex_guard_check(g.params, m->param_count);
    ex_guard_check(g.input, pixels);
    ex_guard_free(g.logits);
    ex_guard_free(g.params);
    ex_guard_free(g.input);
    free(logits);
    free(expected);
    ex_plan_destroy(&plan);
    ex_net_fixture_close(&f);
}

static void test_gradients_match_finite_differences(void **state)
{
    (void)state;
    for (int which = 0; which < EX_TEST_MODELS; which++)
        check_gradients(which, EX_NORM_TRAIN, 5, 1, EX_CONV_AUTO);
}

static void test_gradients_match_with_frozen_norms(void **state)
{
    (void)state;
    for (int which = 0; which < EX_TEST_MODELS; which++)
        check_gradients(which, EX_NORM_FROZEN, 5, 1, EX_CONV_AUTO);
}

static void test_gradients_match_with_two_threads_and_direct_convolution(void **state)
{
    (void)state;
    for (int which = 0; which < EX_TEST_MODELS; which++)
        check_gradients(which, EX_NORM_TRAIN, 4, 2, EX_CONV_DIRECT);
}

static void test_gradients_match_for_a_single_sample(void **state)
{
    (void)state;
    for (int which = 0; which < EX_TEST_MODELS; which++)
        check_gradients(which, EX_NORM_FROZEN, 1, 1, EX_CONV_AUTO);
}

/* v = mu v + g + wd p; p -= lr v; running statistics as PyTorch keeps them. */
static void test_step_applies_gradient_and_running_statistics(void **state)
{
    (void)state;
    ex_net_fixture f;
    ex_net_fixture_open(&f, 0, 6, 1, EX_CONV_AUTO);
    const ex_model *m = f.model;
    const ex_sgd_coeff sgd = {.lr = 0.1f, .momentum = 0.9f, .weight_decay = 0.01f};
    ex_train_sums sums = {0};
    ex_plan *plan;
    ex_net net = ex_net_fixture_net(&f, true);
    net.batch_mean = malloc(m->stat_count * sizeof(double));
    net.batch_var = malloc(m->stat_count * sizeof(double));
    float *grads = malloc(m->param_count * sizeof *grads);
    float *velocity = malloc(m->param_count * sizeof *velocity);
    float *params = malloc(m->param_count * sizeof *params);
    float *stats = malloc(m->stat_count * sizeof *stats);
    for (size_t i = 0; i < m->param_count; i++)
        velocity[i] = 0.001f * (float)(i % 13);
    assert_ok(ex_lane_load_velocity(f.lane, velocity));
    assert_ok(
        ex_plan_create(&plan, f.lane, &(ex_plan_spec){.use = EX_USE_TRAIN, .batch = f.batch}));
    assert_ok(ex_plan_gradient(plan, &f.data, &f.feed, &(ex_gradient){.params = grads}));
    assert_ok(ex_lane_store(f.lane, params, stats));
    assert_memory_equal(params, f.params, m->param_count * sizeof *params);
    assert_memory_equal(stats, f.stats, m->stat_count * sizeof *stats);

    assert_ok(ex_plan_train(plan, &f.data, &f.feed, &sgd, &sums));
    assert_ok(ex_lane_store(f.lane, params, stats));
    const double loss = ex_net_loss(&net, f.input, f.feed.label, f.batch, NULL);
    assert_true(fabs(sums.loss / f.batch - loss) < 1e-5);
    assert_int_equal(sums.count, f.batch);
    for (size_t i = 0; i < m->param_count; i++) {
        velocity[i] = 0.9f * velocity[i] + grads[i] + 0.01f * f.params[i];
        grads[i] = f.params[i] - 0.1f * velocity[i];
    }
    assert_close(params, grads, m->param_count, 1e-6, 1e-5);
    for (int i = 0; i < m->layer_count; i++) {
        const ex_layer *l = &m->layers[i];
        const ex_node *n = &m->nodes[l->node];
        const double count = f.batch * n->out_H * n->out_W;
        for (size_t k = 0; l->scale != EX_NONE && k < (size_t)l->channels; k++) {
            f.stats[l->mean + k] +=
                (float)(0.1 * (net.batch_mean[l->mean + k] - f.dstats[l->mean + k]));
            f.stats[l->var + k] += (float)(0.1 * (net.batch_var[l->mean + k] * count / (count - 1) -
                                                  f.dstats[l->var + k]));
        }
    }
    assert_close(stats, f.stats, m->stat_count, 1e-6, 1e-5);
    ex_plan_destroy(&plan);
    free(net.batch_mean);
    free(net.batch_var);
    free(grads);
    free(velocity);
    free(params);
    free(stats);
    ex_net_fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients_match_finite_differences),
        cmocka_unit_test(test_gradients_match_with_frozen_norms),
        cmocka_unit_test(test_gradients_match_with_two_threads_and_direct_convolution),
        cmocka_unit_test(test_gradients_match_for_a_single_sample),
        cmocka_unit_test(test_step_applies_gradient_and_running_statistics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
