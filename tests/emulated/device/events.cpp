/* Events: marks in a stream that others wait for. */
#include "state.h"

#include <chrono>

using namespace emulated;

namespace
{

double milliseconds_now()
{
    if (the().has_clock)
        return the().clock;
    const auto since = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double, std::milli>(since).count();
}

cudaError_t create(cudaEvent_t *out, unsigned flags)
{
    const unsigned known = cudaEventBlockingSync | cudaEventDisableTiming | cudaEventInterprocess;
    if (flags & ~known)
        return cudaErrorInvalidValue;
    *out = the().events.add(
        {current_device(), !(flags & cudaEventDisableTiming), nullptr, nullptr, nullptr, {}});
    return cudaSuccess;
}

cudaError_t record(event &e, stream &s)
{
    if (s.device != e.device)
        return cudaErrorInvalidResourceHandle;
    if (s.capturing) {
        if (s.capturing->invalid)
            return cudaErrorStreamCaptureInvalidated;
        e.captured = s.capturing;
        e.frontier = s.frontier;
        return cudaSuccess;
    }
    const auto time = std::make_shared<double>(0.0);
    task mark;
    mark.what = "event";
    mark.run = [time] { *time = milliseconds_now(); };
    const cudaError_t error = queue(s, mark);
    if (error != cudaSuccess)
        return error;
    e.captured = nullptr;
    e.milliseconds = time;
    e.recorded = s.last;
    return cudaSuccess;
}

/* An event that was recorded in a capture lets other streams join it. */
cudaError_t join(stream &s, const event &e)
{
    if (e.captured->ended)
        return cudaErrorCapturedEvent;
    if (s.capturing && s.capturing != e.captured) {
        (void)capture_invalidate(e.captured, cudaSuccess);
        return capture_invalidate(s.capturing, cudaErrorStreamCaptureMerge);
    }
    if (e.captured->invalid)
        return cudaErrorStreamCaptureInvalidated;
    if (!s.capturing && s.number == 0)
        return capture_invalidate(e.captured, cudaErrorStreamCaptureImplicit);
    if (!s.capturing)
        s.frontier.clear();
    s.capturing = e.captured;
    s.frontier.insert(s.frontier.end(), e.frontier.begin(), e.frontier.end());
    return cudaSuccess;
}

cudaError_t wait(stream &s, const event &e)
{
    state &all = the();
    if (all.lose_after && --all.lose_after == 0) {
        all.lost = true;
        return cudaSuccess;
    }
    if (e.captured)
        return join(s, e);
    if (s.capturing)
        return capture_invalidate(s.capturing, cudaErrorStreamCaptureIsolation);
    task nothing;
    nothing.what = "wait";
    return queue(s, nothing, {e.recorded});
}

} // namespace

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return call("cudaEventCreate", PLAIN, [&] { return create(event, cudaEventDefault); });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned int flags)
{
    return call("cudaEventCreateWithFlags", PLAIN, [&] { return create(event, flags); });
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    return call("cudaEventDestroy", RELEASES, [&] {
        return the().events.remove(event) ? cudaSuccess : cudaErrorInvalidResourceHandle;
    });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    return call("cudaEventRecord", PLAIN, [&] {
        auto *const e = the().events.find(event);
        auto *const s = find_stream(stream);
        return e && s ? record(*e, *s) : cudaErrorInvalidResourceHandle;
    });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int)
{
    return call("cudaStreamWaitEvent", PLAIN, [&] {
        const auto *const e = the().events.find(event);
        auto *const s = find_stream(stream);
        return e && s ? wait(*s, *e) : cudaErrorInvalidResourceHandle;
    });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    return call("cudaEventSynchronize", SYNCHRONISES, [&] {
        const auto *const e = the().events.find(event);
        if (!e)
            return cudaErrorInvalidResourceHandle;
        if (e->captured)
            return capture_invalidate(e->captured, cudaErrorCapturedEvent);
        counts().synchronisations++;
        wait_for(e->recorded);
        return cudaSuccess;
    });
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    return call("cudaEventQuery", PLAIN, [&] {
        const auto *const e = the().events.find(event);
        if (!e)
            return cudaErrorInvalidResourceHandle;
        if (e->captured)
            return capture_invalidate(e->captured, cudaErrorCapturedEvent);
        const bool ready = schedule_has_run(e->recorded);
        schedule_progress(true);
        return ready ? cudaSuccess : cudaErrorNotReady;
    });
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    return call("cudaEventElapsedTime", PLAIN, [&] {
        const auto *const a = the().events.find(start), *const b = the().events.find(end);
        if (!a || !b || !a->timing || !b->timing || !a->recorded || !b->recorded)
            return cudaErrorInvalidResourceHandle;
        if (a->captured || b->captured)
            return cudaErrorCapturedEvent;
        if (!schedule_has_run(a->recorded) || !schedule_has_run(b->recorded))
            return cudaErrorNotReady;
        *ms = (float)(*b->milliseconds - *a->milliseconds);
        return cudaSuccess;
    });
}
