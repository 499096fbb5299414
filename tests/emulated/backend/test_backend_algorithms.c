/* Choices of candidates: made once, told apart by graph, kept in a file for the same GPU and
 * library. */
#include "algorithms_file.h"
#include "base/log.h"
#include "device/device.h"
#include "library/library.h"
#include "net_fixture.h"
#include "temp.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *read_text(const char *path)
{
    static char text[2][1 << 16];
    static int turn;
    char *t = text[turn++ % 2];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    t[fread(t, 1, sizeof text[0] - 1, file)] = '\0';
    fclose(file);
    return t;
}

static char warned[2048];

static void keep_warning(const char *text, bool warning)
{
    if (warning)
        snprintf(warned, sizeof warned, "%s", text);
}

/* Reads a file while warnings are kept. */
static ex_status read_algorithms(ex_device *device, const char *path)
{
    const ex_log_sink sink = ex_log_sink_get();
    warned[0] = '\0';
    ex_log_sink_set(keep_warning);
    const ex_status status = ex_device_read_algorithms(device, path);
    ex_log_sink_set(sink);
    return status;
}

static void make_plan(ex_net_fixture *f)
{
    ex_plan *plan;
    assert_ok(ex_plan_create(&plan, f->lane, &(ex_plan_spec){.use = EX_USE_TRAIN, .batch = 2}));
    ex_plan_destroy(&plan);
}

static void test_choices_are_written_and_read_back(void **state)
{
    (void)state;
    char path[] = "/tmp/excise-algorithms-XXXXXX", again[] = "/tmp/excise-algorithms-XXXXXX";
    ex_net_fixture f, g;
    close(mkstemp(path));
    close(mkstemp(again));
    ex_emulated_reset(1);
    ex_net_fixture_open(&f, 0, 2, 1, EX_CONV_AUTO);
    make_plan(&f);
    assert_ok(ex_device_write_algorithms(f.device, path));
    const long timed = ex_emulated_count().library_calls;
    assert_true(timed > 0);
    assert_non_null(strstr(read_text(path), f.device->description));

    ex_net_fixture_open(&g, 0, 2, 1, EX_CONV_AUTO);
    assert_ok(ex_device_read_algorithms(g.device, path));
    make_plan(&g);
    assert_int_equal(ex_emulated_count().library_calls, timed); /* nothing was timed again */
    assert_ok(ex_device_write_algorithms(g.device, again));
    assert_string_equal(read_text(path), read_text(again));

    ex_temp_text(path, "{\"schema\": 1, \"device\": \"another\", \"algorithms\": {\"x\": \"y\"}}");
    assert_ok(
        read_algorithms(g.device, path)); /* ignored, and said so: which is it, which is here */
    assert_non_null(strstr(warned, "(another; here is "));
    assert_non_null(strstr(warned, g.device->description));
    ex_temp_text(path, "{\"schema\": 1,");
    assert_status(ex_device_read_algorithms(g.device, path), EX_ERR_INPUT);
    assert_message(path);
    char text[512];
    snprintf(text, sizeof text, "{\"schema\": 1, \"device\": \"%s\", \"algorithms\": {\"x\": 3}}",
             g.device->description);
    ex_temp_text(path, text);
    assert_status(ex_device_read_algorithms(g.device, path), EX_ERR_INPUT);
    assert_message("delete the file");
    unlink(path);
    unlink(again);
    ex_net_fixture_close(&f);
    ex_net_fixture_close(&g);
    assert_string_equal(ex_emulated_leaks(), "");
}

/* What a device of another run would time is there already, kernels against the library too. */
static void test_choices_are_kept_from_run_to_run(void **state)
{
    (void)state;
    const char *path = ex_temp_path("first.json"), *again = ex_temp_path("second.json");
    ex_net_fixture f;
    setenv("EXCISE_CACHE", ex_temp_path("cache"), 1);
    ex_emulated_reset(1);
    ex_net_fixture_open(&f, 0, 2, 1, EX_CONV_AUTO);
    make_plan(&f);
    assert_ok(ex_device_write_algorithms(f.device, path));
    ex_net_fixture_close(&f);
    const ex_emulated_counts timed = ex_emulated_count();
    assert_true(timed.library_calls > 0 && timed.launches > 0);

    ex_net_fixture_open(&f, 0, 2, 1, EX_CONV_AUTO);
    make_plan(&f);
    assert_int_equal(ex_emulated_count().library_calls, timed.library_calls);
    assert_int_equal(ex_emulated_count().launches, timed.launches);
    assert_ok(ex_device_write_algorithms(f.device, again));
    ex_net_fixture_close(&f);
    json_t *first = json_load_file(path, 0, NULL), *second = json_load_file(again, 0, NULL);
    assert_true(json_equal(first, second));
    json_decref(first), json_decref(second);
    setenv("EXCISE_CACHE", "off", 1);
    assert_string_equal(ex_emulated_leaks(), "");
}

/* Another run's choice that cannot be made here is no error: something else is chosen. */
static void test_a_kept_choice_that_cannot_be_made_is_passed_over(void **state)
{
    (void)state;
    const ex_plan_spec spec = {.use = EX_USE_EVALUATE, .batch = 2};
    ex_net_fixture f;
    ex_plan *plan;
    setenv("EXCISE_CACHE", ex_temp_path("refused"), 1);
    ex_emulated_reset(1);
    for (int refused = 0; refused < 2; refused++) {
        ex_net_fixture_open(&f, 0, 2, 1, EX_CONV_AUTO);
        ex_emulated_library_refuse_fused(refused);
        const ex_status status = ex_plan_create(&plan, f.lane, &spec);
        ex_emulated_library_refuse_fused(false);
        assert_ok(status);
        ex_plan_destroy(&plan);
        ex_net_fixture_close(&f);
    }
    setenv("EXCISE_CACHE", "off", 1);
    assert_string_equal(ex_emulated_leaks(), "");
}

/* A choice that cannot be made again: of the file if it came from there. */
static void test_who_made_a_choice_is_blamed_for_it(void **state)
{
    (void)state;
    char path[] = "/tmp/excise-algorithms-XXXXXX";
    const ex_plan_spec spec = {.use = EX_USE_EVALUATE, .batch = 2};
    ex_net_fixture f;
    ex_plan *plan;
    close(mkstemp(path));
    ex_emulated_reset(1);
    ex_net_fixture_open(&f, 0, 2, 1, EX_CONV_DIRECT);
    assert_ok(ex_plan_create(&plan, f.lane, &spec));
    ex_plan_destroy(&plan);
    assert_ok(ex_device_write_algorithms(f.device, path));
    ex_emulated_library_refuse_fused(true);
    const ex_status own = ex_plan_create(&plan, f.lane, &spec);
    ex_emulated_library_refuse_fused(false);
    assert_int_equal(own, EX_ERR_BACKEND);
    assert_message("once in this run, and not again");
    ex_net_fixture_close(&f);

    ex_net_fixture_open(&f, 0, 2, 1, EX_CONV_DIRECT);
    assert_ok(ex_device_read_algorithms(f.device, path));
    ex_emulated_library_refuse_fused(true);
    const ex_status read = ex_plan_create(&plan, f.lane, &spec);
    ex_emulated_library_refuse_fused(false);
    assert_int_equal(read, EX_ERR_INPUT);
    assert_message("delete the file");
    unlink(path);
    ex_net_fixture_close(&f);
    assert_string_equal(ex_emulated_leaks(), "");
}

static void test_direct_times_nothing(void **state)
{
    (void)state;
    ex_net_fixture f;
    ex_emulated_reset(1);
    ex_net_fixture_open(&f, 0, 2, 1, EX_CONV_DIRECT);
    make_plan(&f);
    assert_int_equal(ex_emulated_count().library_calls, 0);
    ex_net_fixture_close(&f);
}

static void test_direct_is_asked_of_the_library(void **state)
{
    (void)state;
    char path[] = "/tmp/excise-algorithms-XXXXXX";
    ex_net_fixture f;
    close(mkstemp(path));
    ex_emulated_reset(1);
    ex_net_fixture_open(&f, 0, 2, 1, EX_CONV_DIRECT);
    make_plan(&f);
    assert_ok(ex_device_write_algorithms(f.device, path));
    const char *text = read_text(path);
    assert_non_null(strstr(text, "\"fp32 direct 0:"));
    assert_null(strstr(text, "\"fp32 0:"));
    unlink(path);
    ex_net_fixture_close(&f);
}

/* It is as good as one that cannot be built: another is taken, and kernels of ours where the
 * library has no other. */
static void test_a_candidate_that_does_not_run_is_passed_over(void **state)
{
    (void)state;
    char path[] = "/tmp/excise-algorithms-XXXXXX";
    ex_net_fixture f;
    close(mkstemp(path));
    ex_emulated_reset(1);
    ex_emulated_set_clock(1.0, 0.1); /* the library would win */
    ex_emulated_library_fail_runs(0);
    ex_net_fixture_open(&f, 0, 2, 1, EX_CONV_AUTO);
    make_plan(&f);
    ex_emulated_library_fail_runs(-1);
    assert_ok(ex_device_write_algorithms(f.device, path));
    const char *text = read_text(path);
    assert_null(strstr(text, "\"candidate 0 of "));
    assert_non_null(strstr(text, "\"candidate 2 of "));
    assert_non_null(strstr(text, "\"kernels\""));
    assert_null(strstr(text, "\"library\""));
    unlink(path);
    ex_net_fixture_close(&f);
    assert_string_equal(ex_emulated_leaks(), "");
}

/* As steps run: one by one, what is timed would be how fast the host launches. */
static void test_candidates_are_timed_in_recordings(void **state)
{
    (void)state;
    for (int timed = 0; timed < 2; timed++) {
        ex_net_fixture f;
        ex_emulated_reset(1);
        ex_net_fixture_open(&f, 0, 2, 1, timed ? EX_CONV_AUTO : EX_CONV_DIRECT);
        make_plan(&f);
        const ex_emulated_counts c = ex_emulated_count();
        assert_true(timed ? c.graph_launches > 20 : c.graph_launches == 0);
        assert_true(!timed || c.graph_works > c.works / 2);
        ex_net_fixture_close(&f);
    }
}

/* Devices that are not there, and memory that does not suffice. */
static void test_what_cannot_be_used_says_why(void **state)
{
    (void)state;
    ex_device *device;
    ex_net_fixture f;
    ex_plan *plan;
    ex_emulated_reset(1);
    assert_status(ex_device_open(&device, &(ex_device_options){.device = "cuda:3"}),
                  EX_ERR_UNSUPPORTED);
    assert_message("there is no cuda:3, only cuda:0 to cuda:0");
    assert_status(ex_device_open(&device, &(ex_device_options){.device = "cuda:x"}), EX_ERR_CONFIG);
    ex_emulated_reset(1);
    ex_emulated_set_devices(0);
    assert_status(ex_device_open(&device, &(ex_device_options){.device = "cuda"}),
                  EX_ERR_UNSUPPORTED);
    ex_emulated_reset(1);
    ex_emulated_set_memory(24 << 20);
    ex_net_fixture_open(&f, 0, 2, 1, EX_CONV_DIRECT);
    assert_status(
        ex_plan_create(&plan, f.lane, &(ex_plan_spec){.use = EX_USE_TRAIN, .batch = 4096}),
        EX_ERR_MEMORY);
    assert_message("of GPU memory are needed");
    assert_message("lower batch_size, lanes or unlearn.variants");
    make_plan(&f); /* the lane is as good as before */
    ex_net_fixture_close(&f);
    assert_string_equal(ex_emulated_leaks(), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choices_are_written_and_read_back),
        cmocka_unit_test(test_choices_are_kept_from_run_to_run),
        cmocka_unit_test(test_a_kept_choice_that_cannot_be_made_is_passed_over),
        cmocka_unit_test(test_who_made_a_choice_is_blamed_for_it),
        cmocka_unit_test(test_direct_times_nothing),
        cmocka_unit_test(test_direct_is_asked_of_the_library),
        cmocka_unit_test(test_a_candidate_that_does_not_run_is_passed_over),
        cmocka_unit_test(test_candidates_are_timed_in_recordings),
        cmocka_unit_test(test_what_cannot_be_used_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
