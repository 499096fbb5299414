/* Perturbed samples: wrong labels for the class, nothing else touched. */
#include "select.h"
#include "test.h"

#include <math.h>

enum { COUNT = 20000, CLASSES = 10, LABEL = 4 };

static ex_samples mixed(void)
{
    ex_samples s;
    assert_ok(ex_samples_alloc(&s, COUNT));
    for (uint32_t i = 0; i < COUNT; i++) {
        s.index[i] = i * 7 % COUNT;
        s.label[i] = (uint16_t)(i % 2 ? LABEL : i % CLASSES);
    }
    return s;
}

static void test_only_the_class_gets_new_labels_and_never_its_own(void **state)
{
    (void)state;
    ex_samples in = mixed(), out;
    assert_ok(ex_perturb(&out, &in, LABEL, CLASSES, 1, 0, 0));
    assert_int_equal(out.count, COUNT);
    assert_memory_equal(in.index, out.index, COUNT * sizeof *in.index);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_not_equal(out.label[i], LABEL);
        assert_true(out.label[i] < CLASSES);
        if (in.label[i] != LABEL)
            assert_int_equal(in.label[i], out.label[i]);
    }
    ex_samples_free(&in);
    ex_samples_free(&out);
}

static void test_wrong_labels_are_uniform_over_the_other_classes(void **state)
{
    (void)state;
    ex_samples in = mixed(), out;
    assert_ok(ex_perturb(&out, &in, LABEL, CLASSES, 2, 3, 1));
    int drawn = 0, hits[CLASSES] = {0};
    for (size_t i = 0; i < COUNT; i++)
        if (in.label[i] == LABEL)
            drawn++, hits[out.label[i]]++;
    const double p = 1.0 / (CLASSES - 1), deviation = sqrt(drawn * p * (1 - p));
    for (int c = 0; c < CLASSES; c++)
        if (c != LABEL)
            assert_true(fabs(hits[c] - drawn * p) < 5 * deviation);
    ex_samples_free(&in);
    ex_samples_free(&out);
}

static void test_a_draw_repeats_and_depends_on_seed_client_and_epoch(void **state)
{
    (void)state;
    ex_samples in = mixed(), first, out;
    assert_ok(ex_perturb(&first, &in, LABEL, CLASSES, 9, 2, 3));
    assert_ok(ex_perturb(&out, &in, LABEL, CLASSES, 9, 2, 3));
    assert_memory_equal(first.label, out.label, COUNT * sizeof *out.label);
    ex_samples_free(&out);
    static const int others[3][3] = {{8, 2, 3}, {9, 1, 3}, {9, 2, 4}};
    for (int i = 0; i < 3; i++) {
        assert_ok(ex_perturb(&out, &in, LABEL, CLASSES, (uint64_t)others[i][0], others[i][1],
                             others[i][2]));
        assert_memory_not_equal(first.label, out.label, COUNT * sizeof *out.label);
        ex_samples_free(&out);
    }
    ex_samples_free(&in);
    ex_samples_free(&first);
}

static void test_two_classes_swap_and_one_class_cannot(void **state)
{
    (void)state;
    ex_samples in, out;
    assert_ok(ex_samples_alloc(&in, 2));
    in.label[1] = 1;
    assert_ok(ex_perturb(&out, &in, 0, 2, 1, 0, 0));
    assert_int_equal(out.label[0], 1);
    assert_int_equal(out.label[1], 1);
    ex_samples_free(&out);
    assert_status(ex_perturb(&out, &in, 0, 1, 1, 0, 0), EX_ERR_USAGE);
    assert_status(ex_perturb(&out, &in, 2, 2, 1, 0, 0), EX_ERR_USAGE);
    ex_samples_free(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_the_class_gets_new_labels_and_never_its_own),
        cmocka_unit_test(test_wrong_labels_are_uniform_over_the_other_classes),
        cmocka_unit_test(test_a_draw_repeats_and_depends_on_seed_client_and_epoch),
        cmocka_unit_test(test_two_classes_swap_and_one_class_cannot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
