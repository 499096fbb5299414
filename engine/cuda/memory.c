/* Errors of the CUDA runtime as statuses, and device memory. */
#include "base/memory.h"
#include "base/bytes.h"
#include "cuda/cuda_impl.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static _Thread_local const char *phase = "starting";

void ex_cuda_phase(const char *text)
{
    phase = text;
}

/* --- out of memory ---------------------------------------------------------------------------- */

enum { FREE_ROOM = 2 * EX_BYTES_ROOM + 32, CALL_ROOM = 512 };

/* "1.2 MB of 80 GB are free on cuda:0"; the device is the thread's current one. */
static const char *what_is_free(char text[FREE_ROOM])
{
    char unused[EX_BYTES_ROOM], all[EX_BYTES_ROOM];
    size_t available = 0, total = 0;
    int device = 0;
    (void)cudaGetDevice(&device);
    if (cudaMemGetInfo(&available, &total) == cudaSuccess)
        snprintf(text, FREE_ROOM, "%s of %s are free on cuda:%d",
                 ex_bytes_text(unused, (double)available), ex_bytes_text(all, (double)total),
                 device);
    else
        snprintf(text, FREE_ROOM, "what is free on cuda:%d is not known", device);
    (void)cudaGetLastError(); /* of these or of what went before: the launch check would find it */
    return text;
}

/* What lowers what a call of the runtime takes in secret: it tells no bytes. */
static const char *lever_of(const char *call)
{
    if (strncmp(call, "cudaGraph", strlen("cudaGraph")) == 0)
        return "steps_per_launch or lanes";
    if (strncmp(call, "cudaSetDevice", strlen("cudaSetDevice")) == 0) /* makes the context */
        return "what other programs take of it";
    return EX_CUDA_LESS_LANE;
}

ex_status ex_cuda_alloc(void *out, size_t bytes, const char *what, const char *lever)
{
    void *pointer = NULL;
    char needed[EX_BYTES_ROOM], unused[FREE_ROOM];
    const cudaError_t error = cudaMalloc(&pointer, bytes ? bytes : 1);
    memcpy(out, &pointer, sizeof pointer);
    if (error != cudaErrorMemoryAllocation)
        return ex_cuda_check(error, "cudaMalloc", EX_WHERE);
    return EX_FAIL(EX_ERR_MEMORY, "%s: %s of GPU memory are needed while %s, %s; lower %s", what,
                   ex_bytes_text(needed, (double)bytes), phase, what_is_free(unused), lever);
}

ex_status ex_cuda_alloc_pinned(void *out, size_t bytes, const char *what, const char *lever)
{
    void *pointer = NULL;
    char needed[EX_BYTES_ROOM], unused[EX_BYTES_ROOM];
    const cudaError_t error = cudaMallocHost(&pointer, bytes);
    memcpy(out, &pointer, sizeof pointer);
    if (error != cudaErrorMemoryAllocation)
        return ex_cuda_check(error, "cudaMallocHost", EX_WHERE);
    (void)cudaGetLastError();
    const double pages = (double)sysconf(_SC_AVPHYS_PAGES), page = (double)sysconf(_SC_PAGESIZE);
    return EX_FAIL(EX_ERR_MEMORY,
                   "%s: %s of the host's memory are needed, locked for the GPU, while %s, of which "
                   "%s are free; lower %s",
                   what, ex_bytes_text(needed, (double)bytes), phase,
                   ex_bytes_text(unused, pages * page), lever);
}

/* --- other errors ----------------------------------------------------------------------------- */

ex_status ex_cuda_check(cudaError_t error, const char *call, const char *where)
{
    char unused[FREE_ROOM];
    const int name = (int)strcspn(call, "(");
    if (error == cudaSuccess)
        return EX_OK;
    if (error == cudaErrorMemoryAllocation)
        return ex_fail_at(EX_ERR_MEMORY, where, "%.*s found no memory while %s: %s; lower %s", name,
                          call, phase, what_is_free(unused), lever_of(call));
    (void)cudaGetLastError(); /* which the launch check would find again */
    return ex_fail_at(EX_ERR_BACKEND, where, "%.*s failed while %s: %s (%s)", name, call, phase,
                      cudaGetErrorString(error), cudaGetErrorName(error));
}

ex_status ex_cuda_launches(void)
{
    const char *kernel = NULL, *where = NULL;
    char call[CALL_ROOM];
    const cudaError_t error = (cudaError_t)ex_kernels_cuda_error(&kernel, &where);
    if (error == cudaSuccess)
        return EX_OK;
    snprintf(call, sizeof call, "the launch of %s", kernel ? kernel : "a kernel");
    return ex_cuda_check(error, call, where);
}

ex_status ex_cuda_library(ex_status status, const char *lever)
{
    char unused[FREE_ROOM], where[CALL_ROOM];
    if (status == EX_OK)
        return EX_OK;
    /* What a library's own call of the runtime has left, and the next launch check would find. */
    if (cudaGetLastError() == cudaErrorMemoryAllocation && status == EX_ERR_BACKEND)
        status = EX_ERR_MEMORY;
    if (status != EX_ERR_MEMORY && status != EX_ERR_BACKEND)
        return status;
    snprintf(where, sizeof where, "%s", ex_error_where()); /* which the new message replaces */
    if (status == EX_ERR_MEMORY)
        return ex_fail_at(status, where, "%s, while %s: %s; lower %s", ex_error_message(), phase,
                          what_is_free(unused), lever);
    return ex_fail_at(status, where, "%s, while %s", ex_error_message(), phase);
}

void ex_cuda_free(void *pointer)
{
    void *at, *none = NULL;
    memcpy(&at, pointer, sizeof at);
    if (at)
        (void)cudaFree(at);
    memcpy(pointer, &none, sizeof none);
}
