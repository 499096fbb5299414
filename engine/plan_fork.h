/* Forking: V variants of a batch, each with one channel of one layer ablated. What is done about
 * each node is decided in fork.c; here it is done. Tensors that are still to be read are copied. */
#ifndef EX_PLAN_FORK_H
#define EX_PLAN_FORK_H

#include "fork.h"
#include "plan_nodes.h"

typedef struct ex_fork_job {
    ex_plan_core *to;
    const ex_plan_core *from;
    const ex_fork *f;
    ex_fork_deeds deeds;
    /* (V) where the kernels read, for the caller to set: f->channel, and ex_fork_fill of each. */
    const int32_t *channel;
    const float *fill;
} ex_fork_job;

/* Sets all but channel and fill; the end of the job is ex_fork_deeds_free, after an error too. */
ex_status ex_fork_begin(ex_fork_job *job, ex_plan_core *to, const ex_plan_core *from,
                        const ex_fork *f);
/* What takes the place of a channel for which the layer's norm makes `constant` of 0. */
float ex_fork_fill(const ex_fork_job *job, float constant);
/* Runs the nodes before deeds.next. */
ex_status ex_fork_run(const ex_fork_job *job);

#endif
