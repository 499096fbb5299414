#include "base/bytes.h"
#include "test.h"

static void test_a_size_has_the_unit_that_fits(void **state)
{
    (void)state;
    static const struct {
        double bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},
        {999, "999 B"},
        {1000, "1.0 kB"},
        {1024, "1.0 kB"},
        {999949, "999.9 kB"},
        {999951, "1.0 MB"},
        {12345678, "12.3 MB"},
        {80000000001.0, "80.0 GB"},
        {3.3e12, "3.3 TB"},
        {1.8446744e19, "18.4 EB"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[EX_BYTES_ROOM];
        assert_string_equal(ex_bytes_text(text, cases[i].bytes), cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_size_has_the_unit_that_fits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
