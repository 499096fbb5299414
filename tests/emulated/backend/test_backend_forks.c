/* Forks of one plan on several lanes: each waits for the plan alone, and the plan's next run for
 * all of them. Channels are ablated and convolutions corrected by one operation each. */
#include "device/device.h"
#include "net_fixture.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

enum { IMAGES = 2, VARIANTS = 3, LANES = 2, ROWS = IMAGES * VARIANTS };

typedef struct forks {
    ex_net_fixture f;
    ex_lane *lane[LANES];
    ex_plan *from, *to[LANES];
    size_t floats;
    float *logits[LANES];
} forks;

static ex_plan *plan_on(ex_lane *lane, int batch, bool keep_nodes)
{
    ex_plan *plan;
    assert_ok(ex_plan_create(
        &plan, lane,
        &(ex_plan_spec){.use = EX_USE_EVALUATE, .batch = batch, .keep_nodes = keep_nodes}));
    return plan;
}

static void open_forks(forks *w, uint64_t seed, int which)
{
    ex_emulated_reset(seed);
    ex_net_fixture_open(&w->f, which, 2 * IMAGES, 1, EX_CONV_DIRECT);
    w->from = plan_on(w->f.lane, IMAGES, true);
    w->floats = ROWS * (size_t)w->f.model->classes;
    for (int i = 0; i < LANES; i++) {
        assert_ok(ex_lane_create(&w->lane[i], w->f.device, w->f.model, 1));
        assert_ok(ex_lane_load(w->lane[i], w->f.params, w->f.stats));
        w->to[i] = plan_on(w->lane[i], ROWS, false);
        w->logits[i] = malloc(w->floats * sizeof *w->logits[i]);
    }
}

static void close_forks(forks *w)
{
    for (int i = 0; i < LANES; i++) {
        ex_plan_destroy(&w->to[i]);
        free(w->logits[i]);
    }
    ex_plan_destroy(&w->from);
    for (int i = 0; i < LANES; i++)
        ex_lane_destroy(&w->lane[i]);
    ex_net_fixture_close(&w->f);
    assert_string_equal(ex_emulated_leaks(), "");
}

/* Images [first, first + IMAGES) through the plan that is forked from. */
static void run_prefix(forks *w, int first)
{
    const ex_samples feed = {
        .index = w->f.feed.index + first, .label = w->f.feed.label + first, .count = IMAGES};
    assert_ok(ex_plan_load(w->from, &w->f.data, &feed));
    assert_ok(ex_plan_forward(w->from, 1, w->f.model->node_count - 1));
}

static void run_fork(forks *w, int lane, int layer)
{
    const int32_t channel[VARIANTS] = {1, -1, w->f.model->layers[layer].channels - 1};
    const ex_fork fork = {
        .layer = layer, .channel = channel, .variants = VARIANTS, .images = IMAGES};
    const int last = w->f.model->node_count - 1;
    int next;
    assert_ok(ex_plan_fork(w->to[lane], w->from, &fork, &next));
    assert_ok(ex_plan_forward(w->to[lane], next, last));
}

/* Works of the longest chain behind the prefix, with one fork on each of so many lanes. */
static long depth_of_forks(uint64_t seed, int lanes)
{
    forks w;
    open_forks(&w, seed, 0);
    for (int i = 0; i < LANES; i++) { /* everything is made and warm */
        run_prefix(&w, 0);
        run_fork(&w, i, 1);
    }
    for (int i = 0; i < LANES; i++)
        assert_ok(ex_plan_logits(w.to[i], w.logits[i], ROWS));
    run_prefix(&w, 0);
    const long before = ex_emulated_count().depth;
    for (int i = 0; i < lanes; i++)
        run_fork(&w, i, 1);
    const long depth = ex_emulated_count().depth - before;
    close_forks(&w);
    return depth;
}

/* Chained, they would be twice as deep. */
static void test_forks_on_two_lanes_run_side_by_side(void **state)
{
    (void)state;
    const long one = depth_of_forks(0, 1);
    assert_true(one > 5);
    for (uint64_t seed = 0; seed < 4; seed++)
        assert_int_equal(depth_of_forks(seed, 2), one);
}

/* Two forks, and right behind them the plan's next images and two more; no call waits between. The
 * logits of the first pair are those of lane 0 and 1 before the second pair is read. */
static void run_ahead(forks *w)
{
    run_prefix(w, 0);
    run_fork(w, 0, 1);
    run_fork(w, 1, 2);
    run_prefix(w, IMAGES); /* may not overwrite what the forks still read */
    for (int i = 0; i < LANES; i++)
        assert_ok(ex_plan_logits(w->to[i], w->logits[i], ROWS));
}

static bool same(const forks *w, float *const *expected)
{
    for (int i = 0; i < LANES; i++)
        if (memcmp(w->logits[i], expected[i], w->floats * sizeof(float)) != 0)
            return false;
    return true;
}

/* What each lane finds where the work runs in the order in which it was asked for. */
static void expect(float **expected)
{
    forks in_order, *w = &in_order;
    open_forks(w, 0, 0);
    run_ahead(w);
    for (int i = 0; i < LANES; i++) {
        expected[i] = malloc(w->floats * sizeof(float));
        memcpy(expected[i], w->logits[i], w->floats * sizeof(float));
    }
    close_forks(w);
}

static void test_the_next_run_waits_for_every_fork(void **state)
{
    enum { SEEDS = 24 };
    (void)state;
    forks w;
    float *expected[LANES];
    expect(expected);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        open_forks(&w, seed, 0);
        run_ahead(&w);
        assert_true(same(&w, expected));
        close_forks(&w);
    }
    for (int i = 0; i < LANES; i++)
        free(expected[i]);
}

/* Each of the waits is needed: without it some order of the work gives other logits. */
static void test_a_lost_wait_shows(void **state)
{
    enum { SEEDS = 40, WAITS = 4 };
    (void)state;
    forks w;
    float *expected[LANES];
    expect(expected);
    for (long n = 1; n <= WAITS; n++) {
        bool caught = false;
        for (uint64_t seed = 1; seed <= SEEDS && !caught; seed++) {
            open_forks(&w, seed, 0);
            ex_emulated_lose_wait(n);
            run_ahead(&w);
            assert_true(ex_emulated_lost_wait());
            caught = !same(&w, expected);
            close_forks(&w);
        }
        if (!caught)
            fail_msg("without wait %ld every order of the work gives the same", n);
    }
    open_forks(&w, 1, 0);
    ex_emulated_lose_wait(WAITS + 1);
    run_ahead(&w);
    assert_false(ex_emulated_lost_wait()); /* those were all */
    close_forks(&w);
    for (int i = 0; i < LANES; i++)
        free(expected[i]);
}

/* What a fork computes itself behind the layer's own node. */
static int nodes_computed(forks *w, int layer)
{
    const int32_t channel = 0;
    const ex_fork fork = {.layer = layer, .channel = &channel, .variants = 1, .images = IMAGES};
    int next;
    assert_ok(ex_plan_fork(w->to[0], w->from, &fork, &next));
    return next - w->f.model->layers[layer].node - 1;
}

static void test_the_next_convolution_is_corrected(void **state)
{
    (void)state;
    forks w;
    open_forks(&w, 1, 2); /* c0 pool c1 c2 pool ... */
    run_prefix(&w, 0);
    assert_int_equal(nodes_computed(&w, 0), 2); /* through the pool */
    assert_int_equal(nodes_computed(&w, 1), 1);
    close_forks(&w);
}

/* The number of operations does not depend on the number of variants, and the nodes behind them are
 * one launch. */
static void test_variants_take_one_launch_each_and_the_rest_one_graph(void **state)
{
    (void)state;
    forks w;
    long works[2];
    open_forks(&w, 1, 0);
    run_prefix(&w, 0);
    for (int i = 0; i < 3; i++) /* queued, captured, replayed */
        run_fork(&w, 0, 1);
    for (int variants = 1; variants <= 2; variants++) {
        const int32_t channel[2] = {1, 0};
        const ex_fork fork = {
            .layer = 1, .channel = channel, .variants = variants, .images = IMAGES};
        int next;
        assert_ok(ex_plan_fork(w.to[0], w.from, &fork, &next));
        const ex_emulated_counts before = ex_emulated_count();
        assert_ok(ex_plan_fork(w.to[0], w.from, &fork, &next));
        const ex_emulated_counts forked = ex_emulated_count();
        works[variants - 1] = forked.works - before.works;
        assert_int_equal(forked.allocations, before.allocations);
        assert_int_equal(forked.pageable_copies, before.pageable_copies);
        assert_int_equal(forked.synchronisations, before.synchronisations);
        assert_int_equal(forked.uploaded - before.uploaded, 8 * variants);
        assert_ok(ex_plan_forward(w.to[0], next, w.f.model->node_count - 1));
        const ex_emulated_counts after = ex_emulated_count();
        assert_int_equal(after.graph_launches - forked.graph_launches, 1);
        assert_int_equal(after.works - forked.works, after.graph_works - forked.graph_works);
    }
    assert_int_equal(works[0], works[1]);
    /* a1: channels and fills; the outputs of a2, which alone reads it, corrected in two launches.
     */
    assert_int_equal(works[0], 3);
    close_forks(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forks_on_two_lanes_run_side_by_side),
        cmocka_unit_test(test_the_next_run_waits_for_every_fork),
        cmocka_unit_test(test_a_lost_wait_shows),
        cmocka_unit_test(test_the_next_convolution_is_corrected),
        cmocka_unit_test(test_variants_take_one_launch_each_and_the_rest_one_graph),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
