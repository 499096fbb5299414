#include "schedule.h"

#include "memory.h"
#include "state.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace emulated
{

struct work {
    task todo;
    uint64_t number;
    size_t lane;
    size_t waits_for = 0;
    bool done = false;
    long depth = 0; /* works in the longest chain that ends with it */
    std::vector<work_ref> dependents;
};

namespace
{

/* Of programs that are not reset by a test. */
uint64_t first_seed()
{
    const char *const text = getenv("EXCISE_EMULATED_SEED");
    return text ? strtoull(text, nullptr, 10) : 0;
}

struct schedule {
    uint64_t seed = first_seed(), draws = 0, shuffles = 0, next_number = 0;
    std::vector<work_ref> pending, ready;
    long fail_after = 0;
};
schedule now;
thread_local const char *running;

/* What this host thread has waited for, as a depth. */
struct waited {
    uint64_t schedule = 0;
    long depth = 0;
};
uint64_t schedules = 0;

long &waited_depth()
{
    static thread_local waited w;
    if (w.schedule != schedules)
        w = {schedules, 0};
    return w.depth;
}

uint64_t mixed(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

uint64_t draw()
{
    return mixed(mixed(now.seed) + now.draws++);
}

uint64_t priority(const work_ref &w)
{
    return mixed(mixed(now.seed + now.shuffles) + w->lane);
}

/* How often, of 256, a call lets work of a lane run that nobody waits for. Lanes that always run at
 * once beside lanes that never do show most of what is missing between the two. */
unsigned eagerness(const work_ref &w)
{
    const unsigned moods[] = {0, 0, 16, 256};
    return now.seed ? moods[mixed(mixed(now.seed) ^ w->lane) % 4] : 0;
}

bool is_eager(const work_ref &w)
{
    const unsigned e = eagerness(w);
    return e && draw() % 256 < e;
}

/* Takes the next work out of the ready ones; seed 0 keeps the order of the calls. */
work_ref take_ready()
{
    const unsigned works_between_shuffles[] = {2, 16, 64};
    if (now.seed && draw() % works_between_shuffles[now.seed % 3] == 0)
        now.shuffles++;
    const auto before = [](const work_ref &a, const work_ref &b) {
        const uint64_t pa = now.seed ? priority(a) : 0, pb = now.seed ? priority(b) : 0;
        return pa != pb ? pa > pb : a->number < b->number;
    };
    const auto best = std::min_element(now.ready.begin(), now.ready.end(), before);
    const work_ref w = *best;
    now.ready.erase(best);
    return w;
}

void run_task(const task &t)
{
    counts().works_run++;
    if (t.kind == effect::kernel)
        the().clock += the().kernel_takes;
    else if (t.kind == effect::library)
        the().clock += the().library_takes;
    if (the().only_count && (t.kind == effect::kernel || t.kind == effect::library))
        return;
    if (now.fail_after && --now.fail_after == 0) {
        break_device(cudaErrorLaunchFailure, t.what + " was made to fail");
        return;
    }
    running = t.what.c_str();
    memory_open(t.device);
    t.run();
    memory_check(running);
    running = nullptr;
}

void finish(const work_ref &w)
{
    w->done = true;
    for (const work_ref &d : w->dependents)
        if (--d->waits_for == 0)
            now.ready.push_back(d);
    w->dependents.clear();
    w->todo.run = nullptr;
    now.pending.erase(std::find(now.pending.begin(), now.pending.end(), w));
}

void run(const work_ref &w)
{
    if (w->todo.kind == effect::none && w->todo.run)
        w->todo.run();
    else if (w->todo.run && !device_broken())
        run_task(w->todo);
    finish(w);
}

bool overlaps(const task &a, const task &b)
{
    const uintptr_t pa = (uintptr_t)a.host, pb = (uintptr_t)b.host;
    return a.host && b.host && pa < pb + b.bytes && pb < pa + a.bytes;
}

/* Host code must not look at a download's destination before it has run; nor may it hold what was
 * there before, unless queued work still needs that. */
void poison_destination(const task &t)
{
    for (const work_ref &w : now.pending)
        if (w->todo.kind == effect::host_function || overlaps(w->todo, t))
            return;
    memset(t.host, 0xff, t.bytes);
}

void count(const task &t)
{
    ex_emulated_counts &c = counts();
    c.works += t.kind != effect::none;
    c.launches += t.kind == effect::kernel;
    c.library_calls += t.kind == effect::library;
    c.uploaded += t.kind == effect::upload ? t.bytes : 0;
    c.downloaded += t.kind == effect::download ? t.bytes : 0;
    c.copied += t.kind == effect::copy ? t.bytes : 0;
    c.filled += t.kind == effect::fill ? t.bytes : 0;
    c.flop += t.flop;
    c.moved += t.moved;
}

} // namespace

work_ref schedule_add(const task &t, size_t lane, const std::vector<work_ref> &after)
{
    count(t);
    if (t.kind == effect::download && t.host)
        poison_destination(t);
    const work_ref w = std::make_shared<work>();
    w->todo = t;
    w->number = now.next_number++;
    w->lane = lane;
    w->depth = waited_depth();
    for (const work_ref &a : after)
        w->depth = a ? std::max(w->depth, a->depth) : w->depth;
    w->depth += t.kind != effect::none;
    counts().depth = std::max(counts().depth, w->depth);
    for (const work_ref &a : after) {
        if (schedule_has_run(a))
            continue;
        a->dependents.push_back(w);
        w->waits_for++;
    }
    now.pending.push_back(w);
    if (w->waits_for == 0)
        now.ready.push_back(w);
    return w;
}

bool schedule_has_run(const work_ref &w)
{
    return !w || w->done;
}

void schedule_run_until(const work_ref &w)
{
    while (!schedule_has_run(w))
        run(take_ready());
    if (w)
        waited_depth() = std::max(waited_depth(), w->depth);
}

void schedule_progress(bool some)
{
    if (some && !now.ready.empty())
        run(take_ready());
    for (;;) {
        const auto w = std::find_if(now.ready.begin(), now.ready.end(), is_eager);
        if (w == now.ready.end())
            return;
        const work_ref chosen = *w;
        now.ready.erase(w);
        run(chosen);
    }
}

void schedule_drop_all()
{
    for (const work_ref &w : now.pending) {
        w->done = true;
        w->dependents.clear();
    }
    now.pending.clear();
    now.ready.clear();
}

void schedule_reset(uint64_t seed)
{
    schedule_drop_all();
    now = schedule{};
    schedules++;
    now.seed = seed;
}

const char *schedule_running()
{
    return running;
}

long schedule_pending()
{
    return (long)std::count_if(now.pending.begin(), now.pending.end(),
                               [](const work_ref &w) { return w->todo.kind != effect::none; });
}

void schedule_fail(long n)
{
    now.fail_after = n;
}

} // namespace emulated
