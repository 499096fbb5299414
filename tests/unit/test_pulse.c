/* Rank 0's sign of life: when it is given, and what becomes of it when something fails. The calls
 * of pthread that starting makes come through here (--wrap, tests/CMakeLists.txt). */
#include "comm_impl.h"
#include "pulse.h"
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

int __real_pthread_condattr_init(pthread_condattr_t *attributes);
int __real_pthread_condattr_setclock(pthread_condattr_t *attributes, clockid_t clock);
int __real_pthread_cond_init(pthread_cond_t *changed, const pthread_condattr_t *attributes);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);
int __wrap_pthread_condattr_init(pthread_condattr_t *attributes);
int __wrap_pthread_condattr_setclock(pthread_condattr_t *attributes, clockid_t clock);
int __wrap_pthread_cond_init(pthread_cond_t *changed, const pthread_condattr_t *attributes);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);

static int calls, fails; /* the call that fails, from 1; 0: none */
static clockid_t clock_set;

static int error_now(void)
{
    return ++calls == fails ? ENOMEM : 0;
}

int __wrap_pthread_condattr_init(pthread_condattr_t *attributes)
{
    const int error = error_now();
    return error ? error : __real_pthread_condattr_init(attributes);
}

int __wrap_pthread_condattr_setclock(pthread_condattr_t *attributes, clockid_t clock)
{
    const int error = error_now();
    clock_set = clock;
    return error ? error : __real_pthread_condattr_setclock(attributes, clock);
}

int __wrap_pthread_cond_init(pthread_cond_t *changed, const pthread_condattr_t *attributes)
{
    const int error = error_now();
    return error ? error : __real_pthread_cond_init(changed, attributes);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument)
{
    const int error = error_now();
    return error ? error : __real_pthread_create(thread, attributes, run, argument);
}

/* --- beats ---------------------------------------------------------------------------------- */

static const double INTERVAL = 0.01;
static ex_comm nobody;
static atomic_int beats, fail_at;

static ex_status count_beat(ex_comm *comm)
{
    assert_ptr_equal(comm, &nobody);
    const int number = atomic_fetch_add(&beats, 1) + 1;
    return number == atomic_load(&fail_at) ? EX_FAIL(EX_ERR_BACKEND, "beat %d failed", number)
                                           : EX_OK;
}

static void pause_for(double seconds)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)(seconds * 1e9)}, NULL);
}

static void wait_for_beats(int count)
{
    for (int i = 0; i < 3000 && atomic_load(&beats) < count; i++)
        pause_for(INTERVAL);
    assert_true(atomic_load(&beats) >= count);
}

static int reset(void **state)
{
    (void)state;
    calls = fails = 0;
    atomic_store(&beats, 0);
    atomic_store(&fail_at, 0);
    return 0;
}

static void test_it_beats_from_the_release_to_the_hold(void **state)
{
    (void)state;
    ex_pulse *p;
    assert_ok(ex_pulse_start(&p, &nobody, count_beat, INTERVAL));
    assert_int_equal(clock_set, CLOCK_MONOTONIC);
    for (int turn = 0; turn < 2; turn++) {
        const int before = atomic_load(&beats);
        pause_for(10 * INTERVAL);
        assert_int_equal(atomic_load(&beats), before);
        ex_pulse_release(p);
        wait_for_beats(before + 3);
        assert_ok(ex_pulse_hold(p));
    }
    ex_pulse_stop(&p);
    assert_null(p);
    ex_pulse_stop(&p);
}

static void test_a_beat_that_fails_is_the_last_and_told_at_the_hold(void **state)
{
    (void)state;
    ex_pulse *p;
    atomic_store(&fail_at, 2);
    assert_ok(ex_pulse_start(&p, &nobody, count_beat, INTERVAL));
    ex_pulse_release(p);
    wait_for_beats(2);
    pause_for(10 * INTERVAL);
    assert_int_equal(atomic_load(&beats), 2);
    assert_status(ex_pulse_hold(p), EX_ERR_BACKEND);
    assert_message("beat 2 failed");
    ex_pulse_stop(&p);
}

static void test_it_does_not_start_where_anything_is_refused(void **state)
{
    (void)state;
    enum { CALLS = 4 };
    ex_pulse *p;
    for (int refused = 1; refused <= CALLS; refused++) {
        calls = 0, fails = refused;
        assert_status(ex_pulse_start(&p, &nobody, count_beat, INTERVAL), EX_ERR_MEMORY);
        assert_message("cannot be started");
        assert_message(strerror(ENOMEM));
        assert_null(p);
        assert_int_equal(calls, refused); /* nothing is begun behind it */
    }
    calls = 0, fails = CALLS + 1;
    assert_ok(ex_pulse_start(&p, &nobody, count_beat, INTERVAL));
    assert_int_equal(calls, CALLS);
    ex_pulse_stop(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_it_beats_from_the_release_to_the_hold, reset),
        cmocka_unit_test_setup(test_a_beat_that_fails_is_the_last_and_told_at_the_hold, reset),
        cmocka_unit_test_setup(test_it_does_not_start_where_anything_is_refused, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
