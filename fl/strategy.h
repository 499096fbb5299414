/* How the updates of a round become the next global model: a vtable, chosen by name.
 *
 * An update is a client's values minus the global ones, on the mask's segments, parameters and
 * running statistics alike. They are added in fixed point (accumulate_fixed in kernels.h), so that
 * neither the order of clients nor how they are dealt to processes changes a bit. Against a sum in
 * float64 the mean over K clients is off by at most K * 2^-41: for ten, 5e-12. */
#ifndef EX_STRATEGY_H
#define EX_STRATEGY_H

#include "config.h"
#include "model/mask.h"

typedef struct ex_strategy ex_strategy;

/* The gathering of one round. */
typedef struct ex_aggregate {
    const ex_strategy *strategy;
    const ex_mask *mask; /* what is averaged; not owned */
    size_t size;         /* mask->param_count + mask->stat_count */
    int64_t *sum;        /* (size) packed: selected parameters, then selected statistics */
    uint64_t outside;    /* values that were not finite, or too large, and are not in the sum */
} ex_aggregate;

struct ex_strategy {
    const char *name;
    /* weight (cohort) of each client's update, from its samples (cohort), none of them 0; they add
     * up to 1. */
    void (*weigh)(double *weight, const size_t *samples, int cohort, ex_weighting weighting);
    /* Adds one update; params, stats: flat vectors, read on the segments only. */
    void (*add)(ex_aggregate *a, const float *params, const float *stats, double weight);
    /* Changes the global values on the segments; every other byte stays. */
    void (*apply)(const ex_aggregate *a, float *params, float *stats);
};

extern const ex_strategy ex_strategy_fedavg;

/* EX_ERR_CONFIG listing the names for an unknown one. */
ex_status ex_strategy_find(const ex_strategy **out, const char *name);

/* The sum has `extra` more places behind its own, for what travels with it; all are 0. */
ex_status ex_aggregate_init(ex_aggregate *a, const ex_strategy *strategy, const ex_mask *mask,
                            size_t extra);
void ex_aggregate_close(ex_aggregate *a);

#endif
