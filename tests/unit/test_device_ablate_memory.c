/* A limit of memory: plans never hold more, whatever else they were made for before, and the
 * numbers stay. */
#include "base/log.h"
#include "held_memory.h"
#include "net_fixture.h"
#include "small_federation.h"
#include "test.h"

#include <math.h>
#include <string.h>

enum { LANES = 2, MODELS = 3 }; /* of the models, the first ones */

static const ex_ablate_limits standard = {0}, smallest = {.chunk = 1, .variants = 1};

static int lines;

static void count_lines(const char *text, bool warning)
{
    (void)warning;
    lines += strstr(text, "memory is short") != NULL;
}

/* The emulated device is slow. */
static int images(void)
{
    return strcmp(ex_test_device(), "cpu") == 0 ? 1000 : 24;
}

static ex_federation *open_small(int which, ex_conv_choice conv)
{
    return ex_test_small_federation(which, images(), LANES, conv);
}

/* Runs the ablation under a limit; what it held, or 0 where it found no memory. */
static size_t ablate_within(ex_federation *f, size_t limit, ex_ablate_limits limits,
                            const ex_effects *expected)
{
    ex_effects *e;
    f->device->options.memory = limit;
    ex_test_held_again();
    const ex_status status = ex_test_small_ablate(&e, f, limits);
    const size_t most = ex_test_held_most();
    if (status == EX_ERR_MEMORY) {
        assert_message("memory allows");
        return 0;
    }
    assert_ok(status);
    assert_true(limit == 0 || most <= limit);
    if (expected)
        ex_test_small_same_counts(f, expected, e);
    ex_effects_destroy(&e);
    return most;
}

/* What the smallest ablation holds, one image and channel at a time on one lane, once its
 * algorithms are chosen. */
static size_t least_of(ex_federation *f)
{
    const int lanes = f->lane_count;
    f->lane_count = 1;
    ablate_within(f, 0, smallest, NULL);
    const size_t least = ablate_within(f, 0, smallest, NULL);
    f->lane_count = lanes;
    return least;
}

static void check_limits(int which)
{
    ex_federation *f = open_small(which, EX_CONV_AUTO);
    ex_effects *expected;
    ex_test_held_again();
    assert_ok(ex_test_small_ablate(&expected, f, standard));
    const size_t most = ex_test_held_most(), least = least_of(f);
    assert_true(least < most);
    assert_int_equal(ex_test_held(), 0); /* what ablation took is given back */
    for (int part = 1; part <= 16; part *= 4)
        assert_true(ablate_within(f, least + (most - least) / (size_t)part, standard, expected));
    assert_true(ablate_within(f, least, standard, expected) > 0);
    assert_int_equal(ablate_within(f, 1, standard, expected), 0);
    assert_int_equal(ex_test_held(), 0);
    ex_effects_destroy(&expected);
    ex_federation_close(&f);
}

static void test_no_limit_is_passed_and_counts_stay(void **state)
{
    (void)state;
    for (int which = 0; which < MODELS; which++)
        check_limits(which);
}

static void evaluate(ex_federation *f, ex_accuracy *a)
{
    assert_ok(ex_federation_evaluate(f, &f->data->train, NULL, a));
}

/* An evaluation before it leaves plans with every lane. */
static void check_after_evaluation(ex_ablate_limits limits)
{
    ex_accuracy a;
    ex_federation *f = open_small(0, EX_CONV_DIRECT);
    const size_t alone = ablate_within(f, 0, limits, NULL);
    f->device->options.memory = alone;
    evaluate(f, &a);
    ex_accuracy_free(&a);
    assert_true(ex_test_held() > 0);
    lines = 0;
    assert_int_equal(ablate_within(f, alone, limits, NULL), alone);
    assert_int_equal(lines, 0);
    ex_federation_close(&f);
}

static void test_a_limit_that_fits_ablation_alone_fits_it_after_an_evaluation(void **state)
{
    (void)state;
    check_after_evaluation(smallest);
    check_after_evaluation(standard);
}

static ex_plan *plan_of(ex_federation *f, int batch)
{
    ex_plan *plan;
    assert_ok(ex_plan_create(&plan, ex_trainer_lane(f->central),
                             &(ex_plan_spec){.use = EX_USE_EVALUATE, .batch = batch}));
    return plan;
}

/* Between a plan for one image and `most` bytes; nothing is held any more. */
static size_t share_of(ex_federation *f, size_t most, size_t parts)
{
    ex_federation_drop_plans(f);
    ex_plan *plan = plan_of(f, 1);
    const size_t least = plan->bytes;
    ex_plan_destroy(&plan);
    assert_int_equal(ex_test_held(), 0);
    return most > least ? least + (most - least) / parts : least;
}

/* Of the definition's plan, which is made with the first channel. */
static void test_naive_ablation_shrinks_its_batch(void **state)
{
    (void)state;
    ex_federation *f = open_small(1, EX_CONV_DIRECT);
    ex_effects *expected;
    ex_accuracy a;
    f->config.unlearn.strategy = EX_STRATEGY_NAIVE;
    ex_test_held_again();
    assert_ok(ex_test_small_ablate(&expected, f, standard));
    const size_t limit = share_of(f, ex_test_held_most(), 4);
    f->device->options.memory = limit;
    evaluate(f, &a); /* holds what there is */
    ex_accuracy_free(&a);
    const size_t held = ablate_within(f, limit, standard, expected);
    assert_true(held > 0 && held <= limit);
    ex_effects_destroy(&expected);
    ex_federation_close(&f);
}

/* --- evaluation ------------------------------------------------------------------------------ */

static void logits_of(ex_federation *f, float *logits, ex_eval_sums *sums)
{
    ex_trainer *central;
    ex_samples all;
    *sums = (ex_eval_sums){.logits = logits};
    assert_ok(ex_federation_central(f, &central));
    assert_ok(ex_samples_all(&all, &f->data->train));
    assert_ok(ex_trainer_evaluate(central, &f->data->train, &all, sums));
    ex_samples_free(&all);
}

/* But for rounding: libraries may add in another order for another batch. */
static void test_an_evaluation_in_smaller_batches_gives_the_same(void **state)
{
    (void)state;
    for (int which = 0; which < MODELS; which++) {
        ex_federation *f = open_small(which, EX_CONV_DIRECT);
        const size_t n = f->data->train.count * (size_t)f->model->classes;
        float *whole = ex_guard_floats(n), *parts = ex_guard_floats(n);
        ex_eval_sums expected, sums;
        ex_test_held_again();
        logits_of(f, whole, &expected);
        const size_t most = ex_test_held_most();
        const size_t limit = share_of(f, most, 6);
        f->device->options.memory = limit;
        ex_test_held_again();
        lines = 0;
        for (int i = 0; i < 2; i++)
            logits_of(f, parts, &sums);
        assert_int_equal(lines, 1); /* told once */
        assert_in_range(ex_test_held_most(), 1, limit);
        assert_close(parts, whole, n, 1e-5, 1e-5);
        assert_int_equal(sums.correct, expected.correct);
        assert_true(fabs(sums.loss - expected.loss) < 1e-5 * expected.loss);
        ex_guard_check(parts, n);
        ex_guard_free(whole);
        ex_guard_free(parts);
        ex_federation_close(&f);
    }
}

/* What one lane's smallest plan takes leaves nothing for another lane's. */
static void test_one_lane_evaluates_where_two_find_no_memory(void **state)
{
    (void)state;
    ex_federation *f = open_small(0, EX_CONV_DIRECT);
    ex_accuracy expected, a;
    evaluate(f, &expected);
    f->device->options.memory = share_of(f, 0, 1);
    ex_test_held_again();
    for (int i = 0; i < 2; i++) {
        evaluate(f, &a);
        assert_int_equal(a.count, expected.count);
        assert_int_equal(a.correct, expected.correct);
        assert_memory_equal(a.class_count, expected.class_count,
                            (size_t)a.classes * sizeof *a.class_count);
        assert_memory_equal(a.class_correct, expected.class_correct,
                            (size_t)a.classes * sizeof *a.class_correct);
        assert_true(fabs(a.loss - expected.loss) < 1e-5 * expected.loss);
        ex_accuracy_free(&a);
    }
    assert_in_range(ex_test_held_most(), 1, f->device->options.memory);
    ex_accuracy_free(&expected);
    ex_federation_close(&f);
}

/* --- lanes ----------------------------------------------------------------------------------- */

static void test_a_plan_that_goes_takes_its_scratch_memory_along(void **state)
{
    (void)state;
    ex_federation *f = open_small(0, EX_CONV_DIRECT);
    const size_t n = 2 * (size_t)f->model->classes;
    const ex_samples two = {.index = (uint32_t[]){0, 1}, .label = (uint16_t[]){0, 1}, .count = 2};
    float *before = ex_guard_floats(n), *after = ex_guard_floats(n);
    ex_eval_sums sums = {.logits = before};
    ex_plan *small = plan_of(f, 2);
    const size_t alone = ex_test_held();
    assert_ok(ex_plan_evaluate(small, &f->data->train, &two, &sums));
    ex_plan *large = plan_of(f, 64);
    assert_true(ex_test_held() > alone);
    ex_plan_destroy(&large);
    assert_in_range(ex_test_held(), 0, alone);
    f->device->options.memory = alone; /* enough for what is left */
    sums.logits = after;
    assert_ok(ex_plan_evaluate(small, &f->data->train, &two, &sums));
    assert_int_equal(ex_test_held(), alone);
    assert_memory_equal(after, before, n * sizeof *before);
    ex_plan_destroy(&small);
    assert_int_equal(ex_test_held(), 0);
    ex_guard_free(before);
    ex_guard_free(after);
    ex_federation_close(&f);
}

/* Algorithms are timed in scratch memory; a plan that then finds none for itself leaves nothing. */
static void test_a_plan_that_was_never_made_leaves_nothing(void **state)
{
    (void)state;
    const ex_plan_spec spec = {.use = EX_USE_EVALUATE, .batch = 16};
    ex_federation *f = open_small(2, EX_CONV_AUTO);
    ex_plan *plan = plan_of(f, spec.batch);
    const size_t bytes = plan->bytes;
    ex_plan_destroy(&plan);
    ex_federation_close(&f);
    f = open_small(2, EX_CONV_AUTO); /* another device, which has chosen nothing yet */
    f->device->options.memory = bytes - 1;
    assert_status(ex_plan_create(&plan, ex_trainer_lane(f->central), &spec), EX_ERR_MEMORY);
    assert_in_range(ex_test_held_most(), 1, bytes - 1); /* algorithms were timed */
    assert_int_equal(ex_test_held(), 0);
    f->device->options.memory = bytes;
    assert_ok(ex_plan_create(&plan, ex_trainer_lane(f->lanes[0]), &spec)); /* on another lane */
    ex_plan_destroy(&plan);
    ex_federation_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_limit_is_passed_and_counts_stay),
        cmocka_unit_test(test_a_limit_that_fits_ablation_alone_fits_it_after_an_evaluation),
        cmocka_unit_test(test_naive_ablation_shrinks_its_batch),
        cmocka_unit_test(test_an_evaluation_in_smaller_batches_gives_the_same),
        cmocka_unit_test(test_one_lane_evaluates_where_two_find_no_memory),
        cmocka_unit_test(test_a_plan_that_goes_takes_its_scratch_memory_along),
        cmocka_unit_test(test_a_plan_that_was_never_made_leaves_nothing),
    };
    ex_log_sink_set(count_lines);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
