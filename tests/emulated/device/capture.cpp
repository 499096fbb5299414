/* Stream capture: what is queued becomes nodes of a graph, in the order that streams and events
 * give. */
#include "state.h"

#include <algorithm>

namespace emulated
{

namespace
{

std::vector<capture_ref> under_way;
thread_local cudaStreamCaptureMode strictness = cudaStreamCaptureModeGlobal;

bool prohibits(const capture &c)
{
    if (c.invalid || c.mode == cudaStreamCaptureModeRelaxed ||
        strictness == cudaStreamCaptureModeRelaxed)
        return false;
    const bool both_global =
        c.mode == cudaStreamCaptureModeGlobal && strictness == cudaStreamCaptureModeGlobal;
    return both_global || c.thread == std::this_thread::get_id();
}

/* Nodes that some of `last` come after, and those. */
std::vector<bool> reached(const std::vector<node> &nodes, const std::vector<size_t> &last)
{
    std::vector<bool> is(nodes.size(), false);
    for (const size_t i : last)
        is[i] = true;
    for (size_t i = nodes.size(); i-- > 0;)
        if (is[i])
            for (const size_t j : nodes[i].after)
                is[j] = true;
    return is;
}

/* Whether every stream of the capture has been waited for by the one that began it. */
bool is_joined(const capture_ref &c, const stream &origin)
{
    const std::vector<bool> is = reached(c->nodes, origin.frontier);
    for (const auto &s : the().streams.objects)
        if (s.second->capturing == c)
            for (const size_t i : s.second->frontier)
                if (!is[i])
                    return false;
    return true;
}

void leave(const capture_ref &c)
{
    c->ended = true;
    for (const auto &s : the().streams.objects)
        if (s.second->capturing == c) {
            s.second->capturing = nullptr;
            s.second->frontier.clear();
        }
    under_way.erase(std::find(under_way.begin(), under_way.end(), c));
}

cudaError_t begin(stream &s, cudaStreamCaptureMode mode)
{
    if (s.number == 0)
        return cudaErrorStreamCaptureUnsupported;
    if (s.capturing)
        return capture_invalidate(s.capturing, cudaErrorIllegalState);
    s.capturing = std::make_shared<capture>(
        capture{mode, std::this_thread::get_id(), s.number, {}, false, false});
    s.frontier.clear();
    under_way.push_back(s.capturing);
    return cudaSuccess;
}

cudaError_t end(stream &s, cudaGraph_t *out)
{
    *out = nullptr;
    if (!s.capturing)
        return cudaErrorIllegalState;
    const capture_ref c = s.capturing;
    if (c->origin != s.number)
        return capture_invalidate(c, cudaErrorStreamCaptureUnmatched);
    if (c->mode != cudaStreamCaptureModeRelaxed && c->thread != std::this_thread::get_id())
        return capture_invalidate(c, cudaErrorStreamCaptureWrongThread);
    const bool joined = c->invalid || is_joined(c, s);
    leave(c);
    if (c->invalid)
        return cudaErrorStreamCaptureInvalidated;
    if (!joined)
        return cudaErrorStreamCaptureUnjoined;
    *out = the().graphs.add({c->nodes});
    return cudaSuccess;
}

} // namespace

bool capture_prohibits()
{
    bool any = false;
    for (const capture_ref &c : under_way)
        if (prohibits(*c))
            any = c->invalid = true;
    return any;
}

bool capture_meets_legacy(int device)
{
    bool any = false;
    for (const auto &s : the().streams.objects)
        if (s.second->blocking && s.second->device == device && s.second->capturing)
            any = s.second->capturing->invalid = true;
    return any;
}

cudaError_t capture_invalidate(const capture_ref &c, cudaError_t error)
{
    c->invalid = true;
    return error;
}

cudaError_t capture_add(stream &s, const task &t, const std::vector<size_t> &also_after)
{
    capture &c = *s.capturing;
    if (c.invalid)
        return cudaErrorStreamCaptureInvalidated;
    std::vector<size_t> after = s.frontier;
    after.insert(after.end(), also_after.begin(), also_after.end());
    c.nodes.push_back({t, s.number * MOST_DEVICES + (size_t)s.device, after});
    s.frontier = {c.nodes.size() - 1};
    return cudaSuccess;
}

void capture_abandon(const capture_ref &c)
{
    c->invalid = true;
    leave(c);
}

void capture_reset()
{
    under_way.clear();
    strictness = cudaStreamCaptureModeGlobal;
}

} // namespace emulated

using namespace emulated;

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode)
{
    return call("cudaStreamBeginCapture", PLAIN, [&] {
        auto *const s = find_stream(stream);
        return s ? begin(*s, mode) : cudaErrorInvalidResourceHandle;
    });
}

/* Also of a broken device, so that the stream is not left capturing. */
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *pGraph)
{
    return call("cudaStreamEndCapture", RELEASES, [&] {
        auto *const s = find_stream(stream);
        return s ? end(*s, pGraph) : cudaErrorInvalidResourceHandle;
    });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *pCaptureStatus)
{
    return call("cudaStreamIsCapturing", PLAIN, [&] {
        const auto *const s = find_stream(stream);
        if (!s)
            return cudaErrorInvalidResourceHandle;
        *pCaptureStatus = !s->capturing           ? cudaStreamCaptureStatusNone
                          : s->capturing->invalid ? cudaStreamCaptureStatusInvalidated
                                                  : cudaStreamCaptureStatusActive;
        return cudaSuccess;
    });
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode *mode)
{
    return call("cudaThreadExchangeStreamCaptureMode", PLAIN, [&] {
        std::swap(*mode, strictness);
        return cudaSuccess;
    });
}
