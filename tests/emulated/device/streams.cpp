/* Streams: what is queued on one runs in order. */
#include "memory.h"
#include "state.h"

namespace emulated
{

stream *find_stream(cudaStream_t handle)
{
    state &s = the();
    if (!handle || handle == cudaStreamLegacy)
        return s.legacy.empty() ? nullptr : &s.legacy[(size_t)current_device()];
    return s.streams.find(handle);
}

namespace
{

bool is_legacy(const stream &s)
{
    return s.number == 0;
}

/* Work of a blocking stream comes after that of the legacy stream, and the other way round. */
void add_implicit(std::vector<work_ref> &after, const stream &s)
{
    if (!is_legacy(s)) {
        if (s.blocking)
            after.push_back(the().legacy[(size_t)s.device].last);
        return;
    }
    for (const auto &o : the().streams.objects)
        if (o.second->blocking && o.second->device == s.device)
            after.push_back(o.second->last);
}

} // namespace

cudaError_t queue(stream &s, const task &t, const std::vector<work_ref> &also_after)
{
    if (s.capturing)
        return capture_add(s, t);
    if (is_legacy(s) && capture_meets_legacy(s.device))
        return cudaErrorStreamCaptureImplicit;
    std::vector<work_ref> after = also_after;
    after.push_back(s.last);
    add_implicit(after, s);
    s.last = schedule_add(t, s.number * MOST_DEVICES + (size_t)s.device, after);
    return cudaSuccess;
}

void wait_for(const work_ref &w)
{
    counts().waits++;
    schedule_run_until(w);
}

void wait_for_device(int device)
{
    counts().waits++;
    schedule_run_until(the().legacy[(size_t)device].last);
    for (const auto &s : the().streams.objects)
        if (s.second->device == device)
            schedule_run_until(s.second->last);
    for (const work_ref &w : the().orphans)
        schedule_run_until(w);
    the().orphans.clear();
}

} // namespace emulated

using namespace emulated;

namespace
{

cudaError_t create(cudaStream_t *out, unsigned flags)
{
    if (flags & ~(unsigned)cudaStreamNonBlocking)
        return cudaErrorInvalidValue;
    *out = the().streams.add({the().next_stream++,
                              current_device(),
                              flags != cudaStreamNonBlocking,
                              nullptr,
                              nullptr,
                              {}});
    return cudaSuccess;
}

} // namespace

cudaError_t cudaStreamCreate(cudaStream_t *pStream)
{
    return call("cudaStreamCreate", PLAIN, [&] { return create(pStream, cudaStreamDefault); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *pStream, unsigned int flags)
{
    return call("cudaStreamCreateWithFlags", PLAIN, [&] { return create(pStream, flags); });
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *pStream, unsigned int flags, int)
{
    return call("cudaStreamCreateWithPriority", PLAIN, [&] { return create(pStream, flags); });
}

/* What is queued still runs. */
cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    return call("cudaStreamDestroy", RELEASES, [&] {
        const auto *const s = the().streams.find(stream);
        if (!s)
            return cudaErrorInvalidResourceHandle;
        if (s->capturing && s->capturing->origin == s->number)
            capture_abandon(s->capturing);
        else if (s->capturing)
            (void)capture_invalidate(s->capturing, cudaSuccess);
        if (!schedule_has_run(s->last))
            the().orphans.push_back(s->last);
        the().streams.remove(stream);
        return cudaSuccess;
    });
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    return call("cudaStreamSynchronize", SYNCHRONISES, [&] {
        const auto *const s = find_stream(stream);
        if (!s)
            return cudaErrorInvalidResourceHandle;
        if (s->capturing)
            return capture_invalidate(s->capturing, cudaErrorStreamCaptureUnsupported);
        counts().synchronisations++;
        state &all = the();
        if (all.lose_synchronisation_after && --all.lose_synchronisation_after == 0)
            all.lost_synchronisation = true;
        else
            wait_for(s->last);
        return cudaSuccess;
    });
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    return call("cudaStreamQuery", PLAIN, [&] {
        const auto *const s = find_stream(stream);
        if (!s)
            return cudaErrorInvalidResourceHandle;
        if (s->capturing)
            return capture_invalidate(s->capturing, cudaErrorStreamCaptureUnsupported);
        const bool ready = schedule_has_run(s->last);
        schedule_progress(true);
        return ready ? cudaSuccess : cudaErrorNotReady;
    });
}

cudaError_t cudaDeviceSynchronize(void)
{
    return call("cudaDeviceSynchronize", SYNCHRONISES | UNSAFE, [&] {
        counts().synchronisations++;
        wait_for_device(current_device());
        return cudaSuccess;
    });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t fn, void *userData)
{
    return call("cudaLaunchHostFunc", PLAIN, [&] {
        auto *const s = find_stream(stream);
        if (!s)
            return cudaErrorInvalidResourceHandle;
        task t;
        t.what = "host function";
        t.kind = effect::host_function;
        t.device = NO_DEVICE;
        t.run = [fn, userData] { fn(userData); };
        return queue(*s, t);
    });
}
