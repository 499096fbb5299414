/* cudaMalloc, cudaMallocHost and what undoes them. */
#include "memory.h"
#include "state.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

using namespace emulated;

namespace
{

cudaError_t allocate_pinned(void **out, size_t bytes)
{
    *out = nullptr;
    the().counts.allocations++;
    if (bytes == 0)
        return cudaSuccess;
    char *const p = static_cast<char *>(malloc(bytes));
    if (!p)
        return cudaErrorMemoryAllocation;
    memset(p, 0xff, bytes);
    the().pinned[p] = bytes;
    *out = p;
    return cudaSuccess;
}

cudaError_t allocate_device(void **out, size_t bytes)
{
    state &s = the();
    size_t &used = s.used[(size_t)current_device()];
    *out = nullptr;
    s.counts.allocations++;
    if (bytes == 0)
        return cudaSuccess;
    if (bytes > s.memory - used)
        return cudaErrorMemoryAllocation;
    *out = memory_allocate(current_device(), bytes);
    used += bytes;
    size_t total = 0;
    for (const size_t u : s.used)
        total += u;
    s.used_most = std::max(s.used_most, total);
    return cudaSuccess;
}

} // namespace

cudaError_t cudaMalloc(void **devPtr, size_t size)
{
    return call("cudaMalloc", UNSAFE, [&] { return allocate_device(devPtr, size); });
}

cudaError_t cudaFree(void *devPtr)
{
    return call("cudaFree", UNSAFE | RELEASES, [&] {
        if (!devPtr)
            return cudaSuccess;
        const allocation *const a = memory_at(devPtr);
        if (!a)
            return cudaErrorInvalidValue;
        wait_for_device(a->device);
        the().used[(size_t)a->device] -= a->bytes;
        memory_free(a);
        return cudaSuccess;
    });
}

cudaError_t cudaMallocHost(void **ptr, size_t size)
{
    return call("cudaMallocHost", UNSAFE, [&] { return allocate_pinned(ptr, size); });
}

cudaError_t cudaHostAlloc(void **pHost, size_t size, unsigned int)
{
    return call("cudaHostAlloc", UNSAFE, [&] { return allocate_pinned(pHost, size); });
}

cudaError_t cudaFreeHost(void *ptr)
{
    return call("cudaFreeHost", UNSAFE | RELEASES, [&] {
        if (!ptr)
            return cudaSuccess;
        const auto at = the().pinned.find(static_cast<char *>(ptr));
        if (at == the().pinned.end())
            return cudaErrorInvalidValue;
        for (int d = 0; d < the().device_count; d++)
            wait_for_device(d);
        the().pinned.erase(at);
        free(ptr);
        return cudaSuccess;
    });
}

cudaError_t cudaMemGetInfo(size_t *free, size_t *total)
{
    return call("cudaMemGetInfo", PLAIN, [&] {
        *total = the().memory;
        *free = the().memory - the().used[(size_t)current_device()];
        return cudaSuccess;
    });
}
