/* Capture into graphs, and what CUDA forbids while it goes on. */
#include "device_test.h"

#include "planted.h"
#include "table_cuda.h"

#include <stdbool.h>

enum { N = 64, SEEDS = 20 };
#define BYTES (N * sizeof(float))

static cudaStream_t new_stream(void)
{
    cudaStream_t s = NULL;
    assert_done(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
    return s;
}

static cudaEvent_t new_event(void)
{
    cudaEvent_t e = NULL;
    assert_done(cudaEventCreateWithFlags(&e, cudaEventDisableTiming));
    return e;
}

static void begin(cudaStream_t s)
{
    assert_done(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal));
}

/* Ends the capture; the graph is made ready and destroyed. */
static cudaGraphExec_t end(cudaStream_t s, size_t expected_nodes)
{
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    size_t nodes = 0;
    assert_done(cudaStreamEndCapture(s, &graph));
    assert_done(cudaGraphGetNodes(graph, NULL, &nodes));
    assert_int_equal(nodes, expected_nodes);
    assert_done(cudaGraphInstantiate(&exec, graph, 0));
    assert_done(cudaGraphDestroy(graph));
    return exec;
}

static float first_float(const float *p, cudaStream_t s)
{
    float value = -1.0f;
    assert_done(cudaMemcpyAsync(&value, p, sizeof value, cudaMemcpyDeviceToHost, s));
    return value;
}

static void set(float *p, float value, cudaStream_t s)
{
    float floats[N];
    for (int i = 0; i < N; i++)
        floats[i] = value;
    assert_done(cudaMemcpyAsync(p, floats, BYTES, cudaMemcpyHostToDevice, s));
}

static void test_captured_work_runs_at_each_launch(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        ex_emulated_reset(seed);
        float *const a = device_test_floats(N);
        const cudaStream_t s = new_stream();
        set(a, 1.0f, s);
        begin(s);
        device_test_add(a, a, a, N, s);
        device_test_add(a, a, a, N, s);
        const cudaGraphExec_t exec = end(s, 2);
        assert_true(first_float(a, s) == 1.0f);
        for (int i = 0; i < 3; i++)
            assert_done(cudaGraphLaunch(exec, s));
        assert_true(first_float(a, s) == 64.0f);
        const ex_emulated_counts c = ex_emulated_count();
        assert_int_equal(c.graph_launches, 3);
        assert_int_equal(c.launches, 6);
        assert_done(cudaGraphExecDestroy(exec));
        assert_done(cudaStreamDestroy(s));
        assert_done(cudaFree(a));
        assert_no_leaks();
    }
}

static void test_pinned_memory_is_read_at_each_launch(void **state)
{
    (void)state;
    float *pinned = NULL, *const a = device_test_floats(N);
    const cudaStream_t s = new_stream();
    assert_done(cudaMallocHost((void **)&pinned, BYTES));
    begin(s);
    assert_done(cudaMemcpyAsync(a, pinned, BYTES, cudaMemcpyHostToDevice, s));
    const cudaGraphExec_t exec = end(s, 1);
    for (int i = 1; i < 4; i++) {
        pinned[0] = (float)i;
        assert_done(cudaGraphLaunch(exec, s));
        assert_true(first_float(a, s) == (float)i);
    }
    assert_int_equal(ex_emulated_count().uploaded, 3 * BYTES);
}

/* c = 2 a + 2 b in two branches. Planted: b's branch is joined, but does not wait for the fork's
 * beginning; or the sum does not wait for b's branch. */
static bool branches_give_the_sum(bool fork_late, bool join_late)
{
    float *const a = device_test_floats(N), *const b = device_test_floats(N),
                 *const c = device_test_floats(N);
    const cudaStream_t s = new_stream(), t = new_stream();
    const cudaEvent_t forked = new_event(), done = new_event();
    set(a, 1.0f, s);
    begin(s);
    if (fork_late)
        assert_done(cudaEventRecord(forked, s));
    assert_done(cudaMemcpyAsync(b, a, BYTES, cudaMemcpyDeviceToDevice, s));
    if (!fork_late)
        assert_done(cudaEventRecord(forked, s));
    assert_done(cudaStreamWaitEvent(t, forked, 0));
    device_test_add(a, a, a, N, s);
    device_test_add(b, b, b, N, t);
    assert_done(cudaEventRecord(done, t));
    if (!join_late)
        assert_done(cudaStreamWaitEvent(s, done, 0));
    device_test_add(c, a, b, N, s);
    if (join_late)
        assert_done(cudaStreamWaitEvent(s, done, 0));
    const cudaGraphExec_t exec = end(s, 4);
    assert_done(cudaGraphLaunch(exec, s));
    return first_float(c, s) == 4.0f;
}

static void test_capture_follows_forks_and_joins(void **state)
{
    (void)state;
    int right = 0, forked_late = 0, joined_late = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        ex_emulated_reset(seed);
        right += branches_give_the_sum(false, false);
        forked_late += branches_give_the_sum(true, false);
        joined_late += branches_give_the_sum(false, true);
    }
    assert_int_equal(right, SEEDS);
    assert_in_range(forked_late, 0, SEEDS - 1);
    assert_in_range(joined_late, 0, SEEDS - 1);
}

static void test_library_calls_are_captured(void **state)
{
    (void)state;
    int *pinned = NULL;
    const cudaStream_t s = new_stream();
    assert_done(cudaMallocHost((void **)&pinned, sizeof *pinned));
    *pinned = 5;
    begin(s);
    planted_library_call(pinned, s);
    const cudaGraphExec_t exec = end(s, 1);
    assert_done(cudaStreamSynchronize(s));
    assert_int_equal(*pinned, 5);
    assert_done(cudaGraphLaunch(exec, s));
    assert_done(cudaGraphLaunch(exec, s));
    assert_done(cudaStreamSynchronize(s));
    assert_int_equal(*pinned, 7);
    assert_int_equal(ex_emulated_count().library_calls, 2);
}

static void test_launches_of_one_graph_follow_each_other(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        ex_emulated_reset(seed);
        float *const a = device_test_floats(N);
        const cudaStream_t s = new_stream(), t = new_stream();
        set(a, 1.0f, s);
        begin(s);
        device_test_add(a, a, a, N, s);
        const cudaGraphExec_t exec = end(s, 1);
        assert_done(cudaGraphLaunch(exec, s));
        assert_done(cudaGraphLaunch(exec, t));
        assert_done(cudaGraphLaunch(exec, s));
        assert_true(first_float(a, s) == 8.0f);
    }
}

static void test_graph_launched_in_a_capture_becomes_part_of_it(void **state)
{
    (void)state;
    float *const a = device_test_floats(N);
    const cudaStream_t s = new_stream();
    set(a, 1.0f, s);
    begin(s);
    device_test_add(a, a, a, N, s);
    const cudaGraphExec_t inner = end(s, 1);
    begin(s);
    for (int i = 0; i < 3; i++)
        assert_done(cudaGraphLaunch(inner, s));
    device_test_add(a, a, a, N, s);
    const cudaGraphExec_t outer = end(s, 4);
    assert_done(cudaGraphExecDestroy(inner));
    assert_done(cudaGraphLaunch(outer, s));
    assert_done(cudaGraphExecDestroy(outer));
    assert_true(first_float(a, s) == 16.0f);
}

/* Begins a capture, expects that the call gives `error`, and that the capture is worth nothing. */
#define assert_forbidden(call, error)                                                              \
    do {                                                                                           \
        cudaGraph_t graph_ = NULL;                                                                 \
        begin(s);                                                                                  \
        assert_cuda(call, error);                                                                  \
        assert_cuda(cudaStreamEndCapture(s, &graph_), cudaErrorStreamCaptureInvalidated);          \
        assert_null(graph_);                                                                       \
    } while (0)

static void test_calls_that_cannot_be_captured_fail(void **state)
{
    (void)state;
    float *const a = device_test_floats(N), pageable[N] = {0};
    const cudaStream_t s = new_stream();
    void *p = NULL;
    const cudaError_t error = cudaErrorStreamCaptureUnsupported;
    assert_forbidden(cudaMalloc(&p, 8), error);
    assert_forbidden(cudaMallocHost(&p, 8), error);
    assert_forbidden(cudaFree(a), error);
    assert_forbidden(cudaStreamSynchronize(s), error);
    assert_forbidden(cudaStreamQuery(s), error);
    assert_forbidden(cudaDeviceSynchronize(), error);
    assert_forbidden(cudaMemcpy(a, pageable, BYTES, cudaMemcpyHostToDevice), error);
    assert_forbidden(cudaMemset(a, 0, BYTES), error);
    assert_forbidden(cudaMemcpyAsync(a, pageable, BYTES, cudaMemcpyHostToDevice, s), error);
    assert_forbidden(cudaMemcpyAsync(pageable, a, BYTES, cudaMemcpyDeviceToHost, s), error);
    assert_int_equal(ex_emulated_alive().device_allocations, 1);
    assert_int_equal(ex_emulated_alive().graphs, 0);
    assert_done(cudaFree(a));
}

static void test_relaxed_capture_lets_memory_be_allocated(void **state)
{
    (void)state;
    const cudaStream_t s = new_stream();
    void *p = NULL;
    cudaGraph_t graph = NULL;
    assert_done(cudaStreamBeginCapture(s, cudaStreamCaptureModeRelaxed));
    assert_done(cudaMalloc(&p, 8));
    assert_done(cudaStreamEndCapture(s, &graph));
}

static void test_events_of_a_capture_stay_in_it(void **state)
{
    (void)state;
    const cudaStream_t s = new_stream(), t = new_stream();
    const cudaEvent_t outside = new_event(), inside = new_event();
    cudaGraph_t graph = NULL;
    assert_done(cudaEventRecord(outside, t));
    assert_forbidden(cudaStreamWaitEvent(s, outside, 0), cudaErrorStreamCaptureIsolation);
    begin(s);
    assert_done(cudaEventRecord(inside, s));
    assert_cuda(cudaEventSynchronize(inside), cudaErrorCapturedEvent);
    assert_cuda(cudaStreamEndCapture(s, &graph), cudaErrorStreamCaptureInvalidated);
    begin(s);
    begin(t);
    assert_done(cudaEventRecord(inside, s));
    assert_cuda(cudaStreamWaitEvent(t, inside, 0), cudaErrorStreamCaptureMerge);
    assert_cuda(cudaStreamEndCapture(s, &graph), cudaErrorStreamCaptureInvalidated);
    assert_cuda(cudaStreamEndCapture(t, &graph), cudaErrorStreamCaptureInvalidated);
}

static void test_fork_without_join_is_refused(void **state)
{
    (void)state;
    float *const a = device_test_floats(N);
    const cudaStream_t s = new_stream(), t = new_stream();
    const cudaEvent_t forked = new_event();
    cudaGraph_t graph = NULL;
    enum cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    begin(s);
    assert_done(cudaEventRecord(forked, s));
    assert_done(cudaStreamWaitEvent(t, forked, 0));
    assert_done(cudaMemsetAsync(a, 0, BYTES, t));
    assert_done(cudaStreamIsCapturing(t, &status));
    assert_int_equal(status, cudaStreamCaptureStatusActive);
    assert_cuda(cudaStreamEndCapture(s, &graph), cudaErrorStreamCaptureUnjoined);
    assert_done(cudaStreamIsCapturing(t, &status));
    assert_int_equal(status, cudaStreamCaptureStatusNone);
    assert_done(cudaMemsetAsync(a, 0, BYTES, t));
}

static void test_capture_ends_where_it_began(void **state)
{
    (void)state;
    const cudaStream_t s = new_stream(), t = new_stream();
    const cudaEvent_t forked = new_event();
    cudaGraph_t graph = NULL;
    assert_cuda(cudaStreamEndCapture(s, &graph), cudaErrorIllegalState);
    begin(s);
    assert_done(cudaEventRecord(forked, s));
    assert_done(cudaStreamWaitEvent(t, forked, 0));
    assert_cuda(cudaStreamEndCapture(t, &graph), cudaErrorStreamCaptureUnmatched);
    assert_cuda(cudaStreamEndCapture(s, &graph), cudaErrorStreamCaptureInvalidated);
    assert_cuda(cudaStreamBeginCapture(NULL, cudaStreamCaptureModeGlobal),
                cudaErrorStreamCaptureUnsupported);
}

static void test_legacy_stream_meets_a_captured_blocking_stream(void **state)
{
    (void)state;
    float *const a = device_test_floats(N);
    cudaStream_t s = NULL;
    cudaGraph_t graph = NULL;
    assert_done(cudaStreamCreate(&s));
    begin(s);
    device_test_add(a, a, a, N, NULL);
    assert_int_equal(ex_kernels_cuda_error(NULL, NULL), cudaErrorStreamCaptureImplicit);
    assert_cuda(cudaStreamEndCapture(s, &graph), cudaErrorStreamCaptureInvalidated);
}

static void test_captured_stream_can_be_destroyed(void **state)
{
    (void)state;
    const cudaStream_t s = new_stream();
    void *p = NULL;
    begin(s);
    assert_done(cudaStreamDestroy(s));
    assert_done(cudaMalloc(&p, 8));
    assert_done(cudaFree(p));
    assert_no_leaks();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_captured_work_runs_at_each_launch, device_test_fresh),
        cmocka_unit_test_setup(test_pinned_memory_is_read_at_each_launch, device_test_fresh),
        cmocka_unit_test_setup(test_capture_follows_forks_and_joins, device_test_fresh),
        cmocka_unit_test_setup(test_library_calls_are_captured, device_test_fresh),
        cmocka_unit_test_setup(test_launches_of_one_graph_follow_each_other, device_test_fresh),
        cmocka_unit_test_setup(test_graph_launched_in_a_capture_becomes_part_of_it,
                               device_test_fresh),
        cmocka_unit_test_setup(test_calls_that_cannot_be_captured_fail, device_test_fresh),
        cmocka_unit_test_setup(test_relaxed_capture_lets_memory_be_allocated, device_test_fresh),
        cmocka_unit_test_setup(test_events_of_a_capture_stay_in_it, device_test_fresh),
        cmocka_unit_test_setup(test_fork_without_join_is_refused, device_test_fresh),
        cmocka_unit_test_setup(test_capture_ends_where_it_began, device_test_fresh),
        cmocka_unit_test_setup(test_legacy_stream_meets_a_captured_blocking_stream,
                               device_test_fresh),
        cmocka_unit_test_setup(test_captured_stream_can_be_destroyed, device_test_fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
