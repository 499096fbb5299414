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
    assert_string_equal(ex_error_message(), "cut ?");
}

/* Of two, three and four bytes; what is too long, a surrogate, beyond the last, cut short, or in
 * the wrong place. */
static void test_what_is_no_utf8_is_not_printed(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"\xc2\xa0\xdf\xbf", "\xc2\xa0\xdf\xbf"},
        {"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80", "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80"},
        {"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"},
        {"\xff\xfe boots", "?? boots"},
        {"\xc0\xaf \xe0\x9f\xbf \xf0\x8f\xbf\xbf", "?? ??? ????"},
        {"\xed\xa0\x80 \xf4\x90\x80\x80 \xf5\x80\x80\x80", "??? ???? ????"},
        {"\xe2\x82 \x80 \xf0\x90\x80", "?? ? ???"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        assert_int_equal(EX_FAIL(EX_ERR_INPUT, "%s", pairs[i][0]), EX_ERR_INPUT);
        assert_string_equal(ex_error_message(), pairs[i][1]);
    }
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
        cmocka_unit_test(test_what_is_no_utf8_is_not_printed),
        cmocka_unit_test(test_a_long_message_is_cut),
        cmocka_unit_test(test_a_kept_error_comes_back_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
