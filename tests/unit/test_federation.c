/* Opening a federation, evaluating it, and training it over rounds. */
#include "federation_fixture.h"
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void test_evaluation_does_not_depend_on_lanes(void **state)
{
    (void)state;
    ex_accuracy one = {0};
    for (int lanes = 1; lanes <= 3; lanes++) {
        ex_config c = ex_test_config();
        c.lanes = lanes;
        c.test_samples = 1300; /* three chunks, the last one short */
        ex_federation *f = ex_test_federation(&c);
        ex_samples all;
        ex_accuracy a;
        assert_ok(ex_samples_all(&all, &f->data->test));
        assert_ok(ex_federation_evaluate(f, &f->data->test, &all, &a));
        assert_int_equal(a.count, 1300);
        size_t correct = 0, count = 0;
        for (int label = 0; label < 10; label++) {
            correct += a.class_correct[label];
            count += a.class_count[label];
        }
        assert_int_equal(correct, a.correct);
        assert_int_equal(count, a.count);
        if (lanes == 1) {
            one = a;
        } else {
            assert_int_equal(a.correct, one.correct);
            assert_true(a.loss == one.loss);
            assert_memory_equal(a.class_correct, one.class_correct, 10 * sizeof(size_t));
            ex_accuracy_free(&a);
        }
        ex_samples_free(&all);
        ex_federation_close(&f);
    }
    ex_accuracy_free(&one);
}

/* Against one pass over all samples on the server's lane, before and after the values change. */
static void test_evaluation_is_of_the_current_values_and_all_samples(void **state)
{
    (void)state;
    ex_config c = ex_test_config();
    c.test_samples = 1100;
    c.server.threads = 1;
    ex_federation *f = ex_test_federation(&c);
    ex_samples all;
    assert_ok(ex_samples_all(&all, &f->data->test));
    double loss[2];
    for (int pass = 0; pass < 2; pass++) {
        ex_accuracy a;
        ex_trainer *central;
        ex_eval_sums sums = {0};
        assert_ok(ex_federation_evaluate(f, &f->data->test, &all, &a));
        assert_ok(ex_federation_central(f, &central));
        assert_ok(ex_trainer_evaluate(central, &f->data->test, &all, &sums));
        assert_int_equal(a.correct, sums.correct);
        assert_float_equal(a.loss, sums.loss / 1100, 1e-6);
        loss[pass] = a.loss;
        ex_accuracy_free(&a);
        const ex_round round = ex_test_round(f, pass);
        ex_round_result r;
        assert_ok(ex_federation_round(f, &round, &r));
    }
    assert_true(fabs(loss[0] - loss[1]) > 1e-3);
    ex_samples_free(&all);
    ex_federation_close(&f);
}

static void test_accuracy_of_a_class_and_of_the_others(void **state)
{
    (void)state;
    size_t correct[3] = {3, 0, 10}, count[3] = {4, 0, 20};
    const ex_accuracy a = {
        .classes = 3, .class_correct = correct, .class_count = count, .correct = 13, .count = 24};
    assert_float_equal(ex_accuracy_class(&a, 0), 0.75, 0);
    assert_float_equal(ex_accuracy_others(&a, 0), 0.5, 0);
    assert_true(isnan(ex_accuracy_class(&a, 1)));
    assert_float_equal(ex_accuracy_others(&a, 1), 13.0 / 24, 0);
}

typedef struct trace {
    int rounds[8], count;
    double loss[8];
} trace;

static ex_status note_round(void *context, ex_federation *f, int round,
                            const ex_round_result *result)
{
    trace *t = context;
    (void)f;
    t->rounds[t->count] = round;
    t->loss[t->count++] = result->loss;
    return t->count == 8 ? EX_FAIL(EX_ERR_IO, "the disk is full") : EX_OK;
}

static void test_a_few_rounds_learn_the_classes(void **state)
{
    (void)state;
    ex_config c = ex_test_config();
    c.train_samples = 800;
    c.test_samples = 500;
    c.rounds = 4;
    c.local_epochs = 2;
    c.lanes = 2;
    ex_federation *f = ex_test_federation(&c);
    trace t = {0};
    assert_ok(ex_federation_train(f, f->clients, 0, note_round, &t));
    assert_int_equal(t.count, 4);
    assert_true(t.loss[3] < 0.6 * t.loss[0]);
    ex_samples all;
    ex_accuracy a;
    assert_ok(ex_samples_all(&all, &f->data->test));
    assert_ok(ex_federation_evaluate(f, &f->data->test, &all, &a));
    print_message("accuracy %.3f, losses %.3f %.3f %.3f %.3f\n",
                  (double)a.correct / (double)a.count, t.loss[0], t.loss[1], t.loss[2], t.loss[3]);
    assert_true((double)a.correct / (double)a.count > 0.5); /* chance is 0.1 */
    ex_accuracy_free(&a);
    ex_samples_free(&all);
    ex_federation_close(&f);
}

static void check_continued(ex_config c)
{
    c.rounds = 3;
    c.clients_per_round = 3;
    ex_federation *whole = ex_test_federation(&c);
    assert_ok(ex_federation_train(whole, whole->clients, 0, NULL, NULL));
    c.rounds = 1;
    ex_federation *start = ex_test_federation(&c);
    assert_ok(ex_federation_train(start, start->clients, 0, NULL, NULL));
    c.rounds = 3;
    ex_federation *rest = ex_test_federation(&c);
    memcpy(rest->params, start->params, rest->model->param_count * sizeof(float));
    memcpy(rest->stats, start->stats, rest->model->stat_count * sizeof(float));
    assert_ok(ex_federation_train(rest, rest->clients, 1, NULL, NULL));
    const ex_test_values end = {whole->params, whole->stats};
    ex_test_values_same(rest, &end);
    ex_federation_close(&whole);
    ex_federation_close(&start);
    ex_federation_close(&rest);
}

static void test_rounds_continued_later_equal_uninterrupted_ones(void **state)
{
    (void)state;
    check_continued(ex_test_config());
}

/* Dropout and augmentation are drawn by where a step stands, too. */
static void test_what_a_step_draws_does_not_depend_on_what_came_before(void **state)
{
    (void)state;
    ex_config c = ex_test_config();
    snprintf(c.model, sizeof c.model, "cnn");
    c.local_epochs = 2;
    c.augment.crop = 3, c.augment.flip = true;
    check_continued(c);
}

static void test_an_error_of_the_callback_ends_the_training(void **state)
{
    (void)state;
    ex_config c = ex_test_config();
    c.train_samples = 60;
    c.rounds = 20;
    ex_federation *f = ex_test_federation(&c);
    trace t = {0};
    assert_status(ex_federation_train(f, f->clients, 0, note_round, &t), EX_ERR_IO);
    assert_int_equal(t.count, 8);
    ex_federation_close(&f);
}

static void test_server_samples_are_drawn_by_seed_and_may_be_kept_from_the_clients(void **state)
{
    (void)state;
    for (int overlap = 0; overlap < 2; overlap++) {
        ex_config c = ex_test_config();
        c.server.overlap = overlap;
        ex_federation *f = ex_test_federation(&c), *other;
        assert_int_equal(f->server.count, 40);
        int uses[200] = {0};
        for (int k = 0; k < 4; k++)
            for (size_t i = 0; i < f->clients[k].count; i++)
                uses[f->clients[k].index[i]]++;
        for (size_t i = 0; i < 40; i++) {
            assert_int_equal(f->server.label[i], f->data->train.labels[f->server.index[i]]);
            assert_int_equal(uses[f->server.index[i]], overlap);
            uses[f->server.index[i]] = 1;
        }
        for (int i = 0; i < 200; i++)
            assert_int_equal(uses[i], 1);
        c.seed++;
        other = ex_test_federation(&c);
        assert_memory_not_equal(f->server.index, other->server.index, 40 * sizeof(uint32_t));
        ex_federation_close(&other);
        ex_federation_close(&f);
    }
}

static void test_central_lane_holds_the_global_values(void **state)
{
    (void)state;
    const ex_config c = ex_test_config();
    ex_federation *f = ex_test_federation(&c);
    for (int pass = 0; pass < 2; pass++) {
        ex_trainer *central;
        f->params[7] = 1.0f + (float)pass;
        assert_ok(ex_federation_central(f, &central));
        assert_int_equal(ex_trainer_lane(central)->threads, c.server.threads);
        ex_test_values v = ex_test_values_copy(f);
        memset(v.params, 0, f->model->param_count * sizeof(float));
        assert_ok(ex_lane_store(ex_trainer_lane(central), v.params, v.stats));
        ex_test_values_same(f, &v);
        ex_test_values_free(&v);
    }
    ex_federation_close(&f);
}

static void refuse(ex_config c, const char *says)
{
    ex_federation *f;
    assert_status(ex_federation_open(&f, &c), EX_ERR_CONFIG);
    assert_message(says);
    assert_null(f);
}

static void test_what_cannot_be_opened_is_said(void **state)
{
    (void)state;
    ex_config c = ex_test_config();
    c.unlearn.class_label = 10;
    refuse(c, "unlearn.class is 10, but synthetic has the classes 0 to 9");
    c = ex_test_config();
    c.server.samples = 201;
    refuse(c, "server.samples is 201, but synthetic has 200 training samples");
    c = ex_test_config();
    c.num_clients = 300;
    refuse(c, "num_clients");
    c = ex_test_config();
    snprintf(c.model, sizeof c.model, "resnet7");
    refuse(c, "resnet7");
    c = ex_test_config();
    snprintf(c.device, sizeof c.device, "abacus");
    refuse(c, "abacus");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_evaluation_does_not_depend_on_lanes),
        cmocka_unit_test(test_evaluation_is_of_the_current_values_and_all_samples),
        cmocka_unit_test(test_accuracy_of_a_class_and_of_the_others),
        cmocka_unit_test(test_a_few_rounds_learn_the_classes),
        cmocka_unit_test(test_rounds_continued_later_equal_uninterrupted_ones),
        cmocka_unit_test(test_what_a_step_draws_does_not_depend_on_what_came_before),
        cmocka_unit_test(test_an_error_of_the_callback_ends_the_training),
        cmocka_unit_test(test_server_samples_are_drawn_by_seed_and_may_be_kept_from_the_clients),
        cmocka_unit_test(test_central_lane_holds_the_global_values),
        cmocka_unit_test(test_what_cannot_be_opened_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
