/* What tests of the emulated device share. */
#ifndef EX_DEVICE_TEST_H
#define EX_DEVICE_TEST_H

#include "device.h"
#include "test.h"

#include <cuda_runtime_api.h>

/* Fails unless the call gives `expected`. */
#define assert_cuda(call, expected) device_test_error((call), (expected), #call, __FILE__, __LINE__)
#define assert_done(call)           assert_cuda(call, cudaSuccess)
#define assert_no_leaks()           assert_string_equal(ex_emulated_leaks(), "")

void device_test_error(cudaError_t actual, cudaError_t expected, const char *call, const char *file,
                       int line);
/* Runs `body` in a child process; fails unless a signal ends it and its stderr holds `text`. */
void device_test_dies(void (*body)(void), const char *text);

/* A setup: the device as new, its streams in the order of seed 0. */
int device_test_fresh(void **state);
/* n floats of device memory, the test's to free. */
float *device_test_floats(size_t n);

/* out[i] = a[i] + b[i], or less than 0: 0, by a kernel; n floats in device memory. */
void device_test_add(float *out, const float *a, const float *b, size_t n, cudaStream_t stream);

#endif
