/* Device memory faults wherever a GPU would return nonsense; copies and fills move bytes when they
 * run. */
#include "device_test.h"

#include "table_cuda.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 100 };
#define BYTES (N * sizeof(float))

static void test_values_go_through_the_device_and_back(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 8; seed++) {
        ex_emulated_reset(seed);
        float host[N], back[N], *const a = device_test_floats(N), *const b = device_test_floats(N);
        for (int i = 0; i < N; i++)
            host[i] = (float)(i - N / 2);
        assert_done(cudaMemcpy(a, host, BYTES, cudaMemcpyHostToDevice));
        assert_done(cudaMemset(b, 0, BYTES));
        device_test_add(b, a, b, N, NULL);
        assert_int_equal(ex_kernels_cuda_error(NULL, NULL), 0);
        assert_done(cudaMemcpy(back, b, BYTES, cudaMemcpyDeviceToHost));
        for (int i = 0; i < N; i++)
            assert_true(back[i] == fmaxf(host[i], 0.0f));
        assert_done(cudaFree(a));
        assert_done(cudaFree(b));
        assert_no_leaks();
    }
}

static void test_fresh_memory_is_nan(void **state)
{
    (void)state;
    float back[N], *const a = device_test_floats(N), *pinned = NULL;
    assert_done(cudaMallocHost((void **)&pinned, BYTES));
    assert_true(isnan(pinned[0]) && isnan(pinned[N - 1]));
    memset(back, 0, sizeof back);
    assert_done(cudaMemcpy(back, a, BYTES, cudaMemcpyDeviceToHost));
    for (int i = 0; i < N; i++)
        assert_true(isnan(back[i]));
}

static void read_on_the_host(void)
{
    float *const a = device_test_floats(N), *volatile p = a + 3;
    exit(*p > 0.0f);
}

static void write_on_the_host_after_a_run(void)
{
    float *const a = device_test_floats(N);
    if (cudaMemset(a, 0, BYTES) || cudaDeviceSynchronize())
        exit(1);
    memset(a, 0, 1);
}

static void test_host_access_to_device_memory_dies(void **state)
{
    (void)state;
    device_test_dies(read_on_the_host, "host access to device memory at 0x");
    device_test_dies(read_on_the_host, "byte 12 of allocation #1 of 400 bytes");
    device_test_dies(write_on_the_host_after_a_run, "host access to device memory at 0x");
}

static void overrun(void)
{
    float *const a = device_test_floats(N);
    device_test_add(a, a, a, N + 4, NULL);
    cudaDeviceSynchronize();
}

static void small_overrun(void)
{
    void *a = NULL;
    if (cudaMalloc(&a, BYTES - 4))
        exit(1);
    device_test_add(a, a, a, N, NULL);
    cudaDeviceSynchronize();
}

static void underrun(void)
{
    float *const a = device_test_floats(N);
    device_test_add(a - 4, a, a, N, NULL);
    cudaDeviceSynchronize();
}

static void test_kernel_out_of_bounds_dies(void **state)
{
    (void)state;
    device_test_dies(overrun, "add_relu");
    device_test_dies(overrun, "0 bytes past the end of allocation #1 of 400 bytes");
    device_test_dies(small_overrun, "wrote past the end of allocation #1 of 396 bytes");
    device_test_dies(underrun, "wrote before the start of allocation #1 of 400 bytes");
}

static void use_after_free(void)
{
    float *const a = device_test_floats(N), *const b = device_test_floats(N);
    if (cudaFree(b))
        exit(1);
    device_test_add(a, a, b, N, NULL);
    cudaDeviceSynchronize();
}

static void test_use_after_free_dies(void **state)
{
    (void)state;
    device_test_dies(use_after_free,
                     "byte 0 of allocation #2 of 400 bytes on device 0, which is freed");
}

/* Planted: the host fills the buffer again before the copy has run. */
static float upload_reused_too_early(cudaStream_t stream)
{
    float *pinned = NULL, *const a = device_test_floats(N), back = -1.0f;
    assert_done(cudaMallocHost((void **)&pinned, BYTES));
    pinned[0] = 1.0f;
    assert_done(cudaMemcpyAsync(a, pinned, BYTES, cudaMemcpyHostToDevice, stream));
    pinned[0] = 2.0f;
    assert_done(cudaMemcpy(&back, a, sizeof back, cudaMemcpyDeviceToHost));
    return back;
}

static void test_pinned_memory_is_read_when_the_copy_runs(void **state)
{
    (void)state;
    int wrong = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        ex_emulated_reset(seed);
        wrong += upload_reused_too_early(NULL) != 1.0f;
    }
    assert_in_range(wrong, 1, 20);
}

static void test_pageable_memory_is_read_at_the_call(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 8; seed++) {
        ex_emulated_reset(seed);
        float value = 1.0f, back = -1.0f, *const a = device_test_floats(N);
        assert_done(cudaMemcpyAsync(a, &value, sizeof value, cudaMemcpyHostToDevice, NULL));
        value = 2.0f;
        assert_done(cudaMemcpyAsync(&back, a, sizeof back, cudaMemcpyDeviceToHost, NULL));
        assert_true(back == 1.0f);
        assert_int_equal(ex_emulated_count().pageable_copies, 2);
        assert_int_equal(ex_emulated_count().waits, 1);
    }
}

static void test_download_shows_only_when_it_has_run(void **state)
{
    (void)state;
    float *pinned = NULL, *const a = device_test_floats(N);
    assert_done(cudaMallocHost((void **)&pinned, BYTES));
    assert_done(cudaMemsetAsync(a, 0, BYTES, NULL));
    pinned[0] = 5.0f;
    assert_done(cudaMemcpyAsync(pinned, a, BYTES, cudaMemcpyDeviceToHost, NULL));
    assert_true(isnan(pinned[0]));
    assert_done(cudaStreamSynchronize(NULL));
    assert_true(pinned[0] == 0.0f);
}

/* Up and down through one buffer, on one stream: the later destination is the earlier source. */
static void test_download_spares_what_queued_copies_read(void **state)
{
    (void)state;
    float *pinned = NULL, *const a = device_test_floats(N);
    assert_done(cudaMallocHost((void **)&pinned, BYTES));
    pinned[0] = 5.0f;
    assert_done(cudaMemcpyAsync(a, pinned, BYTES, cudaMemcpyHostToDevice, NULL));
    assert_done(cudaMemcpyAsync(pinned, a, BYTES, cudaMemcpyDeviceToHost, NULL));
    assert_done(cudaStreamSynchronize(NULL));
    assert_true(pinned[0] == 5.0f);
}

static void test_copies_of_the_wrong_kind_or_size_are_refused(void **state)
{
    (void)state;
    float host[2 * N] = {0}, *const a = device_test_floats(N), *const b = device_test_floats(N);
    assert_cuda(cudaMemcpy(a, host, BYTES, cudaMemcpyDeviceToHost),
                cudaErrorInvalidMemcpyDirection);
    assert_cuda(cudaMemcpy(host, host + N, BYTES, cudaMemcpyHostToDevice),
                cudaErrorInvalidMemcpyDirection);
    assert_cuda(cudaMemcpy(a, b, BYTES, cudaMemcpyHostToDevice), cudaErrorInvalidMemcpyDirection);
    assert_cuda(cudaMemcpy(a, host, BYTES + 1, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    assert_cuda(cudaMemcpy(host, a + 1, BYTES, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
    assert_cuda(cudaMemset(host, 0, BYTES), cudaErrorInvalidValue);
    assert_done(cudaFree(b));
    assert_cuda(cudaMemset(b, 0, BYTES), cudaErrorInvalidValue);
    assert_cuda(cudaFree(b), cudaErrorInvalidValue);
    assert_cuda(cudaFree(a + 1), cudaErrorInvalidValue);
    assert_cuda(cudaFreeHost(host), cudaErrorInvalidValue);
    assert_done(cudaMemcpy(a, host, BYTES, cudaMemcpyDefault));
}

static void test_memory_ends_where_it_is_said_to(void **state)
{
    (void)state;
    ex_emulated_set_memory(1000);
    size_t left = 0, total = 0;
    void *a = NULL, *b = &a;
    assert_done(cudaMalloc(&a, 600));
    assert_done(cudaMemGetInfo(&left, &total));
    assert_int_equal(total, 1000);
    assert_int_equal(left, 400);
    assert_cuda(cudaMalloc(&b, 401), cudaErrorMemoryAllocation);
    assert_null(b);
    assert_cuda(cudaGetLastError(), cudaErrorMemoryAllocation);
    assert_cuda(cudaGetLastError(), cudaSuccess);
    assert_done(cudaFree(a));
    assert_done(cudaMalloc(&b, 1000));
    assert_int_equal(ex_emulated_alive().device_bytes_most, 1000);
}

static void test_what_is_not_freed_is_counted(void **state)
{
    (void)state;
    void *pinned = NULL;
    (void)device_test_floats(N);
    assert_done(cudaMallocHost(&pinned, 10));
    assert_string_equal(ex_emulated_leaks(),
                        "1 allocations of device memory; 1 allocations of pinned memory; ");
    assert_int_equal(ex_emulated_alive().device_bytes, BYTES);
    assert_int_equal(ex_emulated_count().allocations, 2);
    assert_done(cudaFreeHost(pinned));
    assert_int_equal(ex_emulated_alive().pinned_allocations, 0);
}

static void use_other_device(void)
{
    ex_emulated_set_devices(2);
    float *const a = device_test_floats(N);
    if (cudaSetDevice(1))
        exit(1);
    device_test_add(a, a, a, N, NULL);
    cudaDeviceSynchronize();
}

static void test_memory_of_one_device_is_closed_to_another(void **state)
{
    (void)state;
    device_test_dies(use_other_device, "byte 0 of allocation #1 of 400 bytes on device 0");
    ex_emulated_set_devices(2);
    float *const a = device_test_floats(N), back = -1.0f;
    assert_done(cudaSetDevice(1));
    float *const b = device_test_floats(N);
    assert_done(cudaMemset(b, 0, BYTES));
    assert_done(cudaMemcpyPeerAsync(a, 0, b, 1, BYTES, NULL));
    assert_done(cudaMemcpy(&back, a, sizeof back, cudaMemcpyDeviceToHost));
    assert_true(back == 0.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_values_go_through_the_device_and_back, device_test_fresh),
        cmocka_unit_test_setup(test_fresh_memory_is_nan, device_test_fresh),
        cmocka_unit_test_setup(test_host_access_to_device_memory_dies, device_test_fresh),
        cmocka_unit_test_setup(test_kernel_out_of_bounds_dies, device_test_fresh),
        cmocka_unit_test_setup(test_use_after_free_dies, device_test_fresh),
        cmocka_unit_test_setup(test_pinned_memory_is_read_when_the_copy_runs, device_test_fresh),
        cmocka_unit_test_setup(test_pageable_memory_is_read_at_the_call, device_test_fresh),
        cmocka_unit_test_setup(test_download_shows_only_when_it_has_run, device_test_fresh),
        cmocka_unit_test_setup(test_download_spares_what_queued_copies_read, device_test_fresh),
        cmocka_unit_test_setup(test_copies_of_the_wrong_kind_or_size_are_refused,
                               device_test_fresh),
        cmocka_unit_test_setup(test_memory_ends_where_it_is_said_to, device_test_fresh),
        cmocka_unit_test_setup(test_what_is_not_freed_is_counted, device_test_fresh),
        cmocka_unit_test_setup(test_memory_of_one_device_is_closed_to_another, device_test_fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
