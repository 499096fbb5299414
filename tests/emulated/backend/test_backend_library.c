/* Norms and pools of training by the library's graphs or by kernels of ours, as the device's clock
 * has it: the same results, the same bits on any lanes and in any order, and whatever call or work
 * fails on the way is told. */
#include "backend_job.h"
#include "device/device.h"
#include "test.h"

#include "base/memory.h"
#include "model/builder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Clocks by which one of both is faster. */
typedef enum winner { OURS, LIBRARYS } winner;

static void set_up(uint64_t seed, winner w)
{
    ex_emulated_reset(seed);
    ex_emulated_set_clock(1.0, w == OURS ? 100.0 : 0.1);
}

/* --- choices ---------------------------------------------------------------------------------- */

static int count_of(const char *text, const char *word)
{
    int count = 0;
    for (const char *p = text; (p = strstr(p, word)); p += strlen(word))
        count++;
    return count;
}

static const char *algorithms_of(ex_net_fixture *f, const char *path)
{
    static char text[1 << 16];
    ex_plan *plan;
    assert_ok(ex_plan_create(&plan, f->lane, &(ex_plan_spec){.use = EX_USE_TRAIN, .batch = 4}));
    ex_plan_destroy(&plan);
    assert_ok(ex_device_write_algorithms(f->device, path));
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

/* The residual model: norms with two readers of what they give, with one, with and without a
 * residual; a pool of the largest and one of the mean. */
static void test_the_faster_one_is_taken_and_told(void **state)
{
    (void)state;
    for (winner w = OURS; w <= LIBRARYS; w++) {
        char path[] = "/tmp/excise-algorithms-XXXXXX";
        ex_net_fixture f;
        close(mkstemp(path));
        set_up(1, w);
        ex_net_fixture_open(&f, 0, 4, 1, EX_CONV_AUTO);
        const char *text = algorithms_of(&f, path);
        assert_int_equal(count_of(text, ": \"kernels\""), w == OURS ? 7 : 0);
        assert_int_equal(count_of(text, ": \"library\""), w == OURS ? 0 : 7);
        assert_int_equal(count_of(text, "\"by: fp32 "), 7);
        unlink(path);
        ex_net_fixture_close(&f);
        assert_string_equal(ex_emulated_leaks(), "");
    }
}

/* What a file tells is taken, however the clock runs by then; and nothing is timed. */
static void test_a_choice_that_was_read_is_kept(void **state)
{
    (void)state;
    char path[] = "/tmp/excise-algorithms-XXXXXX", again[] = "/tmp/excise-algorithms-XXXXXX";
    ex_net_fixture f;
    close(mkstemp(path));
    close(mkstemp(again));
    set_up(1, LIBRARYS);
    ex_net_fixture_open(&f, 0, 4, 1, EX_CONV_AUTO);
    char *const first = strdup(algorithms_of(&f, path));
    ex_net_fixture_close(&f);
    set_up(1, OURS);
    ex_net_fixture_open(&f, 0, 4, 1, EX_CONV_AUTO);
    assert_ok(ex_device_read_algorithms(f.device, path));
    const ex_emulated_counts before = ex_emulated_count();
    assert_string_equal(algorithms_of(&f, again), first);
    assert_int_equal(ex_emulated_count().launches, before.launches);
    assert_int_equal(ex_emulated_count().library_calls, before.library_calls);
    ex_net_fixture_close(&f);
    free(first);
    unlink(path);
    unlink(again);
}

static void test_a_choice_of_neither_is_refused(void **state)
{
    (void)state;
    char path[] = "/tmp/excise-algorithms-XXXXXX";
    ex_net_fixture f;
    ex_plan *plan;
    close(mkstemp(path));
    set_up(1, LIBRARYS);
    ex_net_fixture_open(&f, 0, 4, 1, EX_CONV_AUTO);
    char *text = strdup(algorithms_of(&f, path)), *at = text;
    ex_net_fixture_close(&f);
    while ((at = strstr(at, ": \"library\"")))
        memcpy(at, ": \"another\"", 11);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    free(text);
    ex_net_fixture_open(&f, 0, 4, 1, EX_CONV_AUTO);
    assert_ok(ex_device_read_algorithms(f.device, path));
    assert_status(ex_plan_create(&plan, f.lane, &(ex_plan_spec){.use = EX_USE_TRAIN, .batch = 4}),
                  EX_ERR_INPUT);
    assert_message("kernels or library is expected; delete the file");
    unlink(path);
    ex_net_fixture_close(&f);
    assert_string_equal(ex_emulated_leaks(), "");
}

/* A file may name the library and not its plans: as somebody does who wants to try them. */
static void test_the_library_can_be_asked_for(void **state)
{
    (void)state;
    char path[] = "/tmp/excise-algorithms-XXXXXX";
    ex_net_fixture f;
    close(mkstemp(path));
    set_up(1, OURS);
    ex_net_fixture_open(&f, 0, 4, 1, EX_CONV_AUTO);
    char *text = strdup(algorithms_of(&f, path)), *at = text;
    ex_net_fixture_close(&f);
    while ((at = strstr(at, ": \"kernels\"")))
        memcpy(at, ": \"library\"", 11);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    free(text);
    set_up(1, OURS);
    ex_net_fixture_open(&f, 0, 4, 1, EX_CONV_AUTO);
    assert_ok(ex_device_read_algorithms(f.device, path));
    assert_true(count_of(algorithms_of(&f, path), "norm_bwd") > 7); /* of contests, and plans */
    unlink(path);
    ex_net_fixture_close(&f);
    assert_string_equal(ex_emulated_leaks(), "");
}

/* --- results ---------------------------------------------------------------------------------- */

/* The job both ways. */
static void run_both(backend_job *job, backend_result *ours, backend_result *theirs)
{
    job->timed = true;
    backend_result_open(ours, job);
    backend_result_open(theirs, job);
    set_up(1, OURS);
    assert_ok(backend_job_run(job, "cuda", ours));
    const long calls = ex_emulated_count().library_calls;
    set_up(1, LIBRARYS);
    assert_ok(backend_job_run(job, "cuda", theirs));
    assert_true(ex_emulated_count().library_calls > calls);
    assert_string_equal(ex_emulated_leaks(), "");
}

static void test_both_give_the_same(void **state)
{
    (void)state;
    for (int which = 0; which < EX_TEST_MODELS; which++) {
        backend_job job;
        backend_result ours, theirs;
        backend_job_open(&job, which, 1);
        const ex_model *m = job.model;
        const size_t params = m->param_count;
        run_both(&job, &ours, &theirs);
        assert_close(theirs.params, ours.params, params, 1e-4, 1e-4);
        assert_close(theirs.stats, ours.stats, m->stat_count, 1e-4, 1e-4);
        assert_close(theirs.velocity, ours.velocity, params, 1e-4, 1e-4);
        assert_close(theirs.masked, ours.masked, params, 1e-4, 1e-4);
        assert_close(theirs.gradient, ours.gradient, params, 1e-4, 1e-4);
        assert_close(theirs.input, ours.input,
                     (size_t)(JOB_BATCH * m->in_channels * m->in_height * m->in_width), 1e-4, 1e-4);
        backend_result_close(&ours);
        backend_result_close(&theirs);
        backend_job_close(&job);
    }
}

/* |a - b| over |b|. */
static double distance(const float *a, const float *b, size_t n)
{
    double apart = 0.0, all = 0.0;
    for (size_t i = 0; i < n; i++) {
        apart += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        all += (double)b[i] * (double)b[i];
    }
    return sqrt(apart / all);
}

/* A value on the edge of a rounding may go either way, and a ReLU with it. */
static void test_both_give_about_the_same_in_bf16(void **state)
{
    (void)state;
    backend_job job;
    backend_result ours, theirs;
    backend_job_open(&job, 0, 1);
    job.precision = EX_BF16;
    run_both(&job, &ours, &theirs);
    const size_t params = job.model->param_count;
    assert_true(distance(theirs.params, ours.params, params) < 0.01);
    assert_true(distance(theirs.masked, ours.masked, params) < 0.01);
    assert_true(distance(theirs.stats, ours.stats, job.model->stat_count) < 0.01);
    backend_result_close(&ours);
    backend_result_close(&theirs);
    backend_job_close(&job);
}

static void test_lanes_and_orders_of_work_do_not_change_a_bit(void **state)
{
    enum { SEEDS = 3 };
    (void)state;
    backend_job job;
    backend_result first, other;
    backend_job_open(&job, 0, 1);
    job.timed = true;
    const size_t params = job.model->param_count * sizeof(float);
    backend_result_open(&first, &job);
    backend_result_open(&other, &job);
    set_up(0, LIBRARYS);
    assert_ok(backend_job_run(&job, "cuda", &first));
    for (uint64_t seed = 1; seed < SEEDS; seed++) {
        set_up(seed, LIBRARYS);
        job.lanes = 1 + (int)seed;
        assert_ok(backend_job_run(&job, "cuda", &other));
        assert_memory_equal(other.params, first.params, params);
        assert_memory_equal(other.velocity, first.velocity, params);
        assert_memory_equal(other.masked, first.masked, params);
        assert_memory_equal(other.stats, first.stats, job.model->stat_count * sizeof(float));
    }
    backend_result_close(&first);
    backend_result_close(&other);
    backend_job_close(&job);
}

/* A single value has no unbiased variance, which the library would tell as infinite: the running
 * one has to stay a number, though the library is the faster one. */
static void test_a_norm_of_one_value_is_ours(void **state)
{
    (void)state;
    ex_model *m;
    ex_dataset data;
    ex_samples feed;
    ex_device *device;
    ex_lane *lane;
    ex_plan *plan;
    ex_train_sums sums = {0};
    const ex_sgd_coeff sgd = {.lr = 0.1f};
    set_up(1, LIBRARYS);
    assert_ok(ex_alloc(&m, 1, sizeof *m, "model"));
    ex_builder b = {.model = m};
    int x = ex_builder_input(&b, 1, 2, 2);
    x = ex_builder_conv(&b, x, "c",
                        (ex_conv_spec){.K = 4, .R = 3, .stride = 2, .pad = 1, .norm = "c.bn"});
    ex_builder_linear(&b, x, "l", 2, false);
    assert_ok(b.status);
    m->classes = 2;
    ex_test_images(&data, m, 1, 3);
    assert_ok(ex_samples_all(&feed, &data));
    float *params = ex_guard_floats(m->param_count), *stats = ex_guard_floats(m->stat_count);
    ex_test_values(m, 5, params, stats);
    assert_ok(ex_device_open(&device, &(ex_device_options){.device = "cuda"}));
    assert_ok(ex_lane_create(&lane, device, m, 1));
    assert_ok(ex_lane_load(lane, params, stats));
    assert_ok(ex_plan_create(&plan, lane, &(ex_plan_spec){.use = EX_USE_TRAIN, .batch = 1}));
    assert_ok(ex_plan_train(plan, &data, &feed, &sgd, &sums));
    assert_ok(ex_lane_store(lane, params, stats));
    for (size_t i = 0; i < m->stat_count; i++)
        assert_true(isfinite(stats[i]));
    ex_plan_destroy(&plan);
    ex_lane_destroy(&lane);
    ex_device_close(&device);
    ex_guard_free(params);
    ex_guard_free(stats);
    ex_samples_free(&feed);
    ex_dataset_close(&data);
    ex_model_destroy(&m);
    assert_string_equal(ex_emulated_leaks(), "");
}

/* --- failures --------------------------------------------------------------------------------- */

/* A candidate for which there is no memory, or that cannot be recorded, is passed over; what only
 * gives back concerns nobody. */
static bool may_go_unnoticed(const char *call)
{
    return strstr(call, "Destroy") || strstr(call, "Free") || strcmp(call, "cudaSetDevice") == 0 ||
           strcmp(call, "cudaMalloc") == 0 || strstr(call, "Capture") ||
           strcmp(call, "cudaGraphInstantiate") == 0 || strcmp(call, "cudaGraphUpload") == 0;
}

/* The first ones all, then fewer and fewer of them. */
static long after(long n)
{
    return n + 1 + n / 12;
}

/* Making plans: contests, timings, graphs. */
static void test_calls_may_fail_while_plans_are_made(void **state)
{
    (void)state;
    const ex_plan_spec spec = {.use = EX_USE_TRAIN, .batch = 4};
    for (long n = 1;; n = after(n)) {
        ex_net_fixture f;
        ex_plan *plan = NULL;
        set_up((uint64_t)n, LIBRARYS);
        ex_net_fixture_open(&f, 0, 4, 1, EX_CONV_AUTO);
        ex_emulated_fail_call(n);
        const ex_status status = ex_plan_create(&plan, f.lane, &spec);
        const char *call = ex_emulated_failed_call();
        if (status == EX_OK && call && !may_go_unnoticed(call))
            fail_msg("failure %ld, of %s, went unnoticed", n, call);
        ex_plan_destroy(&plan);
        ex_net_fixture_close(&f);
        if (strcmp(ex_emulated_leaks(), "") != 0)
            fail_msg("failure %ld, of %s, leaks %s", n, call ? call : "none", ex_emulated_leaks());
        if (!call) {
            assert_ok(status);
            assert_true(n > 200);
            break;
        }
    }
    ex_emulated_reset(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_faster_one_is_taken_and_told),
        cmocka_unit_test(test_a_choice_that_was_read_is_kept),
        cmocka_unit_test(test_a_choice_of_neither_is_refused),
        cmocka_unit_test(test_the_library_can_be_asked_for),
        cmocka_unit_test(test_both_give_the_same),
        cmocka_unit_test(test_both_give_about_the_same_in_bf16),
        cmocka_unit_test(test_lanes_and_orders_of_work_do_not_change_a_bit),
        cmocka_unit_test(test_a_norm_of_one_value_is_ours),
        cmocka_unit_test(test_calls_may_fail_while_plans_are_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
