/* Wall time in seconds from a monotonic clock. */
#ifndef EX_CLOCK_H
#define EX_CLOCK_H

#include <time.h>

static inline double ex_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
