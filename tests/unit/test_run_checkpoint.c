/* Checkpoints of a run: the newest that is whole comes back, with the metrics of its round. */
#include "base/log.h"
#include "io/file.h"
#include "run_fixture.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_newest_of_two_checkpoints_comes_back(void **state)
{
    (void)state;
    ex_run *run = ex_test_run_open(EX_RUN_NEW);
    for (int round = 8; round <= 11; round++) /* 10 sorts before 9 as text */
        ex_test_run_checkpoint(run, round);
    ex_run_close(&run);
    assert_true(ex_test_run_has("checkpoint/round-11.bin") &&
                ex_test_run_has("checkpoint/round-10.bin"));
    assert_false(ex_test_run_has("checkpoint/round-9.bin") ||
                 ex_test_run_has("checkpoint/round-8.bin"));
    run = ex_test_run_open(EX_RUN_RESUME);
    assert_int_equal(ex_test_run_restored(run), 11);
    ex_run_close(&run);
}

static void test_resume_needs_a_checkpoint(void **state)
{
    (void)state;
    ex_run *run;
    assert_status(ex_run_open(&run, ex_test_run_folder, EX_RUN_RESUME), EX_ERR_INPUT);
    assert_message("no checkpoint");
    assert_int_not_equal(access(ex_test_run_folder, F_OK), 0);
}

static size_t size_of(const char *name)
{
    struct stat info;
    assert_int_equal(stat(ex_test_run_path(name), &info), 0);
    return (size_t)info.st_size;
}

static void test_resume_cuts_the_metrics_to_the_checkpoint(void **state)
{
    (void)state;
    ex_run *run = ex_test_run_open(EX_RUN_NEW);
    assert_ok(ex_run_metrics(run, json_pack("{s:i}", "round", 0)));
    const size_t then = size_of("metrics.jsonl");
    ex_test_run_checkpoint(run, 1);
    assert_ok(ex_run_metrics(run, json_pack("{s:i}", "round", 1)));
    assert_true(size_of("metrics.jsonl") > then);
    ex_run_close(&run);
    run = ex_test_run_open(EX_RUN_RESUME);
    assert_int_equal(ex_test_run_restored(run), 1);
    assert_int_equal(size_of("metrics.jsonl"), then);
    assert_ok(ex_run_metrics(run, json_pack("{s:i}", "round", 1)));
    ex_run_close(&run);
    char *text;
    size_t bytes;
    assert_ok(ex_file_read(&text, &bytes, ex_test_run_path("metrics.jsonl"), 1000));
    assert_string_equal(text, "{\"round\":0}\n{\"round\":1}\n");
    free(text);
}

static void flip(const char *name, long offset, int whence)
{
    FILE *f = fopen(ex_test_run_path(name), "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, offset, whence), 0);
    const int c = fgetc(f);
    assert_int_equal(fseek(f, -1, SEEK_CUR), 0);
    fputc(c ^ 1, f);
    fclose(f);
}

/* A bit flipped in any byte, or a tail missing, falls back to the checkpoint before. */
static void test_a_damaged_checkpoint_gives_way_to_the_one_before(void **state)
{
    (void)state;
    ex_run *run = ex_test_run_open(EX_RUN_NEW);
    const char *newest = "checkpoint/round-2.bin", *aside = "checkpoint/round-2.bin.damaged";
    ex_test_run_checkpoint(run, 1);
    ex_test_run_checkpoint(run, 2);
    const long size = (long)size_of(newest);
    for (long at = 0; at < size; at += at < 512 ? 1 : 61) {
        flip(newest, at, SEEK_SET);
        if (ex_test_run_restored(run) != 1)
            fail_msg("byte %ld of %ld was flipped and not noticed", at, size);
        assert_false(ex_test_run_has(newest));
        assert_int_equal(rename(ex_test_run_path(aside), ex_test_run_path(newest)), 0);
        flip(newest, at, SEEK_SET);
    }
    assert_int_equal(ex_test_run_restored(run), 2);
    for (long left = size - 1; left >= 0; left = left > 64 ? left / 2 : left - 1) {
        ex_test_run_checkpoint(run, 2);
        assert_int_equal(truncate(ex_test_run_path(newest), left), 0);
        assert_int_equal(ex_test_run_restored(run), 1);
    }
    ex_run_close(&run);
}

static void test_damaged_checkpoints_are_refused_by_name(void **state)
{
    (void)state;
    json_t *json = NULL;
    ex_run *run = ex_test_run_open(EX_RUN_NEW);
    ex_test_run_checkpoint(run, 3);
    flip("checkpoint/round-3.bin", -1, SEEK_END);
    assert_status(ex_run_restore(run, &ex_test_run_values, &json), EX_ERR_INPUT);
    assert_message("checkpoint/round-3.bin is damaged: its checksum");
    assert_message("start the run anew, with --overwrite");
    assert_null(json);
    assert_status(ex_run_peek(ex_test_run_folder, &json), EX_ERR_INPUT);
    assert_message("checkpoint/round-3.bin is damaged: its checksum");
    assert_null(json);
    ex_run_close(&run);
}

static void test_a_checkpoint_of_another_model_is_refused(void **state)
{
    (void)state;
    json_t *json = NULL;
    ex_run *run = ex_test_run_open(EX_RUN_NEW);
    ex_test_run_checkpoint(run, 3);
    ex_run_values smaller = ex_test_run_values;
    smaller.param_count--;
    assert_status(ex_run_restore(run, &smaller, &json), EX_ERR_CONFIG);
    assert_message("1000 parameters");
    ex_run_close(&run);
}

static void test_velocity_comes_back_or_is_zero(void **state)
{
    (void)state;
    static float velocity[EX_TEST_RUN_PARAMS];
    ex_run *run = ex_test_run_open(EX_RUN_NEW);
    ex_run_values with = ex_test_run_values;
    with.velocity = velocity;
    json_t *json = json_pack("{s:i, s:s}", "round", 1, "note", "kept");
    ex_test_run_fill(1);
    for (int i = 0; i < EX_TEST_RUN_PARAMS; i++)
        velocity[i] = (float)(0.5 * i);
    assert_ok(ex_run_checkpoint(run, &with, json));
    json_decref(json);
    memset(velocity, 0, sizeof velocity);
    assert_int_equal(ex_test_run_restored(run), 1); /* who does not ask for it gets the rest */
    assert_ok(ex_run_restore(run, &with, &json));
    json_decref(json);
    for (int i = 0; i < EX_TEST_RUN_PARAMS; i++)
        assert_true(velocity[i] == (float)(0.5 * i) && ex_test_run_params[i] == (float)(10000 + i));
    ex_test_run_checkpoint(run, 2); /* without */
    assert_ok(ex_run_restore(run, &with, &json));
    json_decref(json);
    for (int i = 0; i < EX_TEST_RUN_PARAMS; i++)
        assert_true(velocity[i] == 0.0f);
    ex_run_close(&run);
}

static void test_peek_gives_the_state_of_the_newest_that_is_whole(void **state)
{
    (void)state;
    json_t *json;
    ex_run *run = ex_test_run_open(EX_RUN_NEW);
    assert_false(ex_run_has_checkpoint(ex_test_run_folder));
    assert_status(ex_run_peek(ex_test_run_folder, &json), EX_ERR_INPUT);
    ex_test_run_checkpoint(run, 4);
    ex_test_run_checkpoint(run, 5);
    assert_true(ex_run_has_checkpoint(ex_test_run_folder));
    flip("checkpoint/round-5.bin", 60, SEEK_SET);
    assert_ok(ex_run_peek(ex_test_run_folder, &json));
    assert_int_equal(json_integer_value(json_object_get(json, "round")), 4);
    json_decref(json);
    ex_run_close(&run);
}

/* Many more than are kept, as copies of folders may have them, in whatever order they are listed.
 */
static void test_the_newest_of_hundreds_is_found(void **state)
{
    (void)state;
    enum { HUNDREDS = 300, NEWEST = 149 };
    char name[64];
    long newest;
    ex_run *run = ex_test_run_open(EX_RUN_NEW);
    ex_test_run_checkpoint(run, NEWEST);
    for (int i = 1; i < HUNDREDS; i++) {
        snprintf(name, sizeof name, "checkpoint/round-%d.bin", i * 7919 % NEWEST);
        assert_ok(ex_file_write(ex_test_run_path(name), "x", 1));
    }
    assert_ok(ex_run_newest(ex_test_run_folder, &newest));
    assert_int_equal(newest, NEWEST);
    assert_int_equal(ex_test_run_restored(run), NEWEST);
    assert_true(ex_test_run_has("checkpoint/round-148.bin"));
    assert_false(ex_test_run_has("checkpoint/round-147.bin") ||
                 ex_test_run_has("checkpoint/round-0.bin"));
    ex_run_close(&run);
}

/* As few descriptors as are open: the next cannot be. Gives what the limit was. */
static struct rlimit forbid_files(void)
{
    struct rlimit before, now;
    const int next = dup(0);
    assert_true(next >= 0);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    now = before;
    now.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    return before;
}

static void test_a_passing_fault_is_not_taken_for_no_checkpoint(void **state)
{
    (void)state;
    json_t *json;
    long newest;
    ex_run *run = ex_test_run_open(EX_RUN_NEW);
    ex_test_run_checkpoint(run, 1);
    ex_test_run_checkpoint(run, 2);
    const struct rlimit before = forbid_files();
    const ex_status newest_status = ex_run_newest(ex_test_run_folder, &newest),
                    check = ex_run_check(ex_test_run_folder, EX_RUN_RESUME),
                    peek = ex_run_peek(ex_test_run_folder, &json),
                    restore = ex_run_restore(run, &ex_test_run_values, &json);
    const bool has = ex_run_has_checkpoint(ex_test_run_folder);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(newest_status, EX_ERR_IO);
    assert_int_equal(check, EX_ERR_IO);
    assert_int_equal(peek, EX_ERR_IO);
    assert_int_equal(restore, EX_ERR_IO);
    assert_message("Too many open files");
    assert_true(has);
    assert_int_equal(ex_test_run_restored(run), 2); /* nothing was set aside */
    ex_run_close(&run);
}

int main(void)
{
    ex_log_set_level(EX_LOG_QUIET);
#define IN_FOLDER(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, ex_test_run_set_up, ex_test_run_tear_down)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_newest_of_two_checkpoints_comes_back),
        IN_FOLDER(test_resume_needs_a_checkpoint),
        IN_FOLDER(test_resume_cuts_the_metrics_to_the_checkpoint),
        IN_FOLDER(test_a_damaged_checkpoint_gives_way_to_the_one_before),
        IN_FOLDER(test_damaged_checkpoints_are_refused_by_name),
        IN_FOLDER(test_a_checkpoint_of_another_model_is_refused),
        IN_FOLDER(test_velocity_comes_back_or_is_zero),
        IN_FOLDER(test_peek_gives_the_state_of_the_newest_that_is_whole),
        IN_FOLDER(test_the_newest_of_hundreds_is_found),
        IN_FOLDER(test_a_passing_fault_is_not_taken_for_no_checkpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
