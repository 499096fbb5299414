#include "base/memory.h"
#include "io/file.h"
#include "temp.h"
#include "test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void expect_content(const char *path, const char *text)
{
    char *found;
    size_t bytes;
    assert_ok(ex_file_read(&found, &bytes, path, 1 << 20));
    assert_string_equal(found, text);
    assert_int_equal(bytes, strlen(text));
    ex_free(&found);
}

static int count_entries(const char *path)
{
    DIR *folder = opendir(path);
    assert_non_null(folder);
    int count = -2; /* . and .. */
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static void test_a_file_changes_only_when_it_is_committed(void **state)
{
    (void)state;
    assert_ok(ex_make_folders(ex_temp_path("atomic")));
    const char *path = ex_temp_path("atomic/file");
    ex_file *file;
    assert_ok(ex_file_write(path, "old", 3));
    assert_ok(ex_file_create(&file, path));
    assert_ok(ex_file_append(file, "new", 3));
    expect_content(path, "old");
    ex_file_discard(&file);
    assert_null(file);
    expect_content(path, "old");
    assert_int_equal(count_entries(ex_temp_path("atomic")), 1); /* nothing left beside */
    assert_ok(ex_file_create(&file, path));
    assert_ok(ex_file_append(file, "n", 1));
    assert_ok(ex_file_append(file, "ew", 2));
    assert_ok(ex_file_commit(&file));
    assert_null(file);
    expect_content(path, "new");
    assert_int_equal(count_entries(ex_temp_path("atomic")), 1);
}

static void print_words(FILE *out, const void *what)
{
    fprintf(out, "%d %s", 3, (const char *)what);
}

static void print_nothing(FILE *out, const void *what)
{
    (void)out, (void)what;
}

static void test_a_file_holds_what_is_printed(void **state)
{
    (void)state;
    const char *path = ex_temp_path("printed");
    assert_ok(ex_file_print(path, print_words, "words"));
    expect_content(path, "3 words");
    assert_ok(ex_file_print(path, print_nothing, NULL));
    expect_content(path, "");
    if (access("/dev/full", W_OK) == 0)
        assert_status(ex_file_print("/dev/full", print_words, "words"), EX_ERR_IO);
}

static void test_links_and_modes_survive_a_write(void **state)
{
    (void)state;
    const char *path = ex_temp_path("target"), *alias = ex_temp_path("link");
    struct stat info;
    assert_ok(ex_file_write(path, "old", 3));
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(symlink(path, alias), 0);
    assert_ok(ex_file_write(alias, "new", 3));
    expect_content(path, "new");
    assert_int_equal(lstat(alias, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
}

static void test_devices_are_written_in_place(void **state)
{
    (void)state;
    struct stat info;
    assert_ok(ex_file_write("/dev/null", "text", 4));
    assert_int_equal(stat("/dev/null", &info), 0);
    assert_true(S_ISCHR(info.st_mode));
}

static void test_places_that_cannot_be_written_are_refused(void **state)
{
    (void)state;
    assert_status(ex_file_write(ex_temp_path("no/such/folder"), "x", 1), EX_ERR_IO);
    assert_message("No such file or directory");
    assert_status(ex_file_write(ex_temp_folder(), "x", 1), EX_ERR_IO);
    assert_message("is a folder");
    if (access("/dev/full", W_OK) == 0)
        assert_status(ex_file_write("/dev/full", "x", 1), EX_ERR_IO);
}

static void test_reading_is_capped(void **state)
{
    (void)state;
    enum { SIZE = 200000 };
    char *data = malloc(SIZE), *found;
    size_t bytes;
    for (int i = 0; i < SIZE; i++)
        data[i] = (char)(i % 127);
    const char *path = ex_temp_write("large", data, SIZE, 0);
    assert_ok(ex_file_read(&found, &bytes, path, SIZE));
    assert_int_equal(bytes, SIZE);
    assert_memory_equal(found, data, SIZE);
    assert_int_equal(found[SIZE], 0);
    ex_free(&found);
    assert_status(ex_file_read(&found, &bytes, path, SIZE - 1), EX_ERR_INPUT);
    assert_message("more than the 199999 bytes");
    assert_null(found);
    assert_status(ex_file_read(&found, &bytes, ex_temp_path("none"), SIZE), EX_ERR_INPUT);
    assert_status(ex_file_read(&found, &bytes, ex_temp_folder(), SIZE), EX_ERR_INPUT);
    assert_ok(ex_file_read(&found, &bytes, ex_temp_write("empty", "", 0, 0), SIZE));
    assert_int_equal(bytes, 0);
    ex_free(&found);
    free(data);
}

/* Opening it would wait for a writer that never comes. */
static void test_a_pipe_that_nobody_writes_reads_as_empty(void **state)
{
    (void)state;
    const char *path = ex_temp_path("pipe");
    assert_int_equal(mkfifo(path, 0600), 0);
    alarm(20);
    expect_content(path, "");
    alarm(0);
}

static void test_folders_are_made_with_those_above(void **state)
{
    (void)state;
    struct stat info;
    assert_ok(ex_make_folders(ex_temp_path("a/b//c/")));
    assert_ok(ex_make_folders(ex_temp_path("a/b/c")));
    assert_int_equal(stat(ex_temp_path("a/b/c"), &info), 0);
    assert_true(S_ISDIR(info.st_mode));
    ex_temp_write("a/file", "x", 1, 0);
    assert_status(ex_make_folders(ex_temp_path("a/file")), EX_ERR_IO);
    assert_status(ex_make_folders(ex_temp_path("a/file/b")), EX_ERR_IO);
    assert_message("a/file");
}

static void test_json_keeps_order_and_every_bit_of_a_number(void **state)
{
    (void)state;
    const char *path = ex_temp_path("value.json");
    const double third = 1.0 / 3.0;
    json_t *value = json_pack("{s:f, s:i, s:n}", "z", third, "a", 7, "none"), *again;
    assert_ok(ex_json_write(path, value));
    assert_ok(ex_json_read(&again, path));
    assert_true(json_real_value(json_object_get(again, "z")) == third);
    assert_true(json_equal(value, again));
    char *text;
    size_t bytes;
    assert_ok(ex_file_read(&text, &bytes, path, 1000));
    assert_true(strstr(text, "\"z\"") < strstr(text, "\"a\""));
    assert_int_equal(text[bytes - 1], '\n');
    ex_free(&text);
    json_decref(value);
    json_decref(again);
    path = ex_temp_write("bad.json", "{\n \"a\": }", 9, 0);
    assert_status(ex_json_read(&again, path), EX_ERR_INPUT);
    assert_message("bad.json:2:");
    path = ex_temp_write("twice.json", "{\"a\":1,\"a\":2}", 13, 0);
    assert_status(ex_json_read(&again, path), EX_ERR_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_changes_only_when_it_is_committed),
        cmocka_unit_test(test_a_file_holds_what_is_printed),
        cmocka_unit_test(test_links_and_modes_survive_a_write),
        cmocka_unit_test(test_devices_are_written_in_place),
        cmocka_unit_test(test_places_that_cannot_be_written_are_refused),
        cmocka_unit_test(test_reading_is_capped),
        cmocka_unit_test(test_a_pipe_that_nobody_writes_reads_as_empty),
        cmocka_unit_test(test_folders_are_made_with_those_above),
        cmocka_unit_test(test_json_keeps_order_and_every_bit_of_a_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
