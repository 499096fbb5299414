/* A short job on the CUDA back end, emulated, in which one thing fails, each in turn: calls of the
 * runtime and launches, work on the device, calls of the library, the host's allocations. Each time
 * the job ends with an error that says why, unless what failed only gave something back; and
 * nothing is left behind on the device or the host.
 *
 * Each: of some thousands, the first ones and then fewer and fewer. With EXCISE_EVERY=1 all, on
 * one lane; where candidates are timed, which takes ten times as many calls, one in fifty behind
 * the first fifty. */
#include "backend_job.h"
#include "device/device.h"
#include "failing.h"
#include "library/library.h"
#include "table_cuda.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

static bool every(void)
{
    return getenv("EXCISE_EVERY") != NULL;
}

typedef struct scene {
    backend_job job;
    backend_result result, expected;
    long live; /* blocks of the host between two runs */
} scene;

/* Where candidates are timed, the library's norms and pools are faster than kernels of ours. */
static void begin(const scene *s, long seed)
{
    const char *kernel = NULL, *where = NULL;
    (void)ex_kernels_cuda_error(&kernel, &where); /* which a job that failed otherwise left untold */
    ex_emulated_reset((uint64_t)seed);
    if (s->job.timed)
        ex_emulated_set_clock(1.0, 0.1);
}

static void open_scene(scene *s, ex_precision precision, bool timed)
{
    backend_job_open(&s->job, 1, every() ? 1 : 2);
    s->job.precision = precision;
    s->job.timed = timed;
    backend_result_open(&s->result, &s->job);
    backend_result_open(&s->expected, &s->job);
    for (int i = 0; i < 2; i++) { /* what stays for good is there after the first */
        begin(s, 0);
        assert_ok(backend_job_run(&s->job, "cuda", &s->expected));
        assert_true(i == 0 || ex_allocations_live() == s->live);
        s->live = ex_allocations_live();
    }
}

static void close_scene(scene *s)
{
    ex_emulated_reset(0);
    backend_result_close(&s->result);
    backend_result_close(&s->expected);
    backend_job_close(&s->job);
}

static long after(const scene *s, long n)
{
    return !every() ? n + 1 + n / 12 : s->job.timed ? n + 1 + n / 50 : n + 1;
}

static ex_status run(scene *s)
{
    return backend_job_run(&s->job, "cuda", &s->result);
}

/* Behind a run with failure n, of `what`. */
static void check_rest(const scene *s, ex_status status, long n, const char *what)
{
    if (status != EX_OK && strlen(ex_error_message()) == 0)
        fail_msg("failure %ld, of %s, is not told", n, what);
    if (strcmp(ex_emulated_leaks(), "") != 0)
        fail_msg("failure %ld, of %s, leaks %s", n, what, ex_emulated_leaks());
    if (ex_allocations_live() != s->live)
        fail_msg("failure %ld, of %s, leaks %ld blocks of the host", n, what,
                 ex_allocations_live() - s->live);
}

/* Of a run that ended well all the same: timed candidates may be others then. */
static void check_result(const scene *s, long n, const char *what)
{
    const size_t params = s->job.model->param_count * sizeof(float);
    const size_t logits = JOB_VARIANTS * JOB_BATCH * (size_t)s->job.model->classes * sizeof(float);
    if (!s->job.timed && (memcmp(s->result.params, s->expected.params, params) != 0 ||
                          memcmp(s->result.masked, s->expected.masked, params) != 0 ||
                          memcmp(s->result.forked, s->expected.forked, logits) != 0))
        fail_msg("failure %ld, of %s, went unnoticed and changed the result", n, what);
}

/* --- calls ------------------------------------------------------------------------------------ */

/* What gives something back may fail, and so may each call that ends the job: nobody needs it. Of
 * timed candidates those that find no memory or cannot be recorded are passed over. */
static bool may_go_unnoticed(const scene *s, const char *call, long n)
{
    return n > s->result.calls || strstr(call, "Free") || strstr(call, "Destroy") ||
           (s->job.timed && (strcmp(call, "cudaMalloc") == 0 || strstr(call, "Capture") ||
                             strstr(call, "cudaGraph")));
}

/* The call, where it stands in our sources, and what was going on. What a machine lacks, or memory
 * that is short, is told in other words; a kernel's launch fails as one. */
static void check_words(ex_status status, long n, const char *call)
{
    const char *message = ex_error_message();
    if (status != EX_ERR_BACKEND)
        return;
    const bool named = strstr(message, call) || strstr(message, "the launch of");
    if (!named || !strstr(message, " while ") || !strchr(ex_error_where(), ':'))
        fail_msg("failure %ld, of %s, is told without the call, what went on, or where: \"%s\" (%s)",
                 n, call, message, ex_error_where());
}

static void fail_calls(ex_precision precision, bool timed)
{
    scene s;
    open_scene(&s, precision, timed);
    for (long n = 1;; n = after(&s, n)) {
        begin(&s, n);
        ex_emulated_fail_call(n);
        const ex_status status = run(&s);
        const char *call = ex_emulated_failed_call();
        if (!call) {
            assert_ok(status);
            assert_true(n > 300);
            break;
        }
        if (status == EX_OK && !may_go_unnoticed(&s, call, n))
            fail_msg("failure %ld, of %s, went unnoticed", n, call);
        if (status == EX_OK)
            check_result(&s, n, call);
        else
            check_words(status, n, call);
        check_rest(&s, status, n, call);
    }
    close_scene(&s);
}

static void test_calls_may_fail(void **state)
{
    (void)state;
    fail_calls(EX_FP32, false);
}

static void test_calls_may_fail_where_candidates_are_timed(void **state)
{
    (void)state;
    fail_calls(EX_BF16, true);
}

/* --- work ------------------------------------------------------------------------------------- */

/* It breaks the device: the job ends with an error, whatever it does next. */
static void test_work_may_fail(void **state)
{
    (void)state;
    scene s;
    open_scene(&s, EX_FP32, false);
    for (long n = 1;; n = after(&s, n)) {
        begin(&s, n);
        ex_emulated_fail_work(n);
        const ex_status status = run(&s);
        check_rest(&s, status, n, "work");
        if (!ex_emulated_failure()) {
            assert_ok(status);
            assert_true(n > 200);
            break;
        }
        assert_int_equal(status, EX_ERR_BACKEND);
    }
    close_scene(&s);
}

/* --- the library ------------------------------------------------------------------------------ */

/* What cannot be, or finds no memory, may be done in another way: by parts, or by another
 * candidate. An error is one, unless it is that of a candidate which is timed. */
static void fail_library(ex_status failure, bool timed)
{
    scene s;
    open_scene(&s, EX_FP32, timed);
    for (long n = 1;; n = after(&s, n)) {
        begin(&s, n);
        ex_emulated_library_fail(n, failure);
        const ex_status status = run(&s);
        const char *call = ex_emulated_library_failed();
        ex_emulated_library_fail(0, EX_OK);
        if (!call) {
            assert_ok(status);
            assert_true(n > 100);
            break;
        }
        const bool passed_over = timed && strcmp(call, "ex_dnn_plan_run") == 0;
        if (failure == EX_ERR_BACKEND && status != failure && !(passed_over && status == EX_OK))
            fail_msg("failure %ld, of %s, went unnoticed: %s", n, call, ex_status_name(status));
        if (status != EX_OK && !strstr(ex_error_message(), "was made to fail"))
            fail_msg("failure %ld, of %s, became \"%s\"", n, call, ex_error_message());
        check_rest(&s, status, n, call);
    }
    close_scene(&s);
}

static void test_calls_of_the_library_may_fail(void **state)
{
    (void)state;
    fail_library(EX_ERR_BACKEND, false);
    fail_library(EX_ERR_BACKEND, true);
}

static void test_the_library_may_refuse_and_lack_memory(void **state)
{
    (void)state;
    fail_library(EX_ERR_UNSUPPORTED, false);
    fail_library(EX_ERR_MEMORY, true);
}

/* --- the host's memory ------------------------------------------------------------------------ */

static void test_allocations_of_the_host_may_fail(void **state)
{
    (void)state;
    scene s;
    open_scene(&s, EX_FP32, false);
    for (long n = 1;; n = after(&s, n)) {
        begin(&s, n);
        ex_fail_allocation(n);
        const ex_status status = run(&s);
        const long all = ex_allocations();
        ex_fail_allocation(0);
        check_rest(&s, status, n, "an allocation");
        if (all < n) {
            assert_ok(status);
            assert_true(n > 100);
            break;
        }
        if (status == EX_OK || (status != EX_ERR_MEMORY && !strstr(ex_error_message(), "memory")))
            fail_msg("allocation %ld of the host failed, and the job ended with %s (%s)", n,
                     ex_status_name(status), ex_error_message());
    }
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_may_fail),
        cmocka_unit_test(test_calls_may_fail_where_candidates_are_timed),
        cmocka_unit_test(test_work_may_fail),
        cmocka_unit_test(test_calls_of_the_library_may_fail),
        cmocka_unit_test(test_the_library_may_refuse_and_lack_memory),
        cmocka_unit_test(test_allocations_of_the_host_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
