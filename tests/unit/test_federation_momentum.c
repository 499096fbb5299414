/* Rounds with the server's momentum: it follows the average, is saved with the model, and belongs
 * to one task alone. */
#include "base/digest.h"
#include "federation_fixture.h"
#include "method.h"
#include "record.h"
#include "temp.h"
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ex_config momentum_config(void)
{
    ex_config c = ex_test_config();
    c.train_samples = 100;
    c.aggregation = EX_AGGREGATION_FEDAVGM;
    c.server.momentum = 0.5;
    c.server.threads = 1;
    return c;
}

static void run_round(ex_federation *f, int number)
{
    const ex_round round = ex_test_round(f, number);
    ex_round_result r;
    assert_ok(ex_federation_round(f, &round, &r));
}

static uint64_t digest_of(const ex_federation *f)
{
    const size_t bytes = f->model->param_count * sizeof(float);
    return ex_digest(ex_model_digest(f->model, f->params, f->stats), f->velocity, bytes);
}

/* From the same start, FedAvg's first step is the mean update that the velocity begins with. */
static void test_the_first_step_is_the_averages_by_the_servers_rate(void **state)
{
    (void)state;
    ex_config c = momentum_config();
    c.server.lr = 0.25;
    ex_federation *f = ex_test_federation(&c);
    c.aggregation = EX_AGGREGATION_FEDAVG;
    ex_federation *plain = ex_test_federation(&c);
    assert_null(plain->velocity);
    ex_test_values start = ex_test_values_copy(f);
    run_round(f, 0);
    run_round(plain, 0);
    for (size_t i = 0; i < f->model->param_count; i++) {
        const double step = (double)plain->params[i] - (double)start.params[i];
        const double expected = (double)start.params[i] + 0.25 * step;
        assert_true(fabs((double)f->velocity[i] - step) <= 1e-6);
        assert_true(fabs((double)f->params[i] - expected) <= 1e-6);
    }
    assert_memory_equal(f->stats, plain->stats, f->model->stat_count * sizeof(float));
    ex_test_values_free(&start);
    ex_federation_close(&plain);
    ex_federation_close(&f);
}

static void test_number_of_lanes_changes_no_bit_of_the_momentum(void **state)
{
    (void)state;
    ex_config c = momentum_config();
    uint64_t one = 0;
    for (c.lanes = 1; c.lanes <= 3; c.lanes += 2) {
        ex_federation *f = ex_test_federation(&c);
        run_round(f, 0);
        run_round(f, 1);
        if (c.lanes == 1)
            one = digest_of(f);
        assert_true(digest_of(f) == one);
        ex_federation_close(&f);
    }
}

/* Goes on in another federation from the checkpoint of the first round. */
static uint64_t continued(const ex_config *c, bool with_velocity)
{
    ex_federation *begun = ex_test_federation(c), *rest = ex_test_federation(c);
    ex_run *run;
    json_t *state;
    assert_ok(ex_run_open(&run, ex_temp_path(with_velocity ? "with" : "without"), EX_RUN_NEW));
    run_round(begun, 0);
    assert_ok(ex_federation_checkpoint(begun, run, with_velocity ? begun->velocity : NULL,
                                       json_pack("{s:i}", "round", 1)));
    const ex_run_values values = ex_federation_values(rest, rest->velocity);
    assert_ok(ex_run_restore(run, &values, &state));
    json_decref(state);
    run_round(rest, 1);
    const uint64_t digest = digest_of(rest);
    ex_run_close(&run);
    ex_federation_close(&begun);
    ex_federation_close(&rest);
    return digest;
}

static void test_a_checkpoint_carries_the_momentum_on_to_the_bit(void **state)
{
    (void)state;
    const ex_config c = momentum_config();
    ex_federation *whole = ex_test_federation(&c);
    run_round(whole, 0);
    run_round(whole, 1);
    assert_true(continued(&c, true) == digest_of(whole));
    assert_true(continued(&c, false) != digest_of(whole));
    ex_federation_close(&whole);
}

static void test_a_round_that_fails_leaves_the_momentum(void **state)
{
    (void)state;
    const ex_config c = momentum_config();
    ex_federation *f = ex_test_federation(&c);
    run_round(f, 0);
    const uint64_t before = digest_of(f);
    ex_round round = ex_test_round(f, 1);
    ex_round_result r;
    round.lr = 1e30;
    assert_status(ex_federation_round(f, &round, &r), EX_ERR_NUMERIC);
    assert_true(digest_of(f) == before);
    ex_federation_close(&f);
}

/* What training left behind is no part of unlearning, whose rounds move their mask alone. */
static void test_unlearning_begins_without_the_momentum_of_training(void **state)
{
    (void)state;
    ex_config c = momentum_config();
    c.unlearn.rounds = 2, c.unlearn.probe = 4, c.unlearn.stop_forget = -1;
    ex_federation *f = ex_test_federation(&c);
    ex_ledger_end(f->ledger);
    const size_t count = f->model->param_count;
    ex_test_values start = ex_test_values_copy(f);
    uint64_t first = 0;
    for (int pass = 0; pass < 2; pass++) {
        json_t *report;
        memcpy(f->params, start.params, count * sizeof(float));
        memcpy(f->stats, start.stats, f->model->stat_count * sizeof(float));
        for (size_t i = 0; i < count; i++)
            f->velocity[i] = (float)pass;
        assert_ok(ex_unlearn(f, &ex_method_de_random, 3, NULL, NULL, &report));
        json_decref(report);
        size_t moved = 0, carried = 0;
        for (size_t i = 0; i < count; i++) {
            moved += memcmp(&f->params[i], &start.params[i], sizeof(float)) != 0;
            carried += f->velocity[i] != 0.0f;
        }
        assert_in_range(moved, 1, count / 2);
        assert_in_range(carried, 1, count / 2);
        if (pass == 0)
            first = digest_of(f);
        assert_true(digest_of(f) == first);
    }
    ex_test_values_free(&start);
    ex_federation_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_step_is_the_averages_by_the_servers_rate),
        cmocka_unit_test(test_number_of_lanes_changes_no_bit_of_the_momentum),
        cmocka_unit_test(test_a_checkpoint_carries_the_momentum_on_to_the_bit),
        cmocka_unit_test(test_a_round_that_fails_leaves_the_momentum),
        cmocka_unit_test(test_unlearning_begins_without_the_momentum_of_training),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
