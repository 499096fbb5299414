/* The functions of device.h. */
#include "device.h"

#include "emulate.h"
#include "memory.h"
#include "state.h"

#include <cstdlib>

using namespace emulated;

namespace
{
std::string described(long count, const char *what)
{
    return count ? std::to_string(count) + " " + what + "; " : "";
}
} // namespace

void ex_emulated_reset(uint64_t seed)
{
    state &s = the();
    const std::lock_guard<std::recursive_mutex> hold(s.lock);
    schedule_reset(seed);
    memory_reset();
    for (const auto &p : s.pinned)
        free(const_cast<char *>(p.first));
    s.pinned.clear();
    s.streams.objects.clear();
    s.orphans.clear();
    s.next_stream = 1;
    s.events.objects.clear();
    s.graphs.objects.clear();
    s.execs.objects.clear();
    capture_reset();
    s.used.clear();
    s.legacy.clear();
    s.used_most = 0;
    s.device_count = s.multiprocessors = 1;
    s.memory = (size_t)1 << 30;
    s.counts = {};
    s.fail_after = 0;
    s.lose_after = 0;
    s.lost = s.lost_synchronisation = false;
    s.lose_synchronisation_after = 0;
    s.only_count = s.has_clock = false;
    s.clock = s.kernel_takes = s.library_takes = 0;
    s.failed_call.clear();
    s.failure.clear();
    s.broken = cudaSuccess;
    s.resets++;
}

void ex_emulated_set_clock(double kernel, double library)
{
    the().has_clock = true;
    the().kernel_takes = kernel;
    the().library_takes = library;
}

void ex_emulated_set_devices(int count)
{
    if (count < 0 || count > MOST_DEVICES)
        die("%d devices: 0 to %d", count, MOST_DEVICES);
    the().device_count = count;
    the().legacy.clear();
    the().used.clear();
}

void ex_emulated_set_memory(size_t bytes)
{
    the().memory = bytes;
}

void ex_emulated_set_multiprocessors(int count)
{
    the().multiprocessors = count;
}

void ex_emulated_fail_call(long n)
{
    the().fail_after = n;
    the().failed_call.clear();
}

const char *ex_emulated_failed_call(void)
{
    return the().failed_call.empty() ? nullptr : the().failed_call.c_str();
}

void ex_emulated_fail_work(long n)
{
    schedule_fail(n);
}

void ex_emulated_only_count(void)
{
    the().only_count = true;
}

void ex_emulated_lose_wait(long n)
{
    the().lose_after = n;
    the().lost = false;
}

void ex_emulated_lose_synchronisation(long n)
{
    the().lose_synchronisation_after = n;
}

int ex_emulated_lost_synchronisation(void)
{
    return the().lost_synchronisation;
}

int ex_emulated_lost_wait(void)
{
    return the().lost;
}

const char *ex_emulated_failure(void)
{
    return the().failure.empty() ? nullptr : the().failure.c_str();
}

ex_emulated_counts ex_emulated_count(void)
{
    return counts();
}

ex_emulated_objects ex_emulated_alive(void)
{
    state &s = the();
    ex_emulated_objects o = {};
    o.device_allocations = memory_count();
    o.pinned_allocations = (long)s.pinned.size();
    o.streams = (long)s.streams.objects.size();
    o.events = (long)s.events.objects.size();
    o.graphs = (long)s.graphs.objects.size();
    o.graph_execs = (long)s.execs.objects.size();
    o.works = schedule_pending();
    for (const size_t bytes : s.used)
        o.device_bytes += bytes;
    for (const auto &p : s.pinned)
        o.pinned_bytes += p.second;
    o.device_bytes_most = s.used_most;
    return o;
}

const char *ex_emulated_leaks(void)
{
    static std::string text;
    const ex_emulated_objects o = ex_emulated_alive();
    text = described(o.device_allocations, "allocations of device memory") +
           described(o.pinned_allocations, "allocations of pinned memory") +
           described(o.streams, "streams") + described(o.events, "events") +
           described(o.graphs, "graphs") + described(o.graph_execs, "instantiated graphs") +
           described(o.works, "works queued");
    return text.c_str();
}
