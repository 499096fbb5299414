/* cudaMemcpy, cudaMemset and their asynchronous forms. */
#include "memory.h"
#include "state.h"

#include <cstring>

using namespace emulated;

namespace
{

struct copy {
    void *to;
    const void *from;
    size_t bytes;
    cudaMemcpyKind kind;
};

bool on_device(const void *p, size_t bytes)
{
    const allocation *const a = memory_find(p);
    return a && bytes <= (size_t)(a->start + a->bytes - static_cast<const char *>(p));
}

bool is_pinned(const void *p, size_t bytes)
{
    const char *const c = static_cast<const char *>(p);
    auto at = the().pinned.upper_bound(c);
    if (at == the().pinned.begin())
        return false;
    --at;
    return c >= at->first && c + bytes <= at->first + at->second;
}

cudaMemcpyKind kind_of(const copy &c)
{
    const bool to = memory_is_device(c.to), from = memory_is_device(c.from);
    return to ? (from ? cudaMemcpyDeviceToDevice : cudaMemcpyHostToDevice)
              : (from ? cudaMemcpyDeviceToHost : cudaMemcpyHostToHost);
}

/* Whether the pointers are what the kind says, and the ranges inside of one allocation each. */
bool valid(const copy &c)
{
    const bool to = memory_is_device(c.to), from = memory_is_device(c.from);
    return c.kind == kind_of(c) && c.to && c.from && (!to || on_device(c.to, c.bytes)) &&
           (!from || on_device(c.from, c.bytes));
}

int device_of(const copy &c)
{
    if (c.kind == cudaMemcpyHostToHost)
        return EVERY_DEVICE;
    const int to = memory_is_device(c.to) ? memory_find(c.to)->device : EVERY_DEVICE;
    const int from = memory_is_device(c.from) ? memory_find(c.from)->device : to;
    return to == EVERY_DEVICE || to == from ? from : EVERY_DEVICE;
}

task copying(const char *name, const copy &c)
{
    task t;
    t.what = name;
    t.kind = c.kind == cudaMemcpyHostToDevice   ? effect::upload
             : c.kind == cudaMemcpyDeviceToHost ? effect::download
                                                : effect::copy;
    t.device = device_of(c);
    t.run = [c] { memmove(c.to, c.from, c.bytes); };
    t.bytes = c.bytes;
    if (t.kind == effect::download)
        t.host = c.to;
    return t;
}

/* Pinned memory is read when the copy runs, pageable memory now. */
void choose_source(task &t, const copy &c)
{
    if (is_pinned(c.from, c.bytes)) {
        t.host = const_cast<void *>(c.from);
        return;
    }
    const char *const from = static_cast<const char *>(c.from);
    const auto staged = std::make_shared<std::vector<char>>(from, from + c.bytes);
    t.run = [c, staged] { memcpy(c.to, staged->data(), c.bytes); };
}

cudaError_t copy_async(const char *name, copy c, cudaStream_t handle)
{
    stream *const s = find_stream(handle);
    if (!s)
        return cudaErrorInvalidResourceHandle;
    if (c.bytes == 0)
        return cudaSuccess;
    if (c.kind == cudaMemcpyDefault)
        c.kind = kind_of(c);
    if (!valid(c))
        return c.kind == kind_of(c) ? cudaErrorInvalidValue : cudaErrorInvalidMemcpyDirection;
    task t = copying(name, c);
    const bool up = t.kind == effect::upload, down = t.kind == effect::download;
    const bool pageable =
        (up && !is_pinned(c.from, c.bytes)) || (down && !is_pinned(c.to, c.bytes));
    if (pageable && s->capturing)
        return capture_invalidate(s->capturing, cudaErrorStreamCaptureUnsupported);
    counts().pageable_copies += pageable;
    if (up)
        choose_source(t, c);
    const cudaError_t error = queue(*s, t);
    if (error == cudaSuccess && down && pageable)
        wait_for(s->last);
    return error;
}

cudaError_t copy_now(const char *name, const copy &c)
{
    const long before = counts().pageable_copies;
    const cudaError_t error = copy_async(name, c, nullptr);
    counts().pageable_copies = before;
    if (error == cudaSuccess && c.kind != cudaMemcpyDeviceToDevice)
        wait_for(find_stream(nullptr)->last);
    return error;
}

cudaError_t fill_async(const char *name, void *to, int value, size_t bytes, cudaStream_t handle)
{
    stream *const s = find_stream(handle);
    if (!s)
        return cudaErrorInvalidResourceHandle;
    if (bytes == 0)
        return cudaSuccess;
    if (!on_device(to, bytes))
        return cudaErrorInvalidValue;
    task t;
    t.what = name;
    t.kind = effect::fill;
    t.device = memory_find(to)->device;
    t.run = [to, value, bytes] { memset(to, value, bytes); };
    t.bytes = bytes;
    return queue(*s, t);
}

} // namespace

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t count, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    return call("cudaMemcpyAsync", PLAIN, [&] {
        return copy_async("cudaMemcpyAsync", {dst, src, count, kind}, stream);
    });
}

cudaError_t cudaMemcpyPeerAsync(void *dst, int dstDevice, const void *src, int srcDevice,
                                size_t count, cudaStream_t stream)
{
    return call("cudaMemcpyPeerAsync", PLAIN, [&] {
        const allocation *const to = memory_find(dst), *const from = memory_find(src);
        if (count && (!to || !from || to->device != dstDevice || from->device != srcDevice))
            return cudaErrorInvalidValue;
        return copy_async("cudaMemcpyPeerAsync", {dst, src, count, cudaMemcpyDeviceToDevice},
                          stream);
    });
}

cudaError_t cudaMemcpy(void *dst, const void *src, size_t count, cudaMemcpyKind kind)
{
    return call("cudaMemcpy", UNSAFE, [&] {
        return copy_now("cudaMemcpy", {dst, src, count, kind});
    });
}

cudaError_t cudaMemsetAsync(void *devPtr, int value, size_t count, cudaStream_t stream)
{
    return call("cudaMemsetAsync", PLAIN,
                [&] { return fill_async("cudaMemsetAsync", devPtr, value, count, stream); });
}

cudaError_t cudaMemset(void *devPtr, int value, size_t count)
{
    return call("cudaMemset", UNSAFE,
                [&] { return fill_async("cudaMemset", devPtr, value, count, nullptr); });
}
