/* The emulation runs correct kernels correctly and shows the faults that it claims to show. */
#include "table_cuda.h"
#include "emulate.h"
#include "planted.h"
#include "test.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SCAN = PLANTED_BLOCKS * PLANTED_THREADS, INVALID_CONFIGURATION = 9, LAUNCH_FAILURE = 719 };

/* Expects that the last launch failed with `error`, by that kernel, and that it is told once. */
static void assert_failed(int error, const char *kernel, const char *text)
{
    const char *name = NULL, *violation = ex_emulated_violation();
    assert_int_equal(ex_kernels_cuda_error(&name, NULL), error);
    assert_string_equal(name, kernel);
    if (text) {
        assert_non_null(violation);
        if (!strstr(violation, text))
            fail_msg("\"%s\" lacks \"%s\"", violation, text);
    }
    assert_int_equal(ex_kernels_cuda_error(&name, NULL), 0);
    assert_null(name);
}

static bool right_scan(const int *out)
{
    for (int i = 0; i < SCAN; i++) {
        const int t = i % PLANTED_THREADS;
        if (out[i] != t * (t + 1) / 2)
            return false;
    }
    return true;
}

static void test_shuffles_and_barriers_give_the_sums(void **state)
{
    (void)state;
    for (int order = 0; order < 2; order++) {
        int out[SCAN] = {0};
        planted_scan(out);
        assert_true(right_scan(out));
    }
    assert_int_equal(ex_kernels_cuda_error(NULL, NULL), 0);
}

static void test_every_thread_of_every_block_runs_once(void **state)
{
    (void)state;
    int out[360];
    memset(out, 0xff, sizeof out);
    planted_indexes(out);
    for (int i = 0; i < 360; i++)
        assert_int_equal(out[i], i);
}

static void test_missing_barrier_shows_in_one_of_two_orders(void **state)
{
    (void)state;
    int right = 0;
    for (int order = 0; order < 2; order++) {
        int out[SCAN] = {0};
        planted_scan_without_barrier(out);
        right += right_scan(out);
    }
    assert_int_equal(right, 1);
}

static void test_shared_memory_starts_as_nan_in_every_block(void **state)
{
    (void)state;
    for (int order = 0; order < 2; order++) {
        float out[PLANTED_BLOCKS] = {0};
        planted_stale_shared(out);
        assert_true(out[0] == 7.0f);
        for (int b = 1; b < PLANTED_BLOCKS; b++)
            assert_true(isnan(out[b]));
    }
}

static void test_barrier_that_not_all_reach_fails_the_launch(void **state)
{
    (void)state;
    planted_divergent_barrier();
    assert_failed(LAUNCH_FAILURE, "divergent_kernel", "32 wait at a barrier");
}

static void test_shuffle_without_one_of_its_lanes_fails_the_launch(void **state)
{
    (void)state;
    int out[32] = {0};
    planted_missing_lane(out);
    assert_failed(LAUNCH_FAILURE, "missing_lane_kernel", "31 in a shuffle");
    planted_missing_lane(out);
    assert_failed(LAUNCH_FAILURE, "missing_lane_kernel", "1 have left");
}

static void test_barrier_in_a_plain_launch_is_refused(void **state)
{
    (void)state;
    planted_barrier_in_plain_launch();
    assert_failed(LAUNCH_FAILURE, "barrier_kernel", "EX_LAUNCH_TOGETHER");
}

static void test_launch_that_cuda_refuses_is_refused(void **state)
{
    (void)state;
    planted_empty_grid();
    assert_failed(INVALID_CONFIGURATION, "barrier_kernel", NULL);
    planted_large_block();
    assert_failed(INVALID_CONFIGURATION, "barrier_kernel", NULL);
}

static void test_first_of_several_errors_is_kept(void **state)
{
    (void)state;
    int out[SCAN];
    planted_empty_grid();
    planted_divergent_barrier();
    planted_scan(out);
    assert_failed(INVALID_CONFIGURATION, "barrier_kernel", NULL);
    assert_true(right_scan(out));
}

/* Only AddressSanitizer sees it: then the child dies. */
static void test_overrun_of_shared_memory_stops_a_sanitized_run(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__)
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        float out;
        close(STDERR_FILENO);
        planted_shared_overrun(&out);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shuffles_and_barriers_give_the_sums),
        cmocka_unit_test(test_every_thread_of_every_block_runs_once),
        cmocka_unit_test(test_missing_barrier_shows_in_one_of_two_orders),
        cmocka_unit_test(test_shared_memory_starts_as_nan_in_every_block),
        cmocka_unit_test(test_barrier_that_not_all_reach_fails_the_launch),
        cmocka_unit_test(test_shuffle_without_one_of_its_lanes_fails_the_launch),
        cmocka_unit_test(test_barrier_in_a_plain_launch_is_refused),
        cmocka_unit_test(test_launch_that_cuda_refuses_is_refused),
        cmocka_unit_test(test_first_of_several_errors_is_kept),
        cmocka_unit_test(test_overrun_of_shared_memory_stops_a_sanitized_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
