/* Unlearning on a small federation: the class goes, the rest stays, the report says so. */
#include "base/memory.h"
#include "io/file.h"
#include "method.h"
#include "progress.h"
#include "select.h"
#include "temp.h"
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LABEL = 3, CLIENTS = 4 };

/* One federation, trained once; every test starts from its trained values. */
static ex_federation *f;
static ex_config config;
static float *params, *stats;

static int set_up(void **state)
{
    (void)state;
    ex_config *c = &config;
    ex_config_default(c);
    snprintf(c->dataset, sizeof c->dataset, "synthetic");
    snprintf(c->model, sizeof c->model, "resnet20");
    snprintf(c->device, sizeof c->device, "cpu");
    c->train_samples = 600, c->test_samples = 300, c->server.samples = 200, c->server.threads = 1;
    c->num_clients = CLIENTS, c->rounds = 3, c->local_epochs = 2, c->batch_size = 15, c->lr = 0.05;
    c->unlearn.probe = 16, c->unlearn.lr = 0.02, c->unlearn.epochs = 12, c->unlearn.rounds = 8;
    c->unlearn.local_epochs = 1, c->unlearn.batch_size = 20, c->unlearn.delta = 0.1;
    c->conv = EX_CONV_DIRECT;
    assert_ok(ex_federation_open(&f, c));
    assert_ok(ex_federation_train(f, f->clients, 0, NULL, NULL));
    assert_ok(ex_alloc(&params, f->model->param_count, sizeof *params, "params"));
    assert_ok(ex_alloc(&stats, f->model->stat_count, sizeof *stats, "stats"));
    memcpy(params, f->params, f->model->param_count * sizeof *params);
    memcpy(stats, f->stats, f->model->stat_count * sizeof *stats);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ex_free(&params);
    ex_free(&stats);
    ex_federation_close(&f);
    return 0;
}

static int restore(void **state)
{
    (void)state;
    f->config = config;
    memcpy(f->params, params, f->model->param_count * sizeof *params);
    memcpy(f->stats, stats, f->model->stat_count * sizeof *stats);
    return 0;
}

static double number(const json_t *report, const char *section, const char *key)
{
    const json_t *value = json_object_get(json_object_get(report, section), key);
    if (!json_is_number(value))
        fail_msg("report.%s.%s is no number", section, key);
    return json_number_value(value);
}

/* Everything that the mask does not select holds the bytes from before. */
static void assert_only_mask_moved(const ex_mask *mask)
{
    size_t moved = 0;
    uint8_t *may;
    assert_ok(ex_alloc(&may, f->model->param_count + f->model->stat_count, 1, "bytes"));
    for (size_t i = 0; i < mask->param_segments; i++)
        memset(may + mask->params[i].offset, 1, mask->params[i].length);
    for (size_t i = 0; i < mask->stat_segments; i++)
        memset(may + f->model->param_count + mask->stats[i].offset, 1, mask->stats[i].length);
    for (size_t i = 0; i < f->model->param_count; i++) {
        const int differs = memcmp(&f->params[i], &params[i], sizeof *params) != 0;
        if (differs && !may[i])
            fail_msg("parameter %zu is outside the mask and moved", i);
        moved += (size_t)differs;
    }
    for (size_t i = 0; i < f->model->stat_count; i++)
        if (memcmp(&f->stats[i], &stats[i], sizeof *stats) != 0 && !may[f->model->param_count + i])
            fail_msg("statistic %zu is outside the mask and moved", i);
    assert_true(moved > mask->param_count / 2);
    ex_free(&may);
}

/* metrics.jsonl: a line a trace point, whose costs add up to the report's. */
static void assert_metrics_add_up(const char *path, const json_t *report)
{
    static const char *const keys[][2] = {{"seconds", "compute_s"},
                                          {"client_seconds", "client_s"},
                                          {"bytes_up", "bytes_up"},
                                          {"bytes_down", "bytes_down"},
                                          {"samples", "samples"}};
    double sums[5] = {0};
    size_t lines = 0;
    char text[1024];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    for (; fgets(text, sizeof text, file); lines++) {
        json_t *line = json_loads(text, 0, NULL);
        assert_string_equal(json_string_value(json_object_get(line, "phase")), "unlearn");
        for (int i = 0; i < 5; i++)
            sums[i] += json_number_value(json_object_get(line, keys[i][0]));
        json_decref(line);
    }
    fclose(file);
    assert_int_equal(lines, json_array_size(json_object_get(report, "trace")));
    for (int i = 0; i < 5; i++)
        assert_float_equal(sums[i], number(report, "cost", keys[i][1]), 1e-6);
}

/* Runs a method into a run folder and holds what every method must show. */
static json_t *unlearn(const ex_method *method, const char *folder)
{
    ex_run *run;
    json_t *report, *read;
    ex_mask *mask;
    const char *path = ex_temp_path(folder);
    assert_ok(ex_run_open(&run, path, EX_RUN_NEW));
    assert_ok(ex_unlearn(f, method, LABEL, NULL, run, &report));
    if (method->select) {
        assert_ok(ex_mask_read(&mask, f->model, ex_run_path(run, "mask.json")));
        assert_only_mask_moved(mask);
        assert_int_equal(number(report, "mask", "params_selected"), mask->param_count);
        assert_int_equal(number(report, "mask", "channels_selected"), mask->channel_count);
        ex_mask_destroy(&mask);
    } else {
        assert_true(json_is_null(json_object_get(report, "mask")));
    }
    assert_int_equal(access(ex_run_path(run, "effects.csv"), R_OK), method->needs_effects ? 0 : -1);
    assert_int_equal(access(ex_run_path(run, "model.safetensors"), R_OK), 0);
    assert_int_equal(access(ex_run_path(run, "ledger.json"), R_OK), 0);
    assert_int_equal(access(ex_run_path(run, "algorithms.json"), R_OK), 0);
    assert_metrics_add_up(ex_run_path(run, "metrics.jsonl"), report);
    assert_ok(ex_json_read(&read, ex_run_path(run, "report.json")));
    assert_true(json_equal(read, report));
    json_decref(read);
    ex_run_close(&run);

    assert_string_equal(json_string_value(json_object_get(report, "method")), method->name);
    assert_int_equal(json_integer_value(json_object_get(report, "class")), LABEL);
    assert_int_equal(json_integer_value(json_object_get(report, "schema")), 1);
    const json_t *per_class = json_object_get(json_object_get(report, "after"), "per_class");
    assert_int_equal(json_array_size(per_class), 10);
    assert_true(json_number_value(json_array_get(per_class, LABEL)) ==
                number(report, "after", "forget_test"));
    assert_true(number(report, "before", "forget_test") > 0.9);
    assert_true(number(report, "before", "retain_train") > 0.9);
    const json_t *trace = json_object_get(report, "trace");
    const json_t *last = json_array_get(trace, json_array_size(trace) - 1);
    assert_true(json_number_value(json_object_get(last, "forget_test")) ==
                number(report, "after", "forget_test"));
    assert_true(number(report, "cost", "compute_s") > 0.0);
    return report;
}

static void assert_class_is_gone(const json_t *report)
{
    assert_true(number(report, "after", "forget_test") <= 0.1);
    assert_true(number(report, "after", "forget_train") <= 0.1);
    assert_true(number(report, "after", "retain_test") > 0.85);
    assert_true(number(report, "after", "retain_train") > 0.85);
}

static void test_ce_drives_the_class_out_and_moves_its_mask_alone(void **state)
{
    (void)state;
    json_t *report = unlearn(&ex_method_ce, "ce");
    assert_class_is_gone(report);
    assert_int_equal(number(report, "cost", "bytes_up"), 0);
    assert_int_equal(number(report, "cost", "bytes_down"), 0);
    assert_int_equal(number(report, "cost", "rounds"), 0);
    assert_int_equal(number(report, "cost", "stored_samples"), 200);
    assert_true(number(report, "cost", "ablation_s") > 0.0);
    assert_int_equal(number(report, "effects", "probe"), 16);
    const size_t epochs = json_array_size(json_object_get(report, "trace"));
    assert_int_equal(number(report, "cost", "samples"), 200 * epochs);
    json_decref(report);
}

static void test_de_drives_the_class_out_and_moves_its_mask_alone(void **state)
{
    (void)state;
    json_t *report = unlearn(&ex_method_de, "de");
    assert_class_is_gone(report);
    const double rounds = number(report, "cost", "rounds");
    assert_int_equal(rounds, json_array_size(json_object_get(report, "trace")));
    assert_int_equal(number(report, "cost", "stored_samples"), 600);
    /* Up: each client sends at least the selected values, and far from all. */
    const double values = 4 * number(report, "mask", "params_selected") * CLIENTS * rounds;
    assert_true(number(report, "cost", "bytes_up") > values);
    assert_true(number(report, "cost", "bytes_up") < 1.2 * values + 4000 * rounds);
    /* Down: the same values and, once, the mask. */
    assert_true(number(report, "cost", "bytes_down") > number(report, "cost", "bytes_up"));
    assert_true(number(report, "cost", "client_s") > 0.0);
    json_decref(report);
}

static void test_head_drives_the_class_out_with_one_row(void **state)
{
    (void)state;
    json_t *report = unlearn(&ex_method_head, "head");
    assert_class_is_gone(report);
    assert_int_equal(number(report, "mask", "params_selected"), 65);
    assert_true(json_is_null(
        json_object_get(json_object_get(report, "cost"), "ablation_s"))); /* not measured */
    assert_true(json_is_null(json_object_get(report, "delta")));
    json_decref(report);
}

static void test_de_random_selects_as_many_channels_as_de(void **state)
{
    (void)state;
    f->config.unlearn.rounds = 1;
    json_t *random = unlearn(&ex_method_de_random, "random");
    restore(NULL);
    f->config.unlearn.rounds = 1;
    json_t *chosen = unlearn(&ex_method_de, "chosen");
    assert_int_equal(number(random, "mask", "channels_selected"),
                     number(chosen, "mask", "channels_selected"));
    assert_int_equal(number(random, "mask", "params_selected"),
                     number(chosen, "mask", "params_selected"));
    assert_int_equal(json_array_size(json_object_get(random, "trace")), 1);
    json_decref(random);
    json_decref(chosen);
}

/* --- retraining ---------------------------------------------------------------------------- */

static void test_retraining_never_sees_the_class(void **state)
{
    (void)state;
    json_t *report = unlearn(&ex_method_retrain, "retrain");
    assert_true(number(report, "after", "forget_test") == 0.0);
    assert_true(number(report, "after", "retain_test") > 0.85);
    assert_int_equal(number(report, "cost", "rounds"), 3);
    size_t left = 0;
    for (size_t i = 0; i < f->data->train.count; i++)
        left += f->data->train.labels[i] != LABEL;
    assert_int_equal(number(report, "cost", "stored_samples"), left);
    assert_int_equal(number(report, "cost", "samples"), left * 3 * 2);
    json_decref(report);

    /* The same values come out of a training set whose samples of the class are other images: they
     * played no part. */
    float *first;
    assert_ok(ex_alloc(&first, f->model->param_count, sizeof *first, "params"));
    memcpy(first, f->params, f->model->param_count * sizeof *first);
    restore(NULL);
    ex_dataset *train = &f->data->train;
    const size_t image = (size_t)(train->channels * train->height * train->width);
    uint8_t *kept;
    assert_ok(ex_alloc(&kept, train->count, image, "images"));
    memcpy(kept, train->images, train->count * image);
    for (size_t i = 0; i < train->count; i++)
        if (train->labels[i] == LABEL)
            memset(train->images + i * image, 255, image);
    assert_ok(ex_unlearn(f, &ex_method_retrain, LABEL, NULL, NULL, &report));
    assert_memory_equal(first, f->params, f->model->param_count * sizeof *first);
    memcpy(train->images, kept, train->count * image);
    json_decref(report);
    ex_free(&kept);
    ex_free(&first);
}

static void test_a_client_of_the_class_alone_sits_retraining_out(void **state)
{
    (void)state;
    ex_samples *client = &f->clients[1], whole = *client, alone;
    assert_ok(ex_samples_of_class(&alone, client, LABEL, 1));
    *client = alone;
    json_t *report;
    f->config.rounds = 1;
    assert_ok(ex_unlearn(f, &ex_method_retrain, LABEL, NULL, NULL, &report));
    const ex_cost all = ex_ledger_cost(f->ledger, "unlearn");
    assert_true(all.samples > 0);
    size_t left = 0;
    for (int i = 0; i < CLIENTS; i++)
        for (size_t j = 0; j < f->clients[i].count; j++)
            left += f->clients[i].label[j] != LABEL;
    assert_int_equal(number(report, "cost", "samples"), 2 * left);
    json_decref(report);
    *client = whole;
    ex_samples_free(&alone);
}

/* --- stopping, relabelling, given effects -------------------------------------------------- */

static size_t points(const json_t *report)
{
    return json_array_size(json_object_get(report, "trace"));
}

static void test_a_run_stops_at_stop_forget_and_not_before(void **state)
{
    (void)state;
    json_t *report;
    f->config.unlearn.stop_forget = 1.0; /* reached by anything */
    assert_ok(ex_unlearn(f, &ex_method_head, LABEL, NULL, NULL, &report));
    assert_int_equal(points(report), 1);
    json_decref(report);
    restore(NULL);
    f->config.unlearn.stop_forget = -1.0; /* never */
    f->config.unlearn.epochs = 3;
    assert_ok(ex_unlearn(f, &ex_method_head, LABEL, NULL, NULL, &report));
    assert_int_equal(points(report), 3);
    json_decref(report);
}

static void test_relabel_each_draws_anew_from_the_second_epoch_on(void **state)
{
    (void)state;
    /* Not by head: the gradient of the class's own row is the same for every wrong label. */
    json_t *report;
    ex_effects *e;
    float *after[2][2];
    assert_ok(ex_ablate(&e, f, LABEL));
    for (int epochs = 1; epochs <= 2; epochs++)
        for (int relabel = 0; relabel < 2; relabel++) {
            restore(NULL);
            f->config.unlearn.stop_forget = -1.0;
            f->config.unlearn.epochs = epochs;
            f->config.unlearn.relabel = relabel;
            assert_ok(ex_unlearn(f, &ex_method_ce, LABEL, e, NULL, &report));
            json_decref(report);
            float **copy = &after[epochs - 1][relabel];
            assert_ok(ex_alloc(copy, f->model->param_count, sizeof **copy, "params"));
            memcpy(*copy, f->params, f->model->param_count * sizeof **copy);
        }
    const size_t bytes = f->model->param_count * sizeof(float);
    assert_memory_equal(after[0][0], after[0][1], bytes);
    assert_memory_not_equal(after[1][0], after[1][1], bytes);
    ex_effects_destroy(&e);
    for (int i = 0; i < 4; i++)
        ex_free(&after[i / 2][i % 2]);
}

static void test_given_effects_are_used_and_those_of_another_model_refused(void **state)
{
    (void)state;
    json_t *report;
    ex_effects *e;
    f->config.unlearn.epochs = 1;
    assert_ok(ex_ablate(&e, f, LABEL));
    assert_ok(ex_unlearn(f, &ex_method_ce, LABEL, e, NULL, &report));
    assert_true(json_is_null(json_object_get(json_object_get(report, "cost"), "ablation_s")));
    assert_true(json_is_false(json_object_get(json_object_get(report, "effects"), "measured")));
    json_decref(report);
    /* The values have moved since: the table is another model's. */
    assert_status(ex_unlearn(f, &ex_method_ce, LABEL, e, NULL, &report), EX_ERR_INPUT);
    assert_null(report);
    assert_message("digest");
    restore(NULL);
    assert_status(ex_unlearn(f, &ex_method_ce, LABEL + 1, e, NULL, &report), EX_ERR_INPUT);
    assert_message("does not cover class 4");
    ex_effects_destroy(&e);
}

static void test_frozen_norm_leaves_every_statistic(void **state)
{
    (void)state;
    json_t *report;
    f->config.unlearn.norm = EX_NORM_FROZEN;
    f->config.unlearn.epochs = 1;
    assert_ok(ex_unlearn(f, &ex_method_ce, LABEL, NULL, NULL, &report));
    assert_memory_equal(f->stats, stats, f->model->stat_count * sizeof *stats);
    assert_memory_not_equal(f->params, params, f->model->param_count * sizeof *params);
    json_decref(report);
}

/* --- interruption -------------------------------------------------------------------------- */

static void test_an_epoch_that_is_complete_survives_an_interruption(void **state)
{
    (void)state;
    ex_run *run;
    json_t *kept;
    bool stop;
    const char *path = ex_temp_path("interrupted");
    assert_ok(ex_run_open(&run, path, EX_RUN_NEW));
    ex_unlearning u = {.f = f, .unit = "epoch", .label = LABEL, .run = run};
    assert_ok(ex_probe_make(&u.probe, f, &u.label, 1, 4));
    ex_interrupt_set(true);
    const ex_status status = ex_unlearning_trace(&u, 1, 0.5, &stop);
    ex_interrupt_set(false);
    assert_ok(status);
    assert_ok(ex_run_peek(path, &kept));
    assert_int_equal(json_integer_value(json_object_get(kept, "round")), 1);
    json_decref(kept);
    ex_samples_free(&u.probe);
    ex_free(&u.trace);
    ex_run_close(&run);
}

/* What other requests cost on the same ledger is not this run's, resumed or not. */
static void test_a_run_that_goes_on_knows_what_was_spent_before_it(void **state)
{
    (void)state;
    ex_run *run;
    ex_effects_origin origin;
    const char *path = ex_temp_path("earlier");
    assert_ok(ex_ledger_begin(f->ledger, "unlearn"));
    ex_ledger_client(f->ledger, -1, 0.5, 123);
    ex_ledger_end(f->ledger);
    const ex_cost before = ex_ledger_cost(f->ledger, "unlearn");
    assert_ok(ex_run_open(&run, path, EX_RUN_NEW));
    ex_unlearning u = {.f = f, .unit = "epoch", .label = LABEL, .run = run};
    ex_unlearning on = {.f = f, .unit = "epoch", .label = LABEL, .run = run};
    u.began = ex_ledger_json(f->ledger);
    assert_ok(ex_unlearning_checkpoint(&u));
    assert_ok(ex_unlearning_restore(&on, &origin));
    assert_int_equal(on.earlier.unlearn.samples, before.samples);
    assert_true(before.samples >= 123);
    assert_int_equal(on.earlier.ablation.samples, ex_ledger_cost(f->ledger, "ablation").samples);
    json_decref(u.began);
    json_decref(on.began);
    ex_run_close(&run);
}

/* --- errors -------------------------------------------------------------------------------- */

static void test_a_digest_of_a_checkpoint_is_read_whole_or_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {NULL,
                                        "",
                                        "12",
                                        "0123456789abcde",
                                        "0123456789abcdef0",
                                        "0123456789ABCDEF",
                                        " 123456789abcdef",
                                        "-123456789abcdef",
                                        "0x123456789abcde"};
    uint64_t digest = 0;
    json_t *tells = json_pack("{s:s}", "digest", "f123456789abcdef");
    assert_ok(ex_unlearning_digest(&digest, tells, "runs/ce"));
    assert_true(digest == UINT64_C(0xf123456789abcdef));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        json_object_set_new(tells, "digest", wrong[i] ? json_string(wrong[i]) : json_integer(5));
        assert_status(ex_unlearning_digest(&digest, tells, "runs/ce"), EX_ERR_INPUT);
        assert_message("runs/ce: a checkpoint of `excise unlearn` is expected");
    }
    json_decref(tells);
}

static void test_methods_say_what_they_lack(void **state)
{
    (void)state;
    json_t *report;
    const ex_method *method;
    assert_ok(ex_method_find(&method, "de-random"));
    assert_ptr_equal(method, &ex_method_de_random);
    assert_status(ex_method_find(&method, "cd"), EX_ERR_USAGE);
    assert_message("one of ce, de, de-random, head, retrain");
    assert_status(ex_unlearn(f, &ex_method_head, 10, NULL, NULL, &report), EX_ERR_USAGE);

    ex_samples server = f->server;
    f->server = (ex_samples){0};
    assert_status(ex_unlearn(f, &ex_method_head, LABEL, NULL, NULL, &report), EX_ERR_CONFIG);
    assert_message("server.samples");
    assert_ok(ex_samples_of_class(&f->server, &server, LABEL, 0));
    assert_status(ex_unlearn(f, &ex_method_head, LABEL, NULL, NULL, &report), EX_ERR_CONFIG);
    assert_message("is of class 3");
    ex_samples_free(&f->server);
    f->server = server;

    ex_samples clients[CLIENTS];
    memcpy(clients, f->clients, sizeof clients);
    for (int i = 0; i < CLIENTS; i++)
        assert_ok(ex_samples_of_class(&f->clients[i], &clients[i], LABEL, 0));
    assert_status(ex_unlearn(f, &ex_method_de_random, LABEL, NULL, NULL, &report), EX_ERR_CONFIG);
    assert_message("no client holds a sample of class 3");
    for (int i = 0; i < CLIENTS; i++)
        ex_samples_free(&f->clients[i]);
    memcpy(f->clients, clients, sizeof clients);
    assert_memory_equal(f->params, params, f->model->param_count * sizeof *params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_ce_drives_the_class_out_and_moves_its_mask_alone, restore),
        cmocka_unit_test_setup(test_de_drives_the_class_out_and_moves_its_mask_alone, restore),
        cmocka_unit_test_setup(test_head_drives_the_class_out_with_one_row, restore),
        cmocka_unit_test_setup(test_de_random_selects_as_many_channels_as_de, restore),
        cmocka_unit_test_setup(test_retraining_never_sees_the_class, restore),
        cmocka_unit_test_setup(test_a_client_of_the_class_alone_sits_retraining_out, restore),
        cmocka_unit_test_setup(test_a_run_stops_at_stop_forget_and_not_before, restore),
        cmocka_unit_test_setup(test_relabel_each_draws_anew_from_the_second_epoch_on, restore),
        cmocka_unit_test_setup(test_given_effects_are_used_and_those_of_another_model_refused,
                               restore),
        cmocka_unit_test_setup(test_frozen_norm_leaves_every_statistic, restore),
        cmocka_unit_test_setup(test_an_epoch_that_is_complete_survives_an_interruption, restore),
        cmocka_unit_test_setup(test_a_run_that_goes_on_knows_what_was_spent_before_it, restore),
        cmocka_unit_test_setup(test_methods_say_what_they_lack, restore),
        cmocka_unit_test(test_a_digest_of_a_checkpoint_is_read_whole_or_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
