/* Rounds on the CPU back end with synthetic data: small, but everything is real. */
#include "base/memory.h"
#include "federation.h"
#include "message.h"
#include "temp.h"
#include "test.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ex_config small_config(void)
{
    ex_config c;
    ex_config_default(&c);
    snprintf(c.dataset, sizeof c.dataset, "synthetic");
    snprintf(c.model, sizeof c.model, "resnet20");
    snprintf(c.device, sizeof c.device, "cpu");
    c.conv = EX_CONV_DIRECT; /* timing chooses nothing, so that two federations compute alike */
    c.seed = 3;
    c.train_samples = 200;
    c.test_samples = 100;
    c.server.samples = 40;
    c.num_clients = 4;
    c.clients_per_round = 0;
    c.rounds = 2;
    c.local_epochs = 1;
    c.batch_size = 16;
    c.lr = 0.05;
    c.lanes = 1;
    return c;
}

static ex_federation *open_federation(const ex_config *c)
{
    ex_federation *f;
    assert_ok(ex_federation_open(&f, c));
    assert_ok(ex_ledger_begin(f->ledger, "train"));
    return f;
}

static ex_round round_of(const ex_federation *f, int number)
{
    return (ex_round){.number = number,
                      .clients = f->clients,
                      .norm = EX_NORM_TRAIN,
                      .lr = f->config.lr,
                      .local_epochs = f->config.local_epochs};
}

static ex_mask *some_mask(const ex_model *model)
{
    ex_mask *mask;
    assert_ok(ex_mask_create(&mask, model));
    for (int layer = 0; layer < model->layer_count; layer++)
        assert_ok(ex_mask_select(mask, layer, layer % 10));
    assert_ok(ex_mask_seal(mask));
    return mask;
}

typedef struct values {
    float *params, *stats;
} values;

static values copy_values(const ex_federation *f)
{
    const size_t p = f->model->param_count * sizeof(float),
                 s = f->model->stat_count * sizeof(float);
    const values v = {malloc(p), malloc(s)};
    memcpy(v.params, f->params, p);
    memcpy(v.stats, f->stats, s);
    return v;
}

static void free_values(values *v)
{
    free(v->params);
    free(v->stats);
}

static void check_same(const ex_federation *f, const values *v)
{
    assert_memory_equal(f->params, v->params, f->model->param_count * sizeof(float));
    assert_memory_equal(f->stats, v->stats, f->model->stat_count * sizeof(float));
}

/* --- lanes and order ------------------------------------------------------------------------- */

/* Two rounds with 1, 2 and 3 lanes. algorithms: a file to keep the first one's choices in for the
 * others, or NULL. */
static void check_lanes(ex_config c, const char *algorithms)
{
    values one = {0};
    double loss = 0;
    c.partition.kind = EX_PARTITION_DIRICHLET_CLASS; /* unequal clients finish out of order */
    for (c.lanes = 1; c.lanes <= 3; c.lanes++) {
        ex_federation *f = open_federation(&c);
        assert_int_equal(f->lane_count, c.lanes);
        if (algorithms && c.lanes > 1)
            assert_ok(ex_device_read_algorithms(f->device, algorithms));
        ex_round_result r;
        for (int number = 0; number < 2; number++) {
            const ex_round round = round_of(f, number);
            assert_ok(ex_federation_round(f, &round, &r));
        }
        if (c.lanes == 1) {
            one = copy_values(f);
            loss = r.loss;
            if (algorithms)
                assert_ok(ex_device_write_algorithms(f->device, algorithms));
        }
        check_same(f, &one);
        assert_true(r.loss == loss);
        ex_federation_close(&f);
        assert_null(f);
    }
    free_values(&one);
}

static void test_number_of_lanes_changes_no_bit(void **state)
{
    (void)state;
    check_lanes(small_config(), NULL);
}

static void test_number_of_lanes_changes_no_bit_with_the_algorithms_of_a_run(void **state)
{
    (void)state;
    ex_config c = small_config();
    c.conv = EX_CONV_AUTO;
    check_lanes(c, ex_temp_path("algorithms.json"));
}

/* What one client trains does not depend on what its lane did before: training in reverse order
 * gives each client the same values. */
static void test_clients_do_not_feel_the_order_they_are_trained_in(void **state)
{
    (void)state;
    ex_config c = small_config();
    ex_federation *f = open_federation(&c);
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

/* --- the average ------------------------------------------------------------------------------ */

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
    ex_config c = small_config();
    c.num_clients = 3;
    c.weighting = weighting;
    c.lanes = 2;
    ex_federation *f = open_federation(&c);
    const size_t P = f->model->param_count, n = P + f->model->stat_count;
    ex_mask *mask = masked ? some_mask(f->model) : NULL;
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
    ex_round round = round_of(f, 5);
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

/* --- masks, empty clients, failures ----------------------------------------------------------- */

static void test_masked_round_leaves_every_unmasked_byte_identical(void **state)
{
    (void)state;
    ex_config c = small_config();
    c.lanes = 2;
    ex_federation *f = open_federation(&c);
    ex_mask *mask = some_mask(f->model);
    values before = copy_values(f);
    ex_round round = round_of(f, 0);
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
    check_same(f, &before);
    assert_true(changed > (mask->param_count + mask->stat_count) / 2);
    free_values(&before);
    ex_mask_destroy(&mask);
    ex_federation_close(&f);
}

static void test_client_without_samples_sits_out_and_counts_nothing(void **state)
{
    (void)state;
    ex_config c = small_config();
    c.weighting = EX_WEIGHTING_UNIFORM;
    ex_federation *f = open_federation(&c);
    values start = copy_values(f);
    ex_round round = round_of(f, 0);
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
    check_same(f, &start);
    free_values(&start);
    ex_federation_close(&f);
}

static void test_interrupted_round_leaves_the_global_values_and_the_ledger(void **state)
{
    (void)state;
    ex_config c = small_config();
    c.lanes = 2;
    ex_federation *f = open_federation(&c);
    values before = copy_values(f);
    const ex_round round = round_of(f, 0);
    ex_round_result r;
    ex_interrupt_install();
    raise(SIGINT);
    assert_status(ex_federation_round(f, &round, &r), EX_ERR_INTERRUPTED);
    check_same(f, &before);
    assert_int_equal(ex_ledger_cost(f->ledger, "train").bytes_up, 0);
    assert_status(ex_federation_train(f, f->clients, 0, NULL, NULL), EX_ERR_INTERRUPTED);
    ex_interrupt_install(); /* goes on as if nothing had been */
    assert_ok(ex_federation_round(f, &round, &r));
    free_values(&before);
    ex_federation_close(&f);
}

static void test_divergence_names_round_client_and_remedy_and_keeps_the_values(void **state)
{
    (void)state;
    for (int lanes = 1; lanes <= 2; lanes++) {
        ex_config c = small_config();
        c.lanes = lanes;
        ex_federation *f = open_federation(&c);
        values before = copy_values(f);
        ex_round round = round_of(f, 6);
        round.lr = 1e30;
        round.local_epochs = 3;
        ex_round_result r;
        assert_status(ex_federation_round(f, &round, &r), EX_ERR_NUMERIC);
        assert_message("round 7, client 0, epoch 1, step ");
        assert_message("lower the learning rate (now 1e+30)");
        check_same(f, &before);
        free_values(&before);
        ex_federation_close(&f);
    }
}

/* --- what it costs ---------------------------------------------------------------------------- */

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
        const ex_config c = small_config();
        ex_federation *f = open_federation(&c);
        ex_mask *mask = masked ? some_mask(f->model) : NULL;
        ex_round round = round_of(f, 0);
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

/* --- evaluation, training, opening -------------------------------------------------------------
 */

static void test_evaluation_does_not_depend_on_lanes(void **state)
{
    (void)state;
    ex_accuracy one = {0};
    for (int lanes = 1; lanes <= 3; lanes++) {
        ex_config c = small_config();
        c.lanes = lanes;
        c.test_samples = 1300; /* three chunks, the last one short */
        ex_federation *f = open_federation(&c);
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
    ex_config c = small_config();
    c.test_samples = 1100;
    c.server.threads = 1;
    ex_federation *f = open_federation(&c);
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
        const ex_round round = round_of(f, pass);
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
    ex_config c = small_config();
    c.train_samples = 800;
    c.test_samples = 500;
    c.rounds = 4;
    c.local_epochs = 2;
    c.lanes = 2;
    ex_federation *f = open_federation(&c);
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

static void test_rounds_continued_later_equal_uninterrupted_ones(void **state)
{
    (void)state;
    ex_config c = small_config();
    c.rounds = 3;
    c.clients_per_round = 3;
    ex_federation *whole = open_federation(&c);
    assert_ok(ex_federation_train(whole, whole->clients, 0, NULL, NULL));
    c.rounds = 1;
    ex_federation *start = open_federation(&c);
    assert_ok(ex_federation_train(start, start->clients, 0, NULL, NULL));
    c.rounds = 3;
    ex_federation *rest = open_federation(&c);
    memcpy(rest->params, start->params, rest->model->param_count * sizeof(float));
    memcpy(rest->stats, start->stats, rest->model->stat_count * sizeof(float));
    assert_ok(ex_federation_train(rest, rest->clients, 1, NULL, NULL));
    const values end = {whole->params, whole->stats};
    check_same(rest, &end);
    ex_federation_close(&whole);
    ex_federation_close(&start);
    ex_federation_close(&rest);
}

static void test_an_error_of_the_callback_ends_the_training(void **state)
{
    (void)state;
    ex_config c = small_config();
    c.train_samples = 60;
    c.rounds = 20;
    ex_federation *f = open_federation(&c);
    trace t = {0};
    assert_status(ex_federation_train(f, f->clients, 0, note_round, &t), EX_ERR_IO);
    assert_int_equal(t.count, 8);
    ex_federation_close(&f);
}

static void test_server_samples_are_drawn_by_seed_and_may_be_kept_from_the_clients(void **state)
{
    (void)state;
    for (int overlap = 0; overlap < 2; overlap++) {
        ex_config c = small_config();
        c.server.overlap = overlap;
        ex_federation *f = open_federation(&c), *other;
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
        other = open_federation(&c);
        assert_memory_not_equal(f->server.index, other->server.index, 40 * sizeof(uint32_t));
        ex_federation_close(&other);
        ex_federation_close(&f);
    }
}

static void test_central_lane_holds_the_global_values(void **state)
{
    (void)state;
    const ex_config c = small_config();
    ex_federation *f = open_federation(&c);
    for (int pass = 0; pass < 2; pass++) {
        ex_trainer *central;
        f->params[7] = 1.0f + (float)pass;
        assert_ok(ex_federation_central(f, &central));
        assert_int_equal(ex_trainer_lane(central)->threads, c.server.threads);
        values v = copy_values(f);
        memset(v.params, 0, f->model->param_count * sizeof(float));
        assert_ok(ex_lane_store(ex_trainer_lane(central), v.params, v.stats));
        check_same(f, &v);
        free_values(&v);
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
    ex_config c = small_config();
    c.unlearn.class_label = 10;
    refuse(c, "unlearn.class is 10, but synthetic has the classes 0 to 9");
    c = small_config();
    c.server.samples = 201;
    refuse(c, "server.samples is 201, but synthetic has 200 training samples");
    c = small_config();
    c.num_clients = 300;
    refuse(c, "num_clients");
    c = small_config();
    snprintf(c.model, sizeof c.model, "resnet7");
    refuse(c, "resnet7");
    c = small_config();
    snprintf(c.device, sizeof c.device, "abacus");
    refuse(c, "abacus");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_number_of_lanes_changes_no_bit),
        cmocka_unit_test(test_number_of_lanes_changes_no_bit_with_the_algorithms_of_a_run),
        cmocka_unit_test(test_clients_do_not_feel_the_order_they_are_trained_in),
        cmocka_unit_test(test_average_by_samples_is_the_plain_weighted_mean),
        cmocka_unit_test(test_uniform_average_is_the_plain_mean),
        cmocka_unit_test(test_masked_average_is_that_of_clients_trained_with_the_mask),
        cmocka_unit_test(test_masked_round_leaves_every_unmasked_byte_identical),
        cmocka_unit_test(test_client_without_samples_sits_out_and_counts_nothing),
        cmocka_unit_test(test_interrupted_round_leaves_the_global_values_and_the_ledger),
        cmocka_unit_test(test_divergence_names_round_client_and_remedy_and_keeps_the_values),
        cmocka_unit_test(test_ledger_counts_the_bytes_that_messages_have),
        cmocka_unit_test(test_evaluation_does_not_depend_on_lanes),
        cmocka_unit_test(test_evaluation_is_of_the_current_values_and_all_samples),
        cmocka_unit_test(test_accuracy_of_a_class_and_of_the_others),
        cmocka_unit_test(test_a_few_rounds_learn_the_classes),
        cmocka_unit_test(test_rounds_continued_later_equal_uninterrupted_ones),
        cmocka_unit_test(test_an_error_of_the_callback_ends_the_training),
        cmocka_unit_test(test_server_samples_are_drawn_by_seed_and_may_be_kept_from_the_clients),
        cmocka_unit_test(test_central_lane_holds_the_global_values),
        cmocka_unit_test(test_what_cannot_be_opened_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
