/* A short job on the CUDA back end, emulated: against the CPU back end, under other orders of the
 * streams' work, and on more lanes. */
#include "backend_job.h"
#include "device/device.h"
#include "library/library.h"
#include "test.h"

#include <string.h>

static void assert_same(const backend_job *job, const backend_result *a, const backend_result *b)
{
    const ex_model *m = job->model;
    const size_t params = m->param_count * sizeof(float), classes = (size_t)m->classes;
    assert_memory_equal(a->params, b->params, params);
    assert_memory_equal(a->stats, b->stats, m->stat_count * sizeof(float));
    assert_memory_equal(a->velocity, b->velocity, params);
    assert_memory_equal(a->masked, b->masked, params);
    assert_memory_equal(a->gradient, b->gradient, params);
    assert_memory_equal(a->logits, b->logits, job->feed.count * classes * sizeof(float));
    assert_memory_equal(a->forked, b->forked, JOB_VARIANTS * JOB_BATCH * classes * sizeof(float));
    assert_true(a->trained.loss == b->trained.loss && a->trained.correct == b->trained.correct);
    assert_true(a->evaluated.loss == b->evaluated.loss);
}

static void test_results_are_those_of_the_cpu(void **state)
{
    (void)state;
    for (int which = 0; which < EX_TEST_MODELS; which++) {
        backend_job job;
        backend_result cpu, cuda;
        backend_job_open(&job, which, 1);
        const ex_model *m = job.model;
        const size_t classes = (size_t)m->classes;
        backend_result_open(&cpu, &job);
        backend_result_open(&cuda, &job);
        ex_emulated_reset(1);
        assert_ok(backend_job_run(&job, "cpu", &cpu));
        assert_ok(backend_job_run(&job, "cuda", &cuda));
        assert_string_equal(ex_emulated_leaks(), "");
        assert_close(cuda.params, cpu.params, m->param_count, 1e-4, 1e-4);
        assert_close(cuda.stats, cpu.stats, m->stat_count, 1e-4, 1e-4);
        assert_close(cuda.velocity, cpu.velocity, m->param_count, 1e-4, 1e-4);
        assert_close(cuda.masked, cpu.masked, m->param_count, 1e-4, 1e-4);
        assert_close(cuda.gradient, cpu.gradient, m->param_count, 1e-4, 1e-4);
        assert_close(cuda.input, cpu.input,
                     (size_t)(JOB_BATCH * m->in_channels * m->in_height * m->in_width), 1e-4, 1e-4);
        assert_close(cuda.logits, cpu.logits, job.feed.count * classes, 1e-4, 1e-4);
        assert_close(cuda.forked, cpu.forked, JOB_VARIANTS * JOB_BATCH * classes, 1e-4, 1e-4);
        assert_int_equal(cuda.trained.correct, cpu.trained.correct);
        assert_int_equal(cuda.evaluated.correct, cpu.evaluated.correct);
        assert_int_equal(cuda.evaluated.count, job.feed.count);
        backend_result_close(&cpu);
        backend_result_close(&cuda);
        backend_job_close(&job);
    }
}

/* Where the library takes no fused graph, its operations run one by one. */
static void test_fused_graphs_and_their_parts_give_the_same(void **state)
{
    (void)state;
    backend_job job;
    backend_result fused, parts;
    backend_job_open(&job, 1, 1);
    backend_result_open(&fused, &job);
    backend_result_open(&parts, &job);
    ex_emulated_reset(2);
    assert_ok(backend_job_run(&job, "cuda", &fused));
    const long calls = ex_emulated_count().library_calls;
    ex_emulated_reset(2);
    ex_emulated_library_refuse_fused(true);
    const ex_status status = backend_job_run(&job, "cuda", &parts);
    ex_emulated_library_refuse_fused(false);
    assert_ok(status);
    assert_true(ex_emulated_count().library_calls > calls);
    assert_string_equal(ex_emulated_leaks(), "");
    assert_same(&job, &parts, &fused);
    backend_result_close(&fused);
    backend_result_close(&parts);
    backend_job_close(&job);
}

static void test_lanes_and_orders_of_work_do_not_change_a_bit(void **state)
{
    enum { SEEDS = 4 };
    (void)state;
    backend_job job;
    backend_result first, other;
    backend_job_open(&job, 0, 1);
    backend_result_open(&first, &job);
    backend_result_open(&other, &job);
    ex_emulated_reset(0);
    assert_ok(backend_job_run(&job, "cuda", &first));
    for (uint64_t seed = 1; seed < SEEDS; seed++) {
        ex_emulated_reset(seed);
        job.lanes = 1 + (int)(seed % JOB_LANES_MAX);
        assert_ok(backend_job_run(&job, "cuda", &other));
        assert_string_equal(ex_emulated_leaks(), "");
        assert_same(&job, &other, &first);
    }
    backend_result_close(&first);
    backend_result_close(&other);
    backend_job_close(&job);
}

/* On the same lane there is nothing to wait for. */
static void test_a_fork_waits_for_what_it_reads_on_another_lane(void **state)
{
    enum { SEEDS = 24 };
    (void)state;
    backend_job job;
    backend_result one, two;
    backend_job_open(&job, 0, 1);
    backend_result_open(&one, &job);
    backend_result_open(&two, &job);
    const size_t logits =
        JOB_VARIANTS * JOB_BATCH * (size_t)job.model->classes * sizeof *one.forked;
    job.untrained = true;
    ex_emulated_reset(0);
    assert_ok(backend_job_run(&job, "cuda", &one));
    job.lanes = 2;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        ex_emulated_reset(seed);
        assert_ok(backend_job_run(&job, "cuda", &two));
        assert_memory_equal(one.forked, two.forked, logits);
    }
    backend_result_close(&one);
    backend_result_close(&two);
    backend_job_close(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results_are_those_of_the_cpu),
        cmocka_unit_test(test_fused_graphs_and_their_parts_give_the_same),
        cmocka_unit_test(test_lanes_and_orders_of_work_do_not_change_a_bit),
        cmocka_unit_test(test_a_fork_waits_for_what_it_reads_on_another_lane),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
