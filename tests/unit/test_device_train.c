/* Training on the device under test: masks, lanes, memory, errors. */
#include "base/memory.h"
#include "net_fixture.h"
#include "test.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 12, STEPS = 30 };

static const ex_sgd_coeff SGD = {.lr = 0.05f, .momentum = 0.9f, .weight_decay = 5e-4f};

static void test_steps_lower_the_loss_on_a_fixed_batch(void **state)
{
    (void)state;
    for (int which = 0; which < EX_TEST_MODELS; which++) {
        ex_net_fixture f;
        ex_net_fixture_open(&f, which, BATCH, 1, EX_CONV_AUTO);
        ex_train_sums first = {0}, last = {0};
        ex_plan *plan;
        assert_ok(
            ex_plan_create(&plan, f.lane, &(ex_plan_spec){.use = EX_USE_TRAIN, .batch = BATCH}));
        for (int i = 0; i < STEPS; i++) {
            last = (ex_train_sums){0};
            assert_ok(ex_plan_train(plan, &f.data, &f.feed, &SGD, i ? &last : &first));
        }
        if (!(last.loss < 0.7 * first.loss))
            fail_msg("model %d: loss %g after the first step, %g after %d", which, first.loss,
                     last.loss, STEPS);
        ex_plan_destroy(&plan);
        ex_net_fixture_close(&f);
    }
}

/* "A loss that is not finite stops the run": whichever layer diverged. */
static void test_a_nan_of_any_layer_stops_the_run(void **state)
{
    (void)state;
    if (strcmp(ex_test_device(), "cpu") == 0)
        skip(); /* the ReLU that oneDNN fuses makes 0 of a NaN */
    for (int which = 0; which < EX_TEST_MODELS; which++) {
        ex_net_fixture f;
        ex_plan *plan;
        ex_net_fixture_open(&f, which, BATCH, 1, EX_CONV_AUTO);
        assert_ok(
            ex_plan_create(&plan, f.lane, &(ex_plan_spec){.use = EX_USE_TRAIN, .batch = BATCH}));
        for (int layer = 0; layer < f.model->layer_count; layer++) {
            float *const weight = &f.params[f.model->layers[layer].weight], kept = *weight;
            ex_train_sums sums = {0};
            *weight = NAN;
            assert_ok(ex_lane_load(f.lane, f.params, f.stats));
            *weight = kept;
            const ex_status status = ex_plan_train(plan, &f.data, &f.feed, &SGD, &sums);
            if (status != EX_ERR_NUMERIC)
                fail_msg("model %d: a NaN in layer %d gives %s and a loss of %g", which, layer,
                         ex_status_name(status), sums.loss);
        }
        ex_plan_destroy(&plan);
        ex_net_fixture_close(&f);
    }
}

static bool inside(const ex_segment *segments, size_t count, size_t i)
{
    for (size_t s = 0; s < count; s++)
        if (i >= segments[s].offset && i < segments[s].offset + segments[s].length)
            return true;
    return false;
}

/* Outside the segments not one bit moved; inside, nearly all did. */
static void check_moved(const float *after, const float *before, size_t n,
                        const ex_segment *segments, size_t count)
{
    size_t moved = 0, selected = 0;
    for (size_t i = 0; i < n; i++) {
        const bool same = memcmp(&after[i], &before[i], sizeof *after) == 0;
        if (!inside(segments, count, i) && !same)
            fail_msg("value %zu is outside the mask but moved", i);
        selected += inside(segments, count, i);
        moved += !same;
    }
    assert_true(selected > 0);
    assert_true(10 * moved > 9 * selected);
}

static void check_mask(int which, ex_norm_mode norm)
{
    ex_net_fixture f;
    ex_net_fixture_open(&f, which, BATCH, 1, EX_CONV_AUTO);
    const ex_model *m = f.model;
    float *params = malloc(m->param_count * sizeof *params);
    float *stats = malloc((m->stat_count + 1) * sizeof *stats);
    float *velocity = malloc(m->param_count * sizeof *velocity);
    ex_train_sums sums = {0};
    ex_mask *mask;
    ex_plan *plan;
    assert_ok(ex_mask_create(&mask, m));
    for (int layer = 1; layer < m->layer_count; layer++) { /* layer 0 stays as it is */
        assert_ok(ex_mask_select(mask, layer, 0));
        assert_ok(ex_mask_select(mask, layer, m->layers[layer].channels - 1));
    }
    assert_ok(ex_mask_seal(mask));
    assert_ok(ex_plan_create(
        &plan, f.lane,
        &(ex_plan_spec){.use = EX_USE_TRAIN, .batch = BATCH, .norm = norm, .mask = mask}));
    for (int i = 0; i < 3; i++)
        assert_ok(ex_plan_train(plan, &f.data, &f.feed, &SGD, &sums));
    assert_ok(ex_lane_store(f.lane, params, stats));
    assert_ok(ex_lane_store_velocity(f.lane, velocity));
    check_moved(params, f.params, m->param_count, mask->params, mask->param_segments);
    if (norm == EX_NORM_FROZEN)
        assert_memory_equal(stats, f.stats, m->stat_count * sizeof *stats);
    else if (mask->stat_segments)
        check_moved(stats, f.stats, m->stat_count, mask->stats, mask->stat_segments);
    for (size_t i = 0; i < m->param_count; i++)
        if (!inside(mask->params, mask->param_segments, i) && velocity[i] != 0.0f)
            fail_msg("velocity %zu is outside the mask but not 0", i);
    ex_plan_destroy(&plan);
    ex_mask_destroy(&mask);
    free(params);
    free(stats);
    free(velocity);
    ex_net_fixture_close(&f);
}

static void test_mask_leaves_unmasked_bytes_identical(void **state)
{
    (void)state;
    for (int which = 0; which < EX_TEST_MODELS; which++) {
        check_mask(which, EX_NORM_TRAIN);
        check_mask(which, EX_NORM_FROZEN);
    }
}

/* Every second layer's channels 0, step, 2 step ... */
static ex_mask *mask_of(const ex_model *m, int step)
{
    ex_mask *mask;
    assert_ok(ex_mask_create(&mask, m));
    for (int layer = 0; layer < m->layer_count; layer += 2)
        for (int c = 0; c < m->layers[layer].channels; c += step)
            assert_ok(ex_mask_select(mask, layer, c));
    assert_ok(ex_mask_seal(mask));
    return mask;
}

/* The plan's gradient is that of a new, unmasked plan inside the mask, and 0 elsewhere. */
static void check_part(const ex_net_fixture *f, ex_plan *masked)
{
    const size_t n = f->model->param_count;
    const ex_mask *mask = masked->spec.mask;
    ex_plan_spec spec = masked->spec;
    float *full = ex_guard_floats(n), *part = ex_guard_floats(n);
    ex_plan *plan;
    spec.mask = NULL;
    assert_ok(ex_plan_create(&plan, f->lane, &spec));
    assert_ok(ex_plan_gradient(plan, &f->data, &f->feed, &(ex_gradient){.params = full}));
    ex_plan_destroy(&plan);
    assert_ok(ex_plan_gradient(masked, &f->data, &f->feed, &(ex_gradient){.params = part}));
    for (size_t i = 0; i < n; i++)
        full[i] = inside(mask->params, mask->param_segments, i) ? full[i] : 0.0f;
    assert_close(part, full, n, 1e-6, 1e-5);
    ex_guard_check(part, n);
    ex_guard_free(full);
    ex_guard_free(part);
}

/* A step of another plan of the lane. */
static void train_all(const ex_net_fixture *f, ex_norm_mode norm)
{
    ex_train_sums sums = {0};
    ex_plan *plan;
    assert_ok(ex_plan_create(&plan, f->lane,
                             &(ex_plan_spec){.use = EX_USE_TRAIN, .batch = BATCH, .norm = norm}));
    assert_ok(ex_plan_train(plan, &f->data, &f->feed, &SGD, &sums));
    ex_plan_destroy(&plan);
}

/* At first, after steps of the plan's own, after those of another, and after the lane's values came
 * from outside. */
static void check_masked_gradient(int which, ex_norm_mode norm, int channel_step)
{
    ex_net_fixture f;
    ex_net_fixture_open(&f, which, BATCH, 1, EX_CONV_DIRECT);
    ex_mask *mask = mask_of(f.model, channel_step);
    ex_train_sums sums = {0};
    ex_plan *plan;
    assert_ok(ex_plan_create(
        &plan, f.lane,
        &(ex_plan_spec){.use = EX_USE_TRAIN, .batch = BATCH, .norm = norm, .mask = mask}));
    check_part(&f, plan);
    for (int i = 0; i < 3; i++)
        assert_ok(ex_plan_train(plan, &f.data, &f.feed, &SGD, &sums));
    check_part(&f, plan);
    train_all(&f, norm);
    check_part(&f, plan);
    ex_test_values(f.model, 6, f.params, f.stats);
    assert_ok(ex_lane_load(f.lane, f.params, f.stats));
    check_part(&f, plan);
    ex_plan_destroy(&plan);
    ex_mask_destroy(&mask);
    ex_net_fixture_close(&f);
}

static void test_masked_gradient_is_part_of_the_full_one(void **state)
{
    (void)state;
    for (int which = 0; which < EX_TEST_MODELS; which++)
        for (int step = 3; step <= 7; step += 4) { /* many of a layer's channels, and few */
            check_masked_gradient(which, EX_NORM_TRAIN, step);
            check_masked_gradient(which, EX_NORM_FROZEN, step);
        }
}

typedef struct worker {
    const ex_net_fixture *f;
    ex_lane *lane;
    float *params, *stats;
} worker;

/* Assertions are the main thread's: a worker reports through its status. */
static void *train_on_lane(void *argument)
{
    worker *w = argument;
    ex_train_sums sums = {0};
    ex_plan *plan = NULL;
    ex_status status =
        ex_plan_create(&plan, w->lane, &(ex_plan_spec){.use = EX_USE_TRAIN, .batch = BATCH});
    for (int i = 0; i < STEPS && status == EX_OK; i++)
        status = ex_plan_train(plan, &w->f->data, &w->f->feed, &SGD, &sums);
    ex_plan_destroy(&plan);
    if (status == EX_OK)
        status = ex_lane_store(w->lane, w->params, w->stats);
    return status == EX_OK ? NULL : w;
}

static void test_two_lanes_on_two_threads_give_the_bits_of_one(void **state)
{
    enum { LANES = 2 };
    (void)state;
    ex_net_fixture f;
    ex_net_fixture_open(&f, 0, BATCH, 1, EX_CONV_AUTO);
    const size_t params = f.model->param_count, stats = f.model->stat_count;
    worker workers[LANES + 1];
    pthread_t threads[LANES];
    void *failed;
    for (int i = 0; i <= LANES; i++) {
        workers[i] =
            (worker){.f = &f, .params = ex_guard_floats(params), .stats = ex_guard_floats(stats)};
        assert_ok(ex_lane_create(&workers[i].lane, f.device, f.model, 1));
        assert_ok(ex_lane_load(workers[i].lane, f.params, f.stats));
    }
    for (int i = 0; i < LANES; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, train_on_lane, &workers[i]), 0);
    for (int i = 0; i < LANES; i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    assert_null(train_on_lane(&workers[LANES]));
    for (int i = 0; i <= LANES; i++) {
        assert_memory_equal(workers[i].params, workers[LANES].params, params * sizeof(float));
        assert_memory_equal(workers[i].stats, workers[LANES].stats, stats * sizeof(float));
    }
    for (int i = 0; i <= LANES; i++) {
        ex_lane_destroy(&workers[i].lane);
        ex_guard_free(workers[i].params);
        ex_guard_free(workers[i].stats);
    }
    ex_net_fixture_close(&f);
}

/* Two epochs of whole batches and a sample more: in one call each, or in one for each
 * step. */
static void train_epochs(ex_net_fixture *f, ex_norm_mode norm, bool together, float *params,
                         float *stats, ex_train_sums *sums)
{
    enum { STEP = 3, WHOLE = 9, REST = 1 };
    const ex_samples all = {.index = f->feed.index, .label = f->feed.label, .count = WHOLE + REST};
    ex_plan *plan, *rest;
    ex_plan_spec spec = {.use = EX_USE_TRAIN, .batch = STEP, .norm = norm};
    assert_ok(ex_lane_load(f->lane, f->params, f->stats));
    assert_ok(ex_plan_create(&plan, f->lane, &spec));
    spec.batch = REST;
    assert_ok(ex_plan_create(&rest, f->lane, &spec));
    for (int epoch = 0; epoch < 2; epoch++) {
        plan->key = rest->key = (ex_rng_key){.seed = 5, .epoch = (uint32_t)epoch};
        for (size_t i = 0; !together && i < WHOLE; i += STEP) {
            const ex_samples step = {.index = all.index + i, .label = all.label + i, .count = STEP};
            assert_ok(ex_plan_train(plan, &f->data, &step, &SGD, sums));
        }
        const ex_samples last = {
            .index = all.index + WHOLE, .label = all.label + WHOLE, .count = REST};
        rest->key.step = WHOLE / STEP;
        if (together)
            assert_ok(ex_plan_train_epoch(plan, rest, &f->data, &all, &SGD, sums));
        else
            assert_ok(ex_plan_train(rest, &f->data, &last, &SGD, sums));
        assert_int_equal(together ? plan->key.step : rest->key.step, WHOLE / STEP + 1);
    }
    assert_ok(ex_lane_store(f->lane, params, stats));
    ex_plan_destroy(&plan);
    ex_plan_destroy(&rest);
}

/* With augmentation and dropout, whose draws are named by the step. */
static void check_epoch(int which, ex_norm_mode norm)
{
    ex_net_fixture f;
    ex_net_fixture_open(&f, which, BATCH, 1, EX_CONV_DIRECT);
    f.data.augment = (ex_augmentation){.crop = 1, .flip = true};
    for (int i = 0; i < f.model->node_count; i++)
        if (f.model->nodes[i].op == EX_OP_LINEAR)
            f.model->nodes[i].dropout = 0.25f;
    const size_t params = f.model->param_count, stats = f.model->stat_count;
    float *values[2][2];
    ex_train_sums sums[2];
    for (int together = 0; together < 2; together++) {
        sums[together] = (ex_train_sums){0};
        values[together][0] = ex_guard_floats(params);
        values[together][1] = ex_guard_floats(stats);
        train_epochs(&f, norm, together, values[together][0], values[together][1],
                     &sums[together]);
    }
    assert_memory_equal(values[1][0], values[0][0], params * sizeof(float));
    assert_memory_equal(values[1][1], values[0][1], stats * sizeof(float));
    assert_true(sums[1].loss == sums[0].loss);
    assert_int_equal(sums[1].correct, sums[0].correct);
    assert_int_equal(sums[1].count, sums[0].count);
    for (int i = 0; i < 2; i++) {
        ex_guard_free(values[i][0]);
        ex_guard_free(values[i][1]);
    }
    ex_net_fixture_close(&f);
}

static void test_an_epoch_in_one_call_gives_the_bits_of_its_steps(void **state)
{
    (void)state;
    for (int which = 0; which < EX_TEST_MODELS; which++) {
        check_epoch(which, EX_NORM_TRAIN);
        check_epoch(which, EX_NORM_FROZEN);
    }
}

static void test_what_is_left_of_an_epoch_needs_a_plan_of_its_size(void **state)
{
    (void)state;
    ex_net_fixture f;
    ex_net_fixture_open(&f, 1, BATCH, 1, EX_CONV_DIRECT);
    ex_train_sums sums = {0};
    ex_plan *plan, *rest;
    assert_ok(ex_plan_create(&plan, f.lane, &(ex_plan_spec){.use = EX_USE_TRAIN, .batch = 5}));
    assert_ok(ex_plan_create(&rest, f.lane, &(ex_plan_spec){.use = EX_USE_TRAIN, .batch = 1}));
    assert_status(ex_plan_train_epoch(plan, rest, &f.data, &f.feed, &SGD, &sums), EX_ERR_USAGE);
    assert_message("2 samples are left over, not 1");
    assert_int_equal(sums.count, 0);
    ex_plan_destroy(&plan);
    ex_plan_destroy(&rest);
    ex_net_fixture_close(&f);
}

static void test_loss_that_is_not_finite_names_step_and_sample(void **state)
{
    (void)state;
    ex_net_fixture f;
    ex_net_fixture_open(&f, 1, BATCH, 1, EX_CONV_AUTO);
    ex_train_sums sums = {0};
    ex_plan *plan;
    float *after = malloc(f.model->param_count * sizeof *after);
    f.params[f.model->layers[f.model->layer_count - 1].bias] = INFINITY;
    assert_ok(ex_lane_load(f.lane, f.params, f.stats));
    assert_ok(ex_plan_create(&plan, f.lane, &(ex_plan_spec){.use = EX_USE_TRAIN, .batch = 4}));
    assert_status(ex_plan_train(plan, &f.data, &f.feed, &SGD, &sums), EX_ERR_NUMERIC);
    assert_message("step 0");
    assert_message("sample 0");
    assert_ok(ex_lane_store(f.lane, after, f.stats));
    if (strcmp(ex_test_device(), "cpu") == 0) /* others learn of it when the run is over */
        assert_memory_equal(after, f.params, f.model->param_count * sizeof *after);
    f.feed.count--;
    assert_status(ex_plan_train(plan, &f.data, &f.feed, &SGD, &sums), EX_ERR_USAGE);
    assert_message("no multiple of the batch 4");
    free(after);
    ex_plan_destroy(&plan);
    ex_net_fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_lower_the_loss_on_a_fixed_batch),
        cmocka_unit_test(test_a_nan_of_any_layer_stops_the_run),
        cmocka_unit_test(test_mask_leaves_unmasked_bytes_identical),
        cmocka_unit_test(test_masked_gradient_is_part_of_the_full_one),
        cmocka_unit_test(test_two_lanes_on_two_threads_give_the_bits_of_one),
        cmocka_unit_test(test_an_epoch_in_one_call_gives_the_bits_of_its_steps),
        cmocka_unit_test(test_what_is_left_of_an_epoch_needs_a_plan_of_its_size),
        cmocka_unit_test(test_loss_that_is_not_finite_names_step_and_sample),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
