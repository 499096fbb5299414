/* Training steps that are recorded and launched in groups: they give the bits of steps that are
 * queued one by one, and inside a run nothing is allocated and nobody waits. */
#include "device/device.h"
#include "net_fixture.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH = 2, STEPS = 19, GROUP = 8 };

static const ex_rng_key KEYS[] = {{.seed = 7, .client = 2, .round = 3, .epoch = 1, .step = 40},
                                  {.seed = 7, .client = 2, .round = 3, .epoch = 2},
                                  {.seed = 8, .client = 5}};
static const ex_sgd_coeff SGD = {.lr = 0.02f, .momentum = 0.9f};

typedef struct setting {
    ex_net_fixture f;
    ex_plan *plan;
    float *params;
} setting;

static void open_setting(setting *s)
{
    ex_emulated_reset(3);
    ex_net_fixture_open(&s->f, 1, BATCH * STEPS, 1, EX_CONV_DIRECT);
    s->f.data.augment = (ex_augmentation){.crop = 1, .cutout = 2, .flip = true};
    for (int i = 0; i < s->f.model->node_count; i++)
        if (s->f.model->nodes[i].op == EX_OP_LINEAR)
            s->f.model->nodes[i].dropout = 0.25f;
    assert_ok(
        ex_plan_create(&s->plan, s->f.lane, &(ex_plan_spec){.use = EX_USE_TRAIN, .batch = BATCH}));
    s->params = ex_guard_floats(s->f.model->param_count);
}

static void close_setting(setting *s)
{
    ex_plan_destroy(&s->plan);
    ex_guard_free(s->params);
    ex_net_fixture_close(&s->f);
    assert_string_equal(ex_emulated_leaks(), "");
}

/* Three epochs, given to ex_plan_train in parts of so many steps, each with a learning rate of its
 * own. */
static void train(setting *s, size_t part, ex_train_sums *sums)
{
    for (int epoch = 0; epoch < 3; epoch++) {
        ex_sgd_coeff sgd = SGD;
        sgd.lr /= (float)(1 + epoch);
        s->plan->key = KEYS[epoch];
        for (size_t first = 0; first < STEPS; first += part) {
            const size_t n = STEPS - first < part ? STEPS - first : part;
            const ex_samples feed = {.index = s->f.feed.index + first * BATCH,
                                     .label = s->f.feed.label + first * BATCH,
                                     .count = n * BATCH};
            assert_ok(ex_plan_train(s->plan, &s->f.data, &feed, &sgd, sums));
        }
        assert_int_equal(s->plan->key.step, KEYS[epoch].step + STEPS);
    }
    assert_ok(ex_lane_store(s->f.lane, s->params, s->f.stats));
}

/* In groups of `together` steps, 0 for the default: the bits of `params`, and so many launches. */
static void check_groups(int together, const float *params, const ex_train_sums *expected)
{
    setting s;
    ex_train_sums sums = {0};
    open_setting(&s);
    s.f.device->options.steps_per_launch = together;
    train(&s, STEPS, &sums);
    const int group = together ? together : GROUP;
    /* The first step of all is queued by itself. */
    const int launches = (STEPS - 1) / group + 2 * (STEPS / group);
    assert_int_equal(ex_emulated_count().graph_launches, group > 1 ? launches : 0);
    assert_memory_equal(s.params, params, s.f.model->param_count * sizeof *params);
    assert_true(sums.loss == expected->loss);
    assert_int_equal(sums.correct, expected->correct);
    assert_int_equal(sums.count, expected->count);
    close_setting(&s);
}

static void test_recorded_steps_give_the_bits_of_single_ones(void **state)
{
    (void)state;
    setting single;
    ex_train_sums sums = {0};
    open_setting(&single);
    train(&single, GROUP - 1, &sums);
    assert_int_equal(ex_emulated_count().graph_launches, 0);
    float *params = ex_guard_floats(single.f.model->param_count);
    memcpy(params, single.params, single.f.model->param_count * sizeof *params);
    close_setting(&single);

    for (const int *together = (const int[]){0, 1, 4, STEPS, -1}; *together >= 0; together++)
        check_groups(*together, params, &sums);
    ex_guard_free(params);
}

/* Between the counts: one run over the whole feed. */
static void test_a_run_allocates_nothing_and_waits_once(void **state)
{
    (void)state;
    setting s;
    ex_train_sums sums = {0};
    ex_eval_sums evaluated = {0};
    ex_plan *evaluate;
    open_setting(&s);
    assert_ok(ex_plan_create(&evaluate, s.f.lane,
                             &(ex_plan_spec){.use = EX_USE_EVALUATE, .batch = BATCH}));
    for (int warm = 0; warm < 2; warm++) {
        assert_ok(ex_plan_train(s.plan, &s.f.data, &s.f.feed, &SGD, &sums));
        assert_ok(ex_plan_evaluate(evaluate, &s.f.data, &s.f.feed, &evaluated));
    }
    const ex_emulated_counts before = ex_emulated_count();
    assert_ok(ex_plan_train(s.plan, &s.f.data, &s.f.feed, &SGD, &sums));
    const ex_emulated_counts trained = ex_emulated_count();
    assert_ok(ex_plan_evaluate(evaluate, &s.f.data, &s.f.feed, &evaluated));
    const ex_emulated_counts after = ex_emulated_count();
    assert_int_equal(after.allocations, before.allocations);
    assert_int_equal(trained.synchronisations - before.synchronisations, 1);
    assert_int_equal(after.synchronisations - trained.synchronisations, 1);
    assert_int_equal(trained.graph_launches - before.graph_launches, STEPS / GROUP);
    /* Samples and state in, losses and predictions out; the images are there. No copy waits in
     * secret: the host's side is pinned. */
    assert_int_equal(after.pageable_copies, before.pageable_copies);
    assert_int_equal(trained.waits - before.waits, 1);
    const size_t sample = sizeof(uint32_t) + sizeof(uint16_t);
    assert_int_equal(trained.uploaded - before.uploaded,
                     s.f.feed.count * sample + sizeof(ex_feed_state));
    assert_int_equal(trained.downloaded - before.downloaded,
                     s.f.feed.count * (sizeof(float) + sizeof(int32_t)));
    ex_plan_destroy(&evaluate);
    close_setting(&s);
}

/* Whole batches, and what is left of an epoch by a plan of its own. */
static void test_an_epoch_with_a_short_last_batch_waits_once(void **state)
{
    enum { REST = 1 };
    (void)state;
    setting s;
    ex_plan *rest;
    ex_train_sums sums = {0};
    open_setting(&s);
    const ex_samples feed = {.index = s.f.feed.index,
                             .label = s.f.feed.label,
                             .count = (STEPS - 1) * BATCH + REST};
    assert_ok(
        ex_plan_create(&rest, s.f.lane, &(ex_plan_spec){.use = EX_USE_TRAIN, .batch = REST}));
    assert_ok(ex_plan_reserve(s.plan, &s.f.data, feed.count));
    for (int warm = 0; warm < 2; warm++)
        assert_ok(ex_plan_train_epoch(s.plan, rest, &s.f.data, &feed, &SGD, &sums));
    const ex_emulated_counts before = ex_emulated_count();
    assert_ok(ex_plan_train_epoch(s.plan, rest, &s.f.data, &feed, &SGD, &sums));
    const ex_emulated_counts after = ex_emulated_count();
    assert_int_equal(after.allocations, before.allocations);
    assert_int_equal(after.synchronisations - before.synchronisations, 1);
    assert_int_equal(after.waits - before.waits, 1);
    assert_int_equal(after.pageable_copies, before.pageable_copies);
    ex_plan_destroy(&rest);
    close_setting(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorded_steps_give_the_bits_of_single_ones),
        cmocka_unit_test(test_a_run_allocates_nothing_and_waits_once),
        cmocka_unit_test(test_an_epoch_with_a_short_last_batch_waits_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
