/* What the server makes of a round's updates: weights, sums in fixed point, the strategies. */
#include "strategy.h"
#include "test.h"

#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    ex_aggregate a = {0};
    assert_ok(ex_aggregate_init(&a, &ex_strategy_fedavg, mask, 0));
    for (uint32_t k = 0; k < 2; k++) {
        dp[k] = random_vector(P, 2 + k), ds[k] = random_vector(S, 4 + k);
        a.strategy->add(&a, dp[k], ds[k], weight[k]);
    }
    a.strategy->apply(&a, &(ex_global){.params = params, .stats = stats});
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
    ex_aggregate first = {0}, a = {0}, other = {0};
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
        if (o == 0) {
            first = a;
            a = (ex_aggregate){0};
            continue;
        }
        assert_memory_equal(a.sum, first.sum, a.size * sizeof *a.sum);
    }
    ex_aggregate_close(&a);
    ex_aggregate_close(&other);
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
    ex_aggregate a = {0};
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
    ex_aggregate a = {0};
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
    ex_aggregate a = {0}, b = {0};
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

/* --- server momentum ------------------------------------------------------------------------ */

enum { CLIENTS = 3, ROUNDS = 4 };

/* The update of client k in a round, the same for the strategy and for the reference. */
static void make_update(float **params, float **stats, int round, int k)
{
    const uint32_t step = (uint32_t)(100 + 2 * (CLIENTS * round + k));
    *params = random_vector(model->param_count, step);
    *stats = random_vector(model->stat_count, step + 1);
}

static const double weights[CLIENTS] = {0.2, 0.3, 0.5};

static void run_round(const ex_global *g, const ex_strategy *strategy, int round)
{
    ex_aggregate a = {0};
    assert_ok(ex_aggregate_init(&a, strategy, mask, 0));
    for (int k = 0; k < CLIENTS; k++) {
        float *params, *stats;
        make_update(&params, &stats, round, k);
        strategy->add(&a, params, stats, weights[k]);
        free(params), free(stats);
    }
    strategy->apply(&a, g);
    ex_aggregate_close(&a);
}

/* In float64, as the formula is written, over every value whether selected or not. */
static void reference_round(double *params, double *velocity, double *stats, double lr,
                            double momentum, int round)
{
    const size_t P = model->param_count, S = model->stat_count;
    for (size_t i = 0; i < P; i++)
        velocity[i] *= momentum;
    for (int k = 0; k < CLIENTS; k++) {
        float *p, *s;
        make_update(&p, &s, round, k);
        for (size_t i = 0; i < P; i++)
            velocity[i] += weights[k] * (double)p[i];
        for (size_t i = 0; i < S; i++)
            stats[i] += weights[k] * (double)s[i];
        free(p), free(s);
    }
    for (size_t i = 0; i < P; i++)
        params[i] += lr * velocity[i];
}

static double *widen(const float *v, size_t n)
{
    double *wide = malloc(n * sizeof *wide);
    for (size_t i = 0; i < n; i++)
        wide[i] = (double)v[i];
    return wide;
}

/* Selected values follow the reference; the others are what they were, bit for bit. */
static void check_values(const float *now, const float *before, const double *expected, size_t n,
                         const ex_segment *segments, size_t count, const char *what)
{
    for (size_t i = 0; i < n; i++) {
        const bool in = inside(i, segments, count);
        if (in && !(fabs((double)now[i] - expected[i]) <= 1e-6))
            fail_msg("%s %zu is %.9g, expected %.9g", what, i, (double)now[i], expected[i]);
        if (!in && memcmp(&now[i], &before[i], sizeof now[i]) != 0)
            fail_msg("%s %zu is not selected, and changed", what, i);
    }
}

static void test_server_momentum_follows_its_formula_on_the_masks_segments(void **state)
{
    (void)state;
    const size_t P = model->param_count, S = model->stat_count;
    const double lr = 0.5, momentum = 0.75;
    float *params = random_vector(P, 0), *stats = random_vector(S, 1);
    float *old_params = random_vector(P, 0), *old_stats = random_vector(S, 1);
    float *velocity = calloc(P, sizeof *velocity), *none = calloc(P, sizeof *none);
    double *p = widen(params, P), *s = widen(stats, S), *v = calloc(P, sizeof *v);
    const ex_global g = {params, stats, velocity, lr, momentum};
    for (int round = 0; round < ROUNDS; round++) {
        run_round(&g, &ex_strategy_fedavgm, round);
        reference_round(p, v, s, lr, momentum, round);
        check_values(params, old_params, p, P, mask->params, mask->param_segments, "parameter");
        check_values(velocity, none, v, P, mask->params, mask->param_segments, "velocity");
        check_values(stats, old_stats, s, S, mask->stats, mask->stat_segments, "statistic");
    }
    free(params), free(stats), free(old_params), free(old_stats), free(velocity), free(none);
    free(p), free(s), free(v);
}

static void test_without_momentum_a_full_step_is_the_average(void **state)
{
    (void)state;
    const size_t P = model->param_count, S = model->stat_count;
    float *params[2], *stats[2], *velocity = calloc(P, sizeof *velocity);
    const ex_strategy *const strategies[] = {&ex_strategy_fedavg, &ex_strategy_fedavgm};
    for (int i = 0; i < 2; i++) {
        params[i] = random_vector(P, 0), stats[i] = random_vector(S, 1);
        const ex_global g = {params[i], stats[i], i ? velocity : NULL, .lr = 1, .momentum = 0};
        for (int round = 0; round < ROUNDS; round++)
            run_round(&g, strategies[i], round);
    }
    for (size_t i = 0; i < P; i++) /* the velocity is rounded to float32 on its way */
        assert_true(fabsf(params[0][i] - params[1][i]) <= 1e-6f);
    assert_memory_equal(stats[0], stats[1], S * sizeof(float));
    for (int i = 0; i < 2; i++)
        free(params[i]), free(stats[i]);
    free(velocity);
}

static void test_each_strategy_stands_where_its_key_names_it(void **state)
{
    (void)state;
    static const char *const names[] = {"fedavg", "fedavgm"};
    ex_config c;
    ex_config_default(&c);
    assert_ptr_equal(ex_strategy_of((ex_aggregation)c.aggregation), &ex_strategy_fedavg);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char assignment[64];
        snprintf(assignment, sizeof assignment, "aggregation=%s", names[i]);
        assert_ok(ex_config_set(&c, assignment, "-s"));
        assert_string_equal(ex_strategy_of((ex_aggregation)c.aggregation)->name, names[i]);
    }
    assert_status(ex_config_set(&c, "aggregation=median", "-s"), EX_ERR_CONFIG);
    assert_message("aggregation is \"median\"; one of fedavg, fedavgm");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_follow_samples_or_are_uniform),
        cmocka_unit_test(test_mean_lands_on_the_masks_segments_and_leaves_every_other_byte),
        cmocka_unit_test(test_mean_does_not_depend_on_the_order_of_clients),
        cmocka_unit_test(test_mean_keeps_to_its_bound_of_error),
        cmocka_unit_test(test_mean_counts_values_that_it_cannot_hold),
        cmocka_unit_test(test_mean_is_linear_in_the_updates),
        cmocka_unit_test(test_server_momentum_follows_its_formula_on_the_masks_segments),
        cmocka_unit_test(test_without_momentum_a_full_step_is_the_average),
        cmocka_unit_test(test_each_strategy_stands_where_its_key_names_it),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
