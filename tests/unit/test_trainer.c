/* The trainer on a back end that computes nothing but keeps a record of what it was asked for. */
#include "base/memory.h"
#include "test.h"
#include "trainer.h"

#include <math.h>
#include <signal.h>
#include <string.h>

enum { SAMPLES = 83, BATCH = 8, FEEDS_MAX = 4000, RUNS_MAX = 400 };

/* --- the back end that records --------------------------------------------------------------- */

static struct {
    int plans_made, plans_open;
    int plans_allowed; /* open at once; more is EX_ERR_MEMORY */
    int batch_allowed; /* of a plan; larger is EX_ERR_MEMORY */
    int batches_refused;
    uint32_t fed[FEEDS_MAX]; /* images in the order of all feeds */
    int fed_count;
    int batch_of_run[RUNS_MAX]; /* spec.batch of each run */
    size_t count_of_run[RUNS_MAX];
    int run_count, calls;    /* of training */
    size_t mask_count;       /* selected channels of the plan run last, 0 without mask */
    size_t diverge_after;    /* samples fed before a step that fails; 0 = never */
    int interrupt_after_run; /* raises SIGINT in that run, counted from 1 */
    int lanes_destroyed;
} record;

static void fake_lane_destroy(ex_lane **lane)
{
    record.lanes_destroyed++;
    *lane = NULL;
}

static ex_status fake_plan_create(ex_plan **out, ex_lane *lane, const ex_plan_spec *spec)
{
    *out = NULL;
    if (record.plans_open >= record.plans_allowed)
        return EX_FAIL(EX_ERR_MEMORY, "no room for a plan");
    if (spec->batch > record.batch_allowed) {
        record.batches_refused++;
        return EX_FAIL(EX_ERR_MEMORY, "no room for a batch of %d", spec->batch);
    }
    EX_TRY(ex_alloc(out, 1, sizeof **out, "plan"));
    **out = (ex_plan){.lane = lane, .spec = *spec};
    record.plans_made++;
    record.plans_open++;
    return EX_OK;
}

static void fake_plan_destroy(ex_plan **plan)
{
    record.plans_open--;
    ex_free(plan);
}

static void note_run(const ex_plan *plan, size_t count)
{
    assert_true(record.run_count < RUNS_MAX);
    record.batch_of_run[record.run_count] = plan->spec.batch;
    record.count_of_run[record.run_count++] = count;
    record.mask_count = plan->spec.mask ? (size_t)plan->spec.mask->channel_count : 0;
    if (record.run_count == record.interrupt_after_run)
        raise(SIGINT);
}

/* What is left over for `rest` is a run of its own in the record. */
static ex_status fake_train(ex_plan *plan, ex_plan *rest, const ex_dataset *data,
                            const ex_samples *feed, const ex_sgd_coeff *sgd, ex_train_sums *sums)
{
    (void)data, (void)sgd;
    const size_t left = feed->count % (size_t)plan->spec.batch;
    record.calls++;
    if (feed->count > left)
        note_run(plan, feed->count - left);
    if (rest)
        note_run(rest, left);
    for (size_t i = 0; i < feed->count; i++) {
        if (record.diverge_after && (size_t)record.fed_count >= record.diverge_after)
            return EX_FAIL(EX_ERR_NUMERIC, "the loss is nan");
        assert_int_equal(feed->label[i], feed->index[i] % 7);
        record.fed[record.fed_count++] = feed->index[i];
        sums->loss += 0.5;
        sums->correct += feed->label[i] == 0;
        sums->count++;
    }
    return EX_OK;
}

/* Logits: class 0 holds the image index. */
static ex_status fake_evaluate(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                               ex_eval_sums *sums)
{
    (void)data;
    note_run(plan, feed->count);
    for (size_t i = 0; i < feed->count; i++) {
        if (sums->logits)
            sums->logits[i * (size_t)plan->lane->model->classes] = (float)feed->index[i];
        sums->count++;
    }
    return EX_OK;
}

static const ex_backend fake = {
    .name = "fake",
    .lane_destroy = fake_lane_destroy,
    .plan_create = fake_plan_create,
    .plan_destroy = fake_plan_destroy,
    .plan_train = fake_train,
    .plan_evaluate = fake_evaluate,
};

/* --- the scene ------------------------------------------------------------------------------- */

static ex_model *model;
static ex_device device = {.backend = &fake, .steps_a_run = 4};
static ex_lane lane;
static ex_trainer *trainer;
static ex_samples samples;
static const ex_dataset data = {.classes = 10};

static int open_all(void **state)
{
    (void)state;
    memset(&record, 0, sizeof record);
    record.plans_allowed = record.batch_allowed = 1000;
    const ex_model_shape shape = {.classes = 10, .channels = 3, .height = 16, .width = 16};
    assert_ok(ex_model_create(&model, "resnet20", shape));
    lane = (ex_lane){.device = &device, .model = model, .threads = 1};
    assert_ok(ex_trainer_create(&trainer, &lane));
    assert_ok(ex_samples_alloc(&samples, SAMPLES));
    for (uint32_t i = 0; i < SAMPLES; i++) {
        samples.index[i] = 1000 + i;
        samples.label[i] = (uint16_t)((1000 + i) % 7);
    }
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    ex_trainer_destroy(&trainer);
    assert_null(trainer);
    assert_int_equal(record.plans_open, 0);
    assert_int_equal(record.lanes_destroyed, 1);
    ex_samples_free(&samples);
    ex_model_destroy(&model);
    return 0;
}

static ex_fit fit_of(int epochs)
{
    return (ex_fit){.data = &data,
                    .samples = &samples,
                    .epochs = epochs,
                    .batch_size = BATCH,
                    .sgd = {.lr = 0.125f},
                    .key = {.seed = 9, .client = 4, .round = 2}};
}

static void fit(const ex_fit *f)
{
    ex_train_sums sums = {0};
    assert_ok(ex_trainer_fit(trainer, f, &sums, NULL));
}

/* --- training -------------------------------------------------------------------------------- */

static void test_each_epoch_feeds_every_sample_once_in_an_order_of_its_own(void **state)
{
    (void)state;
    const ex_fit f = fit_of(3);
    fit(&f);
    assert_int_equal(record.fed_count, 3 * SAMPLES);
    for (int epoch = 0; epoch < 3; epoch++) {
        int seen[SAMPLES] = {0};
        for (int i = 0; i < SAMPLES; i++)
            seen[record.fed[epoch * SAMPLES + i] - 1000]++;
        for (int i = 0; i < SAMPLES; i++)
            assert_int_equal(seen[i], 1);
    }
    assert_memory_not_equal(record.fed, samples.index, SAMPLES * sizeof *record.fed);
    assert_memory_not_equal(record.fed, record.fed + SAMPLES, SAMPLES * sizeof *record.fed);
}

static void test_last_short_batch_has_a_plan_of_its_own(void **state)
{
    (void)state;
    const ex_fit f = fit_of(2);
    fit(&f);
    size_t full = 0, rest = 0;
    for (int i = 0; i < record.run_count; i++)
        *(record.batch_of_run[i] == BATCH ? &full : &rest) += record.count_of_run[i];
    assert_int_equal(full, 2 * (SAMPLES / BATCH * BATCH));
    assert_int_equal(rest, 2 * (SAMPLES % BATCH));
    assert_int_equal(record.batch_of_run[record.run_count - 1], SAMPLES % BATCH);
    assert_int_equal(record.plans_made, 2);
    assert_int_equal(record.calls, 2 * 3); /* it is waited for with the steps before it */
}

static void test_fewer_samples_than_a_batch_are_one_step(void **state)
{
    (void)state;
    const ex_samples few = {.index = samples.index, .label = samples.label, .count = BATCH - 3};
    ex_fit f = fit_of(1);
    f.samples = &(ex_samples){0};
    assert_ok(ex_trainer_prepare(trainer, &f)); /* nothing to prepare */
    assert_int_equal(record.plans_made, 0);
    f.samples = &few;
    assert_ok(ex_trainer_prepare(trainer, &f));
    fit(&f);
    assert_int_equal(record.plans_made, 1);
    assert_int_equal(record.run_count, 1);
    assert_int_equal(record.batch_of_run[0], BATCH - 3);
}

/* Memory for one plan: the same steps in the same order, by plans that take turns. */
static void test_an_epoch_needs_memory_for_one_plan_only(void **state)
{
    (void)state;
    const ex_fit f = fit_of(2);
    uint32_t fed[2 * SAMPLES];
    fit(&f);
    memcpy(fed, record.fed, sizeof fed);
    ex_trainer_drop_plans(trainer);
    record.fed_count = record.run_count = record.plans_made = 0;
    record.plans_allowed = 1;
    assert_ok(ex_trainer_prepare(trainer, &f));
    fit(&f);
    assert_int_equal(record.fed_count, 2 * SAMPLES);
    assert_memory_equal(record.fed, fed, sizeof fed);
    assert_int_equal(record.batch_of_run[record.run_count - 1], SAMPLES % BATCH);
    assert_int_equal(record.plans_made, 4);
}

/* An epoch continued later is the epoch of an uninterrupted fit; another client's is another. */
static void test_order_depends_on_where_it_is_used_not_on_what_came_before(void **state)
{
    (void)state;
    const ex_fit whole = fit_of(2);
    fit(&whole);
    ex_fit second = fit_of(1);
    second.first_epoch = 1;
    fit(&second);
    const size_t bytes = SAMPLES * sizeof *record.fed;
    assert_memory_equal(record.fed + SAMPLES, record.fed + 2 * SAMPLES, bytes);
    second.key.client++;
    fit(&second);
    assert_memory_not_equal(record.fed + SAMPLES, record.fed + 3 * SAMPLES, bytes);
    second.key.client--;
    second.key.round++;
    fit(&second);
    assert_memory_not_equal(record.fed + SAMPLES, record.fed + 4 * SAMPLES, bytes);
}

static void test_sums_are_the_last_epochs_and_processed_counts_all(void **state)
{
    (void)state;
    const ex_fit f = fit_of(3);
    ex_train_sums sums = {.loss = 100, .correct = 1000, .count = 10000};
    size_t processed = 5;
    assert_ok(ex_trainer_fit(trainer, &f, &sums, &processed));
    assert_int_equal(processed, 5 + 3 * SAMPLES);
    assert_int_equal(sums.count, 10000 + SAMPLES);
    assert_float_equal(sums.loss, 100 + 0.5 * SAMPLES, 0);
    size_t zero = 0;
    for (size_t i = 0; i < SAMPLES; i++)
        zero += samples.label[i] == 0;
    assert_int_equal(sums.correct, 1000 + zero);
}

static void test_plans_are_made_once_for_each_use(void **state)
{
    (void)state;
    ex_fit f = fit_of(1);
    for (int i = 0; i < 5; i++)
        fit(&f);
    assert_int_equal(record.plans_made, 2);
    f.norm = EX_NORM_FROZEN;
    fit(&f);
    assert_int_equal(record.plans_made, 4);
    ex_eval_sums sums = {0};
    for (int i = 0; i < 3; i++)
        assert_ok(ex_trainer_evaluate(trainer, &data, &samples, &sums));
    assert_int_equal(record.plans_made, 5);
    f.norm = EX_NORM_TRAIN;
    fit(&f);
    assert_int_equal(record.plans_made, 5);
}

/* The same memory filled with another selection must not be taken for the mask that was there. */
static void test_masks_are_told_apart_by_what_they_select(void **state)
{
    (void)state;
    ex_fit f = fit_of(1);
    ex_mask *mask;
    assert_ok(ex_mask_create(&mask, model));
    assert_ok(ex_mask_select(mask, 2, 3));
    assert_ok(ex_mask_seal(mask));
    f.mask = mask;
    fit(&f);
    assert_int_equal(record.plans_made, 2);
    assert_int_equal(record.mask_count, 1);
    assert_ok(ex_mask_select(mask, 2, 4));
    assert_ok(ex_mask_seal(mask));
    fit(&f);
    assert_int_equal(record.plans_made, 4);
    assert_int_equal(record.mask_count, 2);
    ex_mask *equal;
    assert_ok(ex_mask_create(&equal, model));
    assert_ok(ex_mask_select(equal, 2, 3));
    assert_ok(ex_mask_seal(equal));
    ex_mask_destroy(&mask); /* the plans keep copies */
    f.mask = equal;
    fit(&f);
    assert_int_equal(record.plans_made, 4);
    assert_int_equal(record.mask_count, 1);
    ex_mask_destroy(&equal);
    f.mask = NULL;
    fit(&f);
    assert_int_equal(record.plans_made, 6);
    assert_int_equal(record.mask_count, 0);
}

static void test_many_last_batches_stay_within_a_bound(void **state)
{
    (void)state;
    ex_fit f = fit_of(1);
    for (int batch = 1; batch <= 80; batch++) {
        f.batch_size = batch;
        record.fed_count = record.run_count = 0;
        fit(&f);
        assert_in_range(record.plans_open, 1, 64);
    }
}

static void test_a_plan_that_finds_no_memory_takes_that_of_the_one_used_longest_ago(void **state)
{
    (void)state;
    record.plans_allowed = 2;
    ex_fit f = fit_of(1);
    fit(&f);
    ex_eval_sums sums = {0};
    assert_ok(ex_trainer_evaluate(trainer, &data, &samples, &sums));
    assert_int_equal(record.plans_made, 3);
    assert_int_equal(record.plans_open, 2);
    record.plans_allowed = 0; /* another lane holds all memory */
    ex_train_sums train_sums = {0};
    f.norm = EX_NORM_FROZEN;
    assert_status(ex_trainer_fit(trainer, &f, &train_sums, NULL), EX_ERR_MEMORY);
    assert_message("no room for a plan");
}

static void test_divergence_is_reported_with_epoch_step_and_remedy(void **state)
{
    (void)state;
    record.diverge_after = SAMPLES + 3 * BATCH;
    const ex_fit f = fit_of(2);
    ex_train_sums sums = {0};
    assert_status(ex_trainer_fit(trainer, &f, &sums, NULL), EX_ERR_NUMERIC);
    assert_message("epoch 2, step 4 of 11");
    assert_message("lower the learning rate (now 0.125)");
}

static void test_interruption_stops_between_steps(void **state)
{
    (void)state;
    ex_interrupt_install();
    record.interrupt_after_run = 2;
    const ex_fit f = fit_of(50);
    ex_train_sums sums = {0};
    size_t processed = 0;
    assert_status(ex_trainer_fit(trainer, &f, &sums, &processed), EX_ERR_INTERRUPTED);
    assert_int_equal(record.run_count, 2);
    assert_int_equal(sums.count, 0);
    assert_int_equal(processed, 0);
    ex_eval_sums eval = {0};
    assert_status(ex_trainer_evaluate(trainer, &data, &samples, &eval), EX_ERR_INTERRUPTED);
    ex_interrupt_install();
}

static void test_empty_fit_is_refused(void **state)
{
    (void)state;
    const ex_samples none = {0};
    ex_fit f = fit_of(1);
    ex_train_sums sums = {0};
    f.samples = &none;
    assert_status(ex_trainer_fit(trainer, &f, &sums, NULL), EX_ERR_USAGE);
}

/* --- evaluation ------------------------------------------------------------------------------ */

static void test_evaluation_keeps_order_and_places_logits(void **state)
{
    (void)state;
    enum { MANY = 5000 };
    ex_samples many;
    assert_ok(ex_samples_alloc(&many, MANY));
    for (uint32_t i = 0; i < MANY; i++)
        many.index[i] = 3 * i;
    float *logits = ex_guard_floats(MANY * 10);
    ex_eval_sums sums = {.logits = logits};
    assert_ok(ex_trainer_evaluate(trainer, &data, &many, &sums));
    assert_int_equal(sums.count, MANY);
    assert_ptr_equal(sums.logits, logits);
    for (size_t i = 0; i < MANY; i++)
        assert_true(logits[i * 10] == (float)(3 * i));
    ex_guard_check(logits, MANY * 10);
    ex_guard_free(logits);
    ex_samples_free(&many);
}

static void test_evaluation_that_finds_no_memory_halves_its_batch_and_keeps_to_it(void **state)
{
    (void)state;
    record.batch_allowed = 50;
    for (int i = 0; i < 3; i++) {
        ex_eval_sums sums = {0};
        assert_ok(ex_trainer_evaluate(trainer, &data, &samples, &sums));
        assert_int_equal(sums.count, SAMPLES);
        assert_int_equal(record.batch_of_run[record.run_count - 1], 32);
    }
    assert_int_equal(record.plans_made, 1);
    assert_int_equal(record.batches_refused, 2); /* 128, 64 */
}

static void test_evaluation_without_memory_for_one_image_fails_and_may_be_tried_again(void **state)
{
    (void)state;
    ex_eval_sums sums = {0};
    record.batch_allowed = 0;
    assert_status(ex_trainer_evaluate(trainer, &data, &samples, &sums), EX_ERR_MEMORY);
    assert_message("no room for a batch of 1");
    record.batch_allowed = 1000;
    assert_ok(ex_trainer_evaluate(trainer, &data, &samples, &sums));
    assert_int_equal(record.batch_of_run[record.run_count - 1], 128);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_epoch_feeds_every_sample_once_in_an_order_of_its_own),
        TEST(test_last_short_batch_has_a_plan_of_its_own),
        TEST(test_fewer_samples_than_a_batch_are_one_step),
        TEST(test_an_epoch_needs_memory_for_one_plan_only),
        TEST(test_order_depends_on_where_it_is_used_not_on_what_came_before),
        TEST(test_sums_are_the_last_epochs_and_processed_counts_all),
        TEST(test_plans_are_made_once_for_each_use),
        TEST(test_masks_are_told_apart_by_what_they_select),
        TEST(test_many_last_batches_stay_within_a_bound),
        TEST(test_a_plan_that_finds_no_memory_takes_that_of_the_one_used_longest_ago),
        TEST(test_divergence_is_reported_with_epoch_step_and_remedy),
        TEST(test_interruption_stops_between_steps),
        TEST(test_empty_fit_is_refused),
        TEST(test_evaluation_keeps_order_and_places_logits),
        TEST(test_evaluation_that_finds_no_memory_halves_its_batch_and_keeps_to_it),
        TEST(test_evaluation_without_memory_for_one_image_fails_and_may_be_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
