#include "test.h"

#include <string.h>

/* Names from a file reach messages; a terminal must not take them for commands. */
static void test_messages_are_one_printable_line(void **state)
{
    (void)state;
    assert_int_equal(EX_FAIL(EX_ERR_INPUT, "tensor %s", "a\nb\x1b[31m\x7f"), EX_ERR_INPUT);
    assert_string_equal(ex_error_message(), "tensor a?b?[31m?");
    /* U+009B, a command to terminals as well; U+00A0 and U+00E9 are text. */
    assert_int_equal(EX_FAIL(EX_ERR_INPUT, "%s", "\xc2\x9b x \xc2\xa0 \xc3\xa9"), EX_ERR_INPUT);
    assert_string_equal(ex_error_message(), "?? x \xc2\xa0 \xc3\xa9");
    assert_int_equal(EX_FAIL(EX_ERR_INPUT, "cut \xc2"), EX_ERR_INPUT);
    assert_string_equal(ex_error_message(), "cut \xc2");
}

static void test_a_long_message_is_cut(void **state)
{
    (void)state;
    char text[4096];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(EX_FAIL(EX_ERR_IO, "%s", text), EX_ERR_IO);
    assert_in_range(strlen(ex_error_message()), 1000, sizeof text - 2);
}

static void test_a_kept_error_comes_back_with_its_place(void **state)
{
    (void)state;
    ex_fail_at(EX_ERR_IO, "a.c:7", "the first");
    const ex_error kept = ex_error_keep();
    ex_fail_at(EX_ERR_MEMORY, "b.c:8", "another");
    assert_string_equal(ex_error_message(), "another");
    ex_error_restore(&kept);
    assert_string_equal(ex_error_message(), "the first");
    assert_string_equal(ex_error_where(), "a.c:7");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_are_one_printable_line),
        cmocka_unit_test(test_a_long_message_is_cut),
        cmocka_unit_test(test_a_kept_error_comes_back_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
