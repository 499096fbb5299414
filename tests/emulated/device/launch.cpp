/* Kernels and library calls: how the emulation of kernels and libraries queue their work. */
#include "memory.h"
#include "runtime.h"
#include "state.h"
#include "stream.h"

using namespace emulated;

namespace
{

thread_local double next_flop, next_moved;

void set_cost(task &t)
{
    t.flop = next_flop;
    t.moved = next_moved;
    next_flop = next_moved = 0;
}

} // namespace

void ex_emulated_cost(double flop, double bytes)
{
    next_flop = flop;
    next_moved = bytes;
}

void ex_emulated_launch_queue(void *handle, const char *kernel, std::function<void()> work)
{
    (void)call(kernel, PLAIN, [&] {
        stream *const s = find_stream(static_cast<cudaStream_t>(handle));
        if (!s || s->device != current_device())
            return cudaErrorInvalidResourceHandle;
        task t;
        t.what = kernel;
        t.kind = effect::kernel;
        set_cost(t);
        t.device = s->device;
        t.run = std::move(work);
        return queue(*s, t);
    });
}

void ex_emulated_launch_refused(const char *kernel, int error)
{
    (void)call(kernel, PLAIN, [&] { return static_cast<cudaError_t>(error); });
}

void ex_emulated_launch_failed(int error, const char *text)
{
    break_device(static_cast<cudaError_t>(error), text);
}

void ex_emulated_enqueue(void *handle, const char *what, std::function<void()> work)
{
    const std::lock_guard<std::recursive_mutex> hold(the().lock);
    if (schedule_running())
        die("%s: a library call from inside of queued work", what);
    schedule_progress(false);
    stream *const s = find_stream(static_cast<cudaStream_t>(handle));
    if (!s)
        die("%s: a library call on a stream that does not exist", what);
    task t;
    t.what = what;
    t.kind = effect::library;
    set_cost(t);
    t.device = s->device;
    t.run = std::move(work);
    (void)call_end(queue(*s, t));
}
