/* Errors of the CUDA runtime as statuses, and device memory. */
#include "base/memory.h"
#include "base/bytes.h"
#include "cuda/cuda_impl.h"

#include <string.h>

static _Thread_local const char *phase = "starting";

void ex_cuda_phase(const char *text)
{
    phase = text;
}

ex_status ex_cuda_check(cudaError_t error, const char *call, const char *where)
{
    if (error == cudaSuccess)
        return EX_OK;
    (void)cudaGetLastError(); /* which the launch check would find again */
    return ex_fail_at(EX_ERR_BACKEND, where, "%.*s failed while %s: %s (%s)",
                      (int)strcspn(call, "("), call, phase, cudaGetErrorString(error),
                      cudaGetErrorName(error));
}

ex_status ex_cuda_launches(void)
{
    const char *kernel = NULL;
    const cudaError_t error = (cudaError_t)ex_kernels_cuda_error(&kernel);
    if (error == cudaSuccess)
        return EX_OK;
    return EX_FAIL(EX_ERR_BACKEND, "the launch of %s failed while %s: %s (%s)",
                   kernel ? kernel : "a kernel", phase, cudaGetErrorString(error),
                   cudaGetErrorName(error));
}

ex_status ex_cuda_alloc(void *out, ex_cuda_device *device, size_t bytes, const char *what)
{
    void *pointer = NULL;
    char needed[EX_BYTES_ROOM], unused[EX_BYTES_ROOM], all[EX_BYTES_ROOM];
    size_t available = 0, total = 0;
    const cudaError_t error = cudaMalloc(&pointer, bytes ? bytes : 1);
    memcpy(out, &pointer, sizeof pointer);
    if (error != cudaErrorMemoryAllocation)
        return ex_cuda_check(error, "cudaMalloc", EX_WHERE);
    (void)cudaGetLastError();
    (void)cudaMemGetInfo(&available, &total);
    return EX_FAIL(EX_ERR_MEMORY,
                   "%s: %s of GPU memory are needed, %s of %s are free on %s; lower train_samples "
                   "(data), batch_size, lanes or --memory (training)",
                   what, ex_bytes_text(needed, (double)bytes),
                   ex_bytes_text(unused, (double)available), ex_bytes_text(all, (double)total),
                   device->base.name);
}

void ex_cuda_free(void *pointer)
{
    void *at, *none = NULL;
    memcpy(&at, pointer, sizeof at);
    if (at)
        (void)cudaFree(at);
    memcpy(pointer, &none, sizeof none);
}
