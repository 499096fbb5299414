/* Work items spread over the threads of lanes. Which lane runs an item depends on timing, so items
 * must not depend on their lane; which error is reported does not: items are handed out in order,
 * so everything before the first that failed was run to its end. */
#include "base/memory.h"
#include "trainer.h"

#include <omp.h>
#include <pthread.h>
#include <string.h>

typedef struct shared {
    pthread_mutex_t lock; /* guards all that follows but the constants */
    const int count;
    const ex_lane_work work;
    void *const context;
    int next;
    int failed_item; /* count: none */
    ex_status status;
    ex_error error;
} shared;

typedef struct worker {
    shared *s;
    int lane;
    pthread_t thread;
} worker;

static int take(shared *s)
{
    pthread_mutex_lock(&s->lock);
    const int item = s->failed_item < s->count ? s->count : s->next++;
    pthread_mutex_unlock(&s->lock);
    return item;
}

static void record(shared *s, int item, ex_status status)
{
    pthread_mutex_lock(&s->lock);
    if (item < s->failed_item) {
        s->failed_item = item;
        s->status = status;
        s->error = ex_error_keep();
    }
    pthread_mutex_unlock(&s->lock);
}

static void *worker_main(void *argument)
{
    const worker *w = argument;
    /* A new thread starts with as many OpenMP threads as there are cores; a lane is one core until
     * its back end asks for more. */
    omp_set_num_threads(1);
    for (int item; (item = take(w->s)) < w->s->count;) {
        const ex_status status = w->s->work(w->s->context, item, w->lane);
        if (status != EX_OK)
            record(w->s, item, status);
    }
    return NULL;
}

static ex_status run_here(int count, ex_lane_work work, void *context)
{
    for (int item = 0; item < count; item++)
        EX_TRY(work(context, item, 0));
    return EX_OK;
}

static ex_status run_threads(int lanes, shared *s)
{
    worker *workers;
    EX_TRY(ex_alloc(&workers, (size_t)lanes, sizeof *workers, "lane threads"));
    int started = 0, error = 0;
    for (; started < lanes && error == 0; started += error == 0) {
        workers[started].s = s;
        workers[started].lane = started;
        error = pthread_create(&workers[started].thread, NULL, worker_main, &workers[started]);
    }
    if (error) {
        ex_fail_at(EX_ERR_MEMORY, EX_WHERE, "thread %d of %d cannot be started (%s); lower lanes",
                   started + 1, lanes, strerror(error));
        record(s, -1, EX_ERR_MEMORY);
    }
    for (int i = 0; i < started; i++)
        pthread_join(workers[i].thread, NULL);
    ex_free(&workers);
    if (s->status != EX_OK)
        ex_error_restore(&s->error);
    return s->status;
}

ex_status ex_lanes_run(int lanes, int count, ex_lane_work work, void *context)
{
    EX_CHECK_ARG(lanes > 0 && count >= 0, "%d items on %d lanes", count, lanes);
    if (lanes > count)
        lanes = count;
    if (lanes <= 1)
        return run_here(count, work, context);
    shared s = {.count = count, .work = work, .context = context, .failed_item = count};
    pthread_mutex_init(&s.lock, NULL);
    const ex_status status = run_threads(lanes, &s);
    pthread_mutex_destroy(&s.lock);
    return status;
}
