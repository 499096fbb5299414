/* Queued work and the order in which it runs. Of the work whose predecessors have run, the seed
 * chooses: each lane (a stream) has a priority, and all priorities change now and then, so that one
 * stream runs far ahead of another in some orders. */
#ifndef EX_EMULATED_SCHEDULE_H
#define EX_EMULATED_SCHEDULE_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace emulated
{

enum class effect { none, kernel, library, host_function, upload, download, copy, fill };

/* Something to be run on a stream, once or, as a node of a graph, often. */
struct task {
    std::string what;
    effect kind = effect::none;
    int device = 0; /* whose memory it may touch; or EVERY_DEVICE, NO_DEVICE */
    std::function<void()> run;
    size_t bytes = 0;
    void *host = nullptr; /* of an upload or a download: `bytes` here */
    double flop = 0, moved = 0;
};

struct work;
typedef std::shared_ptr<work> work_ref;

/* Adds work that runs after all of `after` (nulls and works that ran are passed over). */
work_ref schedule_add(const task &t, size_t lane, const std::vector<work_ref> &after);
bool schedule_has_run(const work_ref &w); /* true for null */
/* Runs what the seed chooses until `w` has run. */
void schedule_run_until(const work_ref &w);
/* Between two calls: runs work of lanes that the seed makes eager; at least one work if `some`. */
void schedule_progress(bool some);
void schedule_drop_all();
void schedule_reset(uint64_t seed);

/* What runs in this host thread; NULL if no work does. */
const char *schedule_running();
/* Works that are queued and not yet run. */
long schedule_pending();
/* Makes the n-th work from now on fail, from 1; 0: none. */
void schedule_fail(long n);

} // namespace emulated
#endif
