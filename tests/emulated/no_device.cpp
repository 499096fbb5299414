/* The few functions of the CUDA runtime that kernels/ calls, for tests of kernels alone: there is
 * no device, a launch runs at once, and its arguments are memory of the host. */
#include "emulate.h"

#include "launch.h"
#include "runtime.h"
#include "stream.h"

namespace
{
thread_local int multiprocessors = 1;
thread_local cudaError_t last_error = cudaSuccess;
} // namespace

void ex_emulated_argument(const char *, const void *, size_t, bool)
{
}

void ex_emulated_launch_queue(void *, const char *, std::function<void()> work)
{
    work();
}

void ex_emulated_launch_refused(const char *, int error)
{
    last_error = error;
}

void ex_emulated_launch_failed(int error, const char *)
{
    last_error = error;
}

void ex_emulated_enqueue(void *, const char *, std::function<void()> work)
{
    work();
}

void ex_emulated_operands(const char *, const void *const *, size_t)
{
}

extern "C" {

void ex_emulated_set_multiprocessors(int count)
{
    multiprocessors = count;
}

cudaError_t cudaGetLastError(void)
{
    const cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaGetDevice(int *device)
{
    *device = 0;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, int attribute, int device)
{
    (void)device;
    if (attribute != cudaDevAttrMultiProcessorCount)
        return 1; /* cudaErrorInvalidValue */
    *value = multiprocessors;
    return cudaSuccess;
}
}
