/* Opening devices, limits of memory, remembered algorithms. */
#include "net_fixture.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void test_auto_opens_a_device_that_describes_itself(void **state)
{
    (void)state;
    ex_device *device;
    assert_ok(ex_device_open(&device, &(ex_device_options){.device = "auto"}));
    assert_true(strlen(device->description) > 0);
    assert_true(device->lanes_default >= 1);
    ex_device_close(&device);
    assert_null(device);
    assert_ok(ex_device_open(&device, &(ex_device_options){.device = "cpu"}));
    assert_string_equal(device->name, "cpu");
    assert_non_null(strstr(device->description, "oneDNN"));
    ex_device_close(&device);
}

static void test_what_the_cpu_cannot_do_is_refused(void **state)
{
    (void)state;
    ex_device *device;
    assert_status(
        ex_device_open(&device, &(ex_device_options){.device = "cpu", .precision = EX_TF32}),
        EX_ERR_UNSUPPORTED);
    assert_message("tf32 is for GPUs; on the CPU use --precision fp32");
    assert_null(device);
    assert_status(ex_device_open(&device, &(ex_device_options){.device = "gpu"}), EX_ERR_CONFIG);
    assert_message("one of auto, cpu, cuda, cuda:N");
}

static void test_memory_limit_is_kept_and_given_back(void **state)
{
    (void)state;
    ex_net_fixture f;
    ex_net_fixture_open(&f, 0, 64, 1, EX_CONV_DIRECT); /* timing would change what is needed */
    const ex_plan_spec spec = {.use = EX_USE_TRAIN, .batch = 64};
    ex_plan *plan;
    assert_ok(ex_plan_create(&plan, f.lane, &spec));
    const size_t bytes = plan->bytes;
    ex_plan_destroy(&plan);

    for (int fits = 0; fits < 2; fits++) {
        ex_device *device;
        ex_lane *lane;
        const ex_device_options options = {
            .device = "cpu", .conv = EX_CONV_DIRECT, .memory = fits ? 2 * bytes : bytes / 2};
        assert_ok(ex_device_open(&device, &options));
        assert_ok(ex_lane_create(&lane, device, f.model, 1));
        for (int i = 0; i < 8; i++) { /* a leak in the account would show */
            assert_status(ex_plan_create(&plan, lane, &spec), fits ? EX_OK : EX_ERR_MEMORY);
            if (!fits)
                assert_message("lower batch_size");
            ex_plan_destroy(&plan);
        }
        ex_lane_destroy(&lane);
        ex_device_close(&device);
    }
    ex_net_fixture_close(&f);
}

/* The file holds a line for each choice; turned round, the choices are taken from it. */
static void test_algorithms_are_written_and_read_back(void **state)
{
    (void)state;
    char path[] = "/tmp/excise-algorithms-XXXXXX", again[] = "/tmp/excise-algorithms-XXXXXX";
    char text[2][8192] = {{0}};
    ex_net_fixture f, g;
    ex_plan *plan;
    close(mkstemp(path));
    close(mkstemp(again));
    ex_net_fixture_open(&f, 2, 8, 1, EX_CONV_AUTO);
    assert_ok(ex_plan_create(&plan, f.lane, &(ex_plan_spec){.use = EX_USE_TRAIN, .batch = 8}));
    assert_ok(ex_device_write_algorithms(f.device, path));
    ex_plan_destroy(&plan);

    ex_net_fixture_open(&g, 2, 8, 1, EX_CONV_AUTO);
    assert_ok(ex_device_read_algorithms(g.device, path));
    assert_ok(ex_plan_create(&plan, g.lane, &(ex_plan_spec){.use = EX_USE_TRAIN, .batch = 8}));
    assert_ok(ex_device_write_algorithms(g.device, again));
    ex_plan_destroy(&plan);
    for (int i = 0; i < 2; i++) {
        FILE *file = fopen(i ? again : path, "r");
        assert_non_null(file);
        assert_true(fread(text[i], 1, sizeof text[i] - 1, file) > 0);
        fclose(file);
    }
    assert_string_equal(text[0], text[1]);
    assert_non_null(strstr(text[0], "train n8 c16 h6"));

    FILE *file = fopen(path, "w");
    fputs("{\"schema\": 1, \"device\": \"another\", \"algorithms\": {\"x\": \"winograd\"}}", file);
    fclose(file);
    assert_ok(ex_device_read_algorithms(g.device, path)); /* ignored */
    file = fopen(path, "w");
    fputs("{\"schema\": 1,", file);
    fclose(file);
    assert_status(ex_device_read_algorithms(g.device, path), EX_ERR_INPUT);
    assert_message(path);
    unlink(path);
    unlink(again);
    ex_net_fixture_close(&f);
    ex_net_fixture_close(&g);
}

/* Whatever device it was made for, and whether or not anything is chosen here. */
static void test_a_file_that_holds_no_algorithms_is_refused(void **state)
{
    (void)state;
    static const char *const TEXTS[] = {
        "[]",
        "{}",
        "{\"schema\": 1, \"algorithms\": {}}",
        "{\"schema\": \"1\", \"device\": \"another\", \"algorithms\": {}}",
        "{\"schema\": 1, \"device\": [], \"algorithms\": {}}",
        "{\"schema\": 1, \"device\": \"another\"}",
        "{\"schema\": 1, \"device\": \"another\", \"algorithms\": []}",
        "{\"schema\": 1, \"device\": \"another\", \"algorithms\": {\"x\": 3}}",
    };
    for (int i = 0; i < (int)(sizeof TEXTS / sizeof *TEXTS); i++) {
        char path[] = "/tmp/excise-algorithms-XXXXXX";
        ex_device *device;
        close(mkstemp(path));
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(TEXTS[i], file);
        fclose(file);
        assert_ok(ex_device_open(
            &device, &(ex_device_options){.device = ex_test_device(), .conv = EX_CONV_DIRECT}));
        assert_status(ex_device_read_algorithms(device, path), EX_ERR_INPUT);
        assert_message("delete the file");
        ex_device_close(&device);
        unlink(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_auto_opens_a_device_that_describes_itself),
        cmocka_unit_test(test_what_the_cpu_cannot_do_is_refused),
        cmocka_unit_test(test_memory_limit_is_kept_and_given_back),
        cmocka_unit_test(test_algorithms_are_written_and_read_back),
        cmocka_unit_test(test_a_file_that_holds_no_algorithms_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
