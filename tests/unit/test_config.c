#include "base/rng.h"
#include "config.h"
#include "config_fields.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/excise-config-XXXXXX";
static char file[64];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(file, sizeof file, "%s/exp.yaml", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(file);
    return rmdir(folder);
}

static void write_bytes(const char *text, size_t bytes)
{
    FILE *f = fopen(file, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, bytes, f), bytes);
    fclose(f);
}

static ex_status read_text(ex_config *c, const char *text)
{
    ex_config_default(c);
    write_bytes(text, strlen(text));
    return ex_config_read(c, file);
}

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
    }
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

static void test_reads_nested_sections(void **state)
{
    (void)state;
    ex_config c;
    assert_ok(read_text(&c, "# comment\ndataset: cifar10\nlr: 1e-2\npartition: {kind: "
                            "dirichlet-class, alpha: .3}\nserver:\n  overlap: false\n  samples: "
                            "10\nunlearn.class: 3\nmemory: 512M\nseed: 9223372036854775807\n"
                            "data_dir: \"\"\n"));
    assert_string_equal(c.dataset, "cifar10");
    assert_true(c.lr == 0.01 && c.partition.alpha == 0.3);
    assert_int_equal(c.partition.kind, EX_PARTITION_DIRICHLET_CLASS);
    assert_false(c.server.overlap);
    assert_int_equal(c.server.samples, 10);
    assert_int_equal(c.unlearn.class_label, 3);
    assert_int_equal(c.memory, (size_t)512 << 20);
    assert_true(c.seed == UINT64_C(9223372036854775807));
    assert_int_equal(c.rounds, 50);
}

/* Each with the line and the words that its message must hold. */
static void test_bad_files_are_refused_by_line(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *line, *words;
    } cases[] = {
        {"lr: 0.1\nleraning_rate: 1\n", "exp.yaml:2:", "unknown key \"leraning_rate\""},
        {"num_client: 4\n", "exp.yaml:1:", "did you mean \"num_clients\"?"},
        {"partitions:\n  kind: iid\n", "exp.yaml:1:", "did you mean \"partition\"?"},
        {"alpha: 1\n", "exp.yaml:1:", "did you mean \"partition.alpha\"?"},
        {"server:\n  sample: 3\n", "exp.yaml:2:", "did you mean \"server.samples\"?"},
        {"zzzzzzzzzzzz: 3\n", "exp.yaml:1:", "lists the keys"},
        {"partition:\n  kind: dirichle\n", "exp.yaml:2:",
         "partition.kind is \"dirichle\"; one of iid, shard, pathological, dirichlet-client, "
         "dirichlet-class"},
        {"dataset: fashon\n", "exp.yaml:1:", "dataset is \"fashon\"; one of mnist"},
        {"model: lenet\n", "exp.yaml:1:", "model is \"lenet\"; one of resnet20"},
        {"\n\nrounds: many\n", "exp.yaml:3:", "an integer from 1 to 16777215"},
        {"rounds: 1.5\n", "exp.yaml:1:", "an integer"},
        {"\"lr\\0x\": 0.1\n", "exp.yaml:1:", "a key holds a NUL character"},
        {"rounds: 0\n", "exp.yaml:1:", "an integer from 1"},
        {"rounds: -3\n", "exp.yaml:1:", "an integer from 1"},
        {"rounds: 99999999999999999999999\n", "exp.yaml:1:", "an integer from 1"},
        {"rounds: 0x10\n", "exp.yaml:1:", "an integer from 1"},
        {"seed: 9223372036854775808\n", "exp.yaml:1:", "an integer from 0 to"},
        {"seed: -1\n", "exp.yaml:1:", "an integer from 0 to"},
        {"lr: nan\n", "exp.yaml:1:", "a number above 0, at most 1000"},
        {"lr: .inf\n", "exp.yaml:1:", "a number above 0"},
        {"lr: 1e999\n", "exp.yaml:1:", "a number above 0"},
        {"lr: 0\n", "exp.yaml:1:", "a number above 0"},
        {"momentum: 1\n", "exp.yaml:1:", "a number from 0, below 1"},
        {"unlearn: {delta: 0}\n",
         "exp.yaml:1:", "unlearn.delta is \"0\"; a number above 0, at most 1"},
        {"unlearn: {delta: 1.01}\n", "exp.yaml:1:", "a number above 0, at most 1"},
        {"server: {overlap: yes}\n", "exp.yaml:1:", "true or false"},
        {"memory: 4 bananas\n", "exp.yaml:1:", "bytes, such as 512M or 4G"},
        {"memory: 99999999999T\n", "exp.yaml:1:", "bytes, such as 512M or 4G"},
        {"lr:\n", "exp.yaml:1:", "lr has no value; a number"},
        {"lr: ~\n", "exp.yaml:1:", "lr has no value"},
        {"lr: [0.1, 0.2]\n", "exp.yaml:1:", "lr is a list; one value is expected"},
        {"lr: {a: 1}\n", "exp.yaml:1:", "lr is a map; one value is expected"},
        {"partition: iid\n", "exp.yaml:1:", "partition is a section"},
        {"? [a]\n: 1\n", "exp.yaml:1:", "a key is expected, found a list"},
        {"lr: 0.1\nseed: 1\nlr: 0.2\n", "exp.yaml:3:", "lr is set twice, first in line 1"},
        {"server: {samples: 1}\nserver: {samples: 2}\n", "exp.yaml:2:", "set twice"},
        {"lr: &a 0.1\n", "exp.yaml:1:", "anchors and aliases"},
        {"lr: *a\n", "exp.yaml:1:", "anchors and aliases"},
        {"lr: !!float 0.1\n", "exp.yaml:1:", "tags"},
        {"", "exp.yaml:", "holds no configuration"},
        {"# nothing\n", "exp.yaml:", "holds no configuration"},
        {"just text\n", "exp.yaml:1:", "a map of keys is expected"},
        {"- lr\n", "exp.yaml:1:", "found a list"},
        {"lr: 0.1\n---\nlr: 0.2\n", "exp.yaml:2:", "a second document"},
        {"seed: 1\nlr: @\n", "exp.yaml:2:", "not valid YAML"},
        {"lr: \"0.1\n", "exp.yaml:", "not valid YAML"},
        {"model: \"a\\nb\"\n", "exp.yaml:1:", "control character"},
        {"model: \"a\\0b\"\n", "exp.yaml:1:", "NUL"},
        {"normalize: {mean: 0.5 0.25}\n", "exp.yaml:1:", "a list of 1 to"},
        {"normalize: {mean: [\"0.5\\0,\"]}\n", "exp.yaml:1:", "is no number"},
        {"normalize: {mean: [\"0.5, 0.25\"]}\n", "exp.yaml:1:", "is no number"},
        {"normalize: {mean: [0.5, \"]\"]}\n", "exp.yaml:1:", "is no number"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ex_config c, before;
        ex_config_default(&before);
        if (read_text(&c, cases[i].yaml) != EX_ERR_CONFIG)
            fail_msg("accepted, or another error: %s\n%s", cases[i].yaml, ex_error_message());
        assert_message(cases[i].line);
        assert_message(cases[i].words);
        assert_memory_equal(&c, &before, sizeof c);
    }
}

static void test_files_that_are_no_text_are_refused(void **state)
{
    (void)state;
    ex_config c;
    ex_config_default(&c);
    write_bytes("lr: 0.1\n\0\1\2", 11);
    assert_status(ex_config_read(&c, file), EX_ERR_CONFIG);
    assert_message("exp.yaml");
    write_bytes("\x89PNG\r\n\x1a\n", 8);
    assert_status(ex_config_read(&c, file), EX_ERR_CONFIG);
    assert_status(ex_config_read(&c, folder), EX_ERR_INPUT);
    assert_message(folder);
    assert_status(ex_config_read(&c, "/nonexistent/exp.yaml"), EX_ERR_INPUT);
    assert_message("No such file");
}

static void test_a_text_as_long_as_its_room_is_refused(void **state)
{
    (void)state;
    ex_config c;
    char assignment[400] = "data_dir=";
    ex_config_default(&c);
    memset(assignment + 9, 'x', EX_TEXT_MAX - 1);
    assert_ok(ex_config_set(&c, assignment, "-s"));
    memset(assignment + 9, 'x', EX_TEXT_MAX);
    assert_status(ex_config_set(&c, assignment, "-s"), EX_ERR_CONFIG);
    assert_message("at most 255");
}

static void test_set_names_what_is_wrong(void **state)
{
    (void)state;
    ex_config c;
    ex_config_default(&c);
    assert_ok(ex_config_set(&c, "unlearn.lr=2e-3", "-s"));
    assert_true(c.unlearn.lr == 2e-3);
    static const char *const bad[][2] = {
        {"lr", "key=value"},
        {"=3", "key=value"},
        {"lr=", "lr is \"\""},
        {"server=2", "is a section"},
        {"leyers=all", "\"unlearn.layers\""},
        {"unlern.seed=3", "\"unlearn.seed\""},
        {"model=\xff\xfe", "not UTF-8"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_status(ex_config_set(&c, bad[i][0], "-s"), EX_ERR_CONFIG);
        assert_message("-s:");
        assert_message(bad[i][1]);
    }
}

static void test_lists_of_numbers(void **state)
{
    (void)state;
    ex_config c;
    assert_ok(read_text(&c, "normalize:\n  mean: [0.485, 0.456, 0.406]\n  std:\n  - 0.25\n"));
    assert_int_equal(c.normalize.mean.count, 3);
    assert_true(c.normalize.mean.value[0] == 0.485 && c.normalize.mean.value[2] == 0.406);
    assert_true(c.normalize.std.count == 1 && c.normalize.std.value[0] == 0.25);
    assert_ok(ex_config_set(&c, "normalize.mean=0.5, 0.25", "-s"));
    assert_true(c.normalize.mean.count == 2 && c.normalize.mean.value[1] == 0.25);
    assert_ok(ex_config_set(&c, "normalize.mean=[]", "-s"));
    assert_int_equal(c.normalize.mean.count, 0);
    static const char *const bad[] = {"",  "0.5,",        "[0.5", "[0.5; 0.25]",     "0.5]",
                                      "a", "[1,2,3,4,5]", "[11]", "[[0.5], [0.25]]", ","};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char assignment[64];
        snprintf(assignment, sizeof assignment, "normalize.mean=%s", bad[i]);
        assert_status(ex_config_set(&c, assignment, "-s"), EX_ERR_CONFIG);
        assert_message("normalize.mean is");
        assert_message("a list of 1 to 4 numbers from -10, at most 10");
        assert_int_equal(c.normalize.mean.count, 0);
    }
    assert_status(ex_config_set(&c, "normalize.std=0", "-s"), EX_ERR_CONFIG);
    assert_message("above 0");
    assert_status(read_text(&c, "normalize:\n  std: [[1], 2]\n"), EX_ERR_CONFIG);
    assert_message("exp.yaml:2: normalize.std is a list of numbers, without lists or maps");
    assert_status(read_text(&c, "normalize: {std: [1], std: [2]}\n"), EX_ERR_CONFIG);
    assert_message("set twice");
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
}

/* Every field away from its default, awkward texts and doubles included. */
static void test_what_is_written_reads_back_the_same(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "a b",
        "~",
        "null",
        "quote \" and \\ back",
        "# no comment",
        "- x",
        "caf\xc3\xa9 \xe2\x82\xac",
        "a: b",
        "'single'",
        " leading",
        "123",
        "/data/x",
        "[1]",
        "*a",
        "x #y",
        "\xf0\x9f\x98\x80",
        "U+2028 \xe2\x80\xa8 U+2029 \xe2\x80\xa9 and \xe2\x80\xaa",
        "U+FEFF \xef\xbb\xbf U+FFFE \xef\xbf\xbe U+FFFF \xef\xbf\xbf and \xef\xbf\xbd",
    };
    for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) {
        ex_config c, back;
        ex_config_default(&c);
        snprintf(c.data_dir, sizeof c.data_dir, "%s", texts[t]);
        c.seed = UINT64_C(9007199254740993);
        c.lr = 0.1 + 0.2;
        c.weight_decay = 1.0 / 3.0;
        c.partition.alpha = 1e-300;
        c.memory = 3 * ((size_t)1 << 30) + 512;
        c.server.overlap = false;
        c.partition.kind = EX_PARTITION_SHARD;
        c.unlearn.class_label = 9;
        c.normalize.mean = (ex_reals){.count = 3, .value = {-0.1, 1.0 / 3.0, 1e-300}};
        c.normalize.std = (ex_reals){.count = 1, .value = {0.5}};
        assert_ok(ex_config_write(&c, file));
        ex_config_default(&back);
        assert_ok(ex_config_read(&back, file));
        assert_memory_equal(&c, &back, sizeof c);
    }
}

static void test_written_file_holds_every_key_and_its_help(void **state)
{
    (void)state;
    ex_config c;
    ex_config_default(&c);
    assert_ok(ex_config_write(&c, file));
    char text[1 << 14] = "";
    FILE *f = fopen(file, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    for (const ex_field *field = ex_fields(); field->key; field++)
        if (!strstr(text, field->help))
            fail_msg("config.yaml lacks %s", field->key);
}

static void test_write_names_a_folder_that_does_not_exist(void **state)
{
    (void)state;
    ex_config c;
    ex_config_default(&c);
    assert_status(ex_config_write(&c, "/nonexistent/x/config.yaml"), EX_ERR_IO);
    assert_message("/nonexistent/x/config.yaml");
}

/* What stands in a file of random damage is accepted or refused with one line, never half taken. */
static void test_damaged_files_are_accepted_or_refused_as_a_whole(void **state)
{
    (void)state;
    static const char sound[] = "dataset: cifar10\nlr: 0.1\npartition: {kind: shard, alpha: 0.5}\n"
                                "server:\n  samples: 100\n  overlap: false\nmemory: 4G\n";
    static const char odd[] = "{}[]:,&*!|>'\"%@`#-?\n\t \\\0\xff\xc3\x01.~=<9a";
    int accepted = 0, refused = 0;
    for (uint32_t i = 0; i < 3000; i++) {
        char text[sizeof sound];
        ex_config c, before;
        ex_rng r = ex_rng_at((ex_rng_key){.seed = 5, .use = EX_RNG_TEST, .step = i});
        memcpy(text, sound, sizeof text);
        for (uint32_t n = 1 + ex_rng_below(&r, 3); n > 0; n--)
            text[ex_rng_below(&r, sizeof sound - 1)] = odd[ex_rng_below(&r, sizeof odd - 1)];
        write_bytes(text, sizeof sound - 1 - ex_rng_below(&r, 4));
        ex_config_default(&before);
        c = before;
        const ex_status status = ex_config_read(&c, file);
        assert_true(status == EX_OK || status == EX_ERR_CONFIG);
        if (status == EX_OK) {
            accepted++;
            continue;
        }
        refused++;
        assert_memory_equal(&c, &before, sizeof c);
        assert_message("exp.yaml");
    }
    assert_in_range(accepted, 20, 2900);
    assert_int_equal(accepted + refused, 3000);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_are_the_papers),
        cmocka_unit_test(test_choices_name_their_enumerators),
        cmocka_unit_test(test_every_byte_of_the_struct_has_one_key),
        cmocka_unit_test(test_keys_are_unique_and_documented),
        cmocka_unit_test(test_reads_nested_sections),
        cmocka_unit_test(test_bad_files_are_refused_by_line),
        cmocka_unit_test(test_files_that_are_no_text_are_refused),
        cmocka_unit_test(test_a_text_as_long_as_its_room_is_refused),
        cmocka_unit_test(test_set_names_what_is_wrong),
        cmocka_unit_test(test_lists_of_numbers),
        cmocka_unit_test(test_rules_between_fields),
        cmocka_unit_test(test_resume_accepts_only_what_does_not_change_training),
        cmocka_unit_test(test_what_is_written_reads_back_the_same),
        cmocka_unit_test(test_written_file_holds_every_key_and_its_help),
        cmocka_unit_test(test_damaged_files_are_accepted_or_refused_as_a_whole),
        cmocka_unit_test(test_reference_lists_every_key_once),
        cmocka_unit_test(test_write_names_a_folder_that_does_not_exist),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
