/* Calls and work that are made to fail, devices that are not there, and what is reported of it. */
#include "device_test.h"

#include "emulate.h"
#include "planted.h"
#include "table_cuda.h"

#include <stdbool.h>
#include <string.h>

enum { N = 64 };
#define BYTES (N * sizeof(float))

typedef struct job {
    cudaStream_t stream;
    cudaEvent_t event;
    float *pinned, *device;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
} job;

static bool prepare(job *j)
{
    return !cudaStreamCreateWithFlags(&j->stream, cudaStreamNonBlocking) &&
           !cudaEventCreateWithFlags(&j->event, cudaEventDisableTiming) &&
           !cudaMallocHost((void **)&j->pinned, BYTES) && !cudaMalloc((void **)&j->device, BYTES);
}

static bool capture(job *j)
{
    if (cudaStreamBeginCapture(j->stream, cudaStreamCaptureModeThreadLocal))
        return false;
    device_test_add(j->device, j->device, j->device, N, j->stream);
    const bool launched = ex_kernels_cuda_error(NULL, NULL) == cudaSuccess;
    return !cudaStreamEndCapture(j->stream, &j->graph) && launched &&
           !cudaGraphInstantiate(&j->exec, j->graph, 0);
}

static bool run(job *j)
{
    return !cudaMemcpyAsync(j->device, j->pinned, BYTES, cudaMemcpyHostToDevice, j->stream) &&
           !cudaGraphLaunch(j->exec, j->stream) && !cudaEventRecord(j->event, j->stream) &&
           !cudaEventSynchronize(j->event);
}

/* As code under test should; planted: without it where `leaks`. */
static bool finish(job *j, bool leaks)
{
    bool good = true;
    good = (!j->exec || !cudaGraphExecDestroy(j->exec)) && good;
    good = (!j->graph || !cudaGraphDestroy(j->graph)) && good;
    good = (!j->event || leaks || !cudaEventDestroy(j->event)) && good;
    good = (!j->device || !cudaFree(j->device)) && good;
    good = (!j->pinned || !cudaFreeHost(j->pinned)) && good;
    return (!j->stream || !cudaStreamDestroy(j->stream)) && good;
}

static bool do_job(bool leaks)
{
    job j = {0};
    const bool good = prepare(&j) && capture(&j) && run(&j);
    return finish(&j, good ? false : leaks) && good;
}

static void test_every_call_fails_in_turn_and_nothing_leaks(void **state)
{
    (void)state;
    long n = 1;
    const char *failed = NULL;
    char names[1024] = "";
    do {
        ex_emulated_reset(0);
        ex_emulated_fail_call(n++);
        const bool good = do_job(false);
        failed = ex_emulated_failed_call();
        assert_int_equal(good, failed == NULL);
        assert_no_leaks();
        if (failed)
            strncat(strncat(names, failed, 100), " ", 2);
    } while (failed);
    assert_int_equal(n - 2, ex_emulated_count().calls);
    assert_non_null(strstr(names,
                           "cudaStreamCreateWithFlags cudaEventCreateWithFlags cudaMallocHost "
                           "cudaMalloc cudaStreamBeginCapture "));
    assert_non_null(strstr(names, "add_relu"));
    assert_non_null(strstr(names, "cudaEventSynchronize cudaGraphExecDestroy"));
}

static void test_leak_on_a_failing_path_is_counted(void **state)
{
    (void)state;
    int leaks = 0;
    for (long n = 1; n < 10; n++) {
        ex_emulated_reset(0);
        ex_emulated_fail_call(n);
        (void)do_job(true);
        leaks += strcmp(ex_emulated_leaks(), "1 events; ") == 0;
    }
    assert_in_range(leaks, 5, 9);
}

static void test_failed_work_breaks_the_device(void **state)
{
    (void)state;
    float *a = NULL;
    assert_done(cudaMalloc((void **)&a, BYTES));
    ex_emulated_fail_work(2);
    assert_done(cudaMemsetAsync(a, 0, BYTES, NULL));
    device_test_add(a, a, a, N, NULL);
    assert_done(cudaMemsetAsync(a, 0, BYTES, NULL));
    assert_int_equal(ex_kernels_cuda_error(NULL, NULL), cudaSuccess);
    assert_cuda(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
    assert_non_null(strstr(ex_emulated_failure(), "add_relu"));
    assert_int_equal(ex_emulated_count().works_run, 2);
    assert_cuda(cudaMemset(a, 0, BYTES), cudaErrorLaunchFailure);
    assert_cuda(cudaGetLastError(), cudaErrorLaunchFailure);
    assert_cuda(cudaGetLastError(), cudaErrorLaunchFailure);
    assert_cuda(cudaFree(a), cudaErrorLaunchFailure);
    assert_no_leaks();
}

static void test_failing_kernel_is_told_by_whoever_waits_for_it(void **state)
{
    (void)state;
    planted_divergent_barrier();
    assert_int_equal(ex_kernels_cuda_error(NULL, NULL), cudaSuccess);
    assert_cuda(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
    assert_non_null(strstr(ex_emulated_failure(), "divergent_kernel: block (0, 0, 0)"));
    planted_empty_grid();
    assert_int_equal(ex_kernels_cuda_error(NULL, NULL), cudaErrorLaunchFailure);
    ex_emulated_reset(0);
    planted_empty_grid();
    assert_int_equal(ex_kernels_cuda_error(NULL, NULL), cudaErrorInvalidConfiguration);
    assert_done(cudaDeviceSynchronize());
}

static void test_arguments_are_copied_at_the_launch(void **state)
{
    (void)state;
    int *out = NULL, back = 0;
    planted_shape s = {7, 3, NULL};
    assert_done(cudaMalloc((void **)&out, sizeof *out));
    planted_difference(out, &s);
    s.a = s.b = 0;
    assert_done(cudaMemcpy(&back, out, sizeof back, cudaMemcpyDeviceToHost));
    assert_int_equal(back, 4);
}

static void pass_host_memory(void)
{
    int out = 0;
    planted_difference(&out, &(planted_shape){7, 3, NULL});
}

static void pass_host_memory_in_a_structure(void)
{
    int *out = NULL, unused = 0;
    if (!cudaMalloc((void **)&out, sizeof *out))
        planted_difference(out, &(planted_shape){7, 3, &unused});
}

static void test_host_memory_as_an_argument_dies(void **state)
{
    (void)state;
    device_test_dies(pass_host_memory, "difference_kernel: an argument is 0x");
    device_test_dies(pass_host_memory_in_a_structure, "difference_kernel: a structure holds 0x");
    int *pinned = NULL;
    assert_done(cudaMallocHost((void **)&pinned, sizeof *pinned));
    planted_difference(pinned, &(planted_shape){7, 3, pinned});
    assert_done(cudaDeviceSynchronize());
    assert_int_equal(*pinned, 4);
}

static void give_host_memory_to_the_library(void)
{
    int out = 0;
    planted_library_call(&out, NULL);
}

static void call_library_on_no_stream(void)
{
    planted_library_call(NULL, (void *)(uintptr_t)0x1230);
}

static void test_wrong_library_calls_die(void **state)
{
    (void)state;
    device_test_dies(give_host_memory_to_the_library, "planted_library_call: an argument is 0x");
    device_test_dies(call_library_on_no_stream, "on a stream that does not exist");
}

static void test_wrong_launch_is_refused_at_the_call(void **state)
{
    (void)state;
    float *a = NULL;
    const char *kernel = NULL;
    assert_done(cudaMalloc((void **)&a, BYTES));
    device_test_add(a, a, a, N, (cudaStream_t)(uintptr_t)0x1230);
    assert_int_equal(ex_kernels_cuda_error(&kernel, NULL), cudaErrorInvalidResourceHandle);
    assert_non_null(strstr(kernel, "add_relu"));
    assert_int_equal(ex_emulated_count().works, 0);
    assert_null(ex_emulated_failure());
}

static void test_no_device_is_told(void **state)
{
    (void)state;
    ex_emulated_set_devices(0);
    int count = -1;
    void *p = NULL;
    assert_cuda(cudaGetDeviceCount(&count), cudaErrorNoDevice);
    assert_int_equal(count, 0);
    assert_cuda(cudaMalloc(&p, 8), cudaErrorNoDevice);
    assert_cuda(cudaGetDevice(&count), cudaErrorNoDevice);
    assert_done(cudaRuntimeGetVersion(&count));
    assert_int_equal(count, CUDART_VERSION);
}

static void test_devices_are_told_apart(void **state)
{
    (void)state;
    ex_emulated_set_devices(3);
    ex_emulated_set_multiprocessors(5);
    int value = 0;
    struct cudaDeviceProp p;
    assert_done(cudaGetDeviceCount(&value));
    assert_int_equal(value, 3);
    assert_done(cudaSetDevice(2));
    assert_done(cudaGetDevice(&value));
    assert_int_equal(value, 2);
    assert_cuda(cudaSetDevice(3), cudaErrorInvalidDevice);
    assert_cuda(cudaGetDeviceProperties(&p, -1), cudaErrorInvalidDevice);
    assert_done(cudaGetDeviceProperties(&p, 2));
    assert_string_equal(p.name, "emulated device 2");
    assert_int_equal(p.multiProcessorCount, 5);
    assert_done(cudaDeviceGetAttribute(&value, cudaDevAttrMultiProcessorCount, 2));
    assert_int_equal(value, 5);
}

static void test_errors_have_names(void **state)
{
    (void)state;
    assert_string_equal(cudaGetErrorName(cudaErrorMemoryAllocation), "cudaErrorMemoryAllocation");
    assert_string_equal(cudaGetErrorString(cudaErrorMemoryAllocation), "out of memory");
    assert_string_equal(cudaGetErrorName((cudaError_t)123456), "unrecognized error code");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_every_call_fails_in_turn_and_nothing_leaks, device_test_fresh),
        cmocka_unit_test_setup(test_leak_on_a_failing_path_is_counted, device_test_fresh),
        cmocka_unit_test_setup(test_failed_work_breaks_the_device, device_test_fresh),
        cmocka_unit_test_setup(test_failing_kernel_is_told_by_whoever_waits_for_it,
                               device_test_fresh),
        cmocka_unit_test_setup(test_arguments_are_copied_at_the_launch, device_test_fresh),
        cmocka_unit_test_setup(test_host_memory_as_an_argument_dies, device_test_fresh),
        cmocka_unit_test_setup(test_wrong_library_calls_die, device_test_fresh),
        cmocka_unit_test_setup(test_wrong_launch_is_refused_at_the_call, device_test_fresh),
        cmocka_unit_test_setup(test_no_device_is_told, device_test_fresh),
        cmocka_unit_test_setup(test_devices_are_told_apart, device_test_fresh),
        cmocka_unit_test_setup(test_errors_have_names, device_test_fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
