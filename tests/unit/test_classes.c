/* Names of classes: where they come from, and what text finds them. */
#include "base/log.h"
#include "data/dataset.h"
#include "temp.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int find(const ex_class_names *names, const char *text)
{
    int label = -2;
    const ex_status status = ex_class_find(&label, names, "test", text);
    return status == EX_OK ? label : -1;
}

static void test_fashion_mnist_needs_no_file(void **state)
{
    (void)state;
    ex_class_names names;
    assert_ok(ex_class_names_open(&names, "fashion-mnist", "/nowhere"));
    assert_int_equal(names.count, 10);
    assert_string_equal(ex_class_name(&names, 1), "Trouser");
    assert_null(ex_class_name(&names, 10));
    assert_null(ex_class_name(&names, -1));
    assert_int_equal(find(&names, "shirt"), 6);
    assert_int_equal(find(&names, "TROUSER"), 1);
    assert_int_equal(find(&names, "t_shirt/top"), 0);
    assert_int_equal(find(&names, "ankle-boot"), 9);
    assert_int_equal(find(&names, "shrit"), -1);
    assert_message("test has no class \"shrit\"; nearest are Shirt (6), ");
    assert_message("or give its number, 0 to 9");
    assert_int_equal(find(&names, ""), -1);
    ex_class_names_free(&names);
    assert_null(names.name);
}

static void test_digits_have_no_names(void **state)
{
    (void)state;
    ex_class_names names;
    assert_ok(ex_class_names_open(&names, "mnist", NULL));
    assert_int_equal(find(&names, "seven"), -1);
    assert_message("have no names here; give its number");
    ex_class_names_free(&names);
    assert_status(ex_class_names_open(&names, "imagenet", NULL), EX_ERR_CONFIG);
}

/* CIFAR-100's archive brings a file of a hundred lines. */
static void test_cifar100_reads_its_file(void **state)
{
    (void)state;
    char text[2048] = "", path[512];
    ex_class_names names;
    const char *folder = ex_temp_path("cifar-100-binary");
    ex_log_set_level(EX_LOG_QUIET);
    assert_int_equal(mkdir(folder, 0700), 0);
    ex_temp_write("cifar-100-binary/train.bin", "", 0, 0);
    snprintf(path, sizeof path, "%s", folder);
    assert_ok(ex_class_names_open(&names, "cifar100", path));
    assert_null(names.name); /* without the file */
    assert_int_equal(names.count, 100);
    ex_class_names_free(&names);
    for (int i = 0; i < 100; i++)
        ex_append(text, sizeof text, "thing_%d%s", i, i % 2 ? "\r\n" : "\n");
    ex_temp_write("cifar-100-binary/fine_label_names.txt", text, strlen(text), 0);
    assert_ok(ex_class_names_open(&names, "cifar100", path));
    assert_int_equal(find(&names, "thing 41"), 41);
    assert_string_equal(ex_class_name(&names, 99), "thing_99");
    ex_class_names_free(&names);
    ex_temp_write("cifar-100-binary/fine_label_names.txt", "one\ntwo\n", 8, 0);
    assert_ok(ex_class_names_open(&names, "cifar100", path)); /* a warning, and no names */
    assert_null(names.name);
    ex_class_names_free(&names);
}

/* An exact name goes before one that is the same but for its case. */
static void test_exact_names_come_first(void **state)
{
    (void)state;
    static const char *const list[] = {"Cat", "cat", "a\nb", "CAT"};
    ex_class_names names;
    assert_ok(ex_class_names_copy(&names, list, 4));
    assert_int_equal(find(&names, "cat"), 1);
    assert_int_equal(find(&names, "CAT"), 3);
    assert_int_equal(find(&names, "cAt"), 0);
    assert_string_equal(ex_class_name(&names, 2), "a?b");
    ex_class_names_free(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fashion_mnist_needs_no_file),
        cmocka_unit_test(test_digits_have_no_names),
        cmocka_unit_test(test_cifar100_reads_its_file),
        cmocka_unit_test(test_exact_names_come_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
