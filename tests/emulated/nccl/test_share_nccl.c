/* Ranks that share a federation's rounds, as threads: the bits of one rank, and what becomes of a
 * round that one of them leaves. */
#include "federation_fixture.h"
#include "ranks.h"
#include "share.h"
#include "test.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct trained {
    ex_test_values values;
    ex_round_result result[2];
    ex_cost cost;
    ex_status status;
} trained;

/* What rank 0 alone may do: load, unlearn on the server, take up a checkpoint. */
static void change(ex_federation *f)
{
    if (f->velocity)
        f->velocity[0] += 0.5f;
    else
        f->params[0] += 0.5f;
}

/* A round of everything, then one of a mask; with momentum a third, which ranks that differ refuse.
 */
static void train(ex_federation *f, trained *t)
{
    ex_mask *mask = ex_test_mask(f->model);
    ex_round masked = ex_test_round(f, 1);
    const ex_round full = ex_test_round(f, 0), third = ex_test_round(f, 2);
    masked.mask = mask;
    masked.send_mask = true;
    t->status = ex_ledger_begin(f->ledger, "train");
    if (t->status == EX_OK)
        t->status = ex_federation_round(f, &full, &t->result[0]);
    change(f);
    f->seed += 1; /* as unlearn.seed has it */
    if (t->status == EX_OK)
        t->status = ex_federation_round(f, &masked, &t->result[1]);
    if (t->status == EX_OK && f->velocity)
        t->status = ex_federation_round(f, &third, &(ex_round_result){0});
    ex_ledger_end(f->ledger);
    t->cost = ex_ledger_cost(f->ledger, "train");
    t->values = ex_test_values_copy(f);
    ex_mask_destroy(&mask);
}

static void share_training(rank *r)
{
    ex_federation *f;
    bool reported;
    if (ex_comm_rank(r->comm) > 0) {
        r->status = ex_federation_serve(&r->comm, &reported);
        return;
    }
    r->status = ex_federation_open_shared(&f, r->in, &r->comm);
    if (r->status != EX_OK)
        return;
    train(f, r->out);
    ex_federation_close(&f);
}

static void same_cost(const trained *a, const trained *b)
{
    assert_true(a->cost.samples == b->cost.samples && a->cost.rounds == b->cost.rounds);
    assert_true(a->cost.bytes_up == b->cost.bytes_up && a->cost.bytes_down == b->cost.bytes_down);
    for (int i = 0; i < 2; i++) {
        assert_true(a->result[i].loss == b->result[i].loss);
        assert_true(a->result[i].accuracy == b->result[i].accuracy);
        assert_true(a->result[i].samples == b->result[i].samples);
        assert_true(b->result[i].client_seconds > 0);
    }
}

static void check_ranks(const ex_config *c, int sizes)
{
    ex_federation *f;
    trained one, many;
    assert_ok(ex_federation_open(&f, c));
    train(f, &one);
    assert_ok(one.status);
    for (int size = 2; size <= sizes; size += 2) {
        rank ranks[RANKS_MAX] = {0};
        ranks[0].in = c, ranks[0].out = &many;
        run_ranks(ranks, size, size, "auto", share_training, 60);
        for (int i = 0; i < size; i++)
            if (ranks[i].status != EX_OK)
                fail_msg("rank %d of %d: %s", i, size, ranks[i].message);
        assert_ok(many.status);
        ex_test_values_same(f, &many.values);
        same_cost(&one, &many);
        ex_test_values_free(&many.values);
        check_end();
    }
    ex_test_values_free(&one.values);
    ex_federation_close(&f);
}

static void test_two_and_four_ranks_train_the_bits_of_one(void **state)
{
    (void)state;
    const ex_config c = ex_test_config();
    check_ranks(&c, 4);
}

static void test_all_ranks_carry_the_servers_momentum(void **state)
{
    (void)state;
    ex_config c = ex_test_config();
    c.aggregation = EX_AGGREGATION_FEDAVGM;
    c.server.momentum = 0.5;
    check_ranks(&c, 2);
}

/* Rank 1 hangs in the round's sum: rank 0 keeps the values from before it. */
static void test_a_round_that_a_rank_leaves_changes_nothing(void **state)
{
    (void)state;
    const ex_config c = ex_test_config();
    ex_federation *f;
    trained t;
    rank ranks[2] = {0};
    assert_ok(ex_federation_open(&f, &c));
    ranks[0].in = &c, ranks[0].out = &t;
    ex_nccl_hang(1, 10); /* after opening, and what the first round needs */
    run_ranks(ranks, 2, 2, "auto", share_training, 4);
    assert_int_equal(t.status, EX_ERR_BACKEND);
    assert_int_equal(ranks[1].status, EX_ERR_BACKEND);
    f->params[0] += 0.5f;
    ex_test_values_same(f, &t.values);
    ex_test_values_free(&t.values);
    ex_federation_close(&f);
    check_end();
}

/* --- rank 0 alone --------------------------------------------------------------------------- */

typedef struct solitude {
    ex_config config;
    double seconds;
    ex_status status; /* of a round after them */
    double round_seconds;
    char message[MESSAGE];
} solitude;

static void work_alone(rank *r)
{
    ex_federation *f;
    ex_round_result result;
    solitude *s = r->out;
    bool reported;
    if (ex_comm_rank(r->comm) > 0) {
        r->status = ex_federation_serve(&r->comm, &reported);
        return;
    }
    r->status = ex_federation_open_shared(&f, &s->config, &r->comm);
    if (r->status != EX_OK)
        return;
    usleep((useconds_t)(s->seconds * 1e6));
    const ex_round round = ex_test_round(f, 0);
    const double start = ex_now();
    s->status = ex_ledger_begin(f->ledger, "train");
    if (s->status == EX_OK)
        s->status = ex_federation_round(f, &round, &result);
    ex_ledger_end(f->ledger);
    s->round_seconds = ex_now() - start;
    snprintf(s->message, sizeof s->message, "%s", ex_error_message());
    ex_federation_close(&f);
}

/* As a long ablation does. */
static void test_rank_0_may_work_alone_for_longer_than_the_timeout(void **state)
{
    (void)state;
    rank ranks[2] = {0};
    solitude s = {.config = ex_test_config(), .seconds = 5};
    s.config.train_samples = 60;
    ranks[0].out = &s;
    run_ranks(ranks, 2, 2, "auto", work_alone, 2);
    for (int i = 0; i < 2; i++)
        if (ranks[i].status != EX_OK)
            fail_msg("rank %d: %s", i, ranks[i].message);
    if (s.status != EX_OK)
        fail_msg("%s", s.message);
    check_end();
}

static void test_a_rank_that_is_lost_meanwhile_is_known_before_the_next_round(void **state)
{
    (void)state;
    rank ranks[2] = {0};
    solitude s = {.config = ex_test_config(), .seconds = 3};
    ranks[0].out = &s;
    ex_nccl_hang(1, 4); /* after opening */
    run_ranks(ranks, 2, 2, "auto", work_alone, 1);
    assert_int_equal(s.status, EX_ERR_BACKEND);
    assert_non_null(strstr(s.message, "another rank did not join a broadcast within 1 s"));
    assert_true(s.round_seconds < 0.5);
    assert_int_equal(ranks[1].status, EX_ERR_BACKEND);
    check_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_two_and_four_ranks_train_the_bits_of_one, reset_ranks),
        cmocka_unit_test_setup(test_all_ranks_carry_the_servers_momentum, reset_ranks),
        cmocka_unit_test_setup(test_a_round_that_a_rank_leaves_changes_nothing, reset_ranks),
        cmocka_unit_test_setup(test_rank_0_may_work_alone_for_longer_than_the_timeout, reset_ranks),
        cmocka_unit_test_setup(test_a_rank_that_is_lost_meanwhile_is_known_before_the_next_round,
                               reset_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
