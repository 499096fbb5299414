/* What a round changes and what it costs: masks, empty clients, interruption, divergence, bytes. */
#include "federation_fixture.h"
#include "message.h"
#include "round_impl.h"
#include "test.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static void test_masked_round_leaves_every_unmasked_byte_identical(void **state)
{
    (void)state;
    ex_config c = ex_test_config();
    c.lanes = 2;
    ex_federation *f = ex_test_federation(&c);
    ex_mask *mask = ex_test_mask(f->model);
    ex_test_values before = ex_test_values_copy(f);
    ex_round round = ex_test_round(f, 0);
    round.mask = mask;
    ex_round_result r;
    assert_ok(ex_federation_round(f, &round, &r));
    size_t changed = 0;
    /* Overwriting the masked part with the old values must give back the old model. */
    for (size_t s = 0; s < mask->param_segments; s++)
        for (size_t i = 0; i < mask->params[s].length; i++) {
            const size_t at = mask->params[s].offset + i;
            changed += f->params[at] != before.params[at];
            f->params[at] = before.params[at];
        }
    for (size_t s = 0; s < mask->stat_segments; s++)
        for (size_t i = 0; i < mask->stats[s].length; i++) {
            const size_t at = mask->stats[s].offset + i;
            changed += f->stats[at] != before.stats[at];
            f->stats[at] = before.stats[at];
        }
    ex_test_values_same(f, &before);
    assert_true(changed > (mask->param_count + mask->stat_count) / 2);
    ex_test_values_free(&before);
    ex_mask_destroy(&mask);
    ex_federation_close(&f);
}

static void test_client_without_samples_sits_out_and_counts_nothing(void **state)
{
    (void)state;
    ex_config c = ex_test_config();
    c.weighting = EX_WEIGHTING_UNIFORM;
    ex_federation *f = ex_test_federation(&c);
    ex_test_values start = ex_test_values_copy(f);
    ex_round round = ex_test_round(f, 0);
    ex_round_result r;
    ex_samples clients[4];
    memcpy(clients, f->clients, sizeof clients);
    clients[1].count = 0;
    round.clients = clients;
    assert_ok(ex_federation_round(f, &round, &r));
    assert_int_equal(r.cohort, 3);
    json_t *json = ex_ledger_json(f->ledger);
    const json_t *rows =
        json_object_get(json_array_get(json_object_get(json, "phases"), 0), "clients");
    assert_int_equal(json_array_size(rows), 3);
    json_decref(json);
    /* Nobody at all: a round that changes nothing. */
    memcpy(f->params, start.params, f->model->param_count * sizeof(float));
    memcpy(f->stats, start.stats, f->model->stat_count * sizeof(float));
    for (int k = 0; k < 4; k++)
        clients[k].count = 0;
    assert_ok(ex_federation_round(f, &round, &r));
    assert_int_equal(r.cohort, 0);
    assert_true(isnan(r.loss));
    ex_test_values_same(f, &start);
    ex_test_values_free(&start);
    ex_federation_close(&f);
}

/* Whatever those have left there: also a smaller sum than theirs is that of a new federation. */
static void test_a_round_uses_the_memory_of_the_one_before(void **state)
{
    (void)state;
    ex_config c = ex_test_config();
    ex_federation *f = ex_test_federation(&c), *other = ex_test_federation(&c);
    ex_mask *mask = ex_test_mask(f->model);
    ex_round round = ex_test_round(f, 0);
    ex_round_result r;
    assert_ok(ex_federation_round(f, &round, &r));
    const int64_t *sum = f->room->sum.sum;
    const float *update = f->room->slots[0].params;
    memcpy(other->params, f->params, f->model->param_count * sizeof(float));
    memcpy(other->stats, f->stats, f->model->stat_count * sizeof(float));
    round.number = 1;
    round.mask = mask;
    assert_ok(ex_federation_round(f, &round, &r));
    assert_ptr_equal(f->room->sum.sum, sum);
    assert_ptr_equal(f->room->slots[0].params, update);
    round.clients = other->clients;
    assert_ok(ex_federation_round(other, &round, &r));
    ex_test_values now = ex_test_values_copy(other);
    ex_test_values_same(f, &now);
    ex_test_values_free(&now);
    ex_mask_destroy(&mask);
    ex_federation_close(&other);
    ex_federation_close(&f);
}

static void test_interrupted_round_leaves_the_global_values_and_the_ledger(void **state)
{
    (void)state;
    ex_config c = ex_test_config();
    c.lanes = 2;
    ex_federation *f = ex_test_federation(&c);
    ex_test_values before = ex_test_values_copy(f);
    const ex_round round = ex_test_round(f, 0);
    ex_round_result r;
    ex_interrupt_install();
    raise(SIGINT);
    assert_status(ex_federation_round(f, &round, &r), EX_ERR_INTERRUPTED);
    ex_test_values_same(f, &before);
    assert_int_equal(ex_ledger_cost(f->ledger, "train").bytes_up, 0);
    assert_status(ex_federation_train(f, f->clients, 0, NULL, NULL), EX_ERR_INTERRUPTED);
    ex_interrupt_install(); /* goes on as if nothing had been */
    assert_ok(ex_federation_round(f, &round, &r));
    ex_test_values_free(&before);
    ex_federation_close(&f);
}

/* Interrupted right after its training, a round is still evaluated. */
static ex_status interrupt_and_evaluate(void *context, ex_federation *f, int round,
                                        const ex_round_result *result)
{
    int *complete = context;
    ex_accuracy accuracy;
    (void)result;
    raise(SIGINT);
    EX_TRY(ex_federation_evaluate(f, &f->data->test, NULL, &accuracy));
    assert_int_equal(accuracy.count, f->data->test.count);
    ex_accuracy_free(&accuracy);
    *complete = round + 1;
    return EX_OK;
}

static void test_an_interruption_waits_for_what_follows_a_round(void **state)
{
    (void)state;
    const ex_config c = ex_test_config();
    ex_federation *f = ex_test_federation(&c);
    int complete = 0;
    ex_interrupt_install();
    assert_status(ex_federation_train(f, f->clients, 0, interrupt_and_evaluate, &complete),
                  EX_ERR_INTERRUPTED);
    assert_message("before round 2 of 2");
    assert_int_equal(complete, 1);
    ex_interrupt_install();
    ex_federation_close(&f);
}

static void test_divergence_names_round_client_and_remedy_and_keeps_the_values(void **state)
{
    (void)state;
    /* Behind the two rounds of training those of an unlearning are counted anew. */
    static const char *const told[] = {"round 2, client 0, epoch 1, step ",
                                       "round 5, client 0, epoch 1, step "};
    for (int lanes = 1; lanes <= 2; lanes++) {
        ex_config c = ex_test_config();
        c.lanes = lanes;
        ex_federation *f = ex_test_federation(&c);
        ex_test_values before = ex_test_values_copy(f);
        ex_round round = ex_test_round(f, lanes == 1 ? 1 : 6);
        round.lr = 1e30;
        round.local_epochs = 3;
        ex_round_result r;
        assert_status(ex_federation_round(f, &round, &r), EX_ERR_NUMERIC);
        assert_message(told[lanes - 1]);
        assert_message("lower the learning rate (now 1e+30)");
        ex_test_values_same(f, &before);
        ex_test_values_free(&before);
        ex_federation_close(&f);
    }
}

/* Serialises every message of a round; *up and *down: the bytes that came out. */
static void send_for_real(const ex_federation *f, const ex_mask *mask, bool send_mask, size_t *up,
                          size_t *down)
{
    *up = *down = 0;
    for (uint32_t client = 0; client < 4; client++)
        for (int kind = EX_MESSAGE_MODEL; kind <= EX_MESSAGE_MASK; kind++) {
            if (kind == EX_MESSAGE_MASK && !send_mask)
                continue;
            const ex_message m = {
                .kind = (ex_message_kind)kind, .client = client, .mask = mask ? mask : f->full};
            const size_t room = ex_message_bytes(&m);
            uint8_t *bytes = malloc(room);
            assert_ok(ex_message_encode(bytes, &m, f->params, f->stats));
            assert_ok(ex_message_decode(bytes, room, &m, f->params, f->stats));
            *(kind == EX_MESSAGE_UPDATE ? up : down) += room;
            free(bytes);
        }
}

static json_int_t bytes_of(const json_t *ledger, const char *kind, const char *direction)
{
    const json_t *phase = json_array_get(json_object_get(ledger, "phases"), 0);
    return json_integer_value(
        json_object_get(json_object_get(json_object_get(phase, "bytes"), kind), direction));
}

static void test_ledger_counts_the_bytes_that_messages_have(void **state)
{
    (void)state;
    for (int masked = 0; masked < 2; masked++) {
        const ex_config c = ex_test_config();
        ex_federation *f = ex_test_federation(&c);
        ex_mask *mask = masked ? ex_test_mask(f->model) : NULL;
        ex_round round = ex_test_round(f, 0);
        round.mask = mask;
        round.send_mask = masked;
        ex_round_result r;
        assert_ok(ex_federation_round(f, &round, &r));
        size_t up, down;
        send_for_real(f, mask, masked, &up, &down);
        json_t *ledger = ex_ledger_json(f->ledger);
        assert_int_equal(bytes_of(ledger, "update", "up"), up);
        assert_int_equal(bytes_of(ledger, "update", "down"), 0);
        assert_int_equal(bytes_of(ledger, "model", "down") + bytes_of(ledger, "mask", "down"),
                         down);
        assert_int_equal(bytes_of(ledger, "mask", "down"), masked ? 4 * (40 + 88) : 0);
        assert_int_equal(r.bytes_up, up);
        assert_int_equal(r.bytes_down, down);
        const ex_cost cost = ex_ledger_cost(f->ledger, "train");
        assert_int_equal(cost.samples, 200);
        assert_int_equal(cost.rounds, 1);
        assert_true(cost.compute_s > 0 && cost.client_s > 0);
        assert_true(cost.compute_s <= cost.wall_s);
        assert_true(r.seconds == cost.compute_s);
        json_decref(ledger);
        ex_mask_destroy(&mask);
        ex_federation_close(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masked_round_leaves_every_unmasked_byte_identical),
        cmocka_unit_test(test_client_without_samples_sits_out_and_counts_nothing),
        cmocka_unit_test(test_a_round_uses_the_memory_of_the_one_before),
        cmocka_unit_test(test_interrupted_round_leaves_the_global_values_and_the_ledger),
        cmocka_unit_test(test_an_interruption_waits_for_what_follows_a_round),
        cmocka_unit_test(test_divergence_names_round_client_and_remedy_and_keeps_the_values),
        cmocka_unit_test(test_ledger_counts_the_bytes_that_messages_have),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
