/* Choices that are kept from run to run on a machine, beside the runs' own files. */
#include "algorithms_cache.h"
#include "base/log.h"
#include "net_fixture.h"
#include "temp.h"
#include "test.h"
#include "winograd.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MODEL = 0, BATCH = 8 };

static char warned[2048];

static void keep_warning(const char *text, bool warning)
{
    if (warning)
        snprintf(warned, sizeof warned, "%s", text);
}

/* An empty cache for the test that begins, and no warnings. */
static const char *begin(void)
{
    static char folder[PATH_MAX];
    static int number;
    char name[32];
    snprintf(name, sizeof name, "cache%d", number++);
    snprintf(folder, sizeof folder, "%s", ex_temp_path(name));
    assert_int_equal(setenv("EXCISE_CACHE", folder, 1), 0);
    ex_log_sink_set(keep_warning);
    warned[0] = '\0';
    return folder;
}

/* The one file in FOLDER/algorithms; "" if there is none. */
static const char *file_in(const char *folder)
{
    static char path[PATH_MAX];
    char inner[PATH_MAX];
    assert_true(snprintf(inner, sizeof inner, "%s/algorithms", folder) < PATH_MAX);
    DIR *d = opendir(inner);
    path[0] = '\0';
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.') {
            assert_string_equal(path, "");
            assert_true(snprintf(path, sizeof path, "%s/%s", inner, e->d_name) < PATH_MAX);
        }
    if (d)
        closedir(d);
    return path;
}

static json_t *read_json(const char *path)
{
    json_t *root = json_load_file(path, 0, NULL);
    assert_non_null(root);
    return root;
}

static size_t choices_in(const char *path)
{
    json_t *root = read_json(path);
    const size_t count = json_object_size(json_object_get(root, "algorithms"));
    json_decref(root);
    return count;
}

/* A run: a device that has read `own` (or NULL) makes a plan, and writes what it chose, as the
 * caller's. */
static json_t *run(const char *own)
{
    const char *path = ex_temp_path("run.json");
    const ex_plan_spec spec = {.use = EX_USE_TRAIN, .batch = BATCH};
    ex_net_fixture f;
    ex_plan *plan;
    ex_net_fixture_open(&f, MODEL, BATCH, 1, EX_CONV_AUTO);
    if (own)
        assert_ok(ex_device_read_algorithms(f.device, own));
    assert_ok(ex_plan_create(&plan, f.lane, &spec));
    ex_plan_destroy(&plan);
    assert_ok(ex_device_write_algorithms(f.device, path));
    ex_net_fixture_close(&f);
    return read_json(path);
}

/* Turns every choice of the file round: what is timed would hardly come out so. */
static void turn_round(const char *path)
{
    const char *key;
    json_t *value, *root = read_json(path);
    json_object_foreach(json_object_get(root, "algorithms"), key, value)
    {
        const bool direct = strcmp(json_string_value(value), "direct") == 0;
        assert_int_equal(json_string_set(value, direct ? "pixels" : "direct"), 0);
    }
    assert_int_equal(json_dump_file(root, path, 0), 0);
    json_decref(root);
}

/* How many choices of both are the same. "pixels" cannot compute all that "direct" can: such a
 * choice is not taken. */
static int same_choices(const json_t *a, const json_t *b)
{
    json_t *all = json_object_get(a, "algorithms"), *value;
    const char *key;
    int same = 0;
    json_object_foreach(all, key, value)
    {
        const bool equal =
            json_equal(value, json_object_get(json_object_get(b, "algorithms"), key));
        same += equal;
        assert_true(equal || strcmp(json_string_value(value), "pixels") == 0);
    }
    return same;
}

static void test_a_run_takes_what_one_before_it_timed(void **state)
{
    (void)state;
    const char *folder = begin();
    json_t *first = run(NULL);
    char path[PATH_MAX];
    struct stat before, after;
    snprintf(path, sizeof path, "%s", file_in(folder));
    json_t *cached = read_json(path);
    assert_true(json_equal(first, cached));
    json_decref(cached);

    turn_round(path);
    json_t *turned = read_json(path), *second = run(NULL);
    const int same = same_choices(turned, second); /* blocks of 16 channels are read as pixels */
    assert_true(same > 0 || !ex_winograd_is_fast());

    assert_int_equal(stat(path, &before), 0);
    json_t *third = run(NULL);
    assert_true(json_equal(second, third));
    assert_int_equal(stat(path, &after), 0); /* not even written */
    assert_int_equal(before.st_ino, after.st_ino);
    assert_string_equal(warned, "");
    json_decref(first), json_decref(turned), json_decref(second), json_decref(third);
}

static void test_a_file_of_the_run_s_own_comes_first(void **state)
{
    (void)state;
    const char *folder = begin(), *own = ex_temp_path("own.json");
    json_decref(run(NULL));
    json_t *cached = read_json(file_in(folder));
    assert_int_equal(json_dump_file(cached, own, 0), 0);
    turn_round(file_in(folder));
    json_t *turned = read_json(file_in(folder)), *second = run(own);
    assert_true(json_equal(second, cached));
    json_t *left = read_json(file_in(folder)); /* is not told of what a file said */
    assert_true(json_equal(left, turned));
    json_decref(cached), json_decref(turned), json_decref(second), json_decref(left);
}

static void test_a_damaged_cache_is_replaced_and_told_of(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "{\"schema\": 1, \"dev",
        "[]",
        "{\"schema\": 1, \"device\": \"another\", \"algorithms\": {}}",
        "{\"schema\": 1, \"device\": \"another\", \"algorithms\": {\"x\": 3}}",
    };
    const char *folder = begin();
    json_decref(run(NULL));
    const size_t choices = choices_in(file_in(folder));
    assert_true(choices > 0);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        ex_temp_text(file_in(folder), texts[i]);
        warned[0] = '\0';
        json_decref(run(NULL));
        assert_non_null(strstr(warned, file_in(folder)));
        assert_int_equal(choices_in(file_in(folder)), choices);
        warned[0] = '\0';
        json_decref(run(NULL));
        assert_string_equal(warned, "");
    }
}

/* A choice that means nothing here is timed again; the others stay. */
static void test_a_choice_that_cannot_be_used_is_replaced(void **state)
{
    (void)state;
    const char *folder = begin();
    json_decref(run(NULL));
    json_t *root = read_json(file_in(folder)), *all = json_object_get(root, "algorithms");
    const char *key = json_object_iter_key(json_object_iter(all));
    json_object_set_new(all, key, json_string("quickly"));
    assert_int_equal(json_dump_file(root, file_in(folder), 0), 0);
    json_decref(run(NULL));
    json_t *now = read_json(file_in(folder));
    const char *text = json_string_value(json_object_get(json_object_get(now, "algorithms"), key));
    assert_non_null(text);
    assert_string_not_equal(text, "quickly");
    assert_int_equal(json_object_size(json_object_get(now, "algorithms")), json_object_size(all));
    assert_string_equal(warned, "");
    json_decref(root), json_decref(now);
}

/* --- without a device ------------------------------------------------------------------------- */

static const ex_device DEVICE = {.description = "a device"};

static void add_one(const ex_device *device, const char *key)
{
    ex_algorithms_cache cache = {0};
    ex_algorithms_cache_add(&cache, device, key, "text");
    ex_algorithms_cache_close(&cache, device);
}

static bool knows(const ex_device *device, const char *key)
{
    ex_algorithms_cache cache = {0};
    const bool found = ex_algorithms_cache_find(&cache, device, key) != NULL;
    ex_algorithms_cache_close(&cache, device);
    return found;
}

enum { PROCESSES = 6, EACH = 8 };

static void add_all(int process, int start)
{
    char byte, key[32];
    if (read(start, &byte, 1) != 0) /* its end: all begin together */
        _exit(1);
    for (int i = 0; i < EACH; i++) {
        snprintf(key, sizeof key, "process %d, key %d", process, i);
        add_one(&DEVICE, key);
    }
}

static void test_processes_at_once_lose_nothing(void **state)
{
    (void)state;
    const char *folder = begin();
    int start[2], running = PROCESSES, status;
    char key[32];
    assert_int_equal(pipe(start), 0);
    add_one(&DEVICE, "before");
    for (int p = 0; p < PROCESSES; p++) {
        const pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            close(start[1]);
            add_all(p, start[0]);
            _exit(0);
        }
    }
    close(start[0]);
    close(start[1]);
    while (running > 0) { /* whoever reads meanwhile finds a whole file */
        assert_true(knows(&DEVICE, "before"));
        if (waitpid(-1, &status, WNOHANG) > 0) {
            assert_int_equal(status, 0);
            running--;
        }
    }
    for (int p = 0; p < PROCESSES; p++)
        for (int i = 0; i < EACH; i++) {
            snprintf(key, sizeof key, "process %d, key %d", p, i);
            assert_true(knows(&DEVICE, key));
        }
    assert_int_equal(choices_in(file_in(folder)), 1 + PROCESSES * EACH); /* and nothing beside it */
    assert_string_equal(warned, "");
}

/* What another wrote since the file was read is what runs to come take. */
static void test_the_first_to_write_a_choice_wins(void **state)
{
    (void)state;
    (void)begin();
    ex_algorithms_cache late = {0}, again = {0};
    assert_null(ex_algorithms_cache_find(&late, &DEVICE, "key"));
    add_one(&DEVICE, "key");
    ex_algorithms_cache_add(&late, &DEVICE, "key", "another");
    ex_algorithms_cache_close(&late, &DEVICE);
    assert_string_equal(ex_algorithms_cache_find(&again, &DEVICE, "key"), "text");
    ex_algorithms_cache_add(&again, &DEVICE, "key", "another"); /* it was of no use */
    ex_algorithms_cache_close(&again, &DEVICE);
    assert_string_equal(ex_algorithms_cache_find(&again, &DEVICE, "key"), "another");
    ex_algorithms_cache_close(&again, &DEVICE);
}

static void test_devices_and_limits_of_memory_are_told_apart(void **state)
{
    (void)state;
    (void)begin();
    const ex_device other = {.description = "another device"};
    const ex_device limited = {.description = "a device", .options = {.memory = 1}};
    add_one(&DEVICE, "key");
    add_one(&limited, "limited");
    assert_true(knows(&DEVICE, "key"));
    assert_false(knows(&other, "key"));
    assert_false(knows(&limited, "key"));
    assert_false(knows(&DEVICE, "limited"));
}

/* Nothing can be kept, and nobody is told: neither by a warning nor as the last error. */
static void check_nowhere(void)
{
    warned[0] = '\0';
    (void)EX_FAIL(EX_ERR_INTERNAL, "an error of the caller's");
    add_one(&DEVICE, "key");
    assert_message("an error of the caller's");
    assert_false(knows(&DEVICE, "key"));
    assert_message("an error of the caller's");
    assert_string_equal(warned, "");
}

static void test_where_the_cache_is(void **state)
{
    (void)state;
    char inner[PATH_MAX];
    const char *folder = begin(), *file = ex_temp_path("a file");
    add_one(&DEVICE, "key");
    assert_string_not_equal(file_in(folder), "");
    setenv("EXCISE_CACHE", "off", 1);
    check_nowhere();
    ex_temp_text(file, "");
    snprintf(inner, sizeof inner, "%s/inner", file);
    setenv("EXCISE_CACHE", inner, 1);
    check_nowhere();

    unsetenv("EXCISE_CACHE");
    setenv("XDG_CACHE_HOME", ex_temp_path("xdg"), 1);
    setenv("HOME", ex_temp_path("home"), 1);
    add_one(&DEVICE, "key");
    assert_string_not_equal(file_in(ex_temp_path("xdg/excise")), "");
    setenv("XDG_CACHE_HOME", "relative", 1);
    add_one(&DEVICE, "key");
    assert_string_not_equal(file_in(ex_temp_path("home/.cache/excise")), "");
    assert_true(knows(&DEVICE, "key"));
    unsetenv("XDG_CACHE_HOME");
    assert_true(knows(&DEVICE, "key"));
    unsetenv("HOME");
    check_nowhere();
    assert_int_not_equal(access("relative", F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_run_takes_what_one_before_it_timed),
        cmocka_unit_test(test_a_file_of_the_run_s_own_comes_first),
        cmocka_unit_test(test_a_damaged_cache_is_replaced_and_told_of),
        cmocka_unit_test(test_a_choice_that_cannot_be_used_is_replaced),
        cmocka_unit_test(test_processes_at_once_lose_nothing),
        cmocka_unit_test(test_the_first_to_write_a_choice_wins),
        cmocka_unit_test(test_devices_and_limits_of_memory_are_told_apart),
        cmocka_unit_test(test_where_the_cache_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
