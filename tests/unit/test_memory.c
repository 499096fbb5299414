/* Allocation: lists that grow, texts, and sizes that cannot be. */
#include "base/memory.h"
#include "test.h"

static void test_a_list_grows_by_doubling_and_keeps_what_it_holds(void **state)
{
    (void)state;
    int *list = NULL, room = 0;
    for (int count = 0; count < 13; count++) {
        assert_ok(ex_grow(&list, count, &room, 3, sizeof *list, "numbers"));
        assert_int_equal(room, count < 3 ? 3 : count < 6 ? 6 : count < 12 ? 12 : 24);
        assert_int_equal(list[count], 0); /* new elements are zeros */
        list[count] = 100 + count;
    }
    for (int i = 0; i < 13; i++)
        assert_int_equal(list[i], 100 + i);
    ex_free(&list);
    assert_null(list);
}

static void test_a_list_with_room_stays_where_it_is(void **state)
{
    (void)state;
    int *list = NULL, room = 0;
    assert_ok(ex_grow(&list, 0, &room, 4, sizeof *list, "numbers"));
    const int *before = list;
    assert_ok(ex_grow(&list, 3, &room, 4, sizeof *list, "numbers"));
    assert_ptr_equal(list, before);
    ex_free(&list);
}

static void test_a_list_that_cannot_grow_is_left_as_it_was(void **state)
{
    (void)state;
    int *list = NULL, room = 0;
    assert_ok(ex_grow(&list, 0, &room, 1, sizeof *list, "numbers"));
    list[0] = 7;
    int *before = list;
    assert_status(ex_grow(&list, 1, &room, 1, SIZE_MAX / 2, "giants"), EX_ERR_MEMORY);
    assert_message("giants: 2 elements");
    assert_ptr_equal(list, before);
    assert_int_equal(room, 1);
    assert_int_equal(list[0], 7);
    ex_free(&list);
}

static void test_a_text_is_copied_as_far_as_is_asked(void **state)
{
    (void)state;
    static const struct {
        const char *text, *copy;
        size_t most;
    } cases[] = {{"pictures", "pictures", SIZE_MAX},
                 {"pictures", "pictures", 8},
                 {"pictures", "pic", 3},
                 {"", "", SIZE_MAX},
                 {"pictures", "", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *copy;
        assert_ok(ex_text_copy(&copy, cases[i].text, cases[i].most, "a name"));
        assert_string_equal(copy, cases[i].copy);
        ex_free(&copy);
    }
    const char open_end[3] = {'a', 'b', 'c'}; /* no more than that is read */
    char *copy;
    assert_ok(ex_text_copy(&copy, open_end, sizeof open_end, "a name"));
    assert_string_equal(copy, "abc");
    ex_free(&copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_list_grows_by_doubling_and_keeps_what_it_holds),
        cmocka_unit_test(test_a_list_with_room_stays_where_it_is),
        cmocka_unit_test(test_a_list_that_cannot_grow_is_left_as_it_was),
        cmocka_unit_test(test_a_text_is_copied_as_far_as_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
