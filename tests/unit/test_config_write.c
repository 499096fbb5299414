/* config.yaml: every key, and the same configuration when it is read back. */
#include "config.h"
#include "config_fields.h"
#include "temp.h"
#include "test.h"

#include <stdio.h>
#include <string.h>

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
        c.aggregation = EX_AGGREGATION_FEDAVGM;
        c.server.lr = 1.0 / 7.0, c.server.momentum = 0.99;
        snprintf(c.unlearn.method, sizeof c.unlearn.method, "de-random");
        c.normalize.std = (ex_reals){.count = 1, .value = {0.5}};
        const char *file = ex_temp_path("config.yaml");
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
    const char *file = ex_temp_path("config.yaml");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_reads_back_the_same),
        cmocka_unit_test(test_written_file_holds_every_key_and_its_help),
        cmocka_unit_test(test_write_names_a_folder_that_does_not_exist),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
