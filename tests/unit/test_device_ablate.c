/* Forked ablation against the reference run once per channel. */
#include "net_fixture.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

enum { IMAGES = 3, VARIANTS = 6, BATCH = IMAGES * VARIANTS + 2 };

static ex_plan *plan_of(ex_lane *lane, int batch, bool keep_nodes)
{
    ex_plan *plan;
    assert_ok(ex_plan_create(
        &plan, lane,
        &(ex_plan_spec){.use = EX_USE_EVALUATE, .batch = batch, .keep_nodes = keep_nodes}));
    return plan;
}

static void check_variants(const ex_net_fixture *f, int layer, ex_ablation ablation,
                           const int32_t *channel, const float *logits)
{
    const int classes = f->model->classes, rows = IMAGES * classes;
    double *expected = malloc((size_t)rows * sizeof *expected);
    float *reference = malloc((size_t)rows * sizeof *reference);
    for (int v = 0; v < VARIANTS; v++) {
        ex_net net = ex_net_fixture_net(f, false);
        net.layer = channel[v] < 0 ? -1 : layer;
        net.channel = channel[v];
        net.ablation = ablation;
        ex_net_loss(&net, f->input, f->feed.label, IMAGES, expected);
        for (int i = 0; i < rows; i++)
            reference[i] = (float)expected[i];
        assert_close(logits + v * rows, reference, (size_t)rows, 1e-5, 1e-4);
    }
    free(expected);
    free(reference);
}

/* Every layer of every test model, both ablations; `from` and `to` on one lane or on two. */
static void check_forks(int which, bool two_lanes)
{
    ex_net_fixture f;
    ex_net_fixture_open(&f, which, IMAGES, 1, EX_CONV_AUTO);
    const ex_model *m = f.model;
    const int last = m->node_count - 1;
    const size_t n = (size_t)(VARIANTS * IMAGES * m->classes);
    ex_lane *other;
    assert_ok(ex_lane_create(&other, f.device, m, 1));
    assert_ok(ex_lane_load(other, f.params, f.stats));
    ex_plan *from = plan_of(f.lane, IMAGES + 1, true);
    ex_plan *to = plan_of(two_lanes ? other : f.lane, BATCH, false);
    float *logits = ex_guard_floats(n);
    assert_ok(ex_plan_load(from, &f.data, &f.feed));
    assert_ok(ex_plan_forward(from, 1, last));
    for (int layer = 0; layer < m->layer_count; layer++) {
        const int channels = m->layers[layer].channels;
        const int32_t channel[VARIANTS] = {0, -1, channels - 1, channels / 2, 1, 0};
        for (int a = 0; a < 2; a++) {
            const ex_fork fork = {.layer = layer,
                                  .ablation = a ? EX_ABLATE_ACTIVATION : EX_ABLATE_FILTER,
                                  .channel = channel,
                                  .variants = VARIANTS,
                                  .images = IMAGES};
            int next;
            assert_ok(ex_plan_fork(to, from, &fork, &next));
            assert_true(next > m->layers[layer].node && next <= last + 1);
            assert_ok(ex_plan_forward(to, next, last));
            assert_ok(ex_plan_logits(to, logits, VARIANTS * IMAGES));
            check_variants(&f, layer, fork.ablation, channel, logits);
        }
    }
    ex_guard_check(logits, n);
    ex_guard_free(logits);
    ex_plan_destroy(&from);
    ex_plan_destroy(&to);
    ex_lane_destroy(&other);
    ex_net_fixture_close(&f);
}

static void test_variants_equal_separate_evaluations(void **state)
{
    (void)state;
    for (int which = 0; which < EX_TEST_MODELS; which++)
        check_forks(which, false);
}

static void test_forks_cross_lanes(void **state)
{
    (void)state;
    check_forks(0, true);
}

static void test_wrong_forks_are_refused(void **state)
{
    (void)state;
    ex_net_fixture f;
    ex_net_fixture_open(&f, 0, IMAGES, 1, EX_CONV_AUTO);
    ex_plan *plain = plan_of(f.lane, IMAGES, false), *kept = plan_of(f.lane, IMAGES, true);
    const int32_t channel[2] = {0, 1000};
    ex_fork fork = {.channel = channel, .variants = 1, .images = IMAGES};
    int next;
    assert_status(ex_plan_fork(kept, plain, &fork, &next), EX_ERR_USAGE);
    assert_message("keep_nodes");
    fork.variants = 2;
    assert_status(ex_plan_fork(plain, kept, &fork, &next), EX_ERR_USAGE);
    assert_message("2 variants of 3 images do not fit a batch of 3");
    fork.images = 1;
    assert_status(ex_plan_fork(plain, kept, &fork, &next), EX_ERR_USAGE);
    assert_message("channel 1000");
    ex_plan_destroy(&plain);
    ex_plan_destroy(&kept);
    ex_net_fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_variants_equal_separate_evaluations),
        cmocka_unit_test(test_forks_cross_lanes),
        cmocka_unit_test(test_wrong_forks_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
