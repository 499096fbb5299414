#include "state.h"

#include "memory.h"

#include <cstring>

namespace emulated
{

namespace
{

/* What CUDA keeps for each host thread; a reset starts it anew. */
struct per_thread {
    unsigned resets = 0;
    int device = 0;
    cudaError_t last = cudaSuccess;
};

per_thread &mine()
{
    static thread_local per_thread p;
    if (p.resets != the().resets)
        p = {the().resets, 0, cudaSuccess};
    return p;
}

cudaError_t injected(const char *name, int kind)
{
    state &s = the();
    s.failed_call = name;
    if (kind & SYNCHRONISES) {
        break_device(cudaErrorUnknown, s.failed_call + " was made to fail");
        return s.broken;
    }
    const bool allocates = strstr(name, "Malloc") || strstr(name, "HostAlloc");
    return allocates ? cudaErrorMemoryAllocation : cudaErrorUnknown;
}

} // namespace

state &the()
{
    static state s;
    if (s.legacy.empty())
        for (int d = 0; d < s.device_count; d++) {
            s.legacy.push_back({0, d, true, nullptr, nullptr, {}});
            s.used.push_back(0);
        }
    return s;
}

ex_emulated_counts &counts()
{
    return the().counts;
}

void break_device(cudaError_t error, const std::string &why)
{
    state &s = the();
    if (s.broken != cudaSuccess)
        return;
    s.broken = error;
    s.failure = why;
}

bool device_broken()
{
    return the().broken != cudaSuccess;
}

int &current_device()
{
    return mine().device;
}

cudaError_t &last_error()
{
    return mine().last;
}

verdict call_begin(const char *name, int kind)
{
    state &s = the();
    if (schedule_running())
        return {cudaErrorNotPermitted, false};
    s.counts.calls++;
    if (s.fail_after && --s.fail_after == 0)
        return {injected(name, kind), (kind & RELEASES) != 0};
    if (s.device_count == 0 && !(kind & WITHOUT_DEVICE))
        return {cudaErrorNoDevice, false};
    if (s.broken != cudaSuccess)
        return {s.broken, (kind & RELEASES) != 0};
    if (kind & UNSAFE && capture_prohibits())
        return {cudaErrorStreamCaptureUnsupported, false};
    schedule_progress(false);
    return {cudaSuccess, true};
}

cudaError_t call_end(cudaError_t error)
{
    if (!schedule_running())
        memory_close();
    if (error == cudaSuccess)
        error = the().broken;
    if (error != cudaSuccess)
        last_error() = error;
    return error;
}

} // namespace emulated
