/* What a round is made of besides training: order, weights, sums, cohort, communicator. */
#include "cohort.h"
#include "comm_impl.h"
#include "ordered.h"
#include "strategy.h"
#include "test.h"
#include "trainer.h" /* ex_lanes_run */

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* --- order ---------------------------------------------------------------------------------- */

enum { ITEMS = 60 };

typedef struct scene {
    ex_ordered ordered;
    int owner[8]; /* item in each slot, -1: free */
    int taken[ITEMS], taken_count;
    atomic_int held, held_most;
    int fail_at;
} scene;

static void take(void *context, int item)
{
    scene *s = context;
    const int slot = item % s->ordered.slots;
    assert_int_equal(s->owner[slot], item);
    s->owner[slot] = -1;
    s->taken[s->taken_count++] = item;
    atomic_fetch_sub(&s->held, 1);
}

static ex_status work_and_leave(void *context, int item, int lane)
{
    scene *s = context;
    (void)lane;
    if (!ex_ordered_enter(&s->ordered, item))
        return EX_OK;
    const int held = atomic_fetch_add(&s->held, 1) + 1;
    for (int most = atomic_load(&s->held_most); most < held;)
        if (atomic_compare_exchange_weak(&s->held_most, &most, held))
            break;
    assert_int_equal(s->owner[item % s->ordered.slots], -1); /* nobody else's */
    s->owner[item % s->ordered.slots] = item;
    /* Later items of a group are faster, so they finish in the wrong order. */
    nanosleep(&(struct timespec){.tv_nsec = (3 - item % 4) * 1000000L}, NULL);
    if (item == s->fail_at) {
        ex_ordered_give_up(&s->ordered);
        return EX_FAIL(EX_ERR_NUMERIC, "item %d failed", item);
    }
    ex_ordered_leave(&s->ordered, item, take, s);
    return EX_OK;
}

static void open_scene(scene *s, int slots, int fail_at)
{
    memset(s, 0, sizeof *s);
    s->fail_at = fail_at;
    memset(s->owner, -1, sizeof s->owner);
    assert_ok(ex_ordered_init(&s->ordered, slots));
}

static void test_results_are_taken_in_item_order_from_few_slots(void **state)
{
    (void)state;
    for (int lanes = 1; lanes <= 4; lanes++) {
        scene s;
        open_scene(&s, lanes + 1, -1);
        assert_ok(ex_lanes_run(lanes, ITEMS, work_and_leave, &s));
        assert_int_equal(s.taken_count, ITEMS);
        for (int i = 0; i < ITEMS; i++)
            assert_int_equal(s.taken[i], i);
        assert_in_range(atomic_load(&s.held_most), 1, lanes + 1);
        ex_ordered_close(&s.ordered);
    }
}

static void test_a_failed_item_lets_nobody_wait_and_is_the_one_reported(void **state)
{
    (void)state;
    for (int fail_at = 0; fail_at < 12; fail_at++)
        for (int lanes = 1; lanes <= 4; lanes++) {
            scene s;
            open_scene(&s, lanes + 1, fail_at);
            assert_status(ex_lanes_run(lanes, ITEMS, work_and_leave, &s), EX_ERR_NUMERIC);
            assert_int_equal(s.taken_count, fail_at); /* all before it, none after */
            ex_ordered_close(&s.ordered);
        }
}

/* --- weights and sums ------------------------------------------------------------------------ */

static ex_model *model;
static ex_mask *mask;

static int open_model(void **state)
{
    (void)state;
    const ex_model_shape shape = {.classes = 10, .channels = 3, .height = 16, .width = 16};
    assert_ok(ex_model_create(&model, "resnet20", shape));
    assert_ok(ex_mask_create(&mask, model));
    for (int layer = 0; layer < model->layer_count; layer += 3)
        assert_ok(ex_mask_select(mask, layer, layer % 7));
    assert_ok(ex_mask_seal(mask));
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    ex_mask_destroy(&mask);
    ex_model_destroy(&model);
    return 0;
}

static void test_weights_follow_samples_or_are_uniform(void **state)
{
    (void)state;
    const size_t samples[3] = {10, 30, 60};
    double weight[3];
    ex_strategy_fedavg.weigh(weight, samples, 3, EX_WEIGHTING_SAMPLES);
    assert_float_equal(weight[0], 0.1, 1e-15);
    assert_float_equal(weight[1], 0.3, 1e-15);
    assert_float_equal(weight[2], 0.6, 1e-15);
    ex_strategy_fedavg.weigh(weight, samples, 3, EX_WEIGHTING_UNIFORM);
    for (int k = 0; k < 3; k++)
        assert_float_equal(weight[k], 1.0 / 3, 1e-15);
}

static float *random_vector(size_t n, uint32_t step)
{
    float *v = malloc(n * sizeof *v);
    ex_rng r = ex_rng_at((ex_rng_key){.use = EX_RNG_TEST, .step = step});
    for (size_t i = 0; i < n; i++)
        v[i] = ex_rng_uniform(&r) - 0.5f;
    return v;
}

static bool inside(size_t i, const ex_segment *segments, size_t count)
{
    for (size_t s = 0; s < count; s++)
        if (i >= segments[s].offset && i < segments[s].offset + segments[s].length)
            return true;
    return false;
}

static void test_mean_lands_on_the_masks_segments_and_leaves_every_other_byte(void **state)
{
    (void)state;
    const size_t P = model->param_count, S = model->stat_count;
    const double weight[2] = {0.25, 0.75};
    float *params = random_vector(P, 0), *stats = random_vector(S, 1);
    float *old_params = random_vector(P, 0), *old_stats = random_vector(S, 1);
    float *dp[2], *ds[2];
    ex_aggregate a;
    assert_ok(ex_aggregate_init(&a, &ex_strategy_fedavg, mask, 0));
    for (uint32_t k = 0; k < 2; k++) {
        dp[k] = random_vector(P, 2 + k), ds[k] = random_vector(S, 4 + k);
        a.strategy->add(&a, dp[k], ds[k], weight[k]);
    }
    a.strategy->apply(&a, params, stats);
    size_t changed = 0, exact = 0;
    for (size_t i = 0; i < P + S; i++) {
        const size_t at = i < P ? i : i - P;
        const float now = i < P ? params[at] : stats[at];
        const float old = i < P ? old_params[at] : old_stats[at];
        const bool in = i < P ? inside(at, mask->params, mask->param_segments)
                              : inside(at, mask->stats, mask->stat_segments);
        const float *d[2] = {i < P ? dp[0] : ds[0], i < P ? dp[1] : ds[1]};
        const double mean = weight[0] * (double)d[0][at] + weight[1] * (double)d[1][at];
        const float expected = in ? (float)((double)old + mean) : old;
        changed += now != old;
        /* In fixed point the mean is off by 2^-40 at most, so that it may round to a neighbour. */
        const float off = in ? 0x1p-40f + 0x1p-24f * fabsf(expected) : 0.0f;
        if (!(fabsf(now - expected) <= off))
            fail_msg("value %zu is %.9g, expected %.9g", i, (double)now, (double)expected);
        exact += memcmp(&now, &expected, sizeof now) == 0;
    }
    assert_in_range(changed, a.size * 9 / 10, a.size);
    assert_in_range(exact, (P + S) - (P + S) / 1000, P + S); /* as a sum in float64 would have it */
    ex_aggregate_close(&a);
    for (int k = 0; k < 2; k++)
        free(dp[k]), free(ds[k]);
    free(params), free(stats), free(old_params), free(old_stats);
}

/* All orders of three clients, and their updates summed by two ranks. */
static void test_mean_does_not_depend_on_the_order_of_clients(void **state)
{
    (void)state;
    static const int orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                    {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    const double weight[3] = {0.1, 0.3, 0.6};
    float *p[3], *s[3];
    ex_aggregate first, a, other;
    for (uint32_t k = 0; k < 3; k++)
        p[k] = random_vector(model->param_count, k), s[k] = random_vector(model->stat_count, 3 + k);
    for (int o = 0; o < 6; o++) {
        assert_ok(ex_aggregate_init(&a, &ex_strategy_fedavg, mask, 0));
        assert_ok(ex_aggregate_init(&other, &ex_strategy_fedavg, mask, 0));
        for (int k = 0; k < 3; k++) {
            const int client = orders[o][k];
            a.strategy->add(k < o % 3 ? &other : &a, p[client], s[client], weight[client]);
        }
        for (size_t i = 0; i < a.size; i++)
            a.sum[i] += other.sum[i];
        ex_aggregate_close(&other);
        if (o == 0)
            first = a;
        assert_memory_equal(a.sum, first.sum, a.size * sizeof *a.sum);
        if (o > 0)
            ex_aggregate_close(&a);
    }
    ex_aggregate_close(&first);
    for (int k = 0; k < 3; k++)
        free(p[k]), free(s[k]);
}

/* K addends of half a step each, and the weights' rounding. */
static void test_mean_keeps_to_its_bound_of_error(void **state)
{
    (void)state;
    enum { K = 100 };
    const size_t P = model->param_count, S = model->stat_count;
    size_t samples[K];
    double weight[K], *exact = calloc(mask->param_count, sizeof *exact), largest = 0;
    for (size_t k = 0; k < K; k++)
        samples[k] = 13 + 7 * k;
    ex_strategy_fedavg.weigh(weight, samples, K, EX_WEIGHTING_SAMPLES);
    ex_aggregate a;
    assert_ok(ex_aggregate_init(&a, &ex_strategy_fedavg, mask, 0));
    for (uint32_t k = 0; k < K; k++) {
        float *p = random_vector(P, k), *s = random_vector(S, k), *packed = malloc(P * sizeof *p);
        ex_kernels_host.segments_pack(packed, p, mask->params, mask->param_segments,
                                      (ex_stream){.threads = 1});
        for (size_t i = 0; i < mask->param_count; i++)
            exact[i] += weight[k] * (double)packed[i];
        a.strategy->add(&a, p, s, weight[k]);
        free(p), free(s), free(packed);
    }
    for (size_t i = 0; i < mask->param_count; i++)
        largest = fmax(largest, fabs((double)a.sum[i] * 0x1p-40 - exact[i]));
    assert_true(largest > 0);
    assert_true(largest <= K * 0x1p-41 + 1e-14);
    ex_aggregate_close(&a);
    free(exact);
}

static void test_mean_counts_values_that_it_cannot_hold(void **state)
{
    (void)state;
    float *p = random_vector(model->param_count, 0), *s = random_vector(model->stat_count, 1);
    const size_t in = mask->params[0].offset, in_stats = mask->stats[0].offset;
    p[in] = NAN, s[in_stats] = 5e6f;
    ex_aggregate a;
    assert_ok(ex_aggregate_init(&a, &ex_strategy_fedavg, mask, 0));
    a.strategy->add(&a, p, s, 1.0);
    assert_true(a.outside == 2);
    ex_aggregate_close(&a);
    free(p), free(s);
}

static void test_mean_is_linear_in_the_updates(void **state)
{
    (void)state;
    const size_t P = model->param_count, S = model->stat_count;
    float *p = random_vector(P, 0), *q = random_vector(P, 1), *s = random_vector(S, 2);
    float *both = malloc(P * sizeof *both);
    for (size_t i = 0; i < P; i++)
        both[i] = 0.25f * p[i] + 0.5f * q[i]; /* one rounding */
    ex_aggregate a, b;
    assert_ok(ex_aggregate_init(&a, &ex_strategy_fedavg, mask, 0));
    assert_ok(ex_aggregate_init(&b, &ex_strategy_fedavg, mask, 0));
    a.strategy->add(&a, p, s, 0.25);
    a.strategy->add(&a, q, s, 0.5);
    b.strategy->add(&b, both, s, 1.0);
    for (size_t i = 0; i < mask->param_count; i++)
        assert_true(llabs(a.sum[i] - b.sum[i]) < (1 << 20)); /* 1e-6 */
    ex_aggregate_close(&a);
    ex_aggregate_close(&b);
    free(p), free(q), free(s), free(both);
}

static void test_unknown_names_list_what_there_is(void **state)
{
    (void)state;
    const ex_strategy *strategy;
    ex_comm *comm;
    assert_ok(ex_strategy_find(&strategy, "fedavg"));
    assert_status(ex_strategy_find(&strategy, "fedprox"), EX_ERR_CONFIG);
    assert_message("fedavg");
    const ex_comm_options pigeon = {.ranks = {.size = 2}, .name = "pigeon", .device = "cpu"};
    assert_status(ex_comm_create(&comm, &pigeon), EX_ERR_CONFIG);
    assert_message("local");
}

static void test_local_communicator_is_one_rank_whose_sum_is_its_own(void **state)
{
    (void)state;
    const ex_comm_options options = {.ranks = {.size = 1}, .name = "auto", .device = "cpu"};
    ex_comm *comm;
    int64_t values[3] = {1, 2, 3};
    assert_ok(ex_comm_create(&comm, &options));
    assert_string_equal(ex_comm_name(comm), "local");
    assert_int_equal(ex_comm_size(comm), 1);
    assert_int_equal(ex_comm_rank(comm), 0);
    assert_ok(ex_comm_sum(comm, values, 3));
    assert_ok(ex_comm_broadcast(comm, values, sizeof values, 0));
    assert_ok(ex_comm_barrier(comm));
    assert_true(values[0] == 1 && values[1] == 2 && values[2] == 3);
    assert_status(ex_comm_broadcast(comm, values, sizeof values, 1), EX_ERR_USAGE);
    assert_status(ex_comm_agree(comm, EX_ERR_NUMERIC), EX_ERR_NUMERIC);
    ex_comm_destroy(&comm);
    assert_null(comm);
}

/* --- cohort --------------------------------------------------------------------------------- */

enum { CLIENTS = 20 };

static void test_cohort_is_ascending_and_depends_on_seed_and_round_only(void **state)
{
    (void)state;
    ex_config c;
    ex_config_default(&c);
    c.num_clients = CLIENTS;
    c.clients_per_round = 5;
    ex_samples clients[CLIENTS];
    for (int k = 0; k < CLIENTS; k++)
        clients[k] = (ex_samples){.count = 1};
    int chosen[CLIENTS] = {0}, cohort[CLIENTS], again[CLIENTS], count, changes = 0;
    int before[5] = {0};
    for (int round = 0; round < 200; round++) {
        assert_ok(ex_cohort(cohort, &count, &c, 1, clients, round));
        assert_int_equal(count, 5);
        assert_ok(ex_cohort(again, &count, &c, 1, clients, round));
        assert_memory_equal(cohort, again, 5 * sizeof *cohort);
        for (int i = 0; i < 5; i++) {
            chosen[cohort[i]]++;
            assert_true(i == 0 || cohort[i] > cohort[i - 1]);
        }
        changes += memcmp(before, cohort, sizeof before) != 0;
        memcpy(before, cohort, sizeof before);
    }
    assert_true(changes > 190);
    for (int k = 0; k < CLIENTS; k++) /* mean 50, deviation 6 */
        assert_in_range(chosen[k], 20, 80);
}

static void test_clients_without_samples_sit_out(void **state)
{
    (void)state;
    ex_config c;
    ex_config_default(&c);
    c.num_clients = 4;
    const ex_samples clients[4] = {{.count = 1}, {.count = 0}, {.count = 2}, {.count = 0}};
    int cohort[4], count;
    c.clients_per_round = 0;
    assert_ok(ex_cohort(cohort, &count, &c, 1, clients, 0));
    assert_int_equal(count, 2);
    assert_int_equal(cohort[0], 0);
    assert_int_equal(cohort[1], 2);
    c.clients_per_round = 4;
    assert_ok(ex_cohort(cohort, &count, &c, 1, clients, 0));
    assert_int_equal(count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results_are_taken_in_item_order_from_few_slots),
        cmocka_unit_test(test_a_failed_item_lets_nobody_wait_and_is_the_one_reported),
        cmocka_unit_test(test_weights_follow_samples_or_are_uniform),
        cmocka_unit_test(test_mean_lands_on_the_masks_segments_and_leaves_every_other_byte),
        cmocka_unit_test(test_mean_does_not_depend_on_the_order_of_clients),
        cmocka_unit_test(test_mean_keeps_to_its_bound_of_error),
        cmocka_unit_test(test_mean_counts_values_that_it_cannot_hold),
        cmocka_unit_test(test_mean_is_linear_in_the_updates),
        cmocka_unit_test(test_unknown_names_list_what_there_is),
        cmocka_unit_test(test_local_communicator_is_one_rank_whose_sum_is_its_own),
        cmocka_unit_test(test_cohort_is_ascending_and_depends_on_seed_and_round_only),
        cmocka_unit_test(test_clients_without_samples_sit_out),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
