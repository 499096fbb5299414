#include "data/dataset.h"
#include "test.h"

static void test_all_samples_carry_their_own_labels(void **state)
{
    (void)state;
    uint16_t labels[5] = {3, 1, 3, 0, 9};
    const ex_dataset d = {.count = 5, .labels = labels};
    ex_samples s;
    assert_ok(ex_samples_all(&s, &d));
    assert_int_equal(s.count, 5);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(s.index[i], i);
        assert_int_equal(s.label[i], labels[i]);
    }
    ex_samples_free(&s);
    assert_null(s.index);
    assert_int_equal(s.count, 0);
}

static void test_class_and_rest_part_the_samples_in_order(void **state)
{
    (void)state;
    uint32_t index[6] = {40, 2, 31, 7, 7, 0};
    uint16_t label[6] = {1, 2, 1, 0, 1, 2};
    const ex_samples all = {index, label, 6};
    ex_samples ones, rest, none, both;
    assert_ok(ex_samples_of_class(&ones, &all, 1, 1));
    assert_ok(ex_samples_of_class(&rest, &all, 1, 0));
    assert_ok(ex_samples_of_class(&none, &all, 5, 1));
    static const uint32_t expected_ones[3] = {40, 31, 7}, expected_rest[3] = {2, 7, 0};
    assert_int_equal(ones.count, 3);
    assert_memory_equal(ones.index, expected_ones, sizeof expected_ones);
    assert_int_equal(rest.count, 3);
    assert_memory_equal(rest.index, expected_rest, sizeof expected_rest);
    assert_int_equal(none.count, 0);
    assert_ok(ex_samples_join(&both, &ones, &rest));
    assert_int_equal(both.count, 6);
    assert_int_equal(both.index[2], 7);
    assert_int_equal(both.label[3], 2);
    assert_int_equal(both.index[5], 0);
    ex_samples_free(&both);
    assert_ok(ex_samples_join(&both, &none, &none)); /* nothing and nothing is nothing */
    assert_int_equal(both.count, 0);
    ex_samples_free(&both);
    ex_samples_free(&ones);
    ex_samples_free(&rest);
    ex_samples_free(&none);
}

static void test_a_copy_is_independent(void **state)
{
    (void)state;
    uint32_t index[2] = {5, 6};
    uint16_t label[2] = {1, 2};
    const ex_samples s = {index, label, 2};
    ex_samples copy;
    assert_ok(ex_samples_copy(&copy, &s));
    index[0] = 9;
    label[1] = 9;
    assert_int_equal(copy.index[0], 5);
    assert_int_equal(copy.label[1], 2);
    ex_samples_free(&copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_samples_carry_their_own_labels),
        cmocka_unit_test(test_class_and_rest_part_the_samples_in_order),
        cmocka_unit_test(test_a_copy_is_independent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
