/* Configurations as files: what is read, and what is refused with its line. */
#include "base/rng.h"
#include "config.h"
#include "temp.h"
#include "test.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *write_bytes(const char *text, size_t bytes)
{
    return ex_temp_write("exp.yaml", text, bytes, 0);
}

static ex_status read_text(ex_config *c, const char *text)
{
    ex_config_default(c);
    return ex_config_read(c, write_bytes(text, strlen(text)));
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
        {"unlearn:\n  method: dee\n",
         "exp.yaml:2:", "unlearn.method is \"dee\"; one of ce, de, de-random, head, retrain"},
        {"unlearn: {class: trouser}\n", "exp.yaml:1:",
         "an integer from -1 to 65534; the option --class takes the data set's names too"},
        {"aggregation: median\n", "exp.yaml:1:", "one of fedavg, fedavgm"},
        {"server: {momentum: 1}\n", "exp.yaml:1:", "a number from 0, below 1"},
        {"server: {lr: 0}\n", "exp.yaml:1:", "a number above 0, at most 1000"},
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
    assert_status(ex_config_read(&c, write_bytes("lr: 0.1\n\0\1\2", 11)), EX_ERR_CONFIG);
    assert_message("exp.yaml");
    assert_status(ex_config_read(&c, write_bytes("\x89PNG\r\n\x1a\n", 8)), EX_ERR_CONFIG);
    assert_status(ex_config_read(&c, ex_temp_folder()), EX_ERR_INPUT);
    assert_message(ex_temp_folder());
    assert_status(ex_config_read(&c, "/nonexistent/exp.yaml"), EX_ERR_INPUT);
    assert_message("No such file");
}

/* What stands in a file of random damage is accepted or refused with one line, never half taken. */
static void test_damaged_files_are_accepted_or_refused_as_a_whole(void **state)
{
    (void)state;
    static const char sound[] = "dataset: cifar10\nlr: 0.1\npartition: {kind: shard, alpha: 0.5}\n"
                                "server:\n  samples: 100\n  overlap: false\nmemory: 4G\n";
    static const char odd[] = "{}[]:,&*!|>'\"%@`#-?\n\t \\\0\xff\xc3\x01.~=<9a";
    int accepted = 0, refused = 0;
    char path[32];
    const int file = memfd_create("exp.yaml", 0); /* thousands of files take a disk seconds */
    assert_true(file >= 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    for (uint32_t i = 0; i < 3000; i++) {
        char text[sizeof sound];
        ex_config c, before;
        ex_rng r = ex_rng_at((ex_rng_key){.seed = 5, .use = EX_RNG_TEST, .step = i});
        memcpy(text, sound, sizeof text);
        for (uint32_t n = 1 + ex_rng_below(&r, 3); n > 0; n--)
            text[ex_rng_below(&r, sizeof sound - 1)] = odd[ex_rng_below(&r, sizeof odd - 1)];
        const size_t bytes = sizeof sound - 1 - ex_rng_below(&r, 4);
        assert_int_equal(ftruncate(file, (off_t)bytes), 0);
        assert_int_equal(pwrite(file, text, bytes, 0), bytes);
        ex_config_default(&before);
        c = before;
        const ex_status status = ex_config_read(&c, path);
        assert_true(status == EX_OK || status == EX_ERR_CONFIG);
        if (status == EX_OK) {
            accepted++;
            continue;
        }
        refused++;
        assert_memory_equal(&c, &before, sizeof c);
        assert_message(path);
    }
    close(file);
    assert_in_range(accepted, 20, 2900);
    assert_int_equal(accepted + refused, 3000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_nested_sections),
        cmocka_unit_test(test_bad_files_are_refused_by_line),
        cmocka_unit_test(test_files_that_are_no_text_are_refused),
        cmocka_unit_test(test_damaged_files_are_accepted_or_refused_as_a_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
