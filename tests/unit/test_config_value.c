/* Single values: texts, lists of numbers, what -s sets. */
#include "config.h"
#include "temp.h"
#include "test.h"

#include <stdio.h>
#include <string.h>

static ex_status read_text(ex_config *c, const char *text)
{
    ex_config_default(c);
    return ex_config_read(c, ex_temp_write("exp.yaml", text, strlen(text), 0));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_text_as_long_as_its_room_is_refused),
        cmocka_unit_test(test_set_names_what_is_wrong),
        cmocka_unit_test(test_lists_of_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
