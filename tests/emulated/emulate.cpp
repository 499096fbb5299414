/* Runs kernels on the host: see kernels/launch.h.
 *
 * Blocks run one after the other. Threads of a plain kernel are iterations of a loop; threads of a
 * kernel with barriers or shuffles are fibers, each run until it waits. When none can go on, whole
 * groups are released: the lanes of a shuffle's mask, or the block at a barrier. If no group is
 * complete, the kernel is at fault: the launch fails and its fibers are abandoned (kernels own
 * nothing). Every other launch runs blocks and threads backwards, so that a missing barrier shows
 * in one of the orders. */
#include "emulate.h"

#include "fiber.h"
#include "launch.h"
#include "runtime.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

thread_local dim3 gridDim, blockDim, blockIdx, threadIdx;

namespace
{

constexpr cudaError_t INVALID_CONFIGURATION = 9, LAUNCH_FAILURE = 719;

enum class wait { none, barrier, exchange, never };

struct thread {
    fiber *run = nullptr;
    dim3 index;
    wait waits = wait::none;
    bool done = false;
    /* The exchange it waits in. */
    unsigned mask = 0;
    void *value = nullptr;
    size_t bytes = 0;
    int from = 0;
};

struct shared_array {
    const void *key;
    void *data;
};

struct violation {
};

thread_local char message[256];
thread_local bool violated;
thread_local unsigned launches;

thread_local const ex_emulated_launch *launch; /* the one that runs */
thread_local std::vector<shared_array> arrays; /* of the block that runs */
thread_local std::vector<thread> threads;      /* of the block that runs, if fibers */
thread_local thread *current;                  /* the fiber that runs */

/* Notes the first fault of a launch. */
void fault(const char *format, ...)
{
    if (violated)
        return;
    violated = true;
    char what[160];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    snprintf(message, sizeof message, "%s: block (%u, %u, %u), thread %u: %s", launch->kernel,
             blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, what);
    ex_emulated_launch_failed(LAUNCH_FAILURE, message);
}

/* A fault from inside a thread, which does not go on. */
void fault_here(const char *text)
{
    fault("%s", text);
    if (!current)
        throw violation{};
    current->waits = wait::never;
    fiber_yield();
}

void release_arrays()
{
    for (const shared_array &a : arrays)
        ::operator delete(a.data);
    arrays.clear();
}

dim3 coordinates(size_t i, dim3 size)
{
    return dim3((unsigned)(i % size.x), (unsigned)(i / size.x % size.y),
                (unsigned)(i / size.x / size.y));
}

size_t volume(dim3 size)
{
    return (size_t)size.x * size.y * size.z;
}

void run_plain(const std::function<void()> &body, bool backwards)
{
    const size_t count = volume(blockDim);
    current = nullptr;
    for (size_t i = 0; i < count; i++) {
        threadIdx = coordinates(backwards ? count - 1 - i : i, blockDim);
        body();
    }
}

/* Runs every thread that does not wait, until it does. */
bool run_ready(bool backwards)
{
    bool any = false;
    for (size_t i = 0; i < threads.size(); i++) {
        thread &t = threads[backwards ? threads.size() - 1 - i : i];
        if (t.done || t.waits != wait::none)
            continue;
        current = &t;
        threadIdx = t.index;
        t.done = fiber_resume(t.run);
        any = true;
    }
    return any;
}

/* The lanes of `t`'s warp that are in its mask, if all wait for the same exchange; else none. */
std::vector<thread *> complete_exchange(size_t warp, const thread &t)
{
    std::vector<thread *> lanes(EX_WARP, nullptr);
    for (size_t lane = 0; lane < EX_WARP; lane++) {
        if (!(t.mask >> lane & 1))
            continue;
        const size_t i = warp * EX_WARP + lane;
        if (i >= threads.size() || threads[i].waits != wait::exchange ||
            threads[i].mask != t.mask || threads[i].bytes != t.bytes)
            return {};
        lanes[lane] = &threads[i];
    }
    return lanes;
}

/* Moves the values of all lanes at once; from a lane outside the mask comes NaN. */
void exchange(const std::vector<thread *> &lanes)
{
    unsigned char values[EX_WARP][16];
    for (size_t lane = 0; lane < EX_WARP; lane++)
        if (lanes[lane] && lanes[lane]->bytes)
            memcpy(values[lane], lanes[lane]->value, lanes[lane]->bytes);
    for (thread *t : lanes) {
        if (!t)
            continue;
        const bool known = t->from >= 0 && t->from < EX_WARP && lanes[(size_t)t->from];
        if (known && t->bytes)
            memcpy(t->value, values[t->from], t->bytes);
        else if (t->bytes)
            memset(t->value, 0xff, t->bytes);
        t->waits = wait::none;
    }
}

bool release_exchanges()
{
    bool any = false;
    for (size_t i = 0; i < threads.size(); i++) {
        if (threads[i].waits != wait::exchange)
            continue;
        const std::vector<thread *> lanes = complete_exchange(i / EX_WARP, threads[i]);
        if (lanes.empty())
            continue;
        exchange(lanes);
        any = true;
    }
    return any;
}

bool release_barrier()
{
    for (const thread &t : threads)
        if (t.waits != wait::barrier)
            return false;
    for (thread &t : threads)
        t.waits = wait::none;
    return true;
}

void report_stuck()
{
    size_t done = 0, barrier = 0, shuffle = 0;
    for (const thread &t : threads) {
        done += t.done;
        barrier += !t.done && t.waits == wait::barrier;
        shuffle += !t.done && t.waits == wait::exchange;
    }
    fault("of %zu threads %zu wait at a barrier, %zu in a shuffle, and %zu have left",
          threads.size(), barrier, shuffle, done);
}

void run_fibers(const std::function<void()> &body, bool backwards)
{
    threads.assign(volume(blockDim), thread{});
    for (size_t i = 0; i < threads.size(); i++) {
        threads[i].index = coordinates(i, blockDim);
        threads[i].run = fiber_start(i, body);
    }
    while (!violated && (run_ready(backwards) || release_exchanges() || release_barrier()))
        continue;
    for (const thread &t : threads)
        if (!t.done && !violated)
            report_stuck();
    current = nullptr;
}

bool valid(const ex_emulated_launch &l)
{
    const bool grid =
        volume(l.grid) > 0 && l.grid.x <= 2147483647u && l.grid.y <= 65535 && l.grid.z <= 65535;
    return grid && volume(l.block) > 0 && volume(l.block) <= 1024 && l.block.z <= 64 &&
           l.shared_bytes <= 48 * 1024;
}

void run(const ex_emulated_launch &l, const std::function<void()> &body)
{
    const bool backwards = launches++ % 2;
    const size_t blocks = volume(l.grid);
    launch = &l, gridDim = l.grid, blockDim = l.block, violated = false;
    for (size_t i = 0; i < blocks && !violated; i++) {
        blockIdx = coordinates(backwards ? blocks - 1 - i : i, l.grid);
        try {
            l.fibers ? run_fibers(body, backwards) : run_plain(body, backwards);
        } catch (const violation &) {
        }
        release_arrays();
    }
}

} // namespace

void ex_emulated_run(const ex_emulated_launch &l, const std::function<void()> &body)
{
    if (!valid(l))
        ex_emulated_launch_refused(l.kernel, INVALID_CONFIGURATION);
    else
        ex_emulated_launch_queue(l.queue, l.kernel, [l, body] { run(l, body); });
}

void *ex_emulated_shared(const void *key, size_t bytes)
{
    for (const shared_array &a : arrays)
        if (a.key == key)
            return a.data;
    void *data = ::operator new(bytes); /* not of those that tests let fail */
    memset(data, 0xff, bytes);
    arrays.push_back({key, data});
    return data;
}

void ex_emulated_barrier(void)
{
    if (!current)
        fault_here("a barrier in a kernel that was launched by EX_LAUNCH: use EX_LAUNCH_TOGETHER");
    current->waits = wait::barrier;
    fiber_yield();
}

void ex_emulated_exchange(unsigned mask, void *value, size_t bytes, int from)
{
    if (!current)
        fault_here("a shuffle in a kernel that was launched by EX_LAUNCH: use EX_LAUNCH_TOGETHER");
    if (!(mask >> ex_emulated_lane() & 1))
        fault_here("a shuffle by a lane that is not in its own mask");
    current->mask = mask, current->value = value, current->bytes = bytes, current->from = from;
    current->waits = wait::exchange;
    fiber_yield();
}

int ex_emulated_lane(void)
{
    const size_t i = threadIdx.x + blockDim.x * (threadIdx.y + (size_t)blockDim.y * threadIdx.z);
    return (int)(i % EX_WARP);
}

extern "C" const char *ex_emulated_violation(void)
{
    const bool was = message[0] && violated;
    violated = false;
    return was ? message : nullptr;
}
