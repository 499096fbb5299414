/* The folder of a run: what is made, refused, removed and left. */
#include "base/log.h"
#include "io/file.h"
#include "run_fixture.h"
#include "test.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_new_run_makes_folders_and_refuses_a_full_one(void **state)
{
    (void)state;
    ex_run *run;
    char deep[160];
    snprintf(deep, sizeof deep, "%s/a/b", ex_test_run_folder);
    assert_ok(ex_run_check(deep, EX_RUN_NEW));
    assert_int_not_equal(access(ex_test_run_folder, F_OK), 0); /* checking made nothing */
    assert_ok(ex_run_open(&run, deep, EX_RUN_NEW));
    assert_ok(ex_run_metrics(run, json_pack("{s:i}", "round", 0)));
    ex_run_close(&run);
    assert_null(run);
    assert_status(ex_run_open(&run, deep, EX_RUN_NEW), EX_ERR_EXISTS);
    assert_message("is not empty");
    assert_null(run);
    assert_status(ex_run_open(&run, "", EX_RUN_NEW), EX_ERR_USAGE);
}

static void test_a_file_in_place_of_the_folder_is_refused(void **state)
{
    (void)state;
    ex_run *run;
    assert_ok(ex_file_write(ex_test_run_folder, "x", 1));
    assert_status(ex_run_open(&run, ex_test_run_folder, EX_RUN_NEW), EX_ERR_INPUT);
    assert_message("Not a directory");
}

static void test_overwrite_removes_a_run_and_nothing_else(void **state)
{
    (void)state;
    ex_run *run = ex_test_run_open(EX_RUN_NEW);
    assert_ok(ex_run_metrics(run, json_pack("{s:i}", "round", 0)));
    ex_test_run_checkpoint(run, 1);
    ex_run_close(&run);
    assert_ok(ex_file_write(ex_test_run_path("notes.txt"), "mine", 4));
    assert_ok(ex_file_write(ex_test_run_path("report.json"), "{}", 2));
    run = ex_test_run_open(EX_RUN_OVERWRITE);
    ex_run_close(&run);
    assert_true(ex_test_run_has("notes.txt"));
    assert_false(ex_test_run_has("report.json"));
    assert_false(ex_test_run_has("metrics.jsonl"));
    assert_false(ex_test_run_has("checkpoint"));
}

static void test_overwrite_refuses_a_folder_that_holds_no_run(void **state)
{
    (void)state;
    assert_int_equal(mkdir(ex_test_run_folder, 0700), 0);
    assert_ok(ex_file_write(ex_test_run_path("config.yaml"), "mine: 1", 7));
    assert_ok(ex_file_write(ex_test_run_path("model.safetensors"), "mine", 4));
    assert_int_equal(ex_run_check(ex_test_run_folder, EX_RUN_OVERWRITE), EX_ERR_EXISTS);
    assert_int_equal(ex_run_check(ex_test_run_folder, EX_RUN_NEW), EX_ERR_EXISTS);
    assert_non_null(strstr(ex_error_message(), "holds no run"));
    assert_true(ex_test_run_has("config.yaml"));
}

/* Killed between the last checkpoint that it removes and their folder. */
static void test_what_a_killed_overwrite_left_is_nothing(void **state)
{
    (void)state;
    static const ex_run_mode modes[] = {EX_RUN_NEW, EX_RUN_OVERWRITE};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        assert_ok(ex_make_folders(ex_test_run_path("checkpoint")));
        assert_ok(ex_file_write(ex_test_run_path("checkpoint/round-2.bin.4.tmp"), "x", 1));
        assert_ok(ex_file_write(ex_test_run_path("checkpoint/round-1.bin.damaged"), "x", 1));
        assert_status(ex_run_check(ex_test_run_folder, EX_RUN_RESUME), EX_ERR_INPUT);
        ex_run *run = ex_test_run_open(modes[i]);
        assert_false(ex_test_run_has("checkpoint/round-2.bin.4.tmp") ||
                     ex_test_run_has("checkpoint/round-1.bin.damaged"));
        ex_test_run_checkpoint(run, 1);
        ex_run_discard(&run);
    }
    assert_ok(ex_make_folders(ex_test_run_path("checkpoint")));
    assert_ok(ex_file_write(ex_test_run_path("checkpoint/mine"), "x", 1));
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        assert_status(ex_run_check(ex_test_run_folder, modes[i]), EX_ERR_EXISTS);
}

static void test_overwrite_finds_names_that_are_taken_before_it_removes(void **state)
{
    (void)state;
    ex_run *run = ex_test_run_open(EX_RUN_NEW);
    assert_ok(ex_run_metrics(run, json_pack("{s:i}", "round", 0)));
    ex_run_close(&run);
    assert_ok(ex_file_write(ex_test_run_path("checkpoint"), "mine", 4));
    assert_status(ex_run_open(&run, ex_test_run_folder, EX_RUN_OVERWRITE), EX_ERR_INPUT);
    assert_message("checkpoint is there and is no folder");
    assert_int_equal(unlink(ex_test_run_path("checkpoint")), 0);
    assert_ok(ex_make_folders(ex_test_run_path("report.json")));
    assert_status(ex_run_open(&run, ex_test_run_folder, EX_RUN_OVERWRITE), EX_ERR_INPUT);
    assert_message("report.json is a folder");
    assert_true(ex_test_run_has("metrics.jsonl"));
}

static void test_overwrite_finds_checkpoints_that_are_no_files_before_it_removes(void **state)
{
    (void)state;
    ex_run *run = ex_test_run_open(EX_RUN_NEW);
    assert_ok(ex_run_metrics(run, json_pack("{s:i}", "round", 0)));
    ex_test_run_checkpoint(run, 1);
    ex_run_close(&run);
    assert_ok(ex_make_folders(ex_test_run_path("checkpoint/round-7.bin")));
    assert_status(ex_run_open(&run, ex_test_run_folder, EX_RUN_OVERWRITE), EX_ERR_INPUT);
    assert_message("checkpoint/round-7.bin is there and is no file; move it away");
    assert_int_equal(rmdir(ex_test_run_path("checkpoint/round-7.bin")), 0);
    assert_int_equal(symlink("/dev/zero", ex_test_run_path("checkpoint/round-7.bin")), 0);
    assert_status(ex_run_open(&run, ex_test_run_folder, EX_RUN_OVERWRITE), EX_ERR_INPUT);
    assert_true(ex_test_run_has("metrics.jsonl") && ex_test_run_has("checkpoint/round-1.bin"));
    json_t *state_of_it;
    assert_ok(ex_run_peek(ex_test_run_folder, &state_of_it)); /* has an end */
    assert_int_equal(ex_run_state_round(state_of_it), 1);
    json_decref(state_of_it);
}

static void test_a_run_under_way_fails_with_status_1(void **state)
{
    (void)state;
    for (int code = 0; code < EX_STATUS_COUNT; code++) {
        const ex_status status = (ex_status)code;
        (void)EX_FAIL(status, "what happened");
        assert_int_equal(ex_run_failed(status),
                         ex_status_exit_code(status) == 2 ? EX_ERR_BACKEND : status);
        assert_message("what happened");
    }
}

static void test_discard_leaves_nothing_behind(void **state)
{
    (void)state;
    ex_run *run = ex_test_run_open(EX_RUN_NEW);
    assert_ok(ex_run_metrics(run, json_pack("{s:i}", "round", 0)));
    ex_test_run_checkpoint(run, 1);
    ex_run_discard(&run);
    assert_null(run);
    assert_int_not_equal(access(ex_test_run_folder, F_OK), 0);
    ex_run_discard(&run); /* NULL-safe */
}

static void test_discard_keeps_a_folder_that_was_there(void **state)
{
    (void)state;
    assert_ok(ex_make_folders(ex_test_run_folder));
    ex_run *run = ex_test_run_open(EX_RUN_NEW);
    assert_ok(ex_run_metrics(run, json_pack("{s:i}", "round", 0)));
    ex_run_discard(&run);
    assert_int_equal(access(ex_test_run_folder, F_OK), 0);
    assert_false(ex_test_run_has("metrics.jsonl"));
}

static void test_a_folder_in_use_is_refused(void **state)
{
    (void)state;
    ex_run *second, *run = ex_test_run_open(EX_RUN_NEW);
    ex_test_run_checkpoint(run, 1);
    assert_status(ex_run_open(&second, ex_test_run_folder, EX_RUN_RESUME), EX_ERR_EXISTS);
    assert_message("in use by another");
    assert_null(second);
    assert_status(ex_run_open(&second, ex_test_run_folder, EX_RUN_OVERWRITE), EX_ERR_EXISTS);
    assert_true(ex_test_run_has("checkpoint/round-1.bin"));
    assert_true(ex_run_busy(ex_test_run_folder));
    ex_run_close(&run);
    assert_false(ex_run_busy(ex_test_run_folder));
    assert_false(ex_run_busy("/nowhere"));
    run = ex_test_run_open(EX_RUN_RESUME);
    ex_run_close(&run);
}

static void test_what_a_killed_process_left_is_removed_and_nothing_else(void **state)
{
    (void)state;
    static const char *const mine[] = {"report.json.tmp", "report.json.12x.tmp", "notes.12.tmp",
                                       "report.jsonx.12.tmp"};
    assert_ok(ex_make_folders(ex_test_run_folder));
    assert_ok(ex_file_write(ex_test_run_path("config.yaml.123.tmp"), "x", 1));
    ex_run *run = ex_test_run_open(EX_RUN_NEW); /* such a folder counts as empty */
    ex_test_run_checkpoint(run, 1);
    ex_run_close(&run);
    assert_false(ex_test_run_has("config.yaml.123.tmp"));
    assert_ok(ex_file_write(ex_test_run_path("model.safetensors.4.tmp"), "x", 1));
    assert_ok(ex_file_write(ex_test_run_path("checkpoint/round-2.bin.4.tmp"), "x", 1));
    for (size_t i = 0; i < sizeof mine / sizeof *mine; i++)
        assert_ok(ex_file_write(ex_test_run_path(mine[i]), "x", 1));
    run = ex_test_run_open(EX_RUN_RESUME);
    ex_test_run_checkpoint(run, 2);
    ex_run_close(&run);
    assert_false(ex_test_run_has("model.safetensors.4.tmp") ||
                 ex_test_run_has("checkpoint/round-2.bin.4.tmp"));
    for (size_t i = 0; i < sizeof mine / sizeof *mine; i++)
        assert_true(ex_test_run_has(mine[i]));
}

static void test_a_reopened_run_has_no_results(void **state)
{
    (void)state;
    ex_run *run = ex_test_run_open(EX_RUN_NEW);
    ex_test_run_checkpoint(run, 1);
    assert_ok(ex_file_write(ex_test_run_path("report.json"), "{}", 2));
    assert_ok(ex_file_write(ex_test_run_path("model.safetensors"), "x", 1));
    assert_ok(ex_run_reopen(run));
    assert_ok(ex_run_reopen(run)); /* nothing there is fine */
    assert_false(ex_test_run_has("report.json") || ex_test_run_has("model.safetensors"));
    assert_true(ex_test_run_has("checkpoint/round-1.bin"));
    ex_run_close(&run);
}

int main(void)
{
    ex_log_set_level(EX_LOG_QUIET);
#define IN_FOLDER(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, ex_test_run_set_up, ex_test_run_tear_down)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_new_run_makes_folders_and_refuses_a_full_one),
        IN_FOLDER(test_a_file_in_place_of_the_folder_is_refused),
        IN_FOLDER(test_overwrite_removes_a_run_and_nothing_else),
        IN_FOLDER(test_overwrite_refuses_a_folder_that_holds_no_run),
        IN_FOLDER(test_what_a_killed_overwrite_left_is_nothing),
        IN_FOLDER(test_overwrite_finds_names_that_are_taken_before_it_removes),
        IN_FOLDER(test_overwrite_finds_checkpoints_that_are_no_files_before_it_removes),
        IN_FOLDER(test_a_run_under_way_fails_with_status_1),
        IN_FOLDER(test_discard_leaves_nothing_behind),
        IN_FOLDER(test_discard_keeps_a_folder_that_was_there),
        IN_FOLDER(test_a_folder_in_use_is_refused),
        IN_FOLDER(test_what_a_killed_process_left_is_removed_and_nothing_else),
        IN_FOLDER(test_a_reopened_run_has_no_results),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
