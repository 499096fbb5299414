/* Ranks of a communicator as threads of a test. Threads only note what they saw; the tests look at
 * it after they have joined. */
#ifndef EX_TEST_RANKS_H
#define EX_TEST_RANKS_H

#include "comm_impl.h"
#include "nccl_emulated.h"

#include <pthread.h>

enum { RANKS_MAX = 4, MESSAGE = 1024 };

typedef struct rank {
    pthread_t thread;
    ex_comm_options options;
    const char *device; /* NULL: as all */
    void (*work)(struct rank *r);
    ex_comm *comm;
    ex_status status;
    char message[MESSAGE];
    double seconds;
    const void *in;
    void *out;
} rank;

/* Where ranks meet: the file that NCCL's communicator is given. */
const char *meeting(void);
/* `count` of `size` ranks, each on its GPU, or all as `device` says; returns when all have ended.
 */
void run_ranks(rank *ranks, int count, int size, const char *device, void (*work)(rank *r),
               double timeout);
/* Fails unless all is given back, and no rule of NCCL's was broken. */
void check_end(void);
/* A test's setup: four GPUs, and nothing goes wrong. */
int reset_ranks(void **state);

#endif
