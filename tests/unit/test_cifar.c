#include "base/memory.h"
#include "data/dataset.h"
#include "temp.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { IMAGE = 3072, RECORD = 3073 };

/* Records `first`, first + 1, ...: label r % 10, pixel p is (r * 7 + p) % 251. */
static uint8_t *make_records(size_t first, size_t count)
{
    uint8_t *bytes = malloc(count * RECORD + 1);
    for (size_t r = 0; r < count; r++) {
        bytes[r * RECORD] = (uint8_t)((first + r) % 10);
        for (size_t p = 0; p < IMAGE; p++)
            bytes[r * RECORD + 1 + p] = (uint8_t)(((first + r) * 7 + p) % 251);
    }
    bytes[count * RECORD] = 0;
    return bytes;
}

static const char *write_records(const char *name, size_t first, size_t count, int gzip)
{
    uint8_t *bytes = make_records(first, count);
    const char *path = ex_temp_write(name, bytes, count * RECORD, gzip);
    free(bytes);
    return path;
}

static void test_files_are_appended_in_order(void **state)
{
    (void)state;
    for (int gzip = 0; gzip <= 1; gzip++) {
        const char *paths[3] = {write_records("a.bin", 0, 12, gzip),
                                write_records("b.bin", 12, 1, gzip),
                                write_records("c.bin", 13, 7, !gzip)};
        ex_dataset d = {0};
        assert_ok(ex_cifar10_read(&d, paths, 3));
        assert_int_equal(d.count, 20);
        assert_true(d.channels == 3 && d.height == 32 && d.width == 32 && d.classes == 10);
        for (size_t r = 0; r < 20; r++) {
            assert_int_equal(d.labels[r], r % 10);
            for (size_t p = 0; p < IMAGE; p++)
                assert_int_equal(d.images[r * IMAGE + p], (r * 7 + p) % 251);
        }
        ex_dataset_close(&d);
    }
}

static void expect_error(const uint8_t *bytes, size_t count, const char *text)
{
    for (int gzip = 0; gzip <= 1; gzip++) {
        const char *paths[2] = {write_records("good.bin", 0, 2, 0),
                                ex_temp_write("bad.bin", bytes, count, gzip)};
        ex_dataset d = {0};
        assert_status(ex_cifar10_read(&d, paths, 2), EX_ERR_INPUT);
        assert_message("bad.bin");
        assert_message(text);
        assert_null(d.images);
        assert_int_equal(d.count, 0);
    }
}

static void test_files_that_are_no_whole_records_are_refused(void **state)
{
    (void)state;
    uint8_t *bytes = make_records(0, 2);
    expect_error(bytes, 0, "truncated");
    expect_error(bytes, 1, "truncated");
    expect_error(bytes, 2 * RECORD - 1, "6145 bytes");
    expect_error(bytes, 2 * RECORD + 1, "records of 3073 bytes");
    free(bytes);
}

static void test_a_file_of_more_than_10000_records_is_refused(void **state)
{
    (void)state;
    uint8_t *bytes = make_records(0, 10001);
    const char *path = ex_temp_write("full.bin", bytes, (size_t)10000 * RECORD, 0);
    ex_dataset d = {0};
    assert_ok(ex_cifar10_read(&d, &path, 1));
    assert_int_equal(d.count, 10000);
    ex_dataset_close(&d);
    expect_error(bytes, (size_t)10000 * RECORD + 1, "goes on after the 30730000 bytes");
    expect_error(bytes, (size_t)10001 * RECORD, "goes on after");
    free(bytes);
}

static void test_labels_out_of_range_are_refused(void **state)
{
    (void)state;
    uint8_t *bytes = make_records(0, 3);
    bytes[2 * RECORD] = 10;
    expect_error(bytes, (size_t)3 * RECORD, "label of record 2 is 10; 0 to 9");
    free(bytes);
}

/* Two label bytes a record; the second counts. */
static void test_cifar100_takes_the_fine_label(void **state)
{
    (void)state;
    enum { WIDE = RECORD + 1, COUNT = 103 };
    uint8_t *bytes = malloc((size_t)COUNT * WIDE);
    for (size_t r = 0; r < COUNT; r++) {
        bytes[r * WIDE] = (uint8_t)(200 - r); /* coarse: never looked at */
        bytes[r * WIDE + 1] = (uint8_t)(r % 100);
        for (size_t p = 0; p < IMAGE; p++)
            bytes[r * WIDE + 2 + p] = (uint8_t)((r * 7 + p) % 251);
    }
    ex_dataset d = {0};
    assert_ok(ex_cifar100_read(&d, ex_temp_write("fine.bin", bytes, (size_t)COUNT * WIDE, 0)));
    assert_int_equal(d.count, COUNT);
    assert_true(d.channels == 3 && d.height == 32 && d.width == 32 && d.classes == 100);
    for (size_t r = 0; r < COUNT; r++) {
        assert_int_equal(d.labels[r], r % 100);
        for (size_t p = 0; p < IMAGE; p++)
            assert_int_equal(d.images[r * IMAGE + p], (r * 7 + p) % 251);
    }
    ex_dataset_close(&d);
    bytes[5 * WIDE + 1] = 100;
    const char *bad = ex_temp_write("bad100.bin", bytes, (size_t)COUNT * WIDE, 1);
    assert_status(ex_cifar100_read(&d, bad), EX_ERR_INPUT);
    assert_message("label of record 5 is 100; 0 to 99");
    assert_null(d.images);
    bad = ex_temp_write("bad100.bin", bytes, (size_t)3 * RECORD, 0);
    assert_status(ex_cifar100_read(&d, bad), EX_ERR_INPUT);
    assert_message("records of 3074 bytes");
    free(bytes);
}

/* Of zeros, which need no room on most disks. */
static const char *write_empty_records(const char *name, size_t count)
{
    const char *path = ex_temp_write(name, "", 0, 0);
    assert_int_equal(truncate(path, (off_t)(count * RECORD)), 0);
    return path;
}

static void test_five_files_take_hardly_more_memory_than_their_images(void **state)
{
    (void)state;
    enum { FILES = 5, COUNT = 10000 };
    static const size_t all = (size_t)FILES * COUNT * IMAGE;
    const char *paths[FILES];
    for (int i = 0; i < FILES; i++) {
        char name[32];
        snprintf(name, sizeof name, "batch_%d.bin", i);
        paths[i] = strdup(write_empty_records(name, COUNT));
    }
    ex_dataset d = {0};
    const size_t before = ex_memory_peak();
    assert_ok(ex_cifar10_read(&d, paths, FILES));
    const size_t after = ex_memory_peak();
    assert_int_equal(d.count, FILES * COUNT);
    if (after - before > all + all / 4)
        fail_msg("%zu bytes were taken for %zu bytes of images", after - before, all);
    ex_dataset_close(&d);
    for (int i = 0; i < FILES; i++)
        free((char *)paths[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_five_files_take_hardly_more_memory_than_their_images),
        cmocka_unit_test(test_files_are_appended_in_order),
        cmocka_unit_test(test_files_that_are_no_whole_records_are_refused),
        cmocka_unit_test(test_a_file_of_more_than_10000_records_is_refused),
        cmocka_unit_test(test_labels_out_of_range_are_refused),
        cmocka_unit_test(test_cifar100_takes_the_fine_label),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
