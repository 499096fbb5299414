/* Streams and events order work; what they do not order runs in another order for some seed. */
#include "device_test.h"

#include "table_cuda.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

enum { N = 64, SEEDS = 20 };
#define BYTES (N * sizeof(float))

static cudaStream_t new_stream(unsigned flags)
{
    cudaStream_t s = NULL;
    assert_done(cudaStreamCreateWithFlags(&s, flags));
    return s;
}

static cudaEvent_t new_event(unsigned flags)
{
    cudaEvent_t e = NULL;
    assert_done(cudaEventCreateWithFlags(&e, flags));
    return e;
}

/* The first byte of device memory, by a copy on `stream`, whose work it waits for. */
static int first_byte(const void *p, cudaStream_t stream)
{
    unsigned char *pinned = NULL;
    assert_done(cudaMallocHost((void **)&pinned, 1));
    assert_done(cudaMemcpyAsync(pinned, p, 1, cudaMemcpyDeviceToHost, stream));
    assert_done(cudaStreamSynchronize(stream));
    const int byte = *pinned;
    assert_done(cudaFreeHost(pinned));
    return byte;
}

/* One stream fills, another reads. Planted where `event` is not waited for. */
static bool reader_sees_writer(bool event)
{
    float *const a = device_test_floats(N);
    const cudaStream_t writer = new_stream(cudaStreamNonBlocking);
    const cudaStream_t reader = new_stream(cudaStreamNonBlocking);
    const cudaEvent_t written = new_event(cudaEventDisableTiming);
    assert_done(cudaMemsetAsync(a, 7, BYTES, writer));
    assert_done(cudaEventRecord(written, writer));
    if (event)
        assert_done(cudaStreamWaitEvent(reader, written, 0));
    const bool sees = first_byte(a, reader) == 7;
    assert_done(cudaEventDestroy(written));
    assert_done(cudaStreamDestroy(writer));
    assert_done(cudaStreamDestroy(reader));
    assert_done(cudaFree(a));
    assert_no_leaks();
    return sees;
}

static void test_missing_event_wait_is_caught_by_some_seed(void **state)
{
    (void)state;
    int with = 0, without = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        ex_emulated_reset(seed);
        with += reader_sees_writer(true);
        without += reader_sees_writer(false);
    }
    assert_int_equal(with, SEEDS);
    assert_in_range(without, 1, SEEDS - 1);
}

/* Planted where the reader's buffer is filled again without waiting for it. */
static bool buffer_is_kept_for_its_reader(bool event)
{
    float *const a = device_test_floats(N);
    const cudaStream_t writer = new_stream(cudaStreamNonBlocking);
    const cudaStream_t reader = new_stream(cudaStreamNonBlocking);
    const cudaEvent_t written = new_event(0), read = new_event(0);
    unsigned char *pinned = NULL;
    assert_done(cudaMallocHost((void **)&pinned, 1));
    assert_done(cudaMemsetAsync(a, 7, BYTES, writer));
    assert_done(cudaEventRecord(written, writer));
    assert_done(cudaStreamWaitEvent(reader, written, 0));
    assert_done(cudaMemcpyAsync(pinned, a, 1, cudaMemcpyDeviceToHost, reader));
    assert_done(cudaEventRecord(read, reader));
    if (event)
        assert_done(cudaStreamWaitEvent(writer, read, 0));
    assert_done(cudaMemsetAsync(a, 8, BYTES, writer));
    assert_done(cudaDeviceSynchronize());
    return *pinned == 7;
}

static void test_buffer_reused_too_early_is_caught_by_some_seed(void **state)
{
    (void)state;
    int with = 0, without = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        ex_emulated_reset(seed);
        with += buffer_is_kept_for_its_reader(true);
        without += buffer_is_kept_for_its_reader(false);
    }
    assert_int_equal(with, SEEDS);
    assert_in_range(without, 1, SEEDS - 1);
}

static void test_one_stream_runs_in_order(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        ex_emulated_reset(seed);
        float *const a = device_test_floats(N), *const b = device_test_floats(N);
        const cudaStream_t s = new_stream(cudaStreamNonBlocking);
        for (int i = 0; i < 30; i++) {
            assert_done(cudaMemsetAsync(a, i, BYTES, s));
            assert_done(cudaMemcpyAsync(b, a, BYTES, cudaMemcpyDeviceToDevice, s));
        }
        assert_int_equal(first_byte(b, s), 29);
    }
}

static char order_text[8];

static void append(void *letter)
{
    const size_t length = strlen(order_text);
    order_text[length] = *(const char *)letter;
    order_text[length + 1] = '\0';
}

/* The order in which two works each of two streams run. */
static void observe_order(char order[8])
{
    static char letters[] = "abcd";
    const cudaStream_t s = new_stream(cudaStreamNonBlocking), t = new_stream(cudaStreamNonBlocking);
    order_text[0] = '\0';
    for (int i = 0; i < 2; i++) {
        assert_done(cudaLaunchHostFunc(s, append, letters + i));
        assert_done(cudaLaunchHostFunc(t, append, letters + 2 + i));
    }
    assert_done(cudaDeviceSynchronize());
    memcpy(order, order_text, sizeof order_text);
}

static void test_seeds_run_streams_in_all_orders_and_repeat_themselves(void **state)
{
    (void)state;
    char order[40][8], again[8];
    int different = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        ex_emulated_reset(seed);
        observe_order(order[seed]);
        ex_emulated_reset(seed);
        observe_order(again);
        assert_string_equal(again, order[seed]);
        bool is_new = true;
        for (uint64_t other = 0; other < seed; other++)
            is_new = is_new && strcmp(order[other], order[seed]) != 0;
        different += is_new;
    }
    assert_string_equal(order[0], "acbd");
    assert_in_range(different, 4, 6); /* of 4! / (2! 2!) */
}

static void test_work_waits_for_somebody_to_wait(void **state)
{
    (void)state;
    float *const a = device_test_floats(N);
    const cudaStream_t s = new_stream(0);
    const cudaEvent_t e = new_event(0);
    assert_done(cudaMemsetAsync(a, 1, BYTES, s));
    assert_done(cudaEventRecord(e, s));
    assert_int_equal(ex_emulated_count().works_run, 0);
    assert_int_equal(ex_emulated_alive().works, 1);
    assert_cuda(cudaEventQuery(e), cudaErrorNotReady);
    assert_cuda(cudaGetLastError(), cudaErrorNotReady);
    assert_done(cudaEventSynchronize(e));
    assert_done(cudaEventQuery(e));
    assert_done(cudaStreamQuery(s));
    assert_int_equal(ex_emulated_count().works_run, 1);
    assert_int_equal(ex_emulated_count().synchronisations, 1);
}

static void test_polling_comes_to_an_end(void **state)
{
    (void)state;
    float *const a = device_test_floats(N);
    for (int i = 0; i < 10; i++)
        assert_done(cudaMemsetAsync(a, i, BYTES, NULL));
    int polls = 0;
    while (cudaStreamQuery(NULL) == cudaErrorNotReady)
        assert_in_range(polls++, 0, 100);
    assert_int_equal(ex_emulated_alive().works, 0);
}

static void test_events_tell_elapsed_time(void **state)
{
    (void)state;
    const cudaEvent_t a = new_event(0), b = new_event(0), c = new_event(cudaEventDisableTiming);
    float ms = -1.0f;
    assert_cuda(cudaEventElapsedTime(&ms, a, b), cudaErrorInvalidResourceHandle);
    assert_done(cudaEventRecord(a, NULL));
    assert_done(cudaEventRecord(b, NULL));
    assert_done(cudaEventRecord(c, NULL));
    assert_cuda(cudaEventElapsedTime(&ms, a, b), cudaErrorNotReady);
    assert_done(cudaDeviceSynchronize());
    assert_done(cudaEventElapsedTime(&ms, a, b));
    assert_true(ms >= 0.0f && ms < 60e3f);
    assert_cuda(cudaEventElapsedTime(&ms, a, c), cudaErrorInvalidResourceHandle);
}

/* cudaMemset returns before it has run, and a non-blocking stream does not wait for it. */
static void test_legacy_stream_orders_blocking_streams_alone(void **state)
{
    (void)state;
    int blocking = 0, non_blocking = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        ex_emulated_reset(seed);
        float *const a = device_test_floats(N), *const b = device_test_floats(N);
        assert_done(cudaMemset(a, 3, BYTES));
        blocking += first_byte(a, new_stream(cudaStreamDefault)) == 3;
        assert_done(cudaMemset(b, 3, BYTES));
        non_blocking += first_byte(b, new_stream(cudaStreamNonBlocking)) == 3;
    }
    assert_int_equal(blocking, SEEDS);
    assert_in_range(non_blocking, 0, SEEDS - 1);
}

static void test_destroyed_streams_and_events_still_order_their_work(void **state)
{
    (void)state;
    float *const a = device_test_floats(N);
    const cudaStream_t s = new_stream(cudaStreamNonBlocking), t = new_stream(cudaStreamNonBlocking);
    const cudaEvent_t e = new_event(0);
    assert_done(cudaMemsetAsync(a, 9, BYTES, s));
    assert_done(cudaEventRecord(e, s));
    assert_done(cudaStreamWaitEvent(t, e, 0));
    assert_done(cudaEventDestroy(e));
    assert_done(cudaStreamDestroy(s));
    assert_int_equal(first_byte(a, t), 9);
    assert_cuda(cudaStreamSynchronize(s), cudaErrorInvalidResourceHandle);
    assert_cuda(cudaMemsetAsync(a, 9, BYTES, s), cudaErrorInvalidResourceHandle);
    assert_cuda(cudaEventRecord(e, t), cudaErrorInvalidResourceHandle);
    assert_cuda(cudaStreamDestroy(s), cudaErrorInvalidResourceHandle);
}

static void test_work_of_a_destroyed_stream_runs_before_memory_is_freed(void **state)
{
    (void)state;
    float *const a = device_test_floats(N);
    const cudaStream_t s = new_stream(cudaStreamNonBlocking);
    assert_done(cudaMemsetAsync(a, 9, BYTES, s));
    assert_done(cudaStreamDestroy(s));
    assert_done(cudaFree(a));
    assert_int_equal(ex_emulated_count().works_run, 1);
    assert_no_leaks();
}

static void call_cuda(void *result)
{
    *(cudaError_t *)result = cudaDeviceSynchronize();
}

static void test_host_functions_may_not_call_cuda(void **state)
{
    (void)state;
    cudaError_t inside = cudaSuccess;
    assert_done(cudaLaunchHostFunc(NULL, call_cuda, &inside));
    assert_done(cudaDeviceSynchronize());
    assert_cuda(inside, cudaErrorNotPermitted);
}

static void test_kernel_on_the_stream_of_another_device_is_refused(void **state)
{
    (void)state;
    ex_emulated_set_devices(2);
    float *const a = device_test_floats(N);
    const cudaStream_t s = new_stream(0);
    assert_done(cudaSetDevice(1));
    device_test_add(a, a, a, N, s);
    assert_int_equal(ex_kernels_cuda_error(NULL, NULL), cudaErrorInvalidResourceHandle);
    assert_done(cudaSetDevice(0));
    device_test_add(a, a, a, N, s);
    assert_int_equal(ex_kernels_cuda_error(NULL, NULL), cudaSuccess);
}

/* Doubles ones in its own stream, ten times. */
static void *double_often(void *out)
{
    cudaStream_t s = NULL;
    float one[N], *pinned = NULL, *a = NULL;
    for (int i = 0; i < N; i++)
        one[i] = 1.0f;
    bool good = !cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking) &&
                !cudaMalloc((void **)&a, BYTES) && !cudaMallocHost((void **)&pinned, BYTES) &&
                !cudaMemcpyAsync(a, one, BYTES, cudaMemcpyHostToDevice, s);
    for (int i = 0; good && i < 10; i++)
        device_test_add(a, a, a, N, s);
    good = good && !cudaMemcpyAsync(pinned, a, BYTES, cudaMemcpyDeviceToHost, s) &&
           !cudaStreamSynchronize(s);
    *(float *)out = good ? pinned[N - 1] : -1.0f;
    (void)cudaFreeHost(pinned);
    (void)cudaFree(a);
    (void)cudaStreamDestroy(s);
    return NULL;
}

static void test_host_threads_use_streams_of_their_own(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 5; seed++) {
        ex_emulated_reset(seed);
        pthread_t threads[4];
        float out[4] = {0};
        for (int i = 0; i < 4; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, double_often, &out[i]), 0);
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        for (int i = 0; i < 4; i++)
            assert_true(out[i] == 1024.0f);
        assert_int_equal(ex_emulated_count().launches, 40);
        assert_no_leaks();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_missing_event_wait_is_caught_by_some_seed, device_test_fresh),
        cmocka_unit_test_setup(test_buffer_reused_too_early_is_caught_by_some_seed,
                               device_test_fresh),
        cmocka_unit_test_setup(test_one_stream_runs_in_order, device_test_fresh),
        cmocka_unit_test_setup(test_seeds_run_streams_in_all_orders_and_repeat_themselves,
                               device_test_fresh),
        cmocka_unit_test_setup(test_work_waits_for_somebody_to_wait, device_test_fresh),
        cmocka_unit_test_setup(test_polling_comes_to_an_end, device_test_fresh),
        cmocka_unit_test_setup(test_events_tell_elapsed_time, device_test_fresh),
        cmocka_unit_test_setup(test_legacy_stream_orders_blocking_streams_alone, device_test_fresh),
        cmocka_unit_test_setup(test_destroyed_streams_and_events_still_order_their_work,
                               device_test_fresh),
        cmocka_unit_test_setup(test_work_of_a_destroyed_stream_runs_before_memory_is_freed,
                               device_test_fresh),
        cmocka_unit_test_setup(test_host_functions_may_not_call_cuda, device_test_fresh),
        cmocka_unit_test_setup(test_kernel_on_the_stream_of_another_device_is_refused,
                               device_test_fresh),
        cmocka_unit_test_setup(test_host_threads_use_streams_of_their_own, device_test_fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
