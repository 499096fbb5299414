#include "test.h"
#include "trainer.h"

#include <omp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { ITEMS = 200 };

typedef struct record {
    atomic_int runs[ITEMS];
    int lane_of[ITEMS];
    int order[ITEMS];
    atomic_int started;
    int fail_from; /* items from here on fail, the later the sooner */
    int threads_in_lane;
} record;

static void wait_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
}

static ex_status note(void *context, int item, int lane)
{
    record *r = context;
    r->order[atomic_fetch_add(&r->started, 1)] = item;
    r->lane_of[item] = lane;
    atomic_fetch_add(&r->runs[item], 1);
    return EX_OK;
}

static void test_every_item_runs_once_on_a_lane_that_exists(void **state)
{
    (void)state;
    for (int lanes = 1; lanes <= 4; lanes++) {
        record r = {0};
        assert_ok(ex_lanes_run(lanes, ITEMS, note, &r));
        for (int i = 0; i < ITEMS; i++) {
            assert_int_equal(atomic_load(&r.runs[i]), 1);
            assert_in_range(r.lane_of[i], 0, lanes - 1);
        }
    }
}

static void test_no_item_means_no_call(void **state)
{
    (void)state;
    record r = {0};
    assert_ok(ex_lanes_run(3, 0, note, &r));
    assert_int_equal(atomic_load(&r.started), 0);
    assert_status(ex_lanes_run(0, 3, note, &r), EX_ERR_USAGE);
}

static ex_status note_thread(void *context, int item, int lane)
{
    (void)lane;
    ((pthread_t *)context)[item] = pthread_self();
    return EX_OK;
}

static void test_one_lane_runs_in_the_callers_thread_in_order(void **state)
{
    (void)state;
    pthread_t thread[3];
    assert_ok(ex_lanes_run(1, 3, note_thread, thread));
    for (int i = 0; i < 3; i++)
        assert_true(pthread_equal(thread[i], pthread_self()));
    record r = {0};
    assert_ok(ex_lanes_run(1, ITEMS, note, &r));
    for (int i = 0; i < ITEMS; i++)
        assert_int_equal(r.order[i], i);
}

/* Two lanes meet in the middle of their items, which is possible only if both run at once. */
static ex_status meet(void *context, int item, int lane)
{
    (void)item, (void)lane;
    atomic_int *arrived = context;
    atomic_fetch_add(arrived, 1);
    for (int i = 0; i < 5000; i++) {
        if (atomic_load(arrived) == 2)
            return EX_OK;
        wait_ms(1);
    }
    return EX_FAIL(EX_ERR_INTERNAL, "the other lane never came");
}

static void test_lanes_run_at_once(void **state)
{
    (void)state;
    atomic_int arrived = 0;
    assert_ok(ex_lanes_run(2, 2, meet, &arrived));
}

static ex_status fail_late_items_first(void *context, int item, int lane)
{
    record *r = context;
    note(r, item, lane);
    if (item < r->fail_from)
        return EX_OK;
    wait_ms(item == r->fail_from ? 50 : 1);
    return EX_FAIL(item == r->fail_from ? EX_ERR_NUMERIC : EX_ERR_IO, "item %d broke", item);
}

static void test_first_error_by_item_is_reported_with_its_message(void **state)
{
    (void)state;
    for (int lanes = 1; lanes <= 3; lanes++) {
        record r = {.fail_from = 7};
        assert_status(ex_lanes_run(lanes, ITEMS, fail_late_items_first, &r), EX_ERR_NUMERIC);
        assert_string_equal(ex_error_message(), "item 7 broke");
        assert_non_null(strstr(ex_error_where(), "test_lanes.c"));
        for (int i = 0; i <= 7; i++)
            assert_int_equal(atomic_load(&r.runs[i]), 1);
        assert_true(atomic_load(&r.started) < ITEMS / 2); /* the handing out stopped */
    }
}

static ex_status note_openmp_threads(void *context, int item, int lane)
{
    (void)lane;
    ((int *)context)[item] = omp_get_max_threads();
    return EX_OK;
}

static void test_a_lane_starts_with_one_openmp_thread_and_leaves_the_callers_alone(void **state)
{
    (void)state;
    omp_set_num_threads(3);
    int threads[4] = {0};
    assert_ok(ex_lanes_run(2, 4, note_openmp_threads, threads));
    for (int i = 0; i < 4; i++)
        assert_int_equal(threads[i], 1);
    assert_int_equal(omp_get_max_threads(), 3);
}

static void test_signals_are_noted_and_a_second_one_would_kill(void **state)
{
    (void)state;
    ex_interrupt_install();
    assert_false(ex_interrupted());
    raise(SIGTERM);
    assert_true(ex_interrupted());
    struct sigaction now;
    assert_int_equal(sigaction(SIGTERM, NULL, &now), 0);
    assert_true(now.sa_handler == SIG_DFL);
    ex_interrupt_install();
    assert_false(ex_interrupted());
    raise(SIGINT);
    assert_true(ex_interrupted());
    ex_interrupt_install();
}

static void test_an_interruption_waits_while_it_is_held(void **state)
{
    (void)state;
    ex_interrupt_install();
    ex_interrupt_hold();
    ex_interrupt_hold(); /* nested */
    raise(SIGINT);
    assert_false(ex_interrupted());
    ex_interrupt_release();
    assert_false(ex_interrupted());
    ex_interrupt_release();
    assert_true(ex_interrupted());
    ex_interrupt_install();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_item_runs_once_on_a_lane_that_exists),
        cmocka_unit_test(test_no_item_means_no_call),
        cmocka_unit_test(test_one_lane_runs_in_the_callers_thread_in_order),
        cmocka_unit_test(test_lanes_run_at_once),
        cmocka_unit_test(test_first_error_by_item_is_reported_with_its_message),
        cmocka_unit_test(test_a_lane_starts_with_one_openmp_thread_and_leaves_the_callers_alone),
        cmocka_unit_test(test_signals_are_noted_and_a_second_one_would_kill),
        cmocka_unit_test(test_an_interruption_waits_while_it_is_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
