#include "base/log.h"
#include "io/file.h"
#include "run.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PARAMS = 1000, STATS = 10 };

static char base[64], folder[80];
static float params[PARAMS], stats[STATS];

static int make_folder(void **state)
{
    (void)state;
    snprintf(base, sizeof base, "/tmp/excise-run-XXXXXX");
    if (!mkdtemp(base))
        return -1;
    snprintf(folder, sizeof folder, "%s/run", base);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", base);
    return system(command);
}

static const char *in_folder(const char *name)
{
    static char path[4][256];
    static int turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static bool exists(const char *name)
{
    return access(in_folder(name), F_OK) == 0;
}

static void fill(int round)
{
    for (int i = 0; i < PARAMS; i++)
        params[i] = (float)(round * 10000 + i);
    for (int i = 0; i < STATS; i++)
        stats[i] = (float)(-round * 100 - i);
}

static const ex_run_values values = {
    .params = params, .stats = stats, .param_count = PARAMS, .stat_count = STATS};

static ex_run *open_run(ex_run_mode mode)
{
    ex_run *run;
    assert_ok(ex_run_open(&run, folder, mode));
    return run;
}

static void write_checkpoint(ex_run *run, int round)
{
    fill(round);
    json_t *state = json_pack("{s:i, s:s}", "round", round, "note", "kept");
    assert_ok(ex_run_checkpoint(run, &values, state));
    json_decref(state);
}

/* Restores and returns the round of the state, having compared every value. */
static int restored_round(ex_run *run)
{
    json_t *state;
    memset(params, 0, sizeof params);
    memset(stats, 0, sizeof stats);
    assert_ok(ex_run_restore(run, &values, &state));
    const int round = (int)json_integer_value(json_object_get(state, "round"));
    assert_string_equal(json_string_value(json_object_get(state, "note")), "kept");
    json_decref(state);
    for (int i = 0; i < PARAMS; i++)
        assert_true(params[i] == (float)(round * 10000 + i));
    for (int i = 0; i < STATS; i++)
        assert_true(stats[i] == (float)(-round * 100 - i));
    return round;
}

static void test_new_run_makes_folders_and_refuses_a_full_one(void **state)
{
    (void)state;
    ex_run *run;
    char deep[160];
    snprintf(deep, sizeof deep, "%s/a/b", folder);
    assert_ok(ex_run_check(deep, EX_RUN_NEW));
    assert_int_not_equal(access(folder, F_OK), 0); /* checking made nothing */
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
    assert_ok(ex_file_write(folder, "x", 1));
    assert_status(ex_run_open(&run, folder, EX_RUN_NEW), EX_ERR_INPUT);
    assert_message("Not a directory");
}

static void test_overwrite_removes_a_run_and_nothing_else(void **state)
{
    (void)state;
    ex_run *run = open_run(EX_RUN_NEW);
    assert_ok(ex_run_metrics(run, json_pack("{s:i}", "round", 0)));
    write_checkpoint(run, 1);
    ex_run_close(&run);
    assert_ok(ex_file_write(in_folder("notes.txt"), "mine", 4));
    assert_ok(ex_file_write(in_folder("report.json"), "{}", 2));
    run = open_run(EX_RUN_OVERWRITE);
    ex_run_close(&run);
    assert_true(exists("notes.txt"));
    assert_false(exists("report.json"));
    assert_false(exists("metrics.jsonl"));
    assert_false(exists("checkpoint"));
}

static void test_overwrite_refuses_a_folder_that_holds_no_run(void **state)
{
    (void)state;
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_ok(ex_file_write(in_folder("config.yaml"), "mine: 1", 7));
    assert_ok(ex_file_write(in_folder("model.safetensors"), "mine", 4));
    assert_int_equal(ex_run_check(folder, EX_RUN_OVERWRITE), EX_ERR_EXISTS);
    assert_int_equal(ex_run_check(folder, EX_RUN_NEW), EX_ERR_EXISTS);
    assert_non_null(strstr(ex_error_message(), "holds no run"));
    assert_true(exists("config.yaml"));
}

static void test_discard_leaves_nothing_behind(void **state)
{
    (void)state;
    ex_run *run = open_run(EX_RUN_NEW);
    assert_ok(ex_run_metrics(run, json_pack("{s:i}", "round", 0)));
    write_checkpoint(run, 1);
    ex_run_discard(&run);
    assert_null(run);
    assert_int_not_equal(access(folder, F_OK), 0);
    ex_run_discard(&run); /* NULL-safe */
}

static void test_discard_keeps_a_folder_that_was_there(void **state)
{
    (void)state;
    assert_ok(ex_make_folders(folder));
    ex_run *run = open_run(EX_RUN_NEW);
    assert_ok(ex_run_metrics(run, json_pack("{s:i}", "round", 0)));
    ex_run_discard(&run);
    assert_int_equal(access(folder, F_OK), 0);
    assert_false(exists("metrics.jsonl"));
}

static void test_newest_of_two_checkpoints_comes_back(void **state)
{
    (void)state;
    ex_run *run = open_run(EX_RUN_NEW);
    for (int round = 8; round <= 11; round++) /* 10 sorts before 9 as text */
        write_checkpoint(run, round);
    ex_run_close(&run);
    assert_true(exists("checkpoint/round-11.bin") && exists("checkpoint/round-10.bin"));
    assert_false(exists("checkpoint/round-9.bin") || exists("checkpoint/round-8.bin"));
    run = open_run(EX_RUN_RESUME);
    assert_int_equal(restored_round(run), 11);
    ex_run_close(&run);
}

static void test_resume_needs_a_checkpoint(void **state)
{
    (void)state;
    ex_run *run;
    assert_status(ex_run_open(&run, folder, EX_RUN_RESUME), EX_ERR_INPUT);
    assert_message("no checkpoint");
    assert_int_not_equal(access(folder, F_OK), 0);
}

static size_t size_of(const char *name)
{
    struct stat info;
    assert_int_equal(stat(in_folder(name), &info), 0);
    return (size_t)info.st_size;
}

static void test_resume_cuts_the_metrics_to_the_checkpoint(void **state)
{
    (void)state;
    ex_run *run = open_run(EX_RUN_NEW);
    assert_ok(ex_run_metrics(run, json_pack("{s:i}", "round", 0)));
    const size_t then = size_of("metrics.jsonl");
    write_checkpoint(run, 1);
    assert_ok(ex_run_metrics(run, json_pack("{s:i}", "round", 1)));
    assert_true(size_of("metrics.jsonl") > then);
    ex_run_close(&run);
    run = open_run(EX_RUN_RESUME);
    assert_int_equal(restored_round(run), 1);
    assert_int_equal(size_of("metrics.jsonl"), then);
    assert_ok(ex_run_metrics(run, json_pack("{s:i}", "round", 1)));
    ex_run_close(&run);
    char *text;
    size_t bytes;
    assert_ok(ex_file_read(&text, &bytes, in_folder("metrics.jsonl"), 1000));
    assert_string_equal(text, "{\"round\":0}\n{\"round\":1}\n");
    free(text);
}

static void flip(const char *name, long offset, int whence)
{
    FILE *f = fopen(in_folder(name), "r+b");
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
    ex_run *run = open_run(EX_RUN_NEW);
    const char *newest = "checkpoint/round-2.bin", *aside = "checkpoint/round-2.bin.damaged";
    write_checkpoint(run, 1);
    write_checkpoint(run, 2);
    const long size = (long)size_of(newest);
    for (long at = 0; at < size; at += at < 512 ? 1 : 61) {
        flip(newest, at, SEEK_SET);
        if (restored_round(run) != 1)
            fail_msg("byte %ld of %ld was flipped and not noticed", at, size);
        assert_false(exists(newest));
        assert_int_equal(rename(in_folder(aside), in_folder(newest)), 0);
        flip(newest, at, SEEK_SET);
    }
    assert_int_equal(restored_round(run), 2);
    for (long left = size - 1; left >= 0; left = left > 64 ? left / 2 : left - 1) {
        write_checkpoint(run, 2);
        assert_int_equal(truncate(in_folder(newest), left), 0);
        assert_int_equal(restored_round(run), 1);
    }
    ex_run_close(&run);
}

static void test_damaged_checkpoints_are_refused_by_name(void **state)
{
    (void)state;
    json_t *json = NULL;
    ex_run *run = open_run(EX_RUN_NEW);
    write_checkpoint(run, 3);
    flip("checkpoint/round-3.bin", -1, SEEK_END);
    assert_status(ex_run_restore(run, &values, &json), EX_ERR_INPUT);
    assert_message("checkpoint/round-3.bin is damaged: its checksum");
    assert_message("start the run anew, with --overwrite");
    assert_null(json);
    assert_status(ex_run_peek(folder, &json), EX_ERR_INPUT);
    assert_message("checkpoint/round-3.bin is damaged: its checksum");
    assert_null(json);
    ex_run_close(&run);
}

static void test_a_checkpoint_of_another_model_is_refused(void **state)
{
    (void)state;
    json_t *json = NULL;
    ex_run *run = open_run(EX_RUN_NEW);
    write_checkpoint(run, 3);
    ex_run_values smaller = values;
    smaller.param_count--;
    assert_status(ex_run_restore(run, &smaller, &json), EX_ERR_CONFIG);
    assert_message("1000 parameters");
    ex_run_close(&run);
}

static void test_velocity_comes_back_or_is_zero(void **state)
{
    (void)state;
    static float velocity[PARAMS];
    ex_run *run = open_run(EX_RUN_NEW);
    ex_run_values with = values;
    with.velocity = velocity;
    json_t *json = json_pack("{s:i, s:s}", "round", 1, "note", "kept");
    fill(1);
    for (int i = 0; i < PARAMS; i++)
        velocity[i] = (float)(0.5 * i);
    assert_ok(ex_run_checkpoint(run, &with, json));
    json_decref(json);
    memset(velocity, 0, sizeof velocity);
    assert_int_equal(restored_round(run), 1); /* who does not ask for it gets the rest */
    assert_ok(ex_run_restore(run, &with, &json));
    json_decref(json);
    for (int i = 0; i < PARAMS; i++)
        assert_true(velocity[i] == (float)(0.5 * i) && params[i] == (float)(10000 + i));
    write_checkpoint(run, 2); /* without */
    assert_ok(ex_run_restore(run, &with, &json));
    json_decref(json);
    for (int i = 0; i < PARAMS; i++)
        assert_true(velocity[i] == 0.0f);
    ex_run_close(&run);
}

static void test_peek_gives_the_state_of_the_newest_that_is_whole(void **state)
{
    (void)state;
    json_t *json;
    ex_run *run = open_run(EX_RUN_NEW);
    assert_false(ex_run_has_checkpoint(folder));
    assert_status(ex_run_peek(folder, &json), EX_ERR_INPUT);
    write_checkpoint(run, 4);
    write_checkpoint(run, 5);
    assert_true(ex_run_has_checkpoint(folder));
    flip("checkpoint/round-5.bin", 60, SEEK_SET);
    assert_ok(ex_run_peek(folder, &json));
    assert_int_equal(json_integer_value(json_object_get(json, "round")), 4);
    json_decref(json);
    ex_run_close(&run);
}

static void test_a_folder_in_use_is_refused(void **state)
{
    (void)state;
    ex_run *second, *run = open_run(EX_RUN_NEW);
    write_checkpoint(run, 1);
    assert_status(ex_run_open(&second, folder, EX_RUN_RESUME), EX_ERR_EXISTS);
    assert_message("in use by another");
    assert_null(second);
    assert_status(ex_run_open(&second, folder, EX_RUN_OVERWRITE), EX_ERR_EXISTS);
    assert_true(exists("checkpoint/round-1.bin"));
    assert_true(ex_run_busy(folder));
    ex_run_close(&run);
    assert_false(ex_run_busy(folder));
    assert_false(ex_run_busy("/nowhere"));
    run = open_run(EX_RUN_RESUME);
    ex_run_close(&run);
}

static void test_what_a_killed_process_left_is_removed_and_nothing_else(void **state)
{
    (void)state;
    static const char *const mine[] = {"report.json.tmp", "report.json.12x.tmp", "notes.12.tmp",
                                       "report.jsonx.12.tmp"};
    assert_ok(ex_make_folders(folder));
    assert_ok(ex_file_write(in_folder("config.yaml.123.tmp"), "x", 1));
    ex_run *run = open_run(EX_RUN_NEW); /* such a folder counts as empty */
    write_checkpoint(run, 1);
    ex_run_close(&run);
    assert_false(exists("config.yaml.123.tmp"));
    assert_ok(ex_file_write(in_folder("model.safetensors.4.tmp"), "x", 1));
    assert_ok(ex_file_write(in_folder("checkpoint/round-2.bin.4.tmp"), "x", 1));
    for (size_t i = 0; i < sizeof mine / sizeof *mine; i++)
        assert_ok(ex_file_write(in_folder(mine[i]), "x", 1));
    run = open_run(EX_RUN_RESUME);
    write_checkpoint(run, 2);
    ex_run_close(&run);
    assert_false(exists("model.safetensors.4.tmp") || exists("checkpoint/round-2.bin.4.tmp"));
    for (size_t i = 0; i < sizeof mine / sizeof *mine; i++)
        assert_true(exists(mine[i]));
}

static void test_a_reopened_run_has_no_results(void **state)
{
    (void)state;
    ex_run *run = open_run(EX_RUN_NEW);
    write_checkpoint(run, 1);
    assert_ok(ex_file_write(in_folder("report.json"), "{}", 2));
    assert_ok(ex_file_write(in_folder("model.safetensors"), "x", 1));
    assert_ok(ex_run_reopen(run));
    assert_ok(ex_run_reopen(run)); /* nothing there is fine */
    assert_false(exists("report.json") || exists("model.safetensors"));
    assert_true(exists("checkpoint/round-1.bin"));
    ex_run_close(&run);
}

int main(void)
{
    ex_log_set_level(EX_LOG_QUIET);
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_new_run_makes_folders_and_refuses_a_full_one),
        IN_FOLDER(test_a_file_in_place_of_the_folder_is_refused),
        IN_FOLDER(test_overwrite_removes_a_run_and_nothing_else),
        IN_FOLDER(test_overwrite_refuses_a_folder_that_holds_no_run),
        IN_FOLDER(test_discard_leaves_nothing_behind),
        IN_FOLDER(test_discard_keeps_a_folder_that_was_there),
        IN_FOLDER(test_newest_of_two_checkpoints_comes_back),
        IN_FOLDER(test_resume_needs_a_checkpoint),
        IN_FOLDER(test_resume_cuts_the_metrics_to_the_checkpoint),
        IN_FOLDER(test_a_damaged_checkpoint_gives_way_to_the_one_before),
        IN_FOLDER(test_damaged_checkpoints_are_refused_by_name),
        IN_FOLDER(test_a_checkpoint_of_another_model_is_refused),
        IN_FOLDER(test_velocity_comes_back_or_is_zero),
        IN_FOLDER(test_peek_gives_the_state_of_the_newest_that_is_whole),
        IN_FOLDER(test_a_folder_in_use_is_refused),
        IN_FOLDER(test_what_a_killed_process_left_is_removed_and_nothing_else),
        IN_FOLDER(test_a_reopened_run_has_no_results),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
