/* Seconds from a monotonic clock. */
#ifndef EX_CLOCK_H
#define EX_CLOCK_H

#include <time.h>

/* Wall time. */
static inline double ex_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* For timing work of so many threads: the processor time of the calling thread where it works
 * alone, since what else the machine does moves wall time; else wall time. */
static inline double ex_work_now(int threads)
{
    struct timespec t;
    if (threads > 1)
        return ex_now();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
