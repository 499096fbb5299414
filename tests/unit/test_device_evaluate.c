/* Evaluation with folded norms: against the double-precision reference, against training's forward
 * with frozen norms, and independent of how the samples are cut into batches. */
#include "net_fixture.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGES = 37 };

static void evaluate(const ex_net_fixture *f, int batch, bool keep_nodes, ex_eval_sums *sums)
{
    ex_plan *plan;
    assert_ok(ex_plan_create(
        &plan, f->lane,
        &(ex_plan_spec){.use = EX_USE_EVALUATE, .batch = batch, .keep_nodes = keep_nodes}));
    assert_ok(ex_plan_evaluate(plan, &f->data, &f->feed, sums));
    ex_plan_destroy(&plan);
}

static void test_logits_and_loss_match_the_reference(void **state)
{
    (void)state;
    for (int which = 0; which < EX_TEST_MODELS; which++) {
        ex_net_fixture f;
        ex_net_fixture_open(&f, which, IMAGES, 1, EX_CONV_AUTO);
        const ex_net net = ex_net_fixture_net(&f, false);
        const size_t n = (size_t)(IMAGES * f.model->classes);
        double *logits = malloc(n * sizeof *logits);
        float *expected = malloc(n * sizeof *expected);
        const double loss = ex_net_loss(&net, f.input, f.feed.label, IMAGES, logits);
        for (size_t i = 0; i < n; i++)
            expected[i] = (float)logits[i];
        for (int keep = 0; keep < 2; keep++) {
            ex_eval_sums sums = {.logits = ex_guard_floats(n)};
            evaluate(&f, 16, keep, &sums);
            assert_close(sums.logits, expected, n, 1e-5, 1e-4);
            assert_true(fabs(sums.loss / IMAGES - loss) < 1e-5 * (1.0 + loss));
            assert_int_equal(sums.count, IMAGES);
            ex_guard_check(sums.logits, n);
            ex_guard_free(sums.logits);
        }
        free(logits);
        free(expected);
        ex_net_fixture_close(&f);
    }
}

static void test_evaluation_equals_frozen_training_forward(void **state)
{
    (void)state;
    for (int which = 0; which < EX_TEST_MODELS; which++) {
        ex_net_fixture f;
        ex_net_fixture_open(&f, which, IMAGES, 2, EX_CONV_AUTO);
        const size_t n = (size_t)(IMAGES * f.model->classes);
        ex_eval_sums sums = {.logits = ex_guard_floats(n)};
        ex_gradient g = {.logits = ex_guard_floats(n)};
        ex_plan *plan;
        assert_ok(ex_plan_create(
            &plan, f.lane,
            &(ex_plan_spec){.use = EX_USE_TRAIN, .batch = IMAGES, .norm = EX_NORM_FROZEN}));
        assert_ok(ex_plan_gradient(plan, &f.data, &f.feed, &g));
        evaluate(&f, IMAGES, false, &sums);
        assert_close(sums.logits, g.logits, n, 1e-5, 1e-4);
        ex_plan_destroy(&plan);
        ex_guard_free(sums.logits);
        ex_guard_free(g.logits);
        ex_net_fixture_close(&f);
    }
}

/* Tie-free counts: what is correct follows from the logits that came with it. */
static void check_counts(const ex_net_fixture *f, const ex_eval_sums *sums)
{
    const int classes = f->model->classes;
    size_t correct = 0;
    for (int i = 0; i < IMAGES; i++) {
        int best = 0;
        for (int k = 1; k < classes; k++)
            if (sums->logits[i * classes + k] > sums->logits[i * classes + best])
                best = k;
        correct += best == f->feed.label[i];
    }
    assert_int_equal(sums->correct, correct);
    size_t of_classes = 0, count = 0;
    for (int k = 0; k < classes; k++) {
        of_classes += sums->class_correct[k];
        count += sums->class_count[k];
    }
    assert_int_equal(of_classes, correct);
    assert_int_equal(count, IMAGES);
}

static void test_results_do_not_depend_on_batch_size(void **state)
{
    static const int batches[] = {1, 7, 33, 128, 1000};
    (void)state;
    for (int which = 0; which < EX_TEST_MODELS; which++) {
        ex_net_fixture f;
        ex_net_fixture_open(&f, which, IMAGES, 1, EX_CONV_AUTO);
        const size_t n = (size_t)(IMAGES * f.model->classes);
        float *first = ex_guard_floats(n);
        for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
            size_t class_correct[8] = {0}, class_count[8] = {0};
            ex_eval_sums sums = {.class_correct = class_correct,
                                 .class_count = class_count,
                                 .logits = b ? ex_guard_floats(n) : first};
            evaluate(&f, batches[b], false, &sums);
            check_counts(&f, &sums);
            if (b) {
                assert_close(sums.logits, first, n, 1e-5, 1e-4);
                ex_guard_check(sums.logits, n);
                ex_guard_free(sums.logits);
            }
        }
        ex_guard_free(first);
        ex_net_fixture_close(&f);
    }
}

static void test_folded_norms_follow_new_values(void **state)
{
    (void)state;
    ex_net_fixture f;
    ex_net_fixture_open(&f, 0, 8, 1, EX_CONV_AUTO);
    const size_t n = (size_t)(8 * f.model->classes);
    float *before = ex_guard_floats(n), *after = ex_guard_floats(n), *fresh = ex_guard_floats(n);
    ex_plan *plan;
    assert_ok(ex_plan_create(&plan, f.lane, &(ex_plan_spec){.use = EX_USE_EVALUATE, .batch = 8}));
    assert_ok(ex_plan_evaluate(plan, &f.data, &f.feed, &(ex_eval_sums){.logits = before}));
    f.stats[f.model->layers[1].mean] += 3.0f;
    assert_ok(ex_lane_load(f.lane, f.params, f.stats));
    assert_ok(ex_plan_evaluate(plan, &f.data, &f.feed, &(ex_eval_sums){.logits = after}));
    evaluate(&f, 8, false, &(ex_eval_sums){.logits = fresh});
    assert_memory_not_equal(before, after, n * sizeof(float));
    assert_memory_equal(fresh, after, n * sizeof(float));
    ex_plan_destroy(&plan);
    ex_guard_free(before);
    ex_guard_free(after);
    ex_guard_free(fresh);
    ex_net_fixture_close(&f);
}

static void test_nan_logits_count_as_wrong(void **state)
{
    (void)state;
    ex_net_fixture f;
    ex_net_fixture_open(&f, 1, IMAGES, 1, EX_CONV_AUTO);
    ex_eval_sums sums = {0};
    f.params[f.model->layers[f.model->layer_count - 1].bias] = NAN;
    assert_ok(ex_lane_load(f.lane, f.params, f.stats));
    evaluate(&f, 8, false, &sums);
    assert_int_equal(sums.correct, 0);
    assert_int_equal(sums.count, IMAGES);
    ex_net_fixture_close(&f);
}

/* From every layer's filters, by whatever stands behind it: convolutions with their ReLUs, norms,
 * pools, linear layers. */
static void test_a_nan_of_any_layer_reaches_the_loss(void **state)
{
    (void)state;
    if (strcmp(ex_test_device(), "cpu") == 0)
        skip(); /* the ReLU that oneDNN fuses makes 0 of a NaN */
    for (int which = 0; which < EX_TEST_MODELS; which++) {
        ex_net_fixture f;
        ex_net_fixture_open(&f, which, IMAGES, 1, EX_CONV_AUTO);
        for (int layer = 0; layer < f.model->layer_count; layer++) {
            float *const weight = &f.params[f.model->layers[layer].weight], kept = *weight;
            ex_eval_sums sums = {0};
            *weight = NAN;
            assert_ok(ex_lane_load(f.lane, f.params, f.stats));
            *weight = kept;
            evaluate(&f, 8, false, &sums);
            if (!isnan(sums.loss))
                fail_msg("model %d: a NaN in layer %d gives a loss of %g", which, layer, sums.loss);
        }
        ex_net_fixture_close(&f);
    }
}

static void test_wrong_samples_are_named(void **state)
{
    (void)state;
    ex_net_fixture f;
    ex_net_fixture_open(&f, 0, 4, 1, EX_CONV_AUTO);
    ex_eval_sums sums = {0};
    ex_plan *plan;
    assert_ok(ex_plan_create(&plan, f.lane, &(ex_plan_spec){.use = EX_USE_EVALUATE, .batch = 4}));
    f.feed.index[2] = 99;
    assert_status(ex_plan_evaluate(plan, &f.data, &f.feed, &sums), EX_ERR_INPUT);
    assert_message("sample 2 is image 99");
    f.data.channels = 1;
    assert_status(ex_plan_evaluate(plan, &f.data, &f.feed, &sums), EX_ERR_INPUT);
    assert_message("2 x 8 x 8");
    f.data.channels = 2;
    ex_plan_destroy(&plan);
    ex_net_fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits_and_loss_match_the_reference),
        cmocka_unit_test(test_evaluation_equals_frozen_training_forward),
        cmocka_unit_test(test_results_do_not_depend_on_batch_size),
        cmocka_unit_test(test_folded_norms_follow_new_values),
        cmocka_unit_test(test_nan_logits_count_as_wrong),
        cmocka_unit_test(test_a_nan_of_any_layer_reaches_the_loss),
        cmocka_unit_test(test_wrong_samples_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
