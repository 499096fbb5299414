/* What a round computes: the plain average of its clients, whatever the lanes and their order. */
#include "federation_fixture.h"
#include "temp.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>

/* Two rounds with 1, 2 and 3 lanes. algorithms: a file to keep the first one's choices in for the
 * others, or NULL. */
static void check_lanes(ex_config c, const char *algorithms)
{
    ex_test_values one = {0};
    double loss = 0;
    c.partition.kind = EX_PARTITION_DIRICHLET_CLASS; /* unequal clients finish out of order */
    for (c.lanes = 1; c.lanes <= 3; c.lanes++) {
        ex_federation *f = ex_test_federation(&c);
        assert_int_equal(f->lane_count, c.lanes);
        if (algorithms && c.lanes > 1)
            assert_ok(ex_device_read_algorithms(f->device, algorithms));
        ex_round_result r;
        for (int number = 0; number < 2; number++) {
            const ex_round round = ex_test_round(f, number);
            assert_ok(ex_federation_round(f, &round, &r));
        }
        if (c.lanes == 1) {
            one = ex_test_values_copy(f);
            loss = r.loss;
            if (algorithms)
                assert_ok(ex_device_write_algorithms(f->device, algorithms));
        }
        ex_test_values_same(f, &one);
        assert_true(r.loss == loss);
        ex_federation_close(&f);
        assert_null(f);
    }
    ex_test_values_free(&one);
}

static void test_number_of_lanes_changes_no_bit(void **state)
{
    (void)state;
    check_lanes(ex_test_config(), NULL);
}

static void test_number_of_lanes_changes_no_bit_of_dropout(void **state)
{
    (void)state;
    ex_config c = ex_test_config();
    snprintf(c.model, sizeof c.model, "cnn");
    c.local_epochs = 2;
    check_lanes(c, NULL);
}

static void test_number_of_lanes_changes_no_bit_of_augmentation(void **state)
{
    (void)state;
    ex_config c = ex_test_config();
    c.augment.crop = 2, c.augment.flip = true, c.augment.cutout = 4;
    check_lanes(c, NULL);
}

/* Augmentation is training's alone, and changes what is trained. */
static void test_augmentation_reaches_training_and_not_evaluation(void **state)
{
    (void)state;
    ex_config c = ex_test_config();
    ex_test_values plain = {0};
    double loss = 0;
    for (int pass = 0; pass < 2; pass++) {
        c.augment.crop = pass ? 2 : 0;
        ex_federation *f = ex_test_federation(&c);
        ex_accuracy before;
        assert_ok(ex_federation_evaluate(f, &f->data->train, NULL, &before));
        const ex_round round = ex_test_round(f, 0);
        ex_round_result r;
        assert_ok(ex_federation_round(f, &round, &r));
        if (pass == 0) {
            plain = ex_test_values_copy(f);
            loss = before.loss;
        } else {
            assert_true(before.loss == loss);
            assert_memory_not_equal(f->params, plain.params,
                                    f->model->param_count * sizeof *f->params);
        }
        ex_accuracy_free(&before);
        ex_federation_close(&f);
    }
    ex_test_values_free(&plain);
}

static void test_number_of_lanes_changes_no_bit_with_the_algorithms_of_a_run(void **state)
{
    (void)state;
    ex_config c = ex_test_config();
    c.conv = EX_CONV_AUTO;
    check_lanes(c, ex_temp_path("algorithms.json"));
}

/* What one client trains does not depend on what its lane did before: training in reverse order
 * gives each client the same values. */
static void test_clients_do_not_feel_the_order_they_are_trained_in(void **state)
{
    (void)state;
    ex_config c = ex_test_config();
    ex_federation *f = ex_test_federation(&c);
    assert_ok(ex_federation_lanes(f));
    const size_t P = f->model->param_count, S = f->model->stat_count;
    float *first = malloc(4 * (P + S) * sizeof *first), *now = malloc((P + S) * sizeof *now);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < 4; i++) {
            const int client = pass ? 3 - i : i;
            const ex_fit fit = {.data = &f->data->train,
                                .samples = &f->clients[client],
                                .epochs = 2,
                                .batch_size = c.batch_size,
                                .sgd = {.lr = 0.05f, .momentum = 0.9f},
                                .key = {.seed = c.seed, .client = (uint32_t)client}};
            ex_train_sums sums = {0};
            ex_lane *lane = ex_trainer_lane(f->lanes[0]);
            assert_ok(ex_lane_load(lane, f->params, f->stats));
            assert_ok(ex_trainer_fit(f->lanes[0], &fit, &sums, NULL));
            float *out = pass ? now : first + (size_t)client * (P + S);
            assert_ok(ex_lane_store(lane, out, out + P));
            if (pass)
                assert_memory_equal(now, first + (size_t)client * (P + S), (P + S) * sizeof *now);
        }
    free(first);
    free(now);
    ex_federation_close(&f);
}

/* Clients of 10, 30 and 55 samples. */
static void unequal_clients(ex_samples *clients, const ex_federation *f)
{
    static const size_t sizes[3] = {10, 30, 55};
    size_t at = 0;
    for (int k = 0; k < 3; k++) {
        assert_ok(ex_samples_alloc(&clients[k], sizes[k]));
        for (size_t i = 0; i < sizes[k]; i++, at++) {
            clients[k].index[i] = (uint32_t)at;
            clients[k].label[i] = f->data->train.labels[at];
        }
    }
}

/* Trains one client alone on a lane of its own; the average is plain loops below. */
static void train_alone(const ex_federation *f, const ex_samples *s, int client,
                        const ex_mask *mask, float *params, float *stats)
{
    ex_lane *lane;
    ex_trainer *t;
    assert_ok(ex_lane_create(&lane, f->device, f->model, 1));
    assert_ok(ex_lane_load(lane, f->params, f->stats));
    assert_ok(ex_trainer_create(&t, lane));
    const ex_config *c = &f->config;
    const ex_fit fit = {
        .data = &f->data->train,
        .samples = s,
        .epochs = c->local_epochs,
        .batch_size = c->batch_size,
        .sgd = {(float)c->lr, (float)c->momentum, (float)c->weight_decay, 0},
        .mask = mask,
        .key = {.seed = c->seed, .client = (uint32_t)client, .round = 5},
    };
    ex_train_sums sums = {0};
    assert_ok(ex_trainer_fit(t, &fit, &sums, NULL));
    assert_ok(ex_lane_store(lane, params, stats));
    ex_trainer_destroy(&t);
}

static void check_average(ex_weighting weighting, bool masked, const double *weight)
{
    ex_config c = ex_test_config();
    c.num_clients = 3;
    c.weighting = weighting;
    c.lanes = 2;
    ex_federation *f = ex_test_federation(&c);
    const size_t P = f->model->param_count, n = P + f->model->stat_count;
    ex_mask *mask = masked ? ex_test_mask(f->model) : NULL;
    ex_samples clients[3];
    unequal_clients(clients, f);
    double *mean = calloc(n, sizeof *mean);
    float *client = malloc(n * sizeof *client), *expected = malloc(n * sizeof *expected);
    for (int k = 0; k < 3; k++) {
        train_alone(f, &clients[k], k, mask, client, client + P);
        for (size_t i = 0; i < n; i++)
            mean[i] += weight[k] * (double)client[i];
    }
    for (size_t i = 0; i < n; i++)
        expected[i] = (float)mean[i];
    ex_round round = ex_test_round(f, 5);
    round.clients = clients;
    round.mask = mask;
    ex_round_result r;
    assert_ok(ex_federation_round(f, &round, &r));
    assert_close(f->params, expected, P, 1e-7, 1e-6);
    assert_close(f->stats, expected + P, n - P, 1e-7, 1e-6);
    assert_int_equal(r.samples, 95);
    for (int k = 0; k < 3; k++)
        ex_samples_free(&clients[k]);
    free(mean), free(client), free(expected);
    ex_mask_destroy(&mask);
    ex_federation_close(&f);
}

static void test_average_by_samples_is_the_plain_weighted_mean(void **state)
{
    (void)state;
    check_average(EX_WEIGHTING_SAMPLES, false, (double[]){10 / 95.0, 30 / 95.0, 55 / 95.0});
}

static void test_uniform_average_is_the_plain_mean(void **state)
{
    (void)state;
    check_average(EX_WEIGHTING_UNIFORM, false, (double[]){1 / 3.0, 1 / 3.0, 1 / 3.0});
}

static void test_masked_average_is_that_of_clients_trained_with_the_mask(void **state)
{
    (void)state;
    check_average(EX_WEIGHTING_UNIFORM, true, (double[]){1 / 3.0, 1 / 3.0, 1 / 3.0});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_number_of_lanes_changes_no_bit),
        cmocka_unit_test(test_number_of_lanes_changes_no_bit_of_dropout),
        cmocka_unit_test(test_number_of_lanes_changes_no_bit_of_augmentation),
        cmocka_unit_test(test_augmentation_reaches_training_and_not_evaluation),
        cmocka_unit_test(test_number_of_lanes_changes_no_bit_with_the_algorithms_of_a_run),
        cmocka_unit_test(test_clients_do_not_feel_the_order_they_are_trained_in),
        cmocka_unit_test(test_average_by_samples_is_the_plain_weighted_mean),
        cmocka_unit_test(test_uniform_average_is_the_plain_mean),
        cmocka_unit_test(test_masked_average_is_that_of_clients_trained_with_the_mask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
