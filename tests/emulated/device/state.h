/* What the emulated runtime holds, and how each of its functions begins and ends. */
#ifndef EX_EMULATED_STATE_H
#define EX_EMULATED_STATE_H

#include "device.h"
#include "schedule.h"

#include <cuda_runtime_api.h>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace emulated
{

/* Objects by handle. Handles are numbers that are never used twice, at addresses that fault. */
template <typename T, typename Handle> class table
{
  public:
    Handle add(T object)
    {
        const uintptr_t handle = next += 16;
        objects[handle] = std::make_unique<T>(std::move(object));
        return reinterpret_cast<Handle>(handle);
    }
    T *find(Handle handle)
    {
        const auto at = objects.find(reinterpret_cast<uintptr_t>(handle));
        return at == objects.end() ? nullptr : at->second.get();
    }
    bool remove(Handle handle)
    {
        return objects.erase(reinterpret_cast<uintptr_t>(handle)) > 0;
    }
    std::map<uintptr_t, std::unique_ptr<T>> objects;

  private:
    uintptr_t next = (uintptr_t)1 << 63;
};

/* A node of a graph: it runs after those at these indexes. */
struct node {
    task todo;
    size_t lane;
    std::vector<size_t> after;
};

/* A capture under way: what streams that belong to it queue becomes nodes. */
struct capture {
    cudaStreamCaptureMode mode;
    std::thread::id thread;
    size_t origin; /* the number of the stream that began it */
    std::vector<node> nodes;
    bool invalid, ended;
};
typedef std::shared_ptr<capture> capture_ref;

struct stream {
    size_t number; /* 0: the legacy stream */
    int device;
    bool blocking; /* orders itself with the legacy stream */
    work_ref last;
    capture_ref capturing;
    std::vector<size_t> frontier; /* while capturing: nodes that its next one comes after */
};

struct event {
    int device;
    bool timing;
    work_ref recorded;
    std::shared_ptr<double> milliseconds; /* when `recorded` ran */
    capture_ref captured;                 /* if last recorded in a capture */
    std::vector<size_t> frontier;
};

struct graph {
    std::vector<node> nodes;
};

struct graph_exec {
    std::vector<node> nodes;
    work_ref last; /* of its latest launch */
};

constexpr int MOST_DEVICES = 8;

struct state {
    std::recursive_mutex lock;
    int device_count = 1, multiprocessors = 1;
    size_t memory = (size_t)1 << 30;
    std::vector<size_t> used; /* bytes of each device */
    size_t used_most = 0;
    std::map<const char *, size_t> pinned; /* bytes by start */
    std::vector<stream> legacy;            /* the stream NULL of each device */
    table<stream, cudaStream_t> streams;
    std::vector<work_ref> orphans; /* the last work of streams that were destroyed before it ran */
    table<event, cudaEvent_t> events;
    table<graph, cudaGraph_t> graphs;
    table<graph_exec, cudaGraphExec_t> execs;
    size_t next_stream = 1;
    ex_emulated_counts counts = {};
    long fail_after = 0, lose_after = 0;
    bool lost = false; /* a wait was */
    long lose_synchronisation_after = 0;
    bool lost_synchronisation = false;
    bool only_count = false; /* kernels and library calls do not run */
    bool has_clock = false;
    double clock = 0, kernel_takes = 0, library_takes = 0; /* milliseconds */
    std::string failed_call, failure;
    cudaError_t broken = cudaSuccess;
    unsigned resets = 0;
};
state &the();
ex_emulated_counts &counts();

/* Makes an error sticky. */
void break_device(cudaError_t error, const std::string &why);
bool device_broken();

/* The calling host thread's device. */
int &current_device();
cudaError_t &last_error();

/* --- calls ------------------------------------------------------------------------------------ */

enum call_kind {
    PLAIN = 0,
    RELEASES = 1,      /* does its work also when it is made to fail */
    SYNCHRONISES = 2,  /* made to fail, it breaks the device */
    UNSAFE = 4,        /* prohibited while a stream is captured */
    WITHOUT_DEVICE = 8 /* may be called where there is no device */
};
/* What speaks against a call, and whether it does its work all the same. */
struct verdict {
    cudaError_t error;
    bool go_on;
};
verdict call_begin(const char *name, int kind);
/* The result of a call; keeps it as the last error. */
cudaError_t call_end(cudaError_t error);

/* A function of the runtime: `body` under the lock, unless something speaks against it. */
template <typename Body> cudaError_t call(const char *name, int kind, Body body)
{
    const std::lock_guard<std::recursive_mutex> hold(the().lock);
    verdict v = call_begin(name, kind);
    if (v.go_on) {
        const cudaError_t own = body();
        v.error = v.error == cudaSuccess ? own : v.error;
    }
    return call_end(v.error);
}

/* --- streams ---------------------------------------------------------------------------------- */

/* NULL and cudaStreamLegacy are the legacy stream of the current device; nullptr if there is none.
 */
stream *find_stream(cudaStream_t handle);
/* Queues a task on a stream, or adds it to the graph that the stream is captured into. */
cudaError_t queue(stream &s, const task &t, const std::vector<work_ref> &also_after = {});
/* Runs what the stream's queued work needs; counts as a wait. */
void wait_for(const work_ref &w);
/* Everything queued on a device's streams. */
void wait_for_device(int device);

/* --- captures --------------------------------------------------------------------------------- */

/* Whether an unsafe call of this host thread is prohibited; captures that prohibit it are invalid
 * from now on. */
bool capture_prohibits();
/* Invalidates the captures of blocking streams of a device: they would have to wait for the legacy
 * stream. True if there is one. */
bool capture_meets_legacy(int device);
cudaError_t capture_invalidate(const capture_ref &c, cudaError_t error);
cudaError_t capture_add(stream &s, const task &t, const std::vector<size_t> &also_after = {});
/* The stream that began a capture is being destroyed. */
void capture_abandon(const capture_ref &c);
void capture_reset();

} // namespace emulated
#endif
