#include "pulse.h"

#include "base/memory.h"

#include <math.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

struct ex_pulse {
    ex_comm *comm;
    ex_pulse_beat beat;
    double interval; /* seconds */
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows, and is kept during a beat */
    pthread_cond_t changed;
    bool held, stopped;
    ex_status status; /* of the last beat */
    ex_error error;   /* what it said */
};

static struct timespec time_in(double seconds)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    const double whole = floor(seconds);
    t.tv_sec += (time_t)whole;
    t.tv_nsec += (long)((seconds - whole) * 1e9);
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

static void beat(ex_pulse *p)
{
    p->status = p->beat(p->comm);
    p->error = ex_error_keep();
}

static void *pulse_main(void *argument)
{
    ex_pulse *p = argument;
    pthread_mutex_lock(&p->lock);
    while (!p->stopped) {
        const struct timespec next = time_in(p->interval);
        int error = 0;
        while (!p->stopped && error == 0)
            error = pthread_cond_timedwait(&p->changed, &p->lock, &next);
        if (!p->stopped && !p->held && p->status == EX_OK)
            beat(p);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* Waits must not feel that somebody sets the clock. */
static int init_changed(pthread_cond_t *changed)
{
    pthread_condattr_t attributes;
    int error = pthread_condattr_init(&attributes);
    if (error)
        return error;
    error = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (!error)
        error = pthread_cond_init(changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return error;
}

static int start_thread(ex_pulse *p)
{
    int error = init_changed(&p->changed);
    if (error)
        return error;
    error = pthread_create(&p->thread, NULL, pulse_main, p);
    if (error)
        pthread_cond_destroy(&p->changed);
    return error;
}

ex_status ex_pulse_start(ex_pulse **out, ex_comm *comm, ex_pulse_beat beat_once, double interval)
{
    EX_TRY(ex_alloc(out, 1, sizeof **out, "sign of life"));
    **out = (ex_pulse){.comm = comm,
                       .beat = beat_once,
                       .interval = interval,
                       .lock = PTHREAD_MUTEX_INITIALIZER,
                       .held = true};
    const int error = start_thread(*out);
    if (!error)
        return EX_OK;
    ex_free(out);
    return EX_FAIL(EX_ERR_MEMORY,
                   "the thread that tells the other ranks of this one cannot be started: %s",
                   strerror(error));
}

ex_status ex_pulse_hold(ex_pulse *p)
{
    pthread_mutex_lock(&p->lock);
    p->held = true;
    const ex_status status = p->status;
    if (status != EX_OK)
        ex_error_restore(&p->error);
    pthread_mutex_unlock(&p->lock);
    return status;
}

void ex_pulse_release(ex_pulse *p)
{
    pthread_mutex_lock(&p->lock);
    p->held = false;
    pthread_mutex_unlock(&p->lock);
}

void ex_pulse_stop(ex_pulse **pulse)
{
    ex_pulse *p = *pulse;
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stopped = true;
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    ex_free(pulse);
}
