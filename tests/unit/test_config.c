/* The field table: defaults, choices, rules between fields, the reference. */
#include "config.h"
#include "config_fields.h"
#include "method.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The defaults that METHODS and the paper's setting name, written down a second time. */
static void test_defaults_are_the_papers(void **state)
{
    (void)state;
    ex_config c;
    memset(&c, 0xff, sizeof c);
    ex_config_default(&c);
    assert_int_equal(c.num_clients, 10);
    assert_int_equal(c.clients_per_round, 0);
    assert_int_equal(c.rounds, 50);
    assert_int_equal(c.local_epochs, 5);
    assert_int_equal(c.batch_size, 128);
    assert_true(c.lr == 0.1 && c.momentum == 0.9 && c.weight_decay == 5e-4);
    assert_int_equal(c.weighting, EX_WEIGHTING_SAMPLES);
    assert_int_equal(c.aggregation, EX_AGGREGATION_FEDAVG);
    assert_true(c.server.lr == 1 && c.server.momentum == 0.9);
    assert_int_equal(c.partition.kind, EX_PARTITION_IID);
    assert_int_equal(c.server.samples, 1600);
    assert_true(c.server.overlap);
    assert_int_equal(c.server.threads, 2);
    assert_int_equal(c.unlearn.class_label, -1);
    assert_true(c.unlearn.lr == 0.01 && c.unlearn.delta == 0.05 && c.unlearn.stop_forget == 0.01);
    assert_int_equal(c.unlearn.probe, 256);
    assert_int_equal(c.unlearn.layers, EX_LAYERS_ALL);
    assert_int_equal(c.unlearn.norm, EX_NORM_TRAIN);
    assert_int_equal(c.unlearn.ablate, EX_ABLATE_FILTER);
    assert_int_equal(c.unlearn.strategy, EX_STRATEGY_BATCHED);
    assert_int_equal(c.threads_per_lane, 1);
    assert_int_equal(c.precision, EX_FP32);
    assert_string_equal(c.device, "auto");
    assert_string_equal(c.unlearn.method, "de");
    assert_ok(ex_config_check(&c));
}

/* Enumerators and the texts of the table must stay in step. */
static void test_choices_name_their_enumerators(void **state)
{
    (void)state;
    static const struct {
        const char *key, *text;
        size_t offset;
        int value;
    } cases[] = {
        {"weighting", "uniform", offsetof(ex_config, weighting), EX_WEIGHTING_UNIFORM},
        {"aggregation", "fedavgm", offsetof(ex_config, aggregation), EX_AGGREGATION_FEDAVGM},
        {"partition.kind", "shard", offsetof(ex_config, partition.kind), EX_PARTITION_SHARD},
        {"partition.kind", "pathological", offsetof(ex_config, partition.kind),
         EX_PARTITION_PATHOLOGICAL},
        {"partition.kind", "dirichlet-client", offsetof(ex_config, partition.kind),
         EX_PARTITION_DIRICHLET_CLIENT},
        {"partition.kind", "dirichlet-class", offsetof(ex_config, partition.kind),
         EX_PARTITION_DIRICHLET_CLASS},
        {"unlearn.layers", "conv", offsetof(ex_config, unlearn.layers), EX_LAYERS_CONV},
        {"unlearn.layers", "head", offsetof(ex_config, unlearn.layers), EX_LAYERS_HEAD},
        {"unlearn.relabel", "each", offsetof(ex_config, unlearn.relabel), EX_RELABEL_EACH},
        {"unlearn.bn", "frozen", offsetof(ex_config, unlearn.norm), EX_NORM_FROZEN},
        {"unlearn.ablate", "activation", offsetof(ex_config, unlearn.ablate), EX_ABLATE_ACTIVATION},
        {"unlearn.strategy", "naive", offsetof(ex_config, unlearn.strategy), EX_STRATEGY_NAIVE},
        {"unlearn.strategy", "streams", offsetof(ex_config, unlearn.strategy), EX_STRATEGY_STREAMS},
        {"precision", "tf32", offsetof(ex_config, precision), EX_TF32},
        {"precision", "bf16", offsetof(ex_config, precision), EX_BF16},
        {"conv", "direct", offsetof(ex_config, conv), EX_CONV_DIRECT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ex_config c;
        char assignment[64];
        int value;
        ex_config_default(&c);
        snprintf(assignment, sizeof assignment, "%s=%s", cases[i].key, cases[i].text);
        assert_ok(ex_config_set(&c, assignment, "-s"));
        memcpy(&value, (char *)&c + cases[i].offset, sizeof value);
        assert_int_equal(value, cases[i].value);
        assert_string_equal(ex_config_choice(&c, cases[i].key), cases[i].text);
        assert_string_equal(ex_choice_name(cases[i].key, value), cases[i].text);
        assert_int_equal(ex_choice_find(cases[i].key, cases[i].text), value);
        assert_int_equal(ex_choice_find(cases[i].key, "none of them"), -1);
    }
}

/* The engine cannot ask what methods there are above it. */
static void test_the_key_of_the_method_names_every_method(void **state)
{
    (void)state;
    const char *const *names = ex_field_find("unlearn.method")->names();
    const ex_method *const *methods = ex_methods();
    for (; *methods; methods++, names++)
        assert_string_equal(*names, (*methods)->name);
    assert_null(*names);
}

static void test_every_byte_of_the_struct_has_one_key(void **state)
{
    (void)state;
    unsigned char owners[sizeof(ex_config)] = {0};
    for (const ex_field *f = ex_fields(); f->key; f++)
        for (size_t i = 0; i < f->size; i++)
            owners[f->offset + i]++;
    ex_config c;
    memset(&c, 0xff, sizeof c);
#if defined(__GNUC__) && !defined(__clang__)
    __builtin_clear_padding(&c);
#else
    skip();
#endif
    const unsigned char *bytes = (const unsigned char *)&c;
    for (size_t i = 0; i < sizeof c; i++)
        if (owners[i] != (bytes[i] ? 1 : 0))
            fail_msg("byte %zu of ex_config has %d keys", i, owners[i]);
}

static void test_keys_are_unique_and_documented(void **state)
{
    (void)state;
    for (const ex_field *f = ex_fields(); f->key; f++) {
        assert_ptr_equal(ex_field_find(f->key), f);
        assert_true(strlen(f->help) > 0);
        assert_false(ex_field_is_section(f->key));
    }
}

static void test_rules_between_fields(void **state)
{
    (void)state;
    ex_config c;
    ex_config_default(&c);
    c.clients_per_round = 11;
    assert_status(ex_config_check(&c), EX_ERR_CONFIG);
    assert_message("clients_per_round is 11, but num_clients is 10");
    ex_config_default(&c);
    c.train_samples = 1000;
    assert_status(ex_config_check(&c), EX_ERR_CONFIG);
    assert_message("server.samples");
    c.server.samples = 1000;
    assert_ok(ex_config_check(&c));
    c.server.overlap = false;
    assert_status(ex_config_check(&c), EX_ERR_CONFIG);
    /* Beyond this a random stream would serve twice. */
    ex_config_default(&c);
    c.rounds = (1 << 24) - 10, c.unlearn.rounds = 10;
    assert_ok(ex_config_check(&c));
    c.unlearn.rounds = 11;
    assert_status(ex_config_check(&c), EX_ERR_CONFIG);
    assert_message("unlearn.rounds 11; together at most 16777216");
}

static void test_resume_accepts_only_what_does_not_change_training(void **state)
{
    (void)state;
    ex_config before, now;
    ex_config_default(&before);
    now = before;
    now.rounds = 60, now.lanes = 2, now.memory = 1 << 30, now.unlearn.delta = 0.5;
    assert_ok(ex_config_check_resume(&before, &now, false));
    now.lr = 0.2;
    assert_status(ex_config_check_resume(&before, &now, false), EX_ERR_CONFIG);
    assert_message("lr is \"0.2\", but the run to resume began with \"0.1\"");
    json_t *kept = ex_config_kept(&before, false);
    assert_status(ex_config_check_kept(kept, &now, false), EX_ERR_CONFIG);
    assert_message("lr is \"0.2\", but the run to resume began with \"0.1\"");
    now.lr = before.lr;
    assert_ok(ex_config_check_kept(kept, &now, false));
    assert_ok(ex_config_check_kept(NULL, &now, false)); /* of an earlier version: nothing is told */
    json_decref(kept);
    kept = ex_config_kept(&before, true);
    assert_status(ex_config_check_kept(kept, &now, true), EX_ERR_CONFIG);
    assert_message("rounds is \"60\"");
    json_decref(kept);
}

static void test_reference_lists_every_key_once(void **state)
{
    (void)state;
    for (int markdown = 0; markdown < 2; markdown++) {
        char *text = NULL;
        size_t bytes, lines = 0, keys = 0;
        FILE *out = open_memstream(&text, &bytes);
        assert_non_null(out);
        ex_config_print_reference(out, markdown);
        fclose(out);
        for (const ex_field *f = ex_fields(); f->key; f++, keys++) {
            char cell[80];
            snprintf(cell, sizeof cell, markdown ? "| `%s` |" : "\n  %s ", f->key);
            if (!strstr(text, cell) && strncmp(text, cell + 1, strlen(cell) - 1) != 0)
                fail_msg("the reference lacks %s", f->key);
        }
        for (size_t i = 0; i < bytes; i++)
            lines += text[i] == '\n';
        assert_int_equal(lines, markdown ? keys + 2 : 2 * keys);
        free(text);
    }
}

/* Bytes of another process may be anything. */
static void test_a_received_configuration_is_checked_key_by_key(void **state)
{
    (void)state;
    ex_config fine, c[9];
    const char *const keys[] = {"dataset",    "model",          "weighting",
                                "unlearn.bn", "batch_size",     "lr",
                                "momentum",   "normalize.mean", "augment.flip"};
    ex_config_default(&fine);
    assert_ok(ex_config_check_received(&fine, "rank 0"));
    for (int i = 0; i < 9; i++)
        c[i] = fine;
    memset(c[0].dataset, 'x', sizeof c[0].dataset); /* which does not end */
    memcpy(c[1].model, "resnet", sizeof "resnet");
    c[2].weighting = 2;
    c[3].unlearn.norm = -1;
    c[4].batch_size = 0;
    c[5].lr = (double)NAN;
    c[6].momentum = 1;
    c[7].normalize.mean.count = SIZE_MAX;
    memset(&c[8].augment.flip, 0xff, 1);
    for (int i = 0; i < 9; i++) {
        assert_status(ex_config_check_received(&c[i], "rank 0"), EX_ERR_CONFIG);
        assert_message("rank 0: ");
        assert_message(keys[i]);
    }
    fine.clients_per_round = fine.num_clients + 1; /* a rule between fields */
    assert_status(ex_config_check_received(&fine, "rank 0"), EX_ERR_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_are_the_papers),
        cmocka_unit_test(test_choices_name_their_enumerators),
        cmocka_unit_test(test_the_key_of_the_method_names_every_method),
        cmocka_unit_test(test_every_byte_of_the_struct_has_one_key),
        cmocka_unit_test(test_keys_are_unique_and_documented),
        cmocka_unit_test(test_rules_between_fields),
        cmocka_unit_test(test_resume_accepts_only_what_does_not_change_training),
        cmocka_unit_test(test_reference_lists_every_key_once),
        cmocka_unit_test(test_a_received_configuration_is_checked_key_by_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
